//! The executable from outside: dispatcher, wording, exit codes.

mod dispatcher;
mod executable;
mod layers;
mod netstat;
