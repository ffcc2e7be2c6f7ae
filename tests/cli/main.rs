//! The executable from outside: dispatcher, wording, exit codes.

#[path = "dispatcher.rs"]
mod dispatcher;
