//! The executable from outside: dispatcher, wording, exit codes.

mod agent;
mod curl;
mod diagnose;
mod dispatcher;
mod dns;
mod executable;
mod explain;
mod injector;
mod layers;
mod mesh;
mod nc;
mod netstat;
mod nslookup;
mod readme;
mod tcpdump;
