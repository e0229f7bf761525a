//! Where the fields of documents stand in rows: the one place that knows their names.
//!
//! Edits that are not sealed yet and documents read back whole go through the same functions, so
//! that a row is the same whichever way it came to be.

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::document::{Container, DocumentEdit, DocumentState, Scalar};
use crate::ids::{DocumentId, ExperimentId, RunId};
use crate::rows::{
    DatasetInput, ExperimentRow, KeyValue, Lifecycle, Metric, ModelInput, ModelOutput, RunRow,
    RunStatus,
};

const DATASET: &str = "dataset/";
const MODEL: &str = "model/";

/// Keys of the `info` map.
pub(crate) mod info {
    pub(crate) const ARTIFACT_LOCATION: &str = "artifact_location";
    pub(crate) const CREATED: &str = "created";
    pub(crate) const DELETED_MS: &str = "deleted_ms";
    pub(crate) const END_MS: &str = "end_ms";
    pub(crate) const EXPERIMENT: &str = "experiment";
    pub(crate) const LIFECYCLE: &str = "lifecycle";
    pub(crate) const MODEL: &str = "model";
    pub(crate) const MODEL_TYPE: &str = "model_type";
    pub(crate) const NAME: &str = "name";
    pub(crate) const NUMBER: &str = "number";
    pub(crate) const ONLINE: &str = "online";
    pub(crate) const SOURCE_RUN: &str = "source_run";
    pub(crate) const START_MS: &str = "start_ms";
    pub(crate) const STATUS: &str = "status";
    pub(crate) const UPDATED_BY: &str = "updated_by";
    pub(crate) const UPDATED_MS: &str = "updated_ms";
    pub(crate) const USER: &str = "user";
}

/// Whether a field only notes when or by whom another was set: that devices which were apart did
/// so at different times is nothing to decide.
pub(crate) fn is_bookkeeping(container: Container, key: &str) -> bool {
    let noted = [info::CREATED, info::UPDATED_BY, crate::registry::info::SETTLED];
    container == Container::Info && (key.ends_with("_ms") || noted.contains(&key))
}

/// A dataset as the document of a run holds it.
#[derive(Serialize, Deserialize)]
struct HeldDataset<D> {
    /// How many datasets the run had when this one came. Devices that were apart may give one
    /// position twice; earlier versions gave none.
    #[serde(default)]
    position: usize,
    #[serde(flatten)]
    dataset: D,
}

/// Puts a dataset that a run read after as many others as its position says.
pub(crate) fn put_dataset(edit: &mut DocumentEdit, position: usize, dataset: &DatasetInput) {
    let key = format!("{DATASET}{}/{}", dataset.digest, dataset.name);
    let held = HeldDataset { position, dataset };
    let json = serde_json::to_string(&held).expect("a dataset is plain data");
    edit.set(Container::Inputs, &key, json.as_str());
}

/// Puts a model that a run read.
pub(crate) fn put_model_input(edit: &mut DocumentEdit, model: &ModelInput) {
    edit.set(Container::Inputs, &format!("{MODEL}{}", model.model_id), "");
}

/// Puts a model that a run produced.
pub(crate) fn put_model_output(edit: &mut DocumentEdit, model: &ModelOutput) {
    edit.set(Container::Outputs, &model.model_id, model.step);
}

/// A run of which nothing is known but that something was logged to it. No search finds it, for
/// no experiment has it, until its document arrives.
pub(crate) fn unknown_run(id: RunId) -> RunRow {
    RunRow {
        id,
        experiment: ExperimentId::NONE,
        name: String::new(),
        user: String::new(),
        status: RunStatus::Running,
        lifecycle: Lifecycle::Active,
        start_ms: 0,
        end_ms: None,
        deleted_ms: None,
        description: String::new(),
        params: Vec::new(),
        tags: Vec::new(),
        metrics: Vec::new(),
        datasets: Vec::new(),
        model_inputs: Vec::new(),
        model_outputs: Vec::new(),
        conflicted_params: Vec::new(),
    }
}

