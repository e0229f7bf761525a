//! The world around `runmesh-core`: writer thread, iroh endpoint, blob store, HTTP.

pub mod app;
pub mod backup;
pub mod blobs;
pub mod bundle;
mod causes;
mod clocks;
pub mod collect;
pub mod config;
pub mod copy;
pub mod daemon;
pub mod device;
pub mod doctor;
pub mod figures;
pub mod home;
pub mod http;
mod lines;
pub mod mesh;
mod open_files;
pub mod places;
#[cfg(test)]
mod testing;
pub mod workspace;
pub mod workspaces;
mod writer;

pub use writer::{WriteError, now};
