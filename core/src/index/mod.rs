//! The index: rows and ordered keys, derived from documents, series and edits.

pub(crate) mod fields;
mod run_index;
pub mod value_key;

pub use run_index::RunIndex;
