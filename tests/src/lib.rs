//! Tests of runmesh that need more than one device, and its benchmarks.

pub mod requests;
pub mod simulation;
