//! Registered models: listing, showing, registering, promoting, bringing back, resolving.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use runmesh_core::action::{
    Action, ModelAction, ModelChange, ModelRefusal, Move, NewSemver, NewVersion, Outcome, Refusal,
    VersionChange, VersionName,
};
use runmesh_core::api::{
    ModelDetails, ModelEvent, ModelVersion, PromoteModel, RegisterModel, RegisteredModel,
    ResolveModel, VersionLabel, VersionOfRun,
};
use runmesh_core::document::Container;
use runmesh_core::ids::DocumentId;
use runmesh_core::registry::{
    Author, Bump, Event, MAX_MLMODEL_BYTES, Model, Registry, Signature, Stage, Version,
    check_semver,
};
use runmesh_core::rows::{ArtifactRow, DocumentRow};
use runmesh_core::store::{Snapshot, StoreError};
use tokio::io::AsyncReadExt;

use super::error::Error;
use super::{query, read, runs};
use crate::WriteError;
use crate::app::App;
use crate::http::mlflow::model_files::{self, ModelFiles};

/// The longest note or name of a person, in characters.
const MAX_NOTE_CHARS: usize = 2_000;
/// The least of a version's id that names it.
const MIN_ID_CHARS: usize = 4;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<RegisteredModel>>, Error> {
    query(&app, |_, snapshot| {
        let mut registry = Registry::new(snapshot);
        let mut shown = Vec::new();
        for model in registry.models()? {
            let versions = registry.versions(&model.id())?;
            shown.push(summary(snapshot, &model, &versions)?);
        }
        Ok(Json(shown))
    })
    .await
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<ModelDetails>, Error> {
    query(&app, move |_, snapshot| {
        let mut registry = Registry::new(snapshot);
        let model = find(snapshot, &name)?;
        let mut versions = registry.versions(&model.id())?;
        let summary = summary(snapshot, &model, &versions)?;
        versions.reverse();
        let all = versions.iter().map(|version| shown(snapshot, &model, version));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        let members = snapshot.membership()?;
        let named = |event: Event| {
            let member = members.member(&event.device);
            let device_name = member.map(|member| member.name.clone()).unwrap_or_default();
            ModelEvent { event, device_name }
        };
        let history = registry.history(&model)?.into_iter().map(named).collect();
        Ok(Json(ModelDetails { model: summary, all, history }))
    })
    .await
}

/// What a run was registered as.
pub(super) async fn of_run(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
) -> Result<Json<Vec<VersionOfRun>>, Error> {
    query(&app, move |_, snapshot| {
        let run = runs::find(snapshot, &run)?.id.to_string();
        let mut registry = Registry::new(snapshot);
        let mut found = Vec::new();
        for model in registry.models()? {
            for version in registry.versions(&model.id())? {
                if version.run_id() == run {
                    let version = shown(snapshot, &model, &version)?;
                    found.push(VersionOfRun { model: model.name.clone(), version });
                }
            }
        }
        Ok(Json(found))
    })
    .await
}

fn refused(refusal: ModelRefusal) -> Error {
    WriteError::Refused(Refusal::Model(refusal)).into()
}

pub(super) fn find(snapshot: &Snapshot, name: &str) -> Result<Model, Error> {
    let model = Registry::new(snapshot).model(name)?;
    model.ok_or_else(|| refused(ModelRefusal::NoSuchModel(name.to_owned())))
}

fn label(version: &Version) -> VersionLabel {
    VersionLabel { number: version.number(), semver: semver_of(version) }
}

fn semver_of(version: &Version) -> Option<String> {
    Some(version.semver_text()).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn tags(row: &DocumentRow) -> BTreeMap<String, String> {
    let tags = row.texts(Container::Tags);
    tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn summary(
    snapshot: &Snapshot,
    model: &Model,
    versions: &[Version],
) -> Result<RegisteredModel, StoreError> {
    let mut registry = Registry::new(snapshot);
    let stages = registry.latest(&model.id())?;
    let of_alias = |(alias, id): (&str, DocumentId)| {
        let version = versions.iter().find(|version| version.id() == id);
        version.map(|version| (alias.to_owned(), label(version)))
    };
    Ok(RegisteredModel {
        name: model.name.clone(),
        description: model.row.description.clone(),
        tags: tags(&model.row),
        created_ms: model.created().millis() as i64,
        updated_ms: model.updated_ms(),
        versions: versions.len() as u64,
        stages: stages.iter().map(|version| (version.stage(), label(version))).collect(),
        aliases: model.aliases().filter_map(of_alias).collect(),
        conflicts: registry.conflicts(model, versions)?,
    })
}

fn shown(
    snapshot: &Snapshot,
    model: &Model,
    version: &Version,
) -> Result<ModelVersion, StoreError> {
    let aliases = model.aliases().filter(|(_, id)| *id == version.id());
    let served = Registry::new(snapshot).is_served_here(&model.id(), version)?;
    let run = version.run_id().parse().ok();
    let run = match run {
        Some(id) => snapshot.run(&id)?.map(|run| run.id),
        None => None,
    };
    Ok(ModelVersion {
        id: version.id().reference(),
        number: version.number(),
        served,
        semver: semver_of(version),
        stage: version.stage(),
        aliases: aliases.map(|(alias, _)| alias.to_owned()).collect(),
        created_ms: version.created().millis() as i64,
        updated_ms: version.updated_ms(model),
        description: version.row.description.clone(),
        tags: tags(&version.row),
        source: version.source().to_owned(),
        run_id: version.run_id().to_owned(),
        run,
        logged_model: version.logged_model().to_owned(),
    })
}

pub(super) fn author(app: &App, who: String, note: String) -> Result<Author, Error> {
    for (what, text) in [("the name of who asks", &who), ("the note", &note)] {
        if text.chars().nth(MAX_NOTE_CHARS).is_some() {
            return Err(Error::TooLong { what, limit: MAX_NOTE_CHARS });
        }
    }
    Ok(Author { device: app.workspace.journal().device, who, note })
}

/// Carries an action out and answers with the version that it is about.
async fn act(
    app: &Arc<App>,
    author: Author,
    action: ModelAction,
    version: Option<DocumentId>,
) -> Result<Json<ModelVersion>, Error> {
    let (action, author) = (Box::new(action), Box::new(author));
    let outcome = app.workspace.act(Action::Model { action, author }).await?;
    let Outcome::Document(row) = outcome else {
        unreachable!("an action on the registry answered {outcome:?}")
    };
    let id = version.unwrap_or(row.document);
    query(app, move |_, snapshot| {
        let mut registry = Registry::new(snapshot);
        let gone = || Error::Invalid("the version was deleted meanwhile".to_owned());
        let version = registry.version_of(&id)?.ok_or_else(gone)?;
        let model = version.model().ok_or_else(gone)?;
        let model = registry.model_of(&model)?.ok_or_else(gone)?;
        Ok(Json(shown(snapshot, &model, &version)?))
    })
    .await
}

/// Reads what a person calls a version: a number, a semantic version, or the start of an id.
fn version_named(snapshot: &Snapshot, model: &Model, text: &str) -> Result<VersionName, Error> {
    if let Ok(number) = text.parse() {
        return Ok(VersionName::Number(number));
    }
    if let Ok(semver) = check_semver(text) {
        return Ok(VersionName::Semver(semver));
    }
    let absent = || {
        let (model, version) = (model.name.clone(), text.to_owned());
        refused(ModelRefusal::NoSuchVersion { model, version })
    };
    if text.len() < MIN_ID_CHARS {
        return Err(absent());
    }
    let versions = Registry::new(snapshot).versions(&model.id())?;
    let mut starting = versions.iter().filter(|version| version.id().reference().starts_with(text));
    match (starting.next(), starting.next()) {
        (Some(version), None) => Ok(VersionName::Id(version.id())),
        (Some(_), Some(_)) => Err(Error::Ambiguous { start: text.to_owned(), count: 2 }),
        (None, _) => Err(absent()),
    }
}

pub(super) async fn promote(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<ModelVersion>, Error> {
    let asked: PromoteModel = read(&body)?;
    let author = author(&app, asked.who, asked.note)?;
    let (name, text) = (asked.name.clone(), asked.version);
    let version =
        query(&app, move |_, snapshot| version_named(snapshot, &find(snapshot, &name)?, &text));
    let version = version.await?;
    let model = asked.name;
    if let Some(alias) = asked.alias {
        model_files::check_alias(&alias).map_err(|error| Error::Invalid(error.to_string()))?;
        let (of, named) = (model.clone(), version.clone());
        let id = query(&app, move |_, snapshot| version_id(snapshot, &of, &named)).await?;
        let change = ModelChange::SetAlias { alias, version };
        return act(&app, author, ModelAction::Update { model, change }, id).await;
    }
    let stage = asked.stage.unwrap_or(Stage::Production);
    let why = if asked.rollback { Move::Rollback } else { Move::Promotion };
    let archive_others = stage.is_active() && !asked.keep_others;
    let change = VersionChange::MoveTo { stage, archive_others, why };
    act(&app, author, ModelAction::UpdateVersion { model, version, change }, None).await
}

/// The document of a version, where its name means one; the planner says why where it does not.
fn version_id(
    snapshot: &Snapshot,
    model: &str,
    version: &VersionName,
) -> Result<Option<DocumentId>, Error> {
    let model = find(snapshot, model)?.id();
    let mut registry = Registry::new(snapshot);
    Ok(match version {
        VersionName::Id(id) => Some(*id),
        VersionName::Semver(semver) => {
            registry.with_semver(&model, semver)?.first().map(Version::id)
        }
        VersionName::Number(number) => registry.claims(&model, *number)?.first().map(Version::id),
    })
}

pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<ModelVersion>, Error> {
    let asked: ResolveModel = read(&body)?;
    let author = author(&app, asked.who, asked.note)?;
    let model = asked.name.clone();
    let version = query(&app, move |_, snapshot| {
        version_named(snapshot, &find(snapshot, &asked.name)?, &asked.keep)
    });
    let version = version.await?;
    let change = VersionChange::KeepNumber;
    act(&app, author, ModelAction::UpdateVersion { model, version, change }, None).await
}

/// What is known before a version is registered.
struct Candidate {
    files: ModelFiles,
    run_id: String,
    mlmodel: ArtifactRow,
    /// The version that it follows, and its `MLmodel` file.
    previous: Option<(VersionLabel, Option<ArtifactRow>)>,
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<ModelVersion>, Error> {
    let asked: RegisterModel = read(&body)?;
    let author = author(&app, asked.who.clone(), asked.note.clone())?;
    model_files::check_name(&asked.name).map_err(|error| Error::Invalid(error.to_string()))?;
    let semver = match (&asked.semver, asked.bump) {
        (Some(text), None) => {
            let semver = check_semver(text);
            NewSemver::Is(semver.map_err(|reason| {
                Error::Invalid(format!("{text:?} is no semantic version: {reason}"))
            })?)
        }
        (None, Some(bump)) => NewSemver::Next(bump),
        (None, None) => NewSemver::None,
        (Some(_), Some(_)) => {
            return Err(Error::Invalid("a version and a bump are one too many".to_owned()));
        }
    };
    let place = asked.clone();
    let candidate = query(&app, move |_, snapshot| candidate(snapshot, &place)).await?;
    if !asked.force && !is_major(&semver, candidate.previous.as_ref()) {
        check_signature(&app, &asked.name, &candidate).await?;
    }
    let logged_model = candidate.files.logged_model.clone();
    let new = NewVersion {
        id: rand::random(),
        model: asked.name.clone(),
        create_model: true,
        source: candidate.files.source,
        storage: candidate.files.storage,
        run_id: candidate.run_id,
        run_link: String::new(),
        logged_model: logged_model.clone(),
        tags: Vec::new(),
        description: asked.description,
        semver,
    };
    let answer = act(&app, author, ModelAction::Register(new), None).await?;
    if !logged_model.is_empty() {
        let told = model_files::tell(&app, &logged_model, &asked.name, answer.0.number);
        told.await.map_err(|error| Error::Invalid(error.to_string()))?;
    }
    Ok(answer)
}

fn candidate(snapshot: &Snapshot, asked: &RegisterModel) -> Result<Candidate, Error> {
    let run = runs::find(snapshot, &asked.run)?;
    let absent = || Error::NoModel { run: run.id.to_string(), path: asked.path.clone() };
    let failed = |error: crate::http::mlflow::Error| Error::Invalid(error.to_string());
    let files = model_files::of_run(snapshot, &run, &asked.path).map_err(failed)?;
    let files = files.ok_or_else(absent)?;
    let mlmodel = files.mlmodel(snapshot)?.ok_or_else(absent)?;
    let mut registry = Registry::new(snapshot);
    let previous = match registry.model(&asked.name)? {
        Some(model) => previous(registry.versions(&model.id())?),
        None => None,
    };
    let previous = match previous {
        Some(version) => {
            let files = model_files::of_version(snapshot, &version).ok();
            let mlmodel = files.map(|files| files.mlmodel(snapshot)).transpose()?.flatten();
            Some((label(&version), mlmodel))
        }
        None => None,
    };
    Ok(Candidate { files, run_id: run.id.to_string(), mlmodel, previous })
}

/// The version that the next one follows: the highest by semantic version, else by number.
fn previous(versions: Vec<Version>) -> Option<Version> {
    versions
        .into_iter()
        .max_by(|a, b| a.semver().cmp(&b.semver()).then_with(|| a.number().cmp(&b.number())))
}

/// Whether a new version may change what callers must know of.
fn is_major(semver: &NewSemver, previous: Option<&(VersionLabel, Option<ArtifactRow>)>) -> bool {
    match semver {
        NewSemver::Next(bump) => *bump == Bump::Major,
        NewSemver::None => false,
        NewSemver::Is(next) => {
            let held = previous.and_then(|(label, _)| label.semver.as_deref()?.parse().ok());
            held.is_some_and(|held: semver::Version| held.major < next.major)
        }
    }
}

async fn check_signature(app: &App, name: &str, candidate: &Candidate) -> Result<(), Error> {
    let Some((previous, Some(held))) = &candidate.previous else { return Ok(()) };
    let (held, next) = (signature(app, held).await?, signature(app, &candidate.mlmodel).await?);
    let changes = held.difference(&next);
    if changes.is_empty() {
        return Ok(());
    }
    let previous = previous.semver.clone().unwrap_or_else(|| previous.number.to_string());
    Err(Error::SignatureChanged { name: name.to_owned(), previous, changes })
}

async fn signature(app: &App, mlmodel: &ArtifactRow) -> Result<Signature, Error> {
    if mlmodel.size > MAX_MLMODEL_BYTES {
        return Ok(Signature::default());
    }
    let mut text = String::new();
    let mut file = app.open_blob(mlmodel).await?;
    file.read_to_string(&mut text).await.map_err(Error::Disk)?;
    Ok(Signature::of_mlmodel(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_major_version_may_change_what_callers_see() {
        let held = |semver: &str| {
            Some((VersionLabel { number: 3, semver: Some(semver.to_owned()) }, None))
        };
        let is = |text: &str| NewSemver::Is(check_semver(text).expect(text));
        assert!(is_major(&NewSemver::Next(Bump::Major), None));
        assert!(!is_major(&NewSemver::Next(Bump::Minor), held("1.2.3").as_ref()));
        assert!(is_major(&is("2.0.0"), held("1.2.3").as_ref()));
        assert!(!is_major(&is("1.3.0"), held("1.2.3").as_ref()));
        assert!(!is_major(&NewSemver::None, held("1.2.3").as_ref()));
    }
}
