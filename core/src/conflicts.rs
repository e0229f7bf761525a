//! Conflicts: what devices that were apart decided differently, and how a writer settles it.
//!
//! Invariants: nothing here changes what is shown, which is the same on every device before and
//! after; every value that was set is listed until a writer who has seen them sets one; what only
//! notes when something was done is never listed.

use crate::action::ExperimentChange;
use crate::action::{Action, ModelAction, ModelChange, Move, VersionChange, VersionName};
use crate::clock::Clock;
use crate::document::{Container, Scalar};
use crate::ids::{DeviceId, DocumentId, DocumentKind};
use crate::index::fields::info;
use crate::registry::{Author, Conflict as OfModel, Model, Numbered, Registry, Stage, Version};
use crate::store::{Authors, Snapshot, StoreError};

/// The longest text that can be given in place of what was set, in characters.
pub const MAX_TEXT_CHARS: usize = 6_000;

/// What was decided differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// What stands at a key of a document.
    Key(Container, String),
    /// Who is called by a name.
    Name(String),
    /// Which version of a model a number means.
    Number(i64),
    /// Which version of a model a semantic version means.
    Semver(String),
}

/// One of the things that were decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What was set; of names and numbers, the document that claims it, by its reference.
    pub value: Scalar,
    /// The document that the value names.
    pub names: Option<DocumentId>,
    /// Who decided it, if that is known.
    pub device: Option<DeviceId>,
    /// When.
    pub at: Clock,
}

/// Something that devices decided differently while they were apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The document it is about; of names, the first that claims it.
    pub document: DocumentId,
    /// What was decided.
    pub subject: Subject,
    /// Each decision, the one that is served first. At least two.
    pub choices: Vec<Choice>,
}

/// What a writer takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Take {
    /// One of the choices, by its place.
    Choice(usize),
    /// Another value; of a shared name, what the later document is called from here on.
    Text(String),
}

