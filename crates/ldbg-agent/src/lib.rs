//! The sidecar's process: control endpoint on loopback, token, probes and capture streams