/// An experiment of which nothing is known yet.
pub(crate) fn unknown_experiment(id: ExperimentId, document: DocumentId) -> ExperimentRow {
    ExperimentRow {
        id,
        document,
        name: String::new(),
        lifecycle: Lifecycle::Active,
        artifact_location: None,
        created: Clock::default(),
        created_ms: 0,
        updated_ms: 0,
        description: String::new(),
        tags: Vec::new(),
    }
}

/// Does to a run's row what an edit does to its document.
pub(crate) fn edit_run(row: &mut RunRow, edit: &DocumentEdit) {
    for put in &edit.puts {
        set_run(row, put.container, &put.key, put.value.as_ref());
        if put.container == Container::Params {
            // Who sets a param has seen all its values, and replaces them.
            row.conflicted_params.retain(|key| *key != put.key);
        }
    }
    if let Some(description) = &edit.description {
        row.description.clone_from(description);
    }
}

/// Makes a run's row from its document; metrics are not in it.
pub(crate) fn run_from(id: RunId, state: &DocumentState, metrics: Vec<Metric>) -> RunRow {
    let mut row = unknown_run(id);
    row.metrics = metrics;
    for container in Container::ALL {
        for (key, held) in state.map(container) {
            // Datasets are put in order below.
            if container != Container::Inputs || dataset_key(key).is_none() {
                set_run(&mut row, container, key, Some(&held.value));
            }
        }
    }
    row.datasets = datasets_from(state);
    row.description.clone_from(&state.description);
    let conflicted = state.params.iter().filter(|(_, held)| held.is_contested());
    row.conflicted_params = conflicted.map(|(key, _)| key.clone()).collect();
    row
}

/// Does to an experiment's row what an edit does to its document.
pub(crate) fn edit_experiment(row: &mut ExperimentRow, edit: &DocumentEdit) {
    for put in &edit.puts {
        set_experiment(row, put.container, &put.key, put.value.as_ref());
    }
    if let Some(description) = &edit.description {
        row.description.clone_from(description);
    }
}

/// Makes an experiment's row from its document.
pub(crate) fn experiment_from(
    id: ExperimentId,
    document: DocumentId,
    state: &DocumentState,
) -> ExperimentRow {
    let mut row = unknown_experiment(id, document);
    for container in Container::ALL {
        for (key, held) in state.map(container) {
            set_experiment(&mut row, container, key, Some(&held.value));
        }
    }
    row.description.clone_from(&state.description);
    row
}

fn set_run(row: &mut RunRow, container: Container, key: &str, value: Option<&Scalar>) {
    match container {
        Container::Info => set_run_info(row, key, value),
        Container::Params => set_pair(&mut row.params, key, value),
        Container::Tags => set_pair(&mut row.tags, key, value),
        Container::Inputs => set_input(row, key, value),
        Container::Outputs => {
            let step = value.and_then(Scalar::as_integer);
            let model_id = key.to_owned();
            row.model_outputs.retain(|output| output.model_id != key);
            row.model_outputs.extend(step.map(|step| ModelOutput { model_id, step }));
            row.model_outputs.sort_unstable();
        }
    }
}

fn set_run_info(row: &mut RunRow, key: &str, value: Option<&Scalar>) {
    let text = || value.and_then(Scalar::as_text).unwrap_or_default();
    let integer = value.and_then(Scalar::as_integer);
    match key {
        info::EXPERIMENT => {
            let experiment = DocumentId::from_reference(text()).and_then(|id| id.as_experiment());
            row.experiment = experiment.unwrap_or(ExperimentId::NONE);
        }
        info::NAME => text().clone_into(&mut row.name),
        info::USER => text().clone_into(&mut row.user),
        info::STATUS => row.status = RunStatus::from_word(text()).unwrap_or_default(),
        info::LIFECYCLE => row.lifecycle = lifecycle(text()),
        info::START_MS => row.start_ms = integer.unwrap_or_default(),
        info::END_MS => row.end_ms = integer,
        info::DELETED_MS => row.deleted_ms = integer,
        // A newer version's field.
        _ => {}
    }
}