/// Why a conflict cannot be settled so.
#[derive(Debug, thiserror::Error)]
pub enum NotSettled {
    /// There is no such choice.
    #[error("there are only {0} values to take")]
    NoSuchChoice(usize),
    /// Only what was set can be taken.
    #[error("{0:?} is none of the values, and no other can be set here")]
    OnlyChoices(String),
    /// The value is not one that can stand there.
    #[error("a text of at most {MAX_TEXT_CHARS} characters, which is not empty, is needed")]
    BadText,
    /// A name is given to one of its claimants.
    #[error("say what the later one is called from here on; the first keeps the name")]
    NameNeeded,
    /// What it is about was deleted meanwhile.
    #[error("what it is about is not there any more")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Conflicts, at most `limit`; and whether there are more.
pub fn list(snapshot: &Snapshot, limit: usize) -> Result<(Vec<Conflict>, bool), StoreError> {
    let mut found = Vec::new();
    let mut authors = Authors::open(snapshot)?;
    for document in snapshot.contested_documents()? {
        found.extend(of_document(snapshot, &mut authors, &document?)?);
        if found.len() > limit {
            break;
        }
    }
    found.extend(of_experiments(snapshot)?);
    found.extend(of_models(snapshot)?);
    let more = found.len() > limit;
    found.truncate(limit);
    Ok((found, more))
}

fn of_document(
    snapshot: &Snapshot,
    authors: &mut Authors<'_>,
    document: &DocumentId,
) -> Result<Vec<Conflict>, StoreError> {
    let mut found = Vec::new();
    for contested in snapshot.contested(document)? {
        // Which number a version has is told with all that claim the number.
        let number =
            (contested.container, contested.key.as_str()) == (Container::Info, info::NUMBER);
        if number && document.kind() == Some(DocumentKind::ModelVersion) {
            continue;
        }
        let mut choices = Vec::with_capacity(contested.claims.len());
        for claim in contested.claims {
            let device = authors.of_change(document, claim.clock, &claim.change)?;
            let named = claim.value.as_text().and_then(DocumentId::from_reference);
            let names = named.filter(|id| id.kind() == Some(DocumentKind::ModelVersion));
            choices.push(Choice { value: claim.value, names, device, at: claim.clock });
        }
        let subject = Subject::Key(contested.container, contested.key);
        found.push(Conflict { document: *document, subject, choices });
    }
    Ok(found)
}

fn choice_of(document: DocumentId, at: Clock) -> Choice {
    let value = Scalar::from(document.reference().as_str());
    Choice { value, names: Some(document), device: None, at }
}

fn of_experiments(snapshot: &Snapshot) -> Result<Vec<Conflict>, StoreError> {
    let mut found = Vec::new();
    for ids in snapshot.experiments_sharing_a_name()? {
        let mut choices = Vec::new();
        let mut name = None;
        for id in ids {
            let Some(row) = snapshot.experiment(id)? else { continue };
            choices.push(choice_of(row.document, row.created));
            name.get_or_insert(row.name);
        }
        found.extend(shared(name, choices));
    }
    Ok(found)
}

fn shared(name: Option<String>, choices: Vec<Choice>) -> Option<Conflict> {
    let document = choices.first()?.names?;
    (choices.len() > 1).then_some(Conflict { document, subject: Subject::Name(name?), choices })
}

fn of_models(snapshot: &Snapshot) -> Result<Vec<Conflict>, StoreError> {
    let mut registry = Registry::new(snapshot);
    let mut found = Vec::new();
    let models = registry.models()?;
    let called = |model: &Model| model.row.text(Container::Info, info::NAME).map(str::to_owned);
    for same in models.chunk_by(|a, b| called(a) == called(b)).filter(|same| same.len() > 1) {
        let choices = same.iter().map(|model| choice_of(model.id(), model.created())).collect();
        found.extend(shared(called(&same[0]), choices));
    }
    for model in &models {
        let versions = registry.versions(&model.id())?;
        for conflict in registry.conflicts(model, &versions)? {
            let (subject, mut claims) = match conflict {
                OfModel::Number(number) => {
                    (Subject::Number(number), registry.claims(&model.id(), number)?)
                }
                OfModel::Semver(semver) => {
                    let same = versions.iter().filter(|version| version.semver_text() == semver);
                    (Subject::Semver(semver.clone()), same.cloned().collect())
                }
                // Keys of the model's document, which tells who set them.
                OfModel::Alias(_) | OfModel::Stage(_) => continue,
            };
            if let Subject::Number(number) = subject
                && let Numbered::Contested { here, .. } = registry.numbered(&model.id(), number)?
                && claims.iter().all(|claim| claim.id() != here)
            {
                claims.extend(registry.version_of(&here)?);
            }
            let choices = claims.iter().map(|claim| choice_of(claim.id(), claim.created()));
            let choices = choices.collect();
            found.push(Conflict { document: model.id(), subject, choices });
        }
    }
    Ok(found)
}

impl Conflict {
    /// Eight digits that name it, the same on every device while its values are the same.
    pub fn id(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.document.to_bytes());
        hasher.update(format!("{:?}", self.subject).as_bytes());
        hasher.finalize().to_hex()[..8].to_owned()
    }

    /// What it is about, as one writes it: `params.lr`, `alias champion`, `version 3`.
    pub fn key(&self) -> String {
        let model = self.document.kind() == Some(DocumentKind::RegisteredModel);
        match &self.subject {
            Subject::Key(Container::ALIASES, key) if model => format!("alias {key}"),
            Subject::Key(Container::Info, key) => match key.strip_prefix("stage/") {
                Some(stage) => format!("stage {stage}"),
                None => key.clone(),
            },
            Subject::Key(Container::Params, key) => format!("params.{key}"),
            Subject::Key(Container::Tags, key) => format!("tags.{key}"),
            Subject::Key(Container::Inputs, key) => format!("inputs.{key}"),
            Subject::Key(Container::Outputs, key) => format!("outputs.{key}"),
            Subject::Name(name) => format!("who is called {name}"),
            Subject::Number(number) => format!("version {number}"),
            Subject::Semver(semver) => format!("version {semver}"),
        }
    }

