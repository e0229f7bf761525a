//! Operations in words.
//!
//! Invariant: whatever an operation holds, what is said of it is at most [`MAX_PARTS`] texts of
//! bounded length; what cannot be read is said to be so.

use std::collections::HashMap;

use crate::act::{Act, ActKind};
use crate::artifact::ArtifactContent;
use crate::carried::Carried;
use crate::conflicts::name_of;
use crate::document::{self, Container, Put, Scalar};
use crate::ids::{DeviceId, DocumentId, DocumentKind};
use crate::index::fields::{info, is_bookkeeping};
use crate::membership::Membership;
use crate::operation::{Operation, OperationKind};
use crate::registry::Registry;
use crate::series;
use crate::store::{Snapshot, StoreError};
use crate::trace::TracePart;

/// The most parts in which one operation is said.
pub const MAX_PARTS: usize = 32;
/// The most characters of a name or a value that are said.
pub const MAX_WORD_CHARS: usize = 120;

/// What the key of a stage in a registered model's `info` starts with.
const STAGE: &str = "stage/";
/// What the key of a dataset in a run's `inputs` starts with.
const DATASET: &str = "dataset/";

/// What one operation did, in parts such as `set tag k to "v"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The parts, at most [`MAX_PARTS`].
    pub parts: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

impl Said {
    fn one(part: impl Into<String>) -> Self {
        Self { parts: vec![part.into()], more: 0 }
    }

    fn push(
        &mut self,
        part: impl FnOnce() -> Result<String, StoreError>,
    ) -> Result<(), StoreError> {
        if self.parts.len() < MAX_PARTS {
            self.parts.push(part()?);
        } else {
            self.more += 1;
        }
        Ok(())
    }
}

/// Says what operations did, and what things and devices are called.
pub(super) struct Words<'s> {
    snapshot: &'s Snapshot,
    membership: &'s Membership,
    names: HashMap<DocumentId, String>,
}

