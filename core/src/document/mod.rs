//! Documents: experiments and runs as Automerge documents.

mod put;

pub use put::{Container, DocumentEdit, Put, Scalar};
