//! An evaluation dataset's fields and records, read from its document's row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::document::{Container, Scalar};
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::index::fields::info;
use crate::rows::{DocumentRow, Lifecycle};

/// One example of an evaluation dataset, as its document keeps it: as JSON by the record's id. What
/// it is known by are its inputs, so two devices that add one example while apart add one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetRecord {
    /// What is given to what is evaluated.
    pub inputs: Map<String, Value>,
    /// What it answered, where that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Value>,
    /// What it should answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expectations: Option<Map<String, Value>>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub tags: Map<String, Value>,
    /// Where it comes from, as the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Value>,
    /// Creation, by the hybrid clock.
    pub created: Clock,
    /// Its place among the records that were added with it.
    #[serde(default)]
    pub place: u32,
    /// Last change, in milliseconds since 1970.
    pub updated_ms: i64,
    /// Who added it, as the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// Who changed it last, as the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
}

impl DatasetRecord {
    /// The id of the record with these inputs in a dataset, in hex.
    pub fn id(dataset: &DocumentId, inputs: &Map<String, Value>) -> String {
        // Keys of a map are sorted, so equal inputs have one text.
        let text = serde_json::to_vec(inputs).expect("a map with text keys is JSON");
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"runmesh/dataset-record/1").update(dataset.id()).update(&text);
        data_encoding::HEXLOWER.encode(&hasher.finalize().as_bytes()[..16])
    }
}

/// An evaluation dataset as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct EvaluationDataset<'a> {
    row: &'a DocumentRow,
}

impl<'a> EvaluationDataset<'a> {
    /// The dataset of a row, if it is one's and not deleted.
    pub fn of(row: &'a DocumentRow) -> Option<Self> {
        let dataset = Self { row };
        let is_one = row.document.kind() == Some(DocumentKind::EvaluationDataset);
        let word = dataset.text(info::LIFECYCLE);
        (is_one && word == Some(Lifecycle::Active.as_str())).then_some(dataset)
    }

    /// Its document, whose id is random.
    pub const fn document(&self) -> DocumentId {
        self.row.document
    }

    /// Its name. Several may have one.
    pub fn name(&self) -> &'a str {
        self.text(info::NAME).unwrap_or_default()
    }

    /// Who created it, as the client says.
    pub fn created_by(&self) -> Option<&'a str> {
        self.text(info::USER)
    }

    /// Who changed its records last, as the client says.
    pub fn updated_by(&self) -> Option<&'a str> {
        self.text(info::UPDATED_BY)
    }

    /// Creation, in milliseconds since 1970.
    pub fn created_ms(&self) -> i64 {
        let created = self.row.integer(Container::Info, info::CREATED).unwrap_or_default();
        Clock(created as u64).millis() as i64
    }

    /// Last change of its records or experiments, in milliseconds since 1970.
    pub fn updated_ms(&self) -> i64 {
        self.row.integer(Container::Info, info::UPDATED_MS).unwrap_or_default()
    }

    /// Tags, by key.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.row.texts(Container::Tags)
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        self.row.text(Container::Tags, key)
    }

    /// The experiments it belongs to.
    pub fn experiments(&self) -> impl Iterator<Item = ExperimentId> + use<'a> {
        let ids = self.row.map(Container::EXPERIMENTS).keys();
        ids.filter_map(|id| id.parse().ok().map(ExperimentId))
    }

    /// How many records it has.
    pub fn count(&self) -> usize {
        self.row.map(Container::RECORDS).len()
    }

    /// Its records with their ids, in the order they were added. What is no record, which a peer
    /// may have written, is left out.
    pub fn records(&self) -> Vec<(&'a str, DatasetRecord)> {
        let read = |(id, value): (&'a String, &'a Scalar)| {
            let record = serde_json::from_str(value.as_text()?).ok()?;
            Some((id.as_str(), record))
        };
        let mut records: Vec<(&str, DatasetRecord)> =
            self.row.map(Container::RECORDS).iter().filter_map(read).collect();
        records.sort_by(|(a_id, a), (b_id, b)| {
            (a.created, a.place, *a_id).cmp(&(b.created, b.place, *b_id))
        });
        records
    }

    /// The names of the kinds of values in its records' inputs, outputs and expectations, by key: of
    /// what has several kinds, that of the first record counts.
    pub fn kinds(&self) -> [BTreeMap<String, &'static str>; 3] {
        let mut kinds = [const { BTreeMap::new() }; 3];
        for (_, record) in self.records() {
            let outputs = record.outputs.as_ref().and_then(Value::as_object);
            let maps = [Some(&record.inputs), outputs, record.expectations.as_ref()];
            for (kinds, map) in kinds.iter_mut().zip(maps) {
                for (key, value) in map.into_iter().flatten() {
                    kinds.entry(key.clone()).or_insert_with(|| kind_of(value));
                }
            }
        }
        kinds
    }

    /// All but its records.
    pub fn summary(&self) -> DatasetSummary {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let tags = self.tags().map(|(key, value)| (key.to_owned(), value.to_owned()));
        DatasetSummary {
            document: self.document(),
            name: self.name().to_owned(),
            tags: tags.collect(),
            created_ms: self.created_ms(),
            updated_ms: self.updated_ms(),
            created_by: owned(self.created_by()),
            updated_by: owned(self.updated_by()),
            count: self.count(),
            kinds: self.kinds(),
        }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.row.text(Container::Info, key)
    }
}

/// All of an evaluation dataset but its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetSummary {
    /// Its document.
    pub document: DocumentId,
    /// Its name.
    pub name: String,
    /// Tags, by key.
    pub tags: BTreeMap<String, String>,
    /// Creation, in milliseconds since 1970.
    pub created_ms: i64,
    /// Last change, in milliseconds since 1970.
    pub updated_ms: i64,
    /// Who created it.
    pub created_by: Option<String>,
    /// Who changed its records last.
    pub updated_by: Option<String>,
    /// How many records it has.
    pub count: usize,
    /// See [`EvaluationDataset::kinds`].
    pub kinds: [BTreeMap<String, &'static str>; 3],
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
