//! Scorers: register, list, versions, get, delete, and how they are used on traces as they come.
//!
//! A scorer is kept and given back as the client wrote it; nothing here runs one.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use data_encoding::HEXLOWER;
use runmesh_core::action::{Action, Outcome, Refusal, ScorerAction, ScorerChange};
use runmesh_core::ids::{DocumentId, DocumentKind, ExperimentId};
use runmesh_core::rows::{DocumentRow, Lifecycle, Scorer, ScorerVersion};
use runmesh_core::store::Snapshot;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::message::{Fields, JsonBody, Message, missing};
use super::render::{self, Page};
use super::{experiments, limits, python, read};
use crate::WriteError;
use crate::app::App;

/// What MLflow says to a scorer that carries code.
const CUSTOM_CODE: &str = "Custom scorer registration (using @scorer decorator) is disabled by \
    default outside of Databricks tracking environments due to security concerns. Custom scorers \
    require arbitrary code execution during deserialization.";

#[derive(Serialize)]
struct ScorerJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment_id: Option<i32>,
    scorer_name: &'a str,
    scorer_version: u32,
    serialized_scorer: &'a str,
    creation_time: i64,
    scorer_id: String,
}

impl<'a> ScorerJson<'a> {
    fn new(scorer: &Scorer<'a>, version: &'a ScorerVersion) -> Self {
        let experiment = scorer.experiment().unwrap_or(ExperimentId::NONE);
        Self {
            // The field has 32 bits, and clients fail on a number that has more.
            experiment_id: i32::try_from(experiment.0).ok(),
            scorer_name: scorer.name(),
            scorer_version: version.number,
            serialized_scorer: &version.scorer,
            creation_time: version.created_ms,
            scorer_id: id_text(&scorer.document()),
        }
    }
}

/// A scorer's id, as a UUID is written.
fn id_text(document: &DocumentId) -> String {
    let hex = HEXLOWER.encode(document.id());
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn parse_id(text: &str) -> Option<DocumentId> {
    let id = HEXLOWER.decode(text.replace('-', "").as_bytes()).ok()?;
    Some(DocumentId::new(DocumentKind::Scorer, id.try_into().ok()?))
}

fn no_such(name: &str, number: Option<u32>, experiment: ExperimentId) -> ApiError {
    let name = python::repr(name);
    let version = number.map(|number| format!(" and version {number}")).unwrap_or_default();
    let message =
        format!("Scorer with name {name}{version} not found for experiment {experiment}.");
    ApiError::absent(message)
}

/// An experiment's id and a scorer's name.
fn named(fields: Fields<'_>) -> Result<(ExperimentId, String), ApiError> {
    let experiment = fields.required_text("experiment_id")?;
    let name = fields.required_text("name")?.to_owned();
    Ok((experiments::parse_id(experiment)?, name))
}

/// The number of a version that is asked for. What no version can have, none has.
fn version(fields: Fields<'_>) -> Result<Option<u32>, ApiError> {
    let number = fields.integer("version")?;
    Ok(number.map(|number| u32::try_from(number).unwrap_or_default()))
}

async fn change(
    app: &App,
    experiment: ExperimentId,
    name: String,
    change: ScorerChange,
) -> Result<Box<DocumentRow>, ApiError> {
    let action = Action::ChangeScorer(ScorerAction { experiment, name, change });
    match app.workspace.act(action).await {
        Ok(Outcome::Document(row)) => Ok(row),
        Ok(other) => unreachable!("changing a scorer answered {other:?}"),
        Err(WriteError::Refused(Refusal::NoSuchScorer { name, number })) => {
            Err(no_such(&name, number, experiment))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Registered<'a> {
        version: u32,
        scorer_id: String,
        experiment_id: String,
        name: &'a str,
        serialized_scorer: &'a str,
        creation_time: i64,
    }
    let fields = message.fields();
    let (experiment, name) = named(fields)?;
    let scorer = fields.required_text("serialized_scorer")?.to_owned();
    limits::check_length("name", limits::MAX_SCORER_NAME_CHARS, &name)?;
    check_scorer(&name, &scorer)?;
    let id = HEXLOWER.encode(&rand::random::<[u8; 16]>());
    let row =
        change(&app, experiment, name, ScorerChange::Register { id: id.clone(), scorer }).await?;
    let held = Scorer::of(&row).expect("it has a version");
    let versions = held.versions();
    let version = versions.iter().find(|version| version.id == id);
    let version = version.expect("the version that was just written is there");
    Ok(render::json(&Registered {
        version: version.number,
        scorer_id: id_text(&held.document()),
        experiment_id: experiment.to_string(),
        name: held.name(),
        serialized_scorer: &version.scorer,
        creation_time: version.created_ms,
    }))
}

fn check_scorer(name: &str, scorer: &str) -> Result<(), ApiError> {
    let Ok(value) = serde_json::from_str::<Value>(scorer) else {
        return Err(ApiError::invalid("serialized_scorer must be valid JSON"));
    };
    if has_code(&value) {
        return Err(ApiError::invalid(CUSTOM_CODE));
    }
    if !value.is_object() {
        return Err(ApiError::invalid("serialized_scorer must be a JSON object"));
    }
    if name.trim().is_empty() {
        let message = "Scorer name cannot be empty or contain only whitespace.";
        return Err(ApiError::invalid(message));
    }
    match model_of(&value) {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(model)) if model.trim().is_empty() => {
            Err(ApiError::invalid("Scorer model cannot be empty or contain only whitespace."))
        }
        Some(Value::String(model)) => match model.strip_prefix("gateway:/") {
            // There is no gateway here, so it has no endpoint.
            Some(endpoint) => {
                let endpoint = python::repr(endpoint);
                Err(ApiError::absent(format!("GatewayEndpoint not found (name={endpoint})")))
            }
            None => Ok(()),
        },
        Some(other) => {
            let kind = python::type_name(other);
            Err(ApiError::invalid(format!("Scorer model must be a string, got {kind}.")))
        }
    }
}

/// Whether a scorer, or one in it, carries code that reading it would run.
fn has_code(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            map.get("call_source").is_some_and(|source| !source.is_null())
                || map.values().any(has_code)
        }
        Value::Array(items) => items.iter().any(has_code),
        _ => false,
    }
}

