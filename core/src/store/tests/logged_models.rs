//! Stories of logged models: written once, measured by any run, found by search.

use super::*;
use crate::action::{LoggedModelChange, NewLoggedModel};
use crate::ids::DocumentKind;
use crate::rows::{Lifecycle, LoggedModel, ModelStatus};
use crate::search::{
    DatasetFilter, Field, LOGGED_MODELS, LoggedModelAttribute, LoggedModelOrder, LoggedModelQuery,
    PageStart, parse_filter, search_logged_models,
};

impl Device {
    fn model(&mut self, id: u8, name: &str, source_run: &str) -> DocumentId {
        let document = DocumentId::new(DocumentKind::LoggedModel, [id; 16]);
        let new = NewLoggedModel {
            document,
            experiment: ExperimentId::DEFAULT,
            name: name.to_owned(),
            model_type: "classifier".to_owned(),
            source_run: source_run.to_owned(),
            params: vec![KeyValue::new("depth", id.to_string())],
            tags: vec![KeyValue::new("stage", "first"), KeyValue::new("stage", "second")],
        };
        self.act(Action::CreateLoggedModel(new)).unwrap();
        document
    }

    fn change(
        &mut self,
        document: DocumentId,
        change: LoggedModelChange,
    ) -> Result<Outcome, Refusal> {
        self.act(Action::UpdateLoggedModel { document, change })
    }

    /// Logs the accuracy of a model on a dataset.
    fn measure(&mut self, run: RunId, model: DocumentId, dataset: &str, step: i64, value: f64) {
        let context = MetricContext {
            model_id: model.as_logged_model().unwrap(),
            dataset_name: dataset.to_owned(),
            dataset_digest: String::new(),
        };
        let metrics = vec![Metric { context, ..metric("accuracy", step, value) }];
        let (params, tags, change) = Default::default();
        self.act(Action::Log(LogBatch { run, metrics, params, tags, change })).unwrap();
    }

    fn found(&self, query: &LoggedModelQuery) -> Vec<u8> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let page = search_logged_models(&snapshot, query).unwrap();
        page.models.iter().map(|row| row.document.id()[0]).collect()
    }
}

fn query(filter: &str) -> LoggedModelQuery {
    LoggedModelQuery {
        experiments: vec![ExperimentId::DEFAULT],
        clauses: parse_filter(&LOGGED_MODELS, filter).unwrap(),
        limit: 10,
        ..LoggedModelQuery::default()
    }
}

fn by(field: Field<LoggedModelAttribute>, ascending: bool, dataset: &str) -> LoggedModelOrder {
    let name = (!dataset.is_empty()).then(|| dataset.to_owned());
    LoggedModelOrder { field, ascending, dataset: DatasetFilter { name, digest: None } }
}

#[test]
fn a_models_params_are_written_once() {
    let mut ann = Device::founder();
    let model = ann.model(7, "tree", "");
    let log = |value: &str| LoggedModelChange::LogParams(vec![KeyValue::new("depth", value)]);
    ann.change(model, log("7")).unwrap();
    let before = ann.contents();
    let refused = ann.change(model, log("8"));
    assert!(matches!(refused, Err(Refusal::ModelParamsChanged { .. })), "{refused:?}");
    let twice = vec![KeyValue::new("new", "1"), KeyValue::new("new", "2")];
    let refused = ann.change(model, LoggedModelChange::LogParams(twice));
    assert!(matches!(refused, Err(Refusal::ModelParamsChanged { .. })), "{refused:?}");
    let absent = LoggedModelChange::DeleteTag("absent".to_owned());
    assert!(matches!(ann.change(model, absent), Err(Refusal::NoSuchTag { .. })));
    assert_eq!(ann.contents(), before);
    let other = DocumentId::new(DocumentKind::LoggedModel, [8; 16]);
    let refused = ann.change(other, LoggedModelChange::Delete);
    assert_eq!(refused, Err(Refusal::NoSuchDocument(other)));
    let put = Action::PutArtifact {
        owner: other,
        path: "MLmodel".to_owned(),
        blob: BlobHash::new([3; 32]),
        size: 5,
    };
    assert_eq!(ann.act(put), Err(Refusal::NoSuchDocument(other)));
}

