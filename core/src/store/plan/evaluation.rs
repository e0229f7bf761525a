//! Plans what is asked of evaluation datasets and scorers.

use std::collections::BTreeMap;

use super::{Answer, Plan, Planned, set_pairs};
use crate::action::{
    DatasetChange, MAX_DATASET_BYTES, MAX_DATASET_RECORDS, MAX_RECORD_BYTES, MAX_SCORER_VERSIONS,
    NewDataset, NewDatasetRecord, RecordCounts, Refusal, ScorerAction, ScorerChange,
};
use crate::clock::Clock;
use crate::document::{Container, DocumentEdit};
use crate::edit::{Edit, MAX_EDIT_BYTES};
use crate::ids::{DocumentId, ExperimentId};
use crate::index::fields::info;
use crate::rows::{
    DatasetRecord, DocumentRow, EvaluationDataset, Lifecycle, Scorer, ScorerVersion, version_json,
};
use crate::store::batch::Batch;

pub(super) fn create_dataset(clock: Clock, new: &NewDataset) -> Planned {
    let mut edit = DocumentEdit::default();
    edit.set(Container::Info, info::NAME, new.name.as_str());
    edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Active.as_str());
    edit.set(Container::Info, info::CREATED, clock.0 as i64);
    edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
    for key in [info::USER, info::UPDATED_BY] {
        if let Some(user) = &new.user {
            edit.set(Container::Info, key, user.as_str());
        }
    }
    set_pairs(&mut edit, Container::Tags, &new.tags);
    add_to(&mut edit, &new.experiments);
    Ok(Ok(plan(new.document, vec![edit])))
}

fn add_to(edit: &mut DocumentEdit, experiments: &[ExperimentId]) {
    for experiment in experiments {
        edit.set(Container::EXPERIMENTS, &experiment.to_string(), "");
    }
}

pub(super) fn update_dataset(
    batch: &mut Batch<'_>,
    clock: Clock,
    document: DocumentId,
    change: DatasetChange,
) -> Planned {
    if let DatasetChange::AddTo(experiments) = &change {
        for experiment in experiments {
            if batch.experiment(*experiment)?.is_none() {
                return Ok(Err(Refusal::NoSuchExperiment(*experiment)));
            }
        }
    }
    let row = batch.documents()?.row(&document)?;
    let Some(row) = row.filter(|row| EvaluationDataset::of(row).is_some()) else {
        return Ok(Err(Refusal::NoSuchDocument(document)));
    };
    let mut edit = DocumentEdit::default();
    match change {
        DatasetChange::Upsert(records) => return upsert(row, clock, records),
        DatasetChange::DeleteRecords(ids) => return Ok(Ok(delete_records(row, &ids))),
        DatasetChange::SetTags(tags) => set_pairs(&mut edit, Container::Tags, &tags),
        DatasetChange::DeleteTag(key) => {
            if row.text(Container::Tags, &key).is_some() {
                edit.delete(Container::Tags, &key);
            }
        }
        DatasetChange::AddTo(experiments) => {
            add_to(&mut edit, &experiments);
            edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
        }
        DatasetChange::RemoveFrom(experiments) => {
            let held = row.map(Container::EXPERIMENTS);
            let ids = experiments.iter().map(ToString::to_string);
            for id in ids.filter(|id| held.contains_key(id)) {
                edit.delete(Container::EXPERIMENTS, &id);
                edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
            }
        }
        DatasetChange::Delete => {
            edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Deleted.as_str());
        }
    }
    Ok(Ok(plan(document, vec![edit])))
}

/// The document as it is afterwards, whether or not that is a change.
fn plan(document: DocumentId, edits: Vec<DocumentEdit>) -> Plan {
    Plan { edits: document_edits(document, edits), answer: Answer::Document(document) }
}

fn document_edits(document: DocumentId, edits: Vec<DocumentEdit>) -> Vec<Edit> {
    let changes = edits.into_iter().filter(|edit| !edit.puts.is_empty());
    changes.map(|edit| Edit::Document { document, edit }).collect()
}

