//! The world around `runmesh-core`: writer thread, iroh endpoint, blob store, HTTP.

pub mod blobs;
pub mod config;
pub mod home;
pub mod http;
pub mod workspace;
mod writer;

pub use writer::{WriteError, now};
