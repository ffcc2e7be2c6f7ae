//! Servers, the mesh stand-in and the laboratory that the tests share.