fn upsert(row: &DocumentRow, clock: Clock, records: Vec<NewDatasetRecord>) -> Planned {
    let (mut counts, mut changed) = (RecordCounts::default(), BTreeMap::new());
    let mut user = None;
    for (place, new) in records.into_iter().enumerate() {
        let id = DatasetRecord::id(&row.document, &new.inputs);
        let read = |json| serde_json::from_str::<DatasetRecord>(json).ok();
        let held = changed.remove(&id);
        let held = held.or_else(|| row.text(Container::RECORDS, &id).and_then(read));
        user = new.user.clone().or(user);
        let record = match held {
            Some(held) => {
                counts.updated += 1;
                merged(held, new, clock)
            }
            None => {
                counts.inserted += 1;
                added(new, clock, place)
            }
        };
        changed.insert(id, record);
    }
    let texts: BTreeMap<String, String> = changed
        .into_iter()
        .map(|(id, record)| {
            (id, serde_json::to_string(&record).expect("a record has text keys and plain values"))
        })
        .collect();
    if let Err(refusal) = check_sizes(row, &texts, counts.inserted) {
        return Ok(Err(refusal));
    }
    let mut edits = vec![DocumentEdit::default()];
    let mut bytes = 0;
    for (id, text) in &texts {
        if bytes + text.len() > MAX_EDIT_BYTES / 2 {
            edits.push(DocumentEdit::default());
            bytes = 0;
        }
        bytes += text.len() + id.len();
        edits.last_mut().expect("there is one").set(Container::RECORDS, id, text.as_str());
    }
    let last = edits.last_mut().expect("there is one");
    last.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
    match user {
        Some(user) => last.set(Container::Info, info::UPDATED_BY, user.as_str()),
        None if row.text(Container::Info, info::UPDATED_BY).is_some() => {
            last.delete(Container::Info, info::UPDATED_BY);
        }
        None => {}
    }
    let edits = document_edits(row.document, edits);
    Ok(Ok(Plan { edits, answer: Answer::Records(counts) }))
}

fn added(new: NewDatasetRecord, clock: Clock, place: usize) -> DatasetRecord {
    DatasetRecord {
        inputs: new.inputs,
        outputs: new.outputs.unwrap_or_else(|| Some(serde_json::Map::new().into())),
        expectations: (!new.expectations.is_empty()).then_some(new.expectations),
        tags: new.tags,
        source: new.source,
        created: clock,
        place: u32::try_from(place).unwrap_or(u32::MAX),
        updated_ms: clock.millis() as i64,
        created_by: new.user.clone(),
        updated_by: new.user,
    }
}

fn merged(mut held: DatasetRecord, new: NewDatasetRecord, clock: Clock) -> DatasetRecord {
    if let Some(outputs) = new.outputs {
        held.outputs = outputs;
    }
    if !new.expectations.is_empty() {
        held.expectations.get_or_insert_default().extend(new.expectations);
    }
    held.tags.extend(new.tags);
    held.updated_ms = clock.millis() as i64;
    held.updated_by = new.user.or(held.updated_by);
    held
}

fn check_sizes(
    row: &DocumentRow,
    texts: &BTreeMap<String, String>,
    inserted: usize,
) -> Result<(), Refusal> {
    let too_large = |what, bytes, limit| Err(Refusal::TooLarge { what, bytes, limit });
    if let Some(largest) = texts.values().map(String::len).max()
        && largest > MAX_RECORD_BYTES
    {
        return too_large("a record of the dataset", largest, MAX_RECORD_BYTES);
    }
    if row.map(Container::RECORDS).len() + inserted > MAX_DATASET_RECORDS {
        let (what, limit) = ("records of an evaluation dataset", MAX_DATASET_RECORDS);
        return Err(Refusal::TooMany { what, limit });
    }
    let kept = row.texts(Container::RECORDS).filter(|(id, _)| !texts.contains_key(*id));
    let kept: usize = kept.map(|(_, text)| text.len()).sum();
    let bytes = kept + texts.values().map(String::len).sum::<usize>();
    if bytes > MAX_DATASET_BYTES {
        return too_large("the dataset", bytes, MAX_DATASET_BYTES);
    }
    Ok(())
}

