//! The index: rows and ordered keys, derived from documents, series and edits.

mod document_index;
pub(crate) mod fields;
mod key_changes;
mod lookup;
pub(crate) mod run_changes;
mod run_index;
mod trace_index;
pub mod trace_key;
pub mod value_key;

pub use document_index::DocumentIndex;
pub use lookup::{Lookup, LookupKey};
pub(crate) use lookup::{by_experiment, document_of, time_of};
pub use run_index::RunIndex;
pub use trace_index::TraceIndex;
