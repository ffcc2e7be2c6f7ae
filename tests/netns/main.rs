//! The laboratory of network namespaces: the debugging session, without a cluster.
