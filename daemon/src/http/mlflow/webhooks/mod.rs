//! Webhooks: list, create, get, update, delete, test.

mod delivery;
mod event;
mod registry_events;
mod store;
mod target;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;

pub(crate) use self::event::Event;
pub(crate) use self::registry_events::event_of;
pub(crate) use self::store::Webhooks;

use self::delivery::{Delivery, MAX_ANSWER_BYTES};
use self::store::{Webhook, WebhookChange, WebhookError};
use super::error::{ApiError, ErrorCode};
use super::message::{Fields, Message};
use super::render::{self, Page};
use super::{limits, page, python};
use crate::app::App;

/// What the home keeps of webhooks.
pub(crate) type Kept = Vec<Webhook>;

/// The elements of a page, unless asked for another number.
const DEFAULT_RESULTS: i64 = 100;
/// The most elements of a page.
const MAX_RESULTS: i64 = 1000;
const MAX_NAME_CHARS: usize = 63;
const MAX_URL_CHARS: usize = 2048;
const MAX_DESCRIPTION_CHARS: usize = 1000;
const MAX_SECRET_CHARS: usize = 1000;

/// Whether it is told of anything, in the order of their numbers.
const STATUSES: [(&str, bool); 2] = [("ACTIVE", true), ("DISABLED", false)];

#[derive(Serialize)]
struct WebhookJson<'a> {
    webhook_id: &'a str,
    name: &'a str,
    url: &'a str,
    events: Vec<EventJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    status: &'static str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
}

#[derive(Serialize)]
struct EventJson {
    entity: String,
    action: String,
}

impl<'a> From<&'a Webhook> for WebhookJson<'a> {
    fn from(webhook: &'a Webhook) -> Self {
        let event = |event: &Event| {
            let (entity, action) = event.words();
            EventJson { entity: entity.to_uppercase(), action: action.to_uppercase() }
        };
        Self {
            webhook_id: &webhook.id,
            name: &webhook.name,
            url: &webhook.url,
            events: webhook.events.iter().map(event).collect(),
            description: webhook.description.as_deref(),
            status: STATUSES[usize::from(!webhook.active)].0,
            creation_timestamp: webhook.created_ms,
            last_updated_timestamp: webhook.updated_ms,
        }
    }
}

fn answer(webhook: &Webhook) -> Response {
    #[derive(Serialize)]
    struct One<'a> {
        webhook: WebhookJson<'a>,
    }
    render::json(&One { webhook: webhook.into() })
}

fn no_such(id: &str) -> ApiError {
    ApiError::absent(format!("Webhook with ID {id} not found."))
}

impl From<WebhookError> for ApiError {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::TooMany => Self::invalid(error.to_string()),
            WebhookError::Home(error) => Self::with_causes(ErrorCode::InternalError, &error),
        }
    }
}

fn read_event(fields: Fields<'_>) -> Result<Event, ApiError> {
    let (entity, action) = (fields.required_text("entity")?, fields.required_text("action")?);
    Event::of(entity, action).map_err(|actions| {
        if actions.is_empty() {
            return ApiError::invalid(format!(
                "Unknown webhook entity '{}'",
                entity.to_lowercase()
            ));
        }
        let actions: Vec<String> = actions.into_iter().map(python::repr).collect();
        ApiError::invalid(format!(
            "Invalid action '{}' for entity '{}'. Valid actions are: [{}]",
            action.to_lowercase(),
            entity.to_lowercase(),
            actions.join(", ")
        ))
    })
}

fn is_name(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let ends = [name.bytes().next(), name.bytes().next_back()];
    name.len() <= MAX_NAME_CHARS
        && name.bytes().all(inside)
        && ends.into_iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()))
}

/// What a request says of a webhook, checked. What is empty of what must not be is left out.
fn read_change(app: &App, fields: Fields<'_>) -> Result<WebhookChange, ApiError> {
    let given = |name: &'static str, limit| -> Result<Option<String>, ApiError> {
        let Some(text) = fields.text(name)? else { return Ok(None) };
        limits::check_length(name, limit, text)?;
        Ok(Some(text.to_owned()))
    };
    let name = given("name", MAX_URL_CHARS)?.filter(|name| !name.is_empty());
    if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
        return Err(ApiError::invalid(format!(
            "Webhook name {} is invalid. It must start and end with a letter or digit, be less \
             than 63 characters long, and contain only letters, digits, dots (.), underscores (_), \
             and hyphens (-).",
            python::repr(name)
        )));
    }
    let url = given("url", MAX_URL_CHARS)?.filter(|url| !url.is_empty());
    let mut events = Vec::new();
    for event in fields.messages("events")? {
        let event = read_event(event)?;
        if !events.contains(&event) {
            events.push(event);
        }
    }
    if let Some(url) = &url {
        target::parse(url, app.webhooks.policy())
            .map_err(|error| ApiError::invalid(error.to_string()))?;
    }
    Ok(WebhookChange {
        name,
        url,
        events: Some(events).filter(|events| !events.is_empty()),
        description: given("description", MAX_DESCRIPTION_CHARS)?,
        active: fields.word("status", &STATUSES)?,
        secret: given("secret", MAX_SECRET_CHARS)?,
    })
}

