//! The tracking API of MLflow, as its unmodified clients speak it.
//!
//! What is MLflow's own stays in here: the rest of the daemon does not know that a run's name is
//! also a tag, or that an error has a `sqlstate`.

mod artifact_path;
mod error;
mod limits;
mod message;
mod page;
mod python;
mod run_name;
