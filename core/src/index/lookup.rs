//! Keys that find documents: an index's number, what it is ordered by, and the document's id.
//!
//! Invariants: bytes sort as the parts do, one after the other; no text is cut, so whoever finds a
//! key need not look at the row again; the keys of a document are a function of its row alone.

use super::fields::info;
use super::value_key;
use crate::document::Container;
use crate::ids::{DocumentId, DocumentKind};
use crate::rows::DocumentRow;

/// What documents are found by. The numbers are part of the table's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Lookup {
    /// Registered models by name and creation: of a name the first holds it.
    ModelName = 1,
    /// Versions by model, number and creation: of a number the first is served.
    ModelVersion = 2,
}

/// A key, or the head that a range of keys shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupKey(Vec<u8>);

impl LookupKey {
    /// The head of all keys of an index.
    pub fn new(lookup: Lookup) -> Self {
        Self(vec![lookup as u8])
    }

    /// Goes on with a text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            // A zero within is told from the two zeros at the end, and sorts after them.
            self.0.extend((byte == 0).then_some(1));
        }
        self.0.extend([0, 0]);
        self
    }

    /// Goes on with an integer.
    #[must_use]
    pub fn integer(mut self, value: i64) -> Self {
        self.0.extend(value_key::integer(value));
        self
    }

    /// Goes on with another document.
    #[must_use]
    pub fn document(mut self, document: &DocumentId) -> Self {
        self.0.extend(document.to_bytes());
        self
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The first bytes that sort after every key with this head.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        end
    }
}

/// The document at the end of a key.
pub(crate) fn document_of(key: &[u8]) -> Option<DocumentId> {
    key.last_chunk().map(DocumentId::from_bytes)
}

/// The keys that find a document.
pub(crate) fn keys_of(row: &DocumentRow) -> Vec<LookupKey> {
    let text = |key| row.text(Container::Info, key);
    let integer = |key| row.integer(Container::Info, key).unwrap_or_default();
    let key = match row.document.kind() {
        Some(DocumentKind::RegisteredModel) => text(info::NAME).map(|name| {
            LookupKey::new(Lookup::ModelName).text(name).integer(integer(info::CREATED))
        }),
        Some(DocumentKind::ModelVersion) => {
            text(info::MODEL).and_then(DocumentId::from_reference).map(|model| {
                let of_model = LookupKey::new(Lookup::ModelVersion).document(&model);
                of_model.integer(integer(info::NUMBER)).integer(integer(info::CREATED))
            })
        }
        _ => None,
    };
    key.into_iter().map(|key| key.document(&row.document)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<u8> {
        LookupKey::new(Lookup::ModelName).text(name).integer(1).0
    }

    #[test]
    fn texts_sort_whatever_comes_after_them() {
        for pair in ["", "\0", "\0a", "a", "a\0", "a\0b", "aa", "b"].windows(2) {
            assert!(named(pair[0]) < named(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_after_all_its_keys() {
        let head = LookupKey::new(Lookup::ModelName).integer(-1);
        let key = head.clone().document(&DocumentId::from_bytes(&[u8::MAX; 17]));
        assert!(key.as_bytes() < head.end().as_slice());
        assert!(LookupKey::new(Lookup::ModelName).integer(0).0 >= head.end());
        let last = LookupKey::new(Lookup::ModelName).integer(i64::MAX);
        assert_eq!(last.end(), [2]);
    }
}