    /// What settles it.
    pub fn settle(
        &self,
        snapshot: &Snapshot,
        take: Take,
        author: &Author,
    ) -> Result<Vec<Action>, NotSettled> {
        match &self.subject {
            Subject::Name(_) => self.rename(snapshot, take, author),
            Subject::Number(_) => {
                let version = self.version(&take)?;
                self.on_version(snapshot, version, VersionChange::KeepNumber, author)
            }
            Subject::Semver(_) => {
                let kept = self.version(&take)?;
                let others = self.choices.iter().filter_map(|choice| choice.names);
                let mut actions = Vec::new();
                for other in others.filter(|other| *other != kept) {
                    let change = VersionChange::SetSemver(None);
                    actions.extend(self.on_version(snapshot, other, change, author)?);
                }
                Ok(actions)
            }
            Subject::Key(container, key) => self.set(snapshot, *container, key, take, author),
        }
    }

    fn taken(&self, take: &Take) -> Result<Option<&Choice>, NotSettled> {
        match take {
            Take::Choice(at) => {
                let choice = self.choices.get(*at);
                choice.map(Some).ok_or(NotSettled::NoSuchChoice(self.choices.len()))
            }
            Take::Text(text) => Ok(self.choices.iter().find(|choice| match &choice.value {
                Scalar::Text(value) => value == text,
                Scalar::Integer(value) => value.to_string() == *text,
            })),
        }
    }

    fn choice(&self, take: &Take) -> Result<&Choice, NotSettled> {
        let text = match take {
            Take::Text(text) => text.clone(),
            Take::Choice(at) => at.to_string(),
        };
        self.taken(take)?.ok_or(NotSettled::OnlyChoices(text))
    }

    fn version(&self, take: &Take) -> Result<DocumentId, NotSettled> {
        self.choice(take)?.names.ok_or(NotSettled::Gone)
    }

    fn set(
        &self,
        snapshot: &Snapshot,
        container: Container,
        key: &str,
        take: Take,
        author: &Author,
    ) -> Result<Vec<Action>, NotSettled> {
        let model = self.document.kind() == Some(DocumentKind::RegisteredModel);
        if model && container == Container::ALIASES {
            let version = VersionName::Id(self.version(&take)?);
            let model = shown(snapshot, &self.document)?.name;
            let change = ModelChange::SetAlias { alias: key.to_owned(), version };
            return Ok(vec![on_models(ModelAction::Update { model, change }, author)]);
        }
        let stage = key.strip_prefix("stage/").and_then(Stage::from_word);
        if let (true, Container::Info, Some(stage)) = (model, container, stage) {
            let (archive_others, why) = (true, Move::Promotion);
            let change = VersionChange::MoveTo { stage, archive_others, why };
            let version = self.version(&take)?;
            return self.on_version(snapshot, version, change, author);
        }
        let value = match (self.taken(&take)?, take) {
            (Some(choice), _) => choice.value.clone(),
            (None, Take::Text(text)) => self.text(container, key, text)?,
            (None, Take::Choice(_)) => return Err(NotSettled::NoSuchChoice(self.choices.len())),
        };
        let (document, key) = (self.document, key.to_owned());
        Ok(vec![Action::Settle { document, container, key, value }])
    }

