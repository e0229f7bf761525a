//! Keys that find documents: an index's number, what it is ordered by, and the document's id.
//!
//! Invariants: bytes sort as the parts do, one after the other; no text is cut, so whoever finds a
//! key need not look at the row again; the keys of a document are a function of its row alone.

use super::fields::info;
use super::value_key;
use crate::document::Container;
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::registry::{self, Version};
use crate::rows::{DocumentRow, EvaluationDataset, LoggedModel, Scorer};

/// What documents are found by. The numbers are part of the table's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Lookup {
    /// Registered models by name and creation: of a name the first holds it.
    ModelName = 1,
    /// Versions by model, number and creation, deleted ones too: no number is used again.
    ModelVersion = 2,
    /// Logged models by experiment and creation.
    ModelsOfExperiment = 3,
    /// Logged models by the run that produced them.
    ModelsOfRun = 4,
    /// Evaluation datasets by experiment.
    DatasetsOfExperiment = 5,
    /// Evaluation datasets by name.
    DatasetName = 6,
    /// Scorers by experiment and name.
    ScorersOfExperiment = 7,
    /// Versions by model, stage and number.
    ModelStage = 10,
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

/// The integer before the document at the end of a key.
pub(crate) fn time_of(key: &[u8]) -> Option<i64> {
    let (head, _) = key.split_last_chunk::<{ DocumentId::LEN }>()?;
    head.last_chunk().map(|bytes| value_key::from_integer(*bytes))
}

/// The keys that find a document.
pub(crate) fn keys_of(row: &DocumentRow) -> Vec<LookupKey> {
    if let Some(model) = LoggedModel::of(row) {
        return keys_of_logged_model(&model);
    }
    if let Some(dataset) = EvaluationDataset::of(row) {
        return keys_of_dataset(&dataset);
    }
    if let Some(scorer) = Scorer::of(row) {
        let document = scorer.document();
        let key = scorer.experiment().map(|experiment| {
            let of_experiment = by_experiment(Lookup::ScorersOfExperiment, experiment);
            of_experiment.text(scorer.name()).document(&document)
        });
        return key.into_iter().collect();
    }
    let text = |key| row.text(Container::Info, key);
    let integer = |key| row.integer(Container::Info, key).unwrap_or_default();
    let keys = match row.document.kind() {
        Some(DocumentKind::RegisteredModel) if !registry::is_deleted(row) => {
            let name = text(info::NAME).map(|name| LookupKey::new(Lookup::ModelName).text(name));
            name.map(|named| named.integer(integer(info::CREATED))).into_iter().collect()
        }
        Some(DocumentKind::ModelVersion) => version_keys(&Version { row: row.clone() }),
        _ => Vec::new(),
    };
    keys.into_iter().map(|key| key.document(&row.document)).collect()
}

fn version_keys(version: &Version) -> Vec<LookupKey> {
    let Some(model) = version.model() else { return Vec::new() };
    let created = version.created().0 as i64;
    let by_number = LookupKey::new(Lookup::ModelVersion).document(&model).integer(version.number());
    let by_stage = LookupKey::new(Lookup::ModelStage).document(&model);
    let by_stage = by_stage.text(version.stage().as_str()).integer(version.number());
    let by_stage = (!version.is_deleted()).then_some(by_stage);
    [Some(by_number), by_stage].into_iter().flatten().map(|key| key.integer(created)).collect()
}

/// The head of the keys of what belongs to an experiment.
pub(crate) fn by_experiment(lookup: Lookup, experiment: ExperimentId) -> LookupKey {
    // 53 bits: none is too large.
    LookupKey::new(lookup).integer(experiment.0 as i64)
}

fn keys_of_dataset(dataset: &EvaluationDataset<'_>) -> Vec<LookupKey> {
    let document = dataset.document();
    let of_experiments = dataset.experiments().map(|experiment| {
        by_experiment(Lookup::DatasetsOfExperiment, experiment).document(&document)
    });
    let name = LookupKey::new(Lookup::DatasetName).text(dataset.name()).document(&document);
    of_experiments.chain([name]).collect()
}

fn keys_of_logged_model(model: &LoggedModel<'_>) -> Vec<LookupKey> {
    let document = model.document();
    let of_experiment = model.experiment().map(|experiment| {
        let of_experiment = by_experiment(Lookup::ModelsOfExperiment, experiment);
        of_experiment.integer(model.created_ms()).document(&document)
    });
    let run = Some(model.source_run()).filter(|run| !run.is_empty());
    let by_run = run.map(|run| LookupKey::new(Lookup::ModelsOfRun).text(run).document(&document));
    of_experiment.into_iter().chain(by_run).collect()
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
