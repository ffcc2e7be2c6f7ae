//! The real programs as judges: libpcap (by tcpdump) of filters and of the BPF
//! interpreter, netbase of the names. They are assumed to be installed; a test
//! that misses one fails and says which package it is of.

mod bpf_interpreter;
mod filter_by_hand;
mod filter_differential;
mod grammar;
mod libpcap;
mod packets;
mod print;
mod random;
mod services;
