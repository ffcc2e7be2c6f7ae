//! The mutating webhook that puts the debug container into meshed pods
