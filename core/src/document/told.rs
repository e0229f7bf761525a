//! What one change did to a document, for people.

use super::change::ChangeContent;
use super::decode::{Op, RawChange};
use super::genesis::genesis;
use super::put::{Put, Scalar};
use crate::codec::DecodeError;
use crate::ids::DocumentKind;

/// What one change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldChange {
    /// Whether its author knew of no change before it.
    pub first: bool,
    /// The keys that it set and deleted, in order.
    pub puts: Vec<Put>,
    /// What it wrote into the description.
    pub written: String,
    /// How many characters it took out of the description.
    pub deleted: usize,
}

/// Reads the content of a change operation on a document of this kind.
pub fn tell(kind: DocumentKind, content: &[u8]) -> Result<ToldChange, DecodeError> {
    let ChangeContent { bytes, .. } = ChangeContent::decode(content)?;
    let raw = RawChange::read(kind, &bytes)?;
    let first = raw.deps == [genesis(kind).hash()];
    let mut told = ToldChange { first, puts: Vec::new(), written: String::new(), deleted: 0 };
    for op in raw.read_ops()? {
        match op {
            Op::Put { container, key, value, .. } => {
                let value = value.map(Scalar::from);
                told.puts.push(Put { container, key: key.to_owned(), value });
            }
            Op::Insert { text, .. } => told.written.push_str(text),
            Op::Delete { .. } => told.deleted += 1,
        }
    }
    Ok(told)
}
