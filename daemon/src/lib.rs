//! The world around `runmesh-core`: writer thread, iroh endpoint, blob store, HTTP.

pub mod app;
pub mod blobs;
pub mod bundle;
mod causes;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod home;
pub mod http;
pub mod mesh;
mod open_files;
pub mod workspace;
mod writer;

pub use writer::{WriteError, now};
