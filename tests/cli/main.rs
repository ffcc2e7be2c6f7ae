//! The executable from outside: dispatcher, wording, exit codes.

mod dispatcher;
mod layers;

#[path = "executable.rs"]
mod executable;
