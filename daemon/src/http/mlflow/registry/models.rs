//! Registered models: create, get, update, rename, delete, tags, and setting aliases.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::action::{ModelAction, ModelChange};
use runmesh_core::registry::Registry;
use runmesh_core::rows::KeyValue;
use serde::Serialize;

use super::super::error::{ApiError, ErrorCode};
use super::super::message::{Fields, Message};
use super::super::{python, read, render as json};
use super::render::ModelJson;
use super::{PROMPT_TAG, act, checks, model_of, named};
use crate::app::App;

#[derive(Serialize)]
struct OneModel {
    registered_model: ModelJson,
}

/// Answers with a model as it is now.
async fn answer(app: &Arc<App>, name: String) -> Result<Response, ApiError> {
    read(app, move |snapshot| {
        let model = model_of(snapshot, &name)?;
        Ok(json::json(&OneModel { registered_model: ModelJson::read(snapshot, &model)? }))
    })
    .await
}

/// The tags of a request; of one key given twice the last counts.
pub(super) fn tags(fields: Fields<'_>) -> Result<Vec<KeyValue>, ApiError> {
    let tag = |tag: Fields<'_>| {
        let key = tag.text("key")?.unwrap_or_default();
        let value = tag.text("value")?.unwrap_or_default();
        checks::tag(key, value)?;
        Ok(KeyValue::new(key, value))
    };
    fields.messages("tags")?.into_iter().map(tag).collect()
}

/// Whether tags say that what has them is a prompt.
pub(super) fn say_prompt(tags: &[KeyValue]) -> bool {
    let last = tags.iter().rev().find(|tag| tag.key == PROMPT_TAG);
    last.is_some_and(|tag| tag.value.eq_ignore_ascii_case("true"))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let name = fields.required_text("name")?.to_owned();
    checks::new_model_name(&name)?;
    let tags = tags(fields)?;
    let description = checks::description(fields)?;
    let prompt = say_prompt(&tags);
    let create = ModelAction::Create { name: name.clone(), tags, description };
    match act(&app, create).await {
        Ok(_) => answer(&app, name).await,
        Err(error) if error.code == ErrorCode::ResourceAlreadyExists => {
            Err(taken(&app, name, prompt).await?)
        }
        Err(error) => Err(error),
    }
}

/// What MLflow says where a name is taken, which depends on what has it.
async fn taken(app: &Arc<App>, name: String, prompt: bool) -> Result<ApiError, ApiError> {
    const KINDS: [&str; 2] = ["Registered Model", "Prompt"];
    let wanted = KINDS[usize::from(prompt)];
    read(app, move |snapshot| {
        let holder = Registry::new(snapshot).model(&name)?;
        let tag = holder.as_ref().and_then(|holder| holder.tag(PROMPT_TAG));
        let held = KINDS[usize::from(tag.is_some_and(|tag| tag.eq_ignore_ascii_case("true")))];
        let message = match wanted == held {
            true => format!("{wanted} (name={name}) already exists."),
            false => format!(
                "Tried to create a {} with name {}, but the name is already taken by a {}. MLflow \
                 does not allow creating a model and a prompt with the same name.",
                wanted.to_lowercase(),
                python::repr(&name),
                held.to_lowercase()
            ),
        };
        Ok(ApiError::new(ErrorCode::ResourceAlreadyExists, message))
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    answer(&app, message.fields().required_text("name")?.to_owned()).await
}

async fn change(app: &App, name: &str, change: ModelChange) -> Result<(), ApiError> {
    checks::model_name(name)?;
    act(app, ModelAction::Update { model: name.to_owned(), change }).await.map(drop)
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let name = fields.required_text("name")?;
    let description = checks::description(fields)?.unwrap_or_default();
    change(&app, name, ModelChange::Describe(description)).await?;
    answer(&app, name.to_owned()).await
}

pub(super) async fn rename(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let (name, new) = (fields.required_text("name")?, fields.required_text("new_name")?);
    checks::new_model_name(new)?;
    change(&app, name, ModelChange::Rename(new.to_owned())).await?;
    answer(&app, new.to_owned()).await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    change(&app, message.fields().required_text("name")?, ModelChange::Delete).await?;
    Ok(json::done())
}

pub(super) async fn set_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let (name, key) = (fields.required_text("name")?, fields.required_text("key")?);
    let value = fields.text("value")?.unwrap_or_default();
    checks::tag(key, value)?;
    change(&app, name, ModelChange::SetTag(KeyValue::new(key, value))).await?;
    Ok(json::done())
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let (name, key) = (fields.required_text("name")?, fields.required_text("key")?);
    checks::tag_key(key)?;
    change(&app, name, ModelChange::DeleteTag(key.to_owned())).await?;
    Ok(json::done())
}

pub(super) async fn set_alias(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let (name, alias) = (fields.required_text("name")?, fields.required_text("alias")?);
    checks::model_name(name)?;
    checks::new_alias(alias)?;
    let version = named(fields.required_text("version")?)?;
    change(&app, name, ModelChange::SetAlias { alias: alias.to_owned(), version }).await?;
    Ok(json::done())
}

pub(super) async fn delete_alias(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let (name, alias) = (fields.required_text("name")?, fields.required_text("alias")?);
    checks::alias(alias)?;
    change(&app, name, ModelChange::DeleteAlias(alias.to_owned())).await?;
    Ok(json::done())
}
