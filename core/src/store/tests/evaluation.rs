//! Stories of evaluation datasets and scorers: one example is one record, one name is one scorer.

use serde_json::{Map, Value, json};

use super::*;
use crate::action::{
    DatasetChange, MAX_DATASET_RECORDS, MAX_RECORD_BYTES, NewDataset, NewDatasetRecord,
    RecordCounts, ScorerAction, ScorerChange,
};
use crate::ids::DocumentKind;
use crate::rows::{DatasetRecord, EvaluationDataset, Scorer};
use crate::search::{EVALUATION_DATASETS, RowQuery, parse_filter, search_datasets};

fn map(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn record(question: &str, expected: Value) -> NewDatasetRecord {
    let inputs = map(json!({ "question": question, "k": 3 }));
    NewDatasetRecord { inputs, expectations: map(expected), ..NewDatasetRecord::default() }
}

impl Device {
    fn dataset(&mut self, id: u8, name: &str, experiments: &[ExperimentId]) -> DocumentId {
        let document = DocumentId::new(DocumentKind::EvaluationDataset, [id; 16]);
        let new = NewDataset {
            document,
            name: name.to_owned(),
            user: Some("ann".to_owned()),
            tags: vec![KeyValue::new("team", "nlp")],
            experiments: experiments.to_vec(),
        };
        self.act(Action::CreateDataset(new)).unwrap();
        document
    }

    fn change_dataset(
        &mut self,
        document: DocumentId,
        change: DatasetChange,
    ) -> Result<Outcome, Refusal> {
        self.act(Action::UpdateDataset { document, change })
    }

    fn upsert(&mut self, document: DocumentId, records: Vec<NewDatasetRecord>) -> [usize; 2] {
        let upserted = self.change_dataset(document, DatasetChange::Upsert(records));
        let Ok(Outcome::Records(RecordCounts { inserted, updated, .. })) = upserted else {
            panic!("not upserted: {upserted:?}")
        };
        [inserted, updated]
    }

    fn records(&self, document: DocumentId) -> Vec<(String, DatasetRecord)> {
        let row = self.store.reader().snapshot().unwrap().document(&document).unwrap().unwrap();
        let records = EvaluationDataset::of(&row).unwrap().records();
        records.into_iter().map(|(id, record)| (id.to_owned(), record)).collect()
    }

    fn named(&self, filter: &str, experiments: &[ExperimentId]) -> Vec<String> {
        let clauses = parse_filter(&EVALUATION_DATASETS, filter).unwrap();
        let query = RowQuery { clauses, limit: 10, ..RowQuery::default() };
        let snapshot = self.store.reader().snapshot().unwrap();
        let found = search_datasets(&snapshot, experiments, &query).unwrap();
        found.rows.into_iter().map(|row| row.name).collect()
    }

    fn scorer(&mut self, name: &str, change: ScorerChange) -> Result<Outcome, Refusal> {
        let (experiment, name) = (ExperimentId::DEFAULT, name.to_owned());
        self.act(Action::ChangeScorer(ScorerAction { experiment, name, change }))
    }

    fn register(&mut self, id: &str) {
        let (id, scorer) = (id.to_owned(), format!("{{\"by\": {id:?}}}"));
        self.scorer("safety", ScorerChange::Register { id, scorer }).unwrap();
    }

    fn versions(&self) -> Vec<(u32, String)> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let rows = snapshot.scorers_of(ExperimentId::DEFAULT).unwrap();
        let versions = rows.iter().flat_map(|row| Scorer::of(row).unwrap().versions());
        versions.map(|version| (version.number, version.id)).collect()
    }
}

#[test]
fn an_example_added_twice_is_one_record_that_knows_both() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let dataset = ann.dataset(7, "questions", &[ExperimentId::DEFAULT]);
    let records = vec![
        record("why", json!({ "answer": "because" })),
        record("who", json!({})),
        record("why", json!({ "tone": "calm" })),
    ];
    assert_eq!(ann.upsert(dataset, records), [2, 1]);
    meet(&mut ann, &mut bob);
    // Apart, both add one more, the same.
    assert_eq!(ann.upsert(dataset, vec![record("how", json!({}))]), [1, 0]);
    assert_eq!(bob.upsert(dataset, vec![record("how", json!({ "answer": "so" }))]), [1, 0]);
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let records = ann.records(dataset);
    let questions: Vec<_> = records.iter().map(|(_, record)| &record.inputs["question"]).collect();
    assert_eq!(questions, ["why", "who", "how"]);
    let expected = map(json!({ "answer": "because", "tone": "calm" }));
    assert_eq!(records[0].1.expectations, Some(expected));
    let row = ann.store.reader().snapshot().unwrap().document(&dataset).unwrap().unwrap();
    let how = (Container::RECORDS, records[2].0.clone());
    assert!(row.conflicts.contains(&how), "{:?}", row.conflicts);
    let kinds = EvaluationDataset::of(&row).unwrap().kinds();
    assert_eq!((kinds[0]["k"], kinds[2]["tone"]), ("integer", "string"));
    // Whoever writes it anew settles it.
    assert_eq!(bob.upsert(dataset, vec![record("how", json!({ "answer": "thus" }))]), [0, 1]);
    let ids = vec![records[0].0.clone(), "absent".to_owned()];
    let deleted = bob.change_dataset(dataset, DatasetChange::DeleteRecords(ids));
    let counts = RecordCounts { deleted: 1, ..RecordCounts::default() };
    assert_eq!(deleted, Ok(Outcome::Records(counts)));
    meet(&mut ann, &mut bob);
    let contents = ann.contents();
    assert_eq!(contents, bob.contents());
    assert_eq!(contents, ann.rebuilt());
    assert_eq!(contents, bob.rebuilt());
    assert_eq!(ann.records(dataset).len(), 2);
}

