//! The one binary: `runmesh`.
fn main() {}