/// Refuses a name that stands for an address that must not be sent to. One that stands for nothing
/// now may do so when there is something to send, and is checked then.
async fn check_names(app: &App, change: &WebhookChange) -> Result<(), ApiError> {
    let policy = app.webhooks.policy();
    let Some(url) = change.url.as_deref() else { return Ok(()) };
    let Ok(url) = target::parse(url, policy) else { return Ok(()) };
    let host = url.host_str().unwrap_or_default().to_owned();
    let Ok(addresses) = tokio::net::lookup_host((host.as_str(), 0)).await else { return Ok(()) };
    for address in addresses {
        target::check(&host, address.ip(), policy)
            .map_err(|error| ApiError::invalid(error.to_string()))?;
    }
    Ok(())
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    fields.required_text("name")?;
    fields.required_text("url")?;
    let new = read_change(&app, fields)?;
    if new.events.is_none() {
        let message = "Webhook events must be a non-empty list of WebhookEvent objects: [].";
        return Err(ApiError::invalid(message));
    }
    check_names(&app, &new).await?;
    Ok(answer(&app.webhooks.create(&app.home, new)?))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let limit = fields.integer("max_results")?.filter(|limit| *limit != 0);
    let limit = limit.unwrap_or(DEFAULT_RESULTS);
    if !(1..=MAX_RESULTS).contains(&limit) {
        return Err(ApiError::invalid("max_results must be between 1 and 1000."));
    }
    let limit = limit as usize;
    let offset = page::offset(fields.text("page_token")?)?;
    let all = app.webhooks.all();
    let rest = all.get(offset..).unwrap_or_default();
    let items: Vec<_> = rest.iter().take(limit).map(WebhookJson::from).collect();
    let next = (rest.len() > limit).then(|| page::token(offset + limit));
    Ok(render::json(&Page { name: "webhooks", items: &items, next }))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(answer(&app.webhooks.get(&id).ok_or_else(|| no_such(&id))?))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let change = read_change(&app, message.fields())?;
    check_names(&app, &change).await?;
    let updated = app.webhooks.update(&app.home, &id, change)?;
    Ok(answer(&updated.ok_or_else(|| no_such(&id))?))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    match app.webhooks.delete(&app.home, &id)? {
        true => Ok(render::done()),
        false => Err(no_such(&id)),
    }
}

/// Sends an example once, and tells what came of it.
pub(super) async fn test(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Tested {
        result: TestResult,
    }
    #[derive(Default, Serialize)]
    struct TestResult {
        success: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_status: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_body: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_message: Option<String>,
    }
    let event = message.fields().message("event")?.map(read_event).transpose()?;
    let webhook = app.webhooks.get(&id).ok_or_else(|| no_such(&id))?;
    let event = event.or_else(|| webhook.events.first().copied());
    let event = event.ok_or_else(|| ApiError::invalid("The webhook has no event to test."))?;
    let delivery = Delivery { webhook, event, data: event.example() };
    let result = match app.webhooks.sender().send(&delivery).await {
        Ok(response) => {
            let status = response.status();
            TestResult {
                success: status.as_u16() < 400,
                response_status: Some(status.as_u16()),
                response_body: Some(head(response).await),
                error_message: None,
            }
        }
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            let causes = std::iter::successors(Some(error), |error| error.source());
            let causes: Vec<String> = causes.map(ToString::to_string).collect();
            let message = format!("Failed to test webhook: {}", causes.join(": "));
            TestResult { error_message: Some(message), ..TestResult::default() }
        }
    };
    Ok(render::json(&Tested { result }))
}

/// The head of a receiver's answer.
async fn head(mut response: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ANSWER_BYTES {
            body.truncate(MAX_ANSWER_BYTES);
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_mlflow() {
        for name in ["a", "my-hook", "a.b_c-9", &"x".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "a b", "é", ".", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