#[test]
fn models_logged_apart_are_the_same_after_meeting() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let run = ann.run(1, ExperimentId::DEFAULT);
    let model = ann.model(7, "tree", &run.to_string());
    let (owner, path) = (model, "MLmodel".to_owned());
    let put = Action::PutArtifact { owner, path, blob: BlobHash::new([3; 32]), size: 5 };
    ann.act(put).unwrap();
    meet(&mut ann, &mut bob);
    // Apart: one finalizes it, the other measures it by a run of its own.
    ann.change(model, LoggedModelChange::SetStatus(ModelStatus::Ready)).unwrap();
    let tag = |value: &str| LoggedModelChange::SetTags(vec![KeyValue::new("best", value)]);
    ann.change(model, tag("yes")).unwrap();
    bob.change(model, tag("no")).unwrap();
    let other = bob.run(2, ExperimentId::DEFAULT);
    bob.measure(other, model, "held out", 1, 0.5);
    bob.model(8, "forest", "");
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let contents = ann.contents();
    let points = |device: &Device| {
        let snapshot = device.store.reader().snapshot().unwrap();
        snapshot.model_points(&model.as_logged_model().unwrap(), None, 100).unwrap()
    };
    assert_eq!((points(&ann).len(), points(&ann)[0].run), (1, other));
    let row = ann.store.reader().snapshot().unwrap().document(&model).unwrap().unwrap();
    let shown = LoggedModel::of(&row).unwrap();
    assert_eq!((shown.status(), shown.lifecycle()), (ModelStatus::Ready, Lifecycle::Active));
    assert_eq!(row.conflicts, [(Container::Tags, "best".to_owned())]);
    assert_eq!(contents, ann.rebuilt());
    assert_eq!(contents, bob.rebuilt());
    assert_eq!(points(&ann), points(&bob));
}

#[test]
fn models_are_found_by_what_they_are_and_by_what_was_measured() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    let source = run.to_string();
    let [tree, forest, line] = [(1, "tree", source.as_str()), (2, "forest", ""), (3, "line", "")]
        .map(|(id, name, run)| ann.model(id, name, run));
    ann.change(forest, LoggedModelChange::SetStatus(ModelStatus::Ready)).unwrap();
    ann.measure(run, tree, "train", 1, 0.9);
    ann.measure(run, tree, "train", 2, 0.8);
    ann.measure(run, tree, "test", 3, 0.4);
    ann.measure(run, forest, "test", 1, 0.6);
    // All were created in one millisecond, so the lower ids come first.
    assert_eq!(ann.found(&query("")), [1, 2, 3]);
    for (filter, expected) in [
        ("name = 'tree'", &[1][..]),
        ("attributes.name IN ('tree', 'line')", &[1, 3]),
        ("status = 'READY'", &[2]),
        ("params.depth = '2'", &[2]),
        ("params.depth IN ('1', '2') AND tags.stage = 'second'", &[1, 2]),
        ("tags.stage = 'first'", &[]),
        ("creation_timestamp > 5 AND model_type LIKE 'class%'", &[1, 2, 3]),
        ("metrics.accuracy > 0.85", &[1]),
        ("metrics.accuracy > 0.55 AND metrics.accuracy < 0.5", &[1]),
        ("metrics.loss > 0", &[]),
    ] {
        assert_eq!(ann.found(&query(filter)), expected, "{filter}");
    }
    assert_eq!(ann.found(&query(&format!("source_run_id = '{run}'"))), [1]);
    let id = line.as_logged_model().unwrap();
    assert_eq!(ann.found(&query(&format!("model_id = '{id}'"))), [3]);
    // On a dataset.
    let test = DatasetFilter { name: Some("test".to_owned()), digest: None };
    let on_test = |filter| LoggedModelQuery { datasets: vec![test.clone()], ..query(filter) };
    assert_eq!(ann.found(&on_test("")), [1, 2]);
    assert_eq!(ann.found(&on_test("metrics.accuracy > 0.55")), [2]);
    // In order of the latest value, what has none last.
    let accuracy = || Field::Metric("accuracy".to_owned());
    let ordered = |order| LoggedModelQuery { order, ..query("") };
    assert_eq!(ann.found(&ordered(vec![by(accuracy(), true, "")])), [1, 2, 3]);
    assert_eq!(ann.found(&ordered(vec![by(accuracy(), false, "")])), [2, 1, 3]);
    assert_eq!(ann.found(&ordered(vec![by(accuracy(), false, "train")])), [1, 2, 3]);
    let name = Field::Attribute(LoggedModelAttribute::Name);
    let second = LoggedModelQuery {
        start: PageStart::Offset(1),
        limit: 1,
        ..ordered(vec![by(name, true, "")])
    };
    assert_eq!(ann.found(&second), [3]);
    // A page that follows a key repeats and skips nothing, whatever comes before it.
    let mut paged = LoggedModelQuery { limit: 1, ..query("") };
    let mut ids = Vec::new();
    loop {
        let snapshot = ann.store.reader().snapshot().unwrap();
        let page = search_logged_models(&snapshot, &paged).unwrap();
        ids.extend(page.models.iter().map(|row| row.document.id()[0]));
        let Some(next) = page.next else { break };
        paged.start = PageStart::After(next);
    }
    assert_eq!(ids, ann.found(&query("")));
    // What is deleted is not found, and kept.
    ann.change(tree, LoggedModelChange::Delete).unwrap();
    assert_eq!(ann.found(&query("")), [2, 3]);
    let elsewhere = LoggedModelQuery { experiments: vec![ExperimentId(5)], ..query("") };
    assert!(ann.found(&elsewhere).is_empty());
}