impl<'s> Words<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, membership: &'s Membership) -> Self {
        Self { snapshot, membership, names: HashMap::new() }
    }

    /// What a document is called now.
    pub(super) fn name(&mut self, document: &DocumentId) -> Result<String, StoreError> {
        if let Some(name) = self.names.get(document) {
            return Ok(name.clone());
        }
        let name = cut(&name_of(self.snapshot, document)?);
        self.names.insert(*document, name.clone());
        Ok(name)
    }

    fn device(&self, device: &DeviceId) -> String {
        let present = self.membership.member(device).map(|member| &member.name);
        let former = || self.membership.former().find(|(id, _)| *id == device);
        let name = present.or_else(|| former().map(|(_, former)| &former.name));
        name.filter(|name| !name.is_empty()).map_or_else(|| device.short(), |name| cut(name))
    }

    /// What an operation did.
    pub(super) fn of(&mut self, operation: &Operation) -> Result<Said, StoreError> {
        let Operation::Whole { kind, document, content, .. } = operation else {
            return Ok(Said::one("something that was redacted since"));
        };
        match OperationKind::from_number(*kind) {
            Some(OperationKind::Change) => self.change(document, content),
            Some(OperationKind::Points) => points(content),
            Some(OperationKind::Artifact) => Ok(Said::one(artifact(content))),
            Some(OperationKind::Act) => Ok(Said::one(self.act(content))),
            Some(OperationKind::Trace) => Ok(Said::one(trace(content))),
            Some(OperationKind::Carried) => self.carried(document, content),
            _ => Ok(Said::one(format!("an operation of kind {kind}, which is not known here"))),
        }
    }

    fn change(&mut self, document: &DocumentId, content: &[u8]) -> Result<Said, StoreError> {
        let Some(kind) = document.kind() else {
            return Ok(Said::one("a change of a kind of document that is not known here"));
        };
        let Ok(told) = document::tell(kind, content) else {
            return Ok(Said::one("a change that cannot be read"));
        };
        let mut said = Said::default();
        let creates = told.first && creates(kind, &told.puts);
        if creates {
            said.push(|| self.created(kind, &told.puts))?;
        }
        for put in &told.puts {
            let is_said = creates && put.container == Container::Info && is_of_creation(&put.key);
            if !is_said && !is_noise(kind, put) {
                said.push(|| self.put(kind, put))?;
            }
        }
        if !told.written.is_empty() {
            said.push(|| Ok(format!("wrote {} into the description", quoted(&told.written))))?;
        }
        if told.deleted > 0 {
            let characters = counted(told.deleted, "character", "characters");
            said.push(|| Ok(format!("took {characters} out of the description")))?;
        }
        if said.parts.is_empty() {
            said.parts.push("noted when it was changed".to_owned());
        }
        Ok(said)
    }

    fn carried(&mut self, document: &DocumentId, content: &[u8]) -> Result<Said, StoreError> {
        let Ok(carried) = Carried::decode(content) else {
            return Ok(Said::one("a carried change that cannot be read"));
        };
        let mut said = self.change(document, carried.change().1)?;
        if let Some(first) = said.parts.first_mut() {
            let device = self.device(&carried.device());
            *first = format!("carried over what others built on, by device {device}: {first}");
        }
        Ok(said)
    }

    fn created(&mut self, kind: DocumentKind, puts: &[Put]) -> Result<String, StoreError> {
        let find = |key: &str| {
            let mut found = puts.iter().filter(|put| put.container == Container::Info);
            let put = found.find(|put| put.key == key)?;
            put.value.as_ref().and_then(Scalar::as_text)
        };
        let name = find(info::NAME).map_or_else(String::new, |name| format!(" {}", quoted(name)));
        let created = format!("created {}{name}", kind.as_str());
        let experiment = find(info::EXPERIMENT).and_then(DocumentId::from_reference);
        match experiment {
            Some(experiment) => Ok(format!("{created} in {}", quoted(&self.name(&experiment)?))),
            None => Ok(created),
        }
    }

    fn put(&mut self, kind: DocumentKind, put: &Put) -> Result<String, StoreError> {
        let key = cut(&put.key);
        if put.container == Container::Info {
            return self.field(&key, put.value.as_ref());
        }
        let noun = noun(kind, put.container);
        match &put.value {
            None => Ok(format!("deleted {noun} {key}")),
            Some(value) if is_pointer(kind, put.container) => {
                Ok(format!("moved {noun} {key} to {}", self.version(value)?))
            }
            Some(_) if kind == DocumentKind::Run && put.container == Container::Inputs => {
                let name = put.key.strip_prefix(DATASET).and_then(|rest| rest.split_once('/'));
                Ok(match name {
                    Some((_, name)) => format!("used dataset {}", cut(name)),
                    None => format!("used {}", key.replacen('/', " ", 1)),
                })
            }
            Some(_) if put.container == Container::Outputs => Ok(format!("noted {noun} {key}")),
            Some(value) => Ok(format!("set {noun} {key} to {}", said(value))),
        }
    }

    fn field(&mut self, key: &str, value: Option<&Scalar>) -> Result<String, StoreError> {
        let Some(value) = value else { return Ok(format!("cleared {key}")) };
        if let Some(stage) = key.strip_prefix(STAGE) {
            return Ok(format!("moved stage {stage} to {}", self.version(value)?));
        }
        Ok(match (key, value.as_text()) {
            (info::NAME, Some(name)) => format!("named it {}", quoted(name)),
            (info::LIFECYCLE, Some("deleted")) => "deleted it".to_owned(),
            (info::LIFECYCLE, Some("active")) => "restored it".to_owned(),
            (info::EXPERIMENT | info::MODEL, Some(text)) => {
                let name = match DocumentId::from_reference(text) {
                    Some(document) => self.name(&document)?,
                    None => cut(text),
                };
                format!("set {key} to {}", quoted(&name))
            }
            _ => format!("set {key} to {}", said(value)),
        })
    }

    /// A version of a model that a value names.
    fn version(&mut self, value: &Scalar) -> Result<String, StoreError> {
        let document = value.as_text().and_then(DocumentId::from_reference);
        let Some(document) = document else { return Ok(said(value)) };
        let version = Registry::new(self.snapshot).version_of(&document)?;
        Ok(match version {
            Some(version) => format!("version {}", version.number()),
            None => format!("version {}", document.reference()),
        })
    }

    fn act(&self, content: &[u8]) -> String {
        let Ok(act) = Act::decode(content) else { return "an act that cannot be read".to_owned() };
        let Some(Act { kind, .. }) = act else {
            return "an act of a kind that is not known here".to_owned();
        };
        let ticket = |key: &[u8; 32]| data_encoding::HEXLOWER.encode(&key[..4]);
        match kind {
            ActKind::Found { name, device_name, .. } => {
                format!("founded workspace {} as {}", quoted(&name), quoted(&device_name))
            }
            ActKind::Invite { key, role, uses, .. } => {
                let who = counted(uses as usize, "device", "devices");
                format!("invited {who} as {} by ticket {}", role_name(role), ticket(&key))
            }
            ActKind::Join { key, device_name, .. } => {
                format!("joined as {} by ticket {}", quoted(&device_name), ticket(&key))
            }
            ActKind::Remove { device, .. } => format!("removed device {}", self.device(&device)),
            ActKind::SetRole { device, role, .. } => {
                format!("made device {} {}", self.device(&device), role_name(role))
            }
            ActKind::Rename { key, name } => {
                let device = DeviceId::new(key);
                let known = self.membership.member(&device).is_some()
                    || self.membership.was_removed(&device);
                let whom = match known {
                    true => format!("device {}", device.short()),
                    false => format!("who joins by ticket {}", ticket(&key)),
                };
                format!("named {whom} {}", quoted(&name))
            }
            ActKind::Revoke { key } => format!("closed ticket {}", ticket(&key)),
            ActKind::Recovery { key } => format!("made recovery ticket {}", ticket(&key)),
            ActKind::Seen => "noted the acts it had seen".to_owned(),
            ActKind::Purge { document } => match document.as_run() {
                Some(run) => format!("purged run {run}"),
                None => "purged a document of a kind that is not known here".to_owned(),
            },
        }
    }
}

