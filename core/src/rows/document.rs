//! The row of a document that is neither a run nor an experiment: its maps as they stand.
//!
//! Registered models, versions, logged models and the like are few beside runs, and each has a
//! handful of fields. So their rows keep the maps, and whoever knows a kind reads fields by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{Container, DocumentEdit, DocumentState, Scalar};
use crate::ids::DocumentId;

/// All that is known of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentRow {
    /// The document.
    pub document: DocumentId,
    maps: [BTreeMap<String, Scalar>; Container::ALL.len()],
    /// The note that people edit.
    pub description: String,
    /// Keys that were set to several values while apart, and not settled since; sorted.
    pub conflicts: Vec<(Container, String)>,
}

impl DocumentRow {
    /// A document of which nothing is known yet.
    pub(crate) fn unknown(document: DocumentId) -> Self {
        let (description, conflicts) = (String::new(), Vec::new());
        Self { document, maps: Default::default(), description, conflicts }
    }

    /// The row of a document that says this.
    pub(crate) fn of(document: DocumentId, state: &DocumentState) -> Self {
        let mut row = Self::unknown(document);
        row.description.clone_from(&state.description);
        for container in Container::ALL {
            for (key, held) in state.map(container) {
                row.maps[container as usize].insert(key.clone(), held.value.clone());
                if held.is_contested() {
                    row.conflicts.push((container, key.clone()));
                }
            }
        }
        row
    }

    /// Does to the row what an edit does to its document.
    pub(crate) fn edit(&mut self, edit: &DocumentEdit) {
        for put in &edit.puts {
            let map = &mut self.maps[put.container as usize];
            match &put.value {
                Some(value) => drop(map.insert(put.key.clone(), value.clone())),
                None => drop(map.remove(&put.key)),
            }
            // Who sets a key has seen all its values, and replaces them.
            let place = (put.container, put.key.as_str());
            self.conflicts.retain(|(container, key)| (*container, key.as_str()) != place);
        }
        if let Some(description) = &edit.description {
            self.description.clone_from(description);
        }
    }

    /// The edit that makes a document of which nothing is known say the same.
    pub(crate) fn to_edit(&self) -> DocumentEdit {
        let mut edit = DocumentEdit::default();
        for container in Container::ALL {
            for (key, value) in self.map(container) {
                edit.set(container, key, value.clone());
            }
        }
        edit.description = (!self.description.is_empty()).then(|| self.description.clone());
        edit
    }

    /// One of the maps.
    pub const fn map(&self, container: Container) -> &BTreeMap<String, Scalar> {
        &self.maps[container as usize]
    }

    /// The text at a key, if a text is there.
    pub fn text(&self, container: Container, key: &str) -> Option<&str> {
        self.map(container).get(key).and_then(Scalar::as_text)
    }

    /// The integer at a key, if an integer is there.
    pub fn integer(&self, container: Container, key: &str) -> Option<i64> {
        self.map(container).get(key).and_then(Scalar::as_integer)
    }

    /// All texts of a map, by key.
    pub fn texts(&self, container: Container) -> impl Iterator<Item = (&str, &str)> {
        let texts = self.map(container).iter();
        texts.filter_map(|(key, value)| Some((key.as_str(), value.as_text()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_made_of_a_row_makes_the_row() {
        let mut edit = DocumentEdit::default();
        edit.set(Container::Info, "name", "fraud");
        edit.set(Container::Tags, "team", "risk");
        edit.set(Container::Info, "created", 7);
        edit.delete(Container::Tags, "absent");
        edit.description = Some("finds fraud".to_owned());
        let mut row = DocumentRow::unknown(DocumentId::registered_model("fraud", 0));
        row.edit(&edit);
        assert_eq!(row.text(Container::Info, "name"), Some("fraud"));
        assert_eq!(row.integer(Container::Info, "created"), Some(7));
        assert_eq!(row.texts(Container::Tags).collect::<Vec<_>>(), [("team", "risk")]);
        let mut again = DocumentRow::unknown(row.document);
        again.edit(&row.to_edit());
        assert_eq!(again, row);
    }

    #[test]
    fn whoever_sets_a_key_settles_it() {
        let mut row = DocumentRow::unknown(DocumentId::registered_model("fraud", 0));
        let alias = |key: &str| (Container::ALIASES, key.to_owned());
        row.conflicts = vec![alias("best"), alias("champion")];
        let mut edit = DocumentEdit::default();
        edit.set(Container::ALIASES, "best", "2");
        row.edit(&edit);
        assert_eq!(row.conflicts, [alias("champion")]);
    }
}