/// The model that a scorer asks, by the kinds of scorers there are.
fn model_of(scorer: &Value) -> Option<&Value> {
    const KINDS: [&str; 3] = [
        "instructions_judge_pydantic_data",
        "builtin_scorer_pydantic_data",
        "third_party_scorer_data",
    ];
    let remembering = scorer.get("memory_augmented_judge_data");
    match remembering.and_then(|data| data.get("base_judge")) {
        Some(judge) => model_of(judge),
        None => KINDS.iter().find_map(|kind| scorer.get(kind)?.get("model")),
    }
}

/// The experiment must be active: MLflow answers for no other.
fn check_active(snapshot: &Snapshot, experiment: ExperimentId) -> Result<DocumentId, ApiError> {
    let row = snapshot.experiment(experiment)?;
    let row = row.ok_or_else(|| experiments::no_such(experiment))?;
    if row.lifecycle != Lifecycle::Active {
        let (id, is) = (experiment, row.lifecycle);
        return Err(Refusal::WrongExperimentState { id, is }.into());
    }
    Ok(row.document)
}

fn find(
    snapshot: &Snapshot,
    experiment: ExperimentId,
    name: &str,
) -> Result<DocumentRow, ApiError> {
    let document = DocumentId::scorer(&check_active(snapshot, experiment)?, name);
    let row = snapshot.document(&document)?.filter(|row| Scorer::of(row).is_some());
    row.ok_or_else(|| no_such(name, None, experiment))
}

fn versions_of(row: &DocumentRow) -> Vec<ScorerVersion> {
    Scorer::of(row).map(|scorer| scorer.versions()).unwrap_or_default()
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let fields = query.fields();
    let one = fields.text("experiment_id")?.filter(|id| !id.is_empty());
    let some = fields.has("experiment_ids")?.then(|| fields.texts("experiment_ids")).transpose()?;
    let one = one.map(experiments::parse_id).transpose()?;
    let some = some.map(|ids| ids.into_iter().map(experiments::parse_id).collect());
    let some: Option<Vec<ExperimentId>> = some.transpose()?;
    if one.is_some() && some.is_some() {
        return Err(ApiError::invalid(
            "Cannot specify both 'experiment_id' and 'experiment_ids'. Use 'experiment_ids' to \
             scope the query to multiple experiments, or 'experiment_id' to scope it to a single \
             experiment.",
        ));
    }
    read(&app, move |snapshot| {
        let mut wanted = match (one, some) {
            (Some(experiment), _) => {
                check_active(snapshot, experiment)?;
                vec![experiment]
            }
            (None, Some(experiments)) => experiments,
            (None, None) => snapshot.experiments()?.into_iter().map(|row| row.id).collect(),
        };
        wanted.sort_unstable();
        wanted.dedup();
        let mut rows = Vec::new();
        for experiment in wanted {
            let active = snapshot.experiment(experiment)?;
            if active.is_some_and(|row| row.lifecycle == Lifecycle::Active) {
                rows.extend(snapshot.scorers_of(experiment)?);
            }
        }
        let latest: Vec<_> =
            rows.iter().filter_map(|row| Some((Scorer::of(row)?, versions_of(row)))).collect();
        let items: Vec<_> = latest
            .iter()
            .filter_map(|(scorer, versions)| Some(ScorerJson::new(scorer, versions.last()?)))
            .collect();
        Ok(render::json(&Page { name: "scorers", items: &items, next: None }))
    })
    .await
}

