//! The index: rows, and the columns and keys that find them, derived from documents, series and edits.

pub(crate) mod column_block;
mod columns;
mod document_index;
pub(crate) mod fields;
mod lookup;
pub(crate) mod run_changes;
mod run_index;
mod stored_columns;
mod trace_index;
pub mod trace_key;
pub mod value_key;

pub(crate) use columns::Column;
pub use document_index::DocumentIndex;
pub use lookup::{Lookup, LookupKey};
pub(crate) use lookup::{by_experiment, document_of, time_of};
pub use run_index::RunIndex;
pub(crate) use stored_columns::StoredColumns;
pub use trace_index::TraceIndex;
