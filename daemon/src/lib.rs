//! The world around `runmesh-core`: writer thread, iroh endpoint, blob store, HTTP.

pub mod http;