pub(super) async fn versions(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let (experiment, name) = named(query.fields())?;
    read(&app, move |snapshot| {
        let row = find(snapshot, experiment, &name)?;
        let versions = versions_of(&row);
        let scorer = Scorer::of(&row).expect("it was found");
        let items: Vec<_> =
            versions.iter().map(|version| ScorerJson::new(&scorer, version)).collect();
        Ok(render::json(&Page { name: "scorers", items: &items, next: None }))
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct OneScorer<'a> {
        scorer: ScorerJson<'a>,
    }
    let query = Message::from_query(&query.unwrap_or_default());
    let (experiment, name) = named(query.fields())?;
    let number = version(query.fields())?;
    read(&app, move |snapshot| {
        let row = find(snapshot, experiment, &name)?;
        let versions = versions_of(&row);
        let asked = |version: &&ScorerVersion| number.is_none_or(|it| it == version.number);
        let version = versions.iter().rev().find(asked);
        let version = version.ok_or_else(|| no_such(&name, number, experiment))?;
        let scorer = Scorer::of(&row).expect("it was found");
        Ok(render::json(&OneScorer { scorer: ScorerJson::new(&scorer, version) }))
    })
    .await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let (experiment, name) = named(fields)?;
    let number = version(fields)?;
    change(&app, experiment, name, ScorerChange::Delete(number)).await?;
    Ok(render::done())
}

/// How scorers are used on traces as they come: what was set, by the scorers' ids.
pub(super) async fn online_configs(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let ids = query.fields().texts("scorer_ids")?;
    if ids.is_empty() {
        return Err(missing("scorer_ids"));
    }
    let documents: Vec<DocumentId> = ids.into_iter().filter_map(parse_id).collect();
    read(&app, move |snapshot| {
        let mut configs = Vec::new();
        for document in documents {
            let row = snapshot.document(&document)?;
            let online = row.as_ref().and_then(Scorer::of).and_then(|scorer| scorer.online());
            configs.extend(online.and_then(|json| serde_json::from_str::<Value>(json).ok()));
        }
        Ok(render::json(&json!({ "configs": configs })))
    })
    .await
}

/// Sets how a scorer is used on traces as they come. Only a scorer that asks a model of the gateway
/// can be used so, and there is no gateway here: so what can be said is that it is not used.
pub(super) async fn set_online_config(
    State(app): State<Arc<App>>,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let message = Message::from_json(&body.0);
    let fields = message.fields();
    let (experiment, name) = named(fields)?;
    let rate = fields.number("sample_rate")?.ok_or_else(|| missing("sample_rate"))?;
    let filter = fields.text("filter_string")?.map(str::to_owned);
    limits::check_length(
        "filter_string",
        limits::MAX_LOGGED_MODEL_VALUE_CHARS,
        filter.as_deref().unwrap_or_default(),
    )?;
    if !(0.0..=1.0).contains(&rate) {
        let message = format!("sample_rate must be between 0.0 and 1.0, got {rate:?}");
        return Err(ApiError::invalid(message));
    }
    let wanted = name.clone();
    let scorer = read(&app, move |snapshot| find(snapshot, experiment, &wanted)).await?.document;
    if rate > 0.0 {
        return Err(ApiError::invalid(format!(
            "Scorer {} does not use a gateway model. Automatic evaluation is only supported for \
             scorers that use gateway models.",
            python::repr(&name)
        )));
    }
    let mut config = json!({
        "online_scoring_config_id": HEXLOWER.encode(&rand::random::<[u8; 16]>()),
        "scorer_id": id_text(&scorer),
        "sample_rate": 0.0,
        "experiment_id": experiment.to_string(),
    });
    if let Some(filter) = filter.filter(|filter| !filter.is_empty()) {
        config["filter_string"] = filter.into();
    }
    change(&app, experiment, name, ScorerChange::SetOnline(config.to_string())).await?;
    Ok(render::json(&json!({ "config": config })))
}
