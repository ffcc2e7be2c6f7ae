//! Frame sources, wrappers and sinks: live ring or file in, pcap or lines out