fn delete_records(row: &DocumentRow, ids: &[String]) -> Plan {
    let mut edit = DocumentEdit::default();
    let held = row.map(Container::RECORDS);
    let ids: std::collections::BTreeSet<&String> = ids.iter().collect();
    for id in ids.into_iter().filter(|id| held.contains_key(*id)) {
        edit.delete(Container::RECORDS, id);
    }
    let counts = RecordCounts { deleted: edit.puts.len(), ..RecordCounts::default() };
    let edits = document_edits(row.document, vec![edit]);
    Plan { edits, answer: Answer::Records(counts) }
}

pub(super) fn change_scorer(batch: &mut Batch<'_>, clock: Clock, action: ScorerAction) -> Planned {
    let experiment = match super::active_experiment(batch, action.experiment)? {
        Ok(experiment) => experiment.document,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let document = DocumentId::scorer(&experiment, &action.name);
    let row = batch.documents()?.row(&document)?;
    let held = row.and_then(Scorer::of);
    let planned = match (action.change, held) {
        (ScorerChange::Register { id, scorer }, held) => {
            register(&experiment, &action.name, held, clock, (id, scorer))
        }
        (_, None) => Err(Refusal::NoSuchScorer { name: action.name, number: None }),
        (ScorerChange::Delete(number), Some(held)) => delete_versions(held, number),
        (ScorerChange::SetOnline(online), Some(_)) => {
            let mut edit = DocumentEdit::default();
            edit.set(Container::Info, info::ONLINE, online.as_str());
            Ok(edit)
        }
    };
    Ok(planned.map(|edit| plan(document, vec![edit])))
}

fn register(
    experiment: &DocumentId,
    name: &str,
    held: Option<Scorer<'_>>,
    clock: Clock,
    (id, scorer): (String, String),
) -> Result<DocumentEdit, Refusal> {
    let mut edit = DocumentEdit::default();
    if held.is_none() {
        edit.set(Container::Info, info::EXPERIMENT, experiment.reference().as_str());
        edit.set(Container::Info, info::NAME, name);
    }
    let number = held.map_or(1, |held| held.next_number());
    if number as usize > MAX_SCORER_VERSIONS {
        let (what, limit) = ("versions of a scorer", MAX_SCORER_VERSIONS);
        return Err(Refusal::TooMany { what, limit });
    }
    for (id, json) in held.into_iter().flat_map(|held| held.settled()) {
        edit.set(Container::VERSIONS, id, json.as_str());
    }
    edit.set(Container::VERSIONS, &id, version_json(number, clock, &scorer).as_str());
    Ok(edit)
}

fn delete_versions(held: Scorer<'_>, number: Option<u32>) -> Result<DocumentEdit, Refusal> {
    let versions = held.versions();
    let asked = |version: &&ScorerVersion| number.is_none_or(|it| it == version.number);
    let named: Vec<_> = versions.iter().filter(asked).collect();
    if named.is_empty() {
        return Err(Refusal::NoSuchScorer { name: held.name().to_owned(), number });
    }
    let mut edit = DocumentEdit::default();
    if named.len() < versions.len() {
        for version in named {
            let json = held.deleted_json(&version.id).expect("it is one of its versions");
            edit.set(Container::VERSIONS, &version.id, json.as_str());
        }
        return Ok(edit);
    }
    // All of it goes, and its numbers start over.
    for id in held.ids() {
        edit.delete(Container::VERSIONS, id);
    }
    if held.online().is_some() {
        edit.delete(Container::Info, info::ONLINE);
    }
    Ok(edit)
}