#[test]
fn datasets_are_found_by_experiment_and_name_and_gone_when_deleted() {
    let mut ann = Device::founder();
    let fraud = ann.experiment("fraud").id;
    let first = ann.dataset(1, "first", &[fraud]);
    let second = ann.dataset(2, "second", &[]);
    assert_eq!(ann.named("", &[fraud]), ["first"]);
    assert_eq!(ann.named("name LIKE '%s%' AND tags.team = 'nlp'", &[]).len(), 2);
    assert_eq!(ann.named("name = 'second' AND created_by = 'ann'", &[]), ["second"]);
    ann.change_dataset(second, DatasetChange::AddTo(vec![fraud])).unwrap();
    ann.change_dataset(first, DatasetChange::RemoveFrom(vec![fraud, ExperimentId(9)])).unwrap();
    assert_eq!(ann.named("", &[fraud]), ["second"]);
    let to_none = DatasetChange::AddTo(vec![ExperimentId(9)]);
    let refused = ann.change_dataset(first, to_none);
    assert_eq!(refused, Err(Refusal::NoSuchExperiment(ExperimentId(9))));
    ann.change_dataset(second, DatasetChange::Delete).unwrap();
    assert_eq!(ann.named("", &[fraud]), Vec::<String>::new());
    let refused = ann.change_dataset(second, DatasetChange::Delete);
    assert_eq!(refused, Err(Refusal::NoSuchDocument(second)));
    let vector = ann.contents().vector;
    let contents = ann.contents();
    assert_eq!(contents, ann.rebuilt_after_seal(vector));
}

#[test]
fn large_datasets_are_sealed_in_parts_and_too_large_ones_are_refused() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let dataset = ann.dataset(7, "large", &[]);
    let large =
        |at: usize| record(&format!("{at} {}", "x".repeat(MAX_RECORD_BYTES / 2)), json!({}));
    assert_eq!(ann.upsert(dataset, (0..12).map(large).collect()), [12, 0]);
    meet(&mut ann, &mut bob);
    assert_eq!(bob.records(dataset).len(), 12);
    assert_eq!(ann.contents(), bob.contents());
    let refused = |device: &mut Device, records| {
        device.change_dataset(dataset, DatasetChange::Upsert(records)).unwrap_err()
    };
    let huge = record(&"x".repeat(MAX_RECORD_BYTES), json!({}));
    assert!(matches!(refused(&mut ann, vec![huge]), Refusal::TooLarge { .. }));
    let many = (0..=MAX_DATASET_RECORDS).map(|at| record(&at.to_string(), json!({})));
    assert!(matches!(refused(&mut ann, many.collect()), Refusal::TooMany { .. }));
    let heavy = refused(&mut ann, (100..160).map(large).collect());
    assert!(matches!(heavy, Refusal::TooLarge { .. }));
    assert_eq!(ann.contents(), bob.contents());
}

#[test]
fn a_number_given_to_two_versions_while_apart_stays_with_the_earlier() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    ann.register("a1");
    meet(&mut ann, &mut bob);
    ann.register("a2");
    bob.register("b2");
    bob.register("b3");
    meet(&mut ann, &mut bob);
    let (contents, versions) = (ann.contents(), ann.versions());
    assert_eq!(contents, bob.contents());
    assert_eq!(versions, bob.versions());
    let numbers: Vec<u32> = versions.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(versions[2].1, "b3", "a number that was given once stays");
    assert_eq!(contents, ann.rebuilt());
    bob.scorer("safety", ScorerChange::Delete(Some(2))).unwrap();
    bob.register("b5");
    assert_eq!(bob.versions().last(), Some(&(5, "b5".to_owned())));
    bob.scorer("safety", ScorerChange::Delete(None)).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.versions(), []);
    let again = ann.scorer("safety", ScorerChange::Delete(None));
    assert!(matches!(again, Err(Refusal::NoSuchScorer { .. })));
}