fn set_experiment(row: &mut ExperimentRow, map: Container, key: &str, value: Option<&Scalar>) {
    let text = value.and_then(Scalar::as_text);
    let integer = value.and_then(Scalar::as_integer).unwrap_or_default();
    match (map, key) {
        (Container::Tags, _) => set_pair(&mut row.tags, key, value),
        (Container::Info, info::NAME) => text.unwrap_or_default().clone_into(&mut row.name),
        (Container::Info, info::LIFECYCLE) => row.lifecycle = lifecycle(text.unwrap_or_default()),
        (Container::Info, info::ARTIFACT_LOCATION) => {
            row.artifact_location = text.map(str::to_owned);
        }
        (Container::Info, info::CREATED) => {
            row.created = Clock(integer as u64);
            row.created_ms = row.created.millis() as i64;
        }
        (Container::Info, info::UPDATED_MS) => row.updated_ms = integer,
        _ => {}
    }
}

fn set_input(row: &mut RunRow, key: &str, value: Option<&Scalar>) {
    if let Some(model_id) = key.strip_prefix(MODEL) {
        row.model_inputs.retain(|input| input.model_id != model_id);
        row.model_inputs.extend(value.map(|_| ModelInput { model_id: model_id.to_owned() }));
        row.model_inputs.sort_unstable();
        return;
    }
    let Some((digest, name)) = dataset_key(key) else { return };
    let is_it = |held: &DatasetInput| (held.digest.as_str(), held.name.as_str()) == (digest, name);
    let place = row.datasets.iter().position(is_it);
    match (place, held_dataset(key, value).map(|held| held.dataset)) {
        (Some(at), Some(dataset)) => row.datasets[at] = dataset,
        (Some(at), None) => drop(row.datasets.remove(at)),
        // An edit's dataset comes after all that the row has, as its position says.
        (None, dataset) => row.datasets.extend(dataset),
    }
}

/// The digest and the name in the key of a dataset.
fn dataset_key(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix(DATASET)?.split_once('/')
}

fn held_dataset(key: &str, value: Option<&Scalar>) -> Option<HeldDataset<DatasetInput>> {
    let held: HeldDataset<DatasetInput> = serde_json::from_str(value?.as_text()?).ok()?;
    let named = (held.dataset.digest.as_str(), held.dataset.name.as_str());
    (dataset_key(key)? == named).then_some(held)
}

/// The datasets of a run in the order in which they came.
fn datasets_from(state: &DocumentState) -> Vec<DatasetInput> {
    let inputs = state.map(Container::Inputs).iter();
    let mut held: Vec<_> =
        inputs.filter_map(|(key, held)| held_dataset(key, Some(&held.value))).collect();
    held.sort_unstable_by(|HeldDataset { position, dataset }, other| {
        let of_other = (&other.position, &other.dataset.name, &other.dataset.digest);
        (position, &dataset.name, &dataset.digest).cmp(&of_other)
    });
    held.into_iter().map(|held| held.dataset).collect()
}

fn lifecycle(word: &str) -> Lifecycle {
    if word == Lifecycle::Deleted.as_str() { Lifecycle::Deleted } else { Lifecycle::Active }
}

fn set_pair(pairs: &mut Vec<KeyValue>, key: &str, value: Option<&Scalar>) {
    let place = pairs.binary_search_by(|pair| pair.key.as_str().cmp(key));
    match (place, value.and_then(Scalar::as_text)) {
        (Ok(at), Some(text)) => text.clone_into(&mut pairs[at].value),
        (Ok(at), None) => drop(pairs.remove(at)),
        (Err(at), Some(text)) => pairs.insert(at, KeyValue::new(key, text)),
        (Err(_), None) => {}
    }
}

/// Takes a point into a run's latest metrics, unless a later one is there. Says whether it did.
pub(crate) fn offer_metric(metrics: &mut Vec<Metric>, offered: &Metric) -> bool {
    let identity = |metric: &Metric| (metric.key.clone(), metric.context.clone());
    let by_series = |metric: &Metric| {
        metric.key.as_str().cmp(&offered.key).then_with(|| metric.context.cmp(&offered.context))
    };
    debug_assert!(metrics.is_sorted_by_key(identity));
    match metrics.binary_search_by(by_series) {
        Ok(at) if metrics[at].point.latest_order(&offered.point).is_lt() => {
            metrics[at].point = offered.point;
            true
        }
        Ok(_) => false,
        Err(at) => {
            metrics.insert(at, offered.clone());
            true
        }
    }
}