const fn role_name(role: crate::act::Role) -> &'static str {
    match role {
        crate::act::Role::Reader => "a reader",
        crate::act::Role::Writer => "a writer",
        crate::act::Role::Admin => "an admin",
    }
}

/// Whether a first change makes its document, and does not only say something of it.
fn creates(kind: DocumentKind, puts: &[Put]) -> bool {
    let made = !matches!(kind, DocumentKind::Workspace | DocumentKind::Trace);
    made && puts.iter().any(|put| put.container == Container::Info)
}

/// Whether a field goes without saying where it is said that something was created.
fn is_of_creation(key: &str) -> bool {
    let said = [info::NAME, info::EXPERIMENT, info::LIFECYCLE];
    said.contains(&key) || key.ends_with("_ms")
}

/// Whether what a put sets is said by other puts, or by the entry itself.
fn is_noise(kind: DocumentKind, put: &Put) -> bool {
    let of_models = matches!(kind, DocumentKind::RegisteredModel | DocumentKind::ModelVersion);
    let history = of_models && put.container == Container::HISTORY;
    history || is_bookkeeping(put.container, &put.key)
}

/// Whether the values of a map name versions of a model.
fn is_pointer(kind: DocumentKind, container: Container) -> bool {
    kind == DocumentKind::RegisteredModel && container == Container::ALIASES
}

const fn noun(kind: DocumentKind, container: Container) -> &'static str {
    match (kind, container) {
        (DocumentKind::RegisteredModel, Container::Params) => "alias",
        (DocumentKind::Trace, Container::Params) => "metadata",
        (DocumentKind::EvaluationDataset, Container::Params) => "experiment",
        (DocumentKind::Scorer, Container::Params) => "version",
        (_, Container::Params) => "param",
        (DocumentKind::Workspace, Container::Tags) => "setting",
        (_, Container::Tags) => "tag",
        (DocumentKind::Trace, Container::Inputs) => "assessment",
        (DocumentKind::EvaluationDataset, Container::Inputs) => "record",
        (_, Container::Inputs) => "input",
        (DocumentKind::Trace, Container::Outputs) => "link",
        (_, Container::Outputs) => "output",
        (_, Container::Info) => "field",
    }
}

fn points(content: &[u8]) -> Result<Said, StoreError> {
    let Ok(all) = series::decode_points(content) else {
        return Ok(Said::one("points that cannot be read"));
    };
    let mut said = Said::default();
    for one in &all {
        let points = counted(one.points.len(), "point", "points");
        said.push(|| Ok(format!("logged {points} of {}", cut(&one.key))))?;
    }
    Ok(said)
}

fn artifact(content: &[u8]) -> String {
    match ArtifactContent::decode(content) {
        Err(_) => "an artifact that cannot be read".to_owned(),
        Ok(ArtifactContent { path, content: None }) => format!("removed artifact {}", cut(&path)),
        Ok(ArtifactContent { path, content: Some((blob, size)) }) => {
            let hash = &blob.to_string()[..16];
            format!("put artifact {} ({size} bytes, {hash})", cut(&path))
        }
    }
}

fn trace(content: &[u8]) -> String {
    let Ok(part) = TracePart::decode(content) else {
        return "a part of a trace that cannot be read".to_owned();
    };
    let trace = cut(&part.trace);
    match (part.deleted, part.spans.len()) {
        (true, _) => format!("deleted trace {trace}"),
        (false, 0) => format!("said how trace {trace} is doing"),
        (false, spans) => format!("added {} to trace {trace}", counted(spans, "span", "spans")),
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn said(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => quoted(text),
        Scalar::Integer(integer) => integer.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text))
}

/// The start of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_WORD_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
