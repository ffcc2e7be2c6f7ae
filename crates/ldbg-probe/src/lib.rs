//! DNS, TCP and HTTP probes: a spec goes in, an observation comes out, and the path is said