    /// A value that nobody set before, where any text will do.
    fn text(&self, container: Container, key: &str, text: String) -> Result<Scalar, NotSettled> {
        let run = self.document.kind() == Some(DocumentKind::Run);
        let free = match container {
            Container::Tags => true,
            Container::Params => run || self.document.kind() == Some(DocumentKind::LoggedModel),
            Container::Info => run && key == info::NAME,
            Container::Inputs | Container::Outputs => false,
        };
        if !free {
            return Err(NotSettled::OnlyChoices(text));
        }
        let too_long = text.chars().nth(MAX_TEXT_CHARS).is_some();
        if too_long || (text.is_empty() && container == Container::Info) {
            return Err(NotSettled::BadText);
        }
        Ok(Scalar::Text(text))
    }

    /// The last that claims the name gets another.
    fn rename(
        &self,
        snapshot: &Snapshot,
        take: Take,
        author: &Author,
    ) -> Result<Vec<Action>, NotSettled> {
        let Take::Text(name) = take else { return Err(NotSettled::NameNeeded) };
        if name.is_empty() || name.chars().nth(MAX_TEXT_CHARS).is_some() {
            return Err(NotSettled::BadText);
        }
        let later = self.choices.last().and_then(|choice| choice.names).ok_or(NotSettled::Gone)?;
        if let Some(id) = later.as_experiment() {
            return Ok(vec![Action::UpdateExperiment {
                id,
                change: ExperimentChange::Rename(name),
            }]);
        }
        let model = shown(snapshot, &later)?.name;
        let change = ModelChange::Rename(name);
        Ok(vec![on_models(ModelAction::Update { model, change }, author)])
    }

    fn on_version(
        &self,
        snapshot: &Snapshot,
        version: DocumentId,
        change: VersionChange,
        author: &Author,
    ) -> Result<Vec<Action>, NotSettled> {
        let model = shown(snapshot, &self.document)?.name;
        let version = VersionName::Id(version);
        Ok(vec![on_models(ModelAction::UpdateVersion { model, version, change }, author)])
    }
}

fn on_models(action: ModelAction, author: &Author) -> Action {
    Action::Model { action: Box::new(action), author: Box::new(author.clone()) }
}

fn shown(snapshot: &Snapshot, model: &DocumentId) -> Result<Model, NotSettled> {
    Registry::new(snapshot).model_of(model)?.ok_or(NotSettled::Gone)
}

/// What a document is called: by people, or by the start of its id.
pub fn name_of(snapshot: &Snapshot, document: &DocumentId) -> Result<String, StoreError> {
    if let Some(run) = document.as_run() {
        let row = snapshot.run(&run)?;
        return Ok(row.map_or_else(|| run.short(), |row| row.name));
    }
    if let Some(id) = document.as_experiment() {
        return Ok(snapshot.experiment(id)?.map_or_else(|| id.to_string(), |row| row.name));
    }
    let mut registry = Registry::new(snapshot);
    if let Some(version) = registry.version_of(document)? {
        let model = version.model().map(|model| registry.model_of(&model)).transpose()?.flatten();
        let model = model.map_or_else(|| "a model".to_owned(), |model| model.name);
        return Ok(format!("{model} version {}", version.number()));
    }
    if let Some(model) = registry.model_of(document)? {
        return Ok(model.name);
    }
    let row = snapshot.document(document)?;
    let name = row.and_then(|row| row.text(Container::Info, info::NAME).map(str::to_owned));
    Ok(name.unwrap_or_else(|| match document.kind() {
        Some(DocumentKind::Workspace) => "the workspace".to_owned(),
        _ => document.reference(),
    }))
}

/// What a choice says, for people: of a version, its number and where it came from.
pub fn said(snapshot: &Snapshot, choice: &Choice) -> Result<String, StoreError> {
    let plain = match &choice.value {
        Scalar::Text(text) => text.clone(),
        Scalar::Integer(integer) => integer.to_string(),
    };
    let Some(names) = choice.names else { return Ok(plain) };
    let version: Option<Version> = Registry::new(snapshot).version_of(&names)?;
    Ok(match version {
        Some(version) => format!("version {} ({})", version.number(), version.id().reference()),
        None => name_of(snapshot, &names)?,
    })
}
