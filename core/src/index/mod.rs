//! The index: rows and ordered keys, derived from documents, series and edits.

mod document_index;
pub(crate) mod fields;
mod lookup;
mod run_index;
pub mod value_key;

pub use document_index::DocumentIndex;
pub(crate) use lookup::document_of;
pub use lookup::{Lookup, LookupKey};
pub use run_index::RunIndex;
