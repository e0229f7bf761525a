//! The index: rows and ordered keys, derived from documents, series and edits.

pub mod value_key;
