//! Searching logged models: from MLflow's words for it to a query, and page by page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use data_encoding::{BASE64, HEXLOWER};
use runmesh_core::search::{
    Clause, Condition, DatasetFilter, Field, LOGGED_MODELS, LoggedModelAttribute, LoggedModelOrder,
    LoggedModelQuery, PageStart, SearchError, parse_filter, search_logged_models,
};
use serde_json::{Value, json};

use super::error::ApiError;
use super::logged_models::{LoggedModelJson, Shown};
use super::message::{Fields, Message, invalid_value, missing};
use super::render::{self, Page};
use super::{experiments, python, read};
use crate::app::App;

/// The elements of a page, unless asked for another number.
const DEFAULT_RESULTS: usize = 100;
/// The most elements of a page, whoever asks for more gets the rest by further pages.
const MAX_RESULTS: usize = 50_000;

pub(super) async fn search(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let request = Request::read(fields)?;
    let (offset, start) = request.start(fields.text("page_token")?)?;
    let query = query(fields, start)?;
    read(&app, move |snapshot| {
        let found = search_logged_models(snapshot, &query)?;
        let shown = found.models.into_iter().map(|row| Shown::read(snapshot, row));
        let shown = shown.collect::<Result<Vec<_>, _>>()?;
        let items: Vec<LoggedModelJson<'_>> = shown.iter().map(Shown::json).collect();
        let next = found.next.map(|key| request.token(offset + items.len(), &key));
        Ok(render::json(&Page { name: "models", items: &items, next }))
    })
    .await
}

/// What of a request its page tokens repeat, so that a page is of the search it claims to be of.
struct Request {
    experiment_ids: Value,
    filter: Value,
    order_by: Value,
}

impl Request {
    fn read(fields: Fields<'_>) -> Result<Self, ApiError> {
        let filter = fields.text("filter")?.filter(|filter| !filter.is_empty());
        let order = |order: Fields<'_>| {
            let text = |name| Ok::<_, ApiError>(order.text(name)?.filter(|text| !text.is_empty()));
            Ok::<_, ApiError>(json!({
                "field_name": order.text("field_name")?.unwrap_or_default(),
                "ascending": order.flag("ascending")?.unwrap_or(true),
                "dataset_name": text("dataset_name")?,
                "dataset_digest": text("dataset_digest")?,
            }))
        };
        let order: Vec<Value> =
            fields.messages("order_by")?.into_iter().map(order).collect::<Result<_, _>>()?;
        Ok(Self {
            experiment_ids: fields.texts("experiment_ids")?.into(),
            filter: filter.into(),
            order_by: if order.is_empty() { Value::Null } else { order.into() },
        })
    }

    /// The token of the page that starts after the model with this sort key.
    fn token(&self, offset: usize, key: &[u8]) -> String {
        let token = json!({
            "experiment_ids": self.experiment_ids,
            "filter_string": self.filter,
            "order_by": self.order_by,
            "offset": offset,
            "after": HEXLOWER.encode(key),
        });
        BASE64.encode(token.to_string().as_bytes())
    }

    /// Where the page of a token starts: how many models were on pages before it, and after which.
    fn start(&self, token: Option<&str>) -> Result<(usize, PageStart), ApiError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok((0, PageStart::default()));
        };
        let invalid = || ApiError::invalid(format!("Invalid page token: {token}"));
        let bytes = BASE64.decode(token.as_bytes()).ok();
        let held = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(held) = held.filter(Value::is_object) else {
            return Err(invalid());
        };
        let parts = [
            (
                "experiment_ids",
                &self.experiment_ids,
                "Experiment IDs in the page token do not match the requested experiment IDs.",
            ),
            (
                "filter_string",
                &self.filter,
                "Filter string in the page token does not match the requested filter string.",
            ),
            (
                "order_by",
                &self.order_by,
                "Order by in the page token does not match the requested order by.",
            ),
        ];
        for (name, expected, mismatch) in parts {
            let found = held.get(name).unwrap_or(&Value::Null);
            if found != expected {
                let (expected, found) = (python::json(expected), python::json(found));
                let message = format!("{mismatch} Expected: {expected}. Found: {found}");
                return Err(ApiError::invalid(message));
            }
        }
        let offset = held.get("offset").and_then(Value::as_u64).unwrap_or_default();
        let offset = usize::try_from(offset).map_err(|_| invalid())?;
        let Some(after) = held.get("after") else { return Ok((offset, PageStart::Offset(offset))) };
        let key = after.as_str().and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok());
        Ok((offset, PageStart::After(key.ok_or_else(invalid)?)))
    }
}

fn query(fields: Fields<'_>, start: PageStart) -> Result<LoggedModelQuery, ApiError> {
    if !fields.has("experiment_ids")? {
        return Err(missing("experiment_ids"));
    }
    let limit = match fields.integer("max_results")?.unwrap_or_default() {
        0 => DEFAULT_RESULTS,
        given => usize::try_from(given).map_err(|_| {
            let reason = "It must be a positive integer";
            invalid_value("max_results", &Value::from(given), reason)
        })?,
    };
    let limit = limit.min(MAX_RESULTS);
    let experiments = fields.texts("experiment_ids")?.into_iter().map(experiments::parse_id);
    let filter = fields.text("filter")?.unwrap_or_default();
    let mut clauses = parse_filter(&LOGGED_MODELS, filter).map_err(|error| match error {
        SearchError::InvalidClauses(_) => ApiError::invalid(format!(
            "Invalid filter string: {}. Expected a list of comparisons separated by 'AND' (e.g. \
             'metrics.loss > 0.1 AND params.lr = 0.01').",
            python::repr(filter)
        )),
        other => other.into(),
    })?;
    clauses.iter_mut().for_each(name_status);
    let datasets = fields.messages("datasets")?.into_iter().map(dataset);
    let order = fields.messages("order_by")?.into_iter().map(order);
    Ok(LoggedModelQuery {
        experiments: experiments.collect::<Result<_, _>>()?,
        clauses,
        datasets: datasets.collect::<Result<_, _>>()?,
        order: order.collect::<Result<_, _>>()?,
        start,
        limit,
    })
}

/// MLflow compares a status by its number and finds nothing by its word; both shall do.
fn name_status(clause: &mut Clause<LoggedModelAttribute>) {
    if clause.field != Field::Attribute(LoggedModelAttribute::Status) {
        return;
    }
    let name = |text: &mut String| {
        let plain = text.strip_prefix("LOGGED_MODEL_").unwrap_or(text);
        *text = match plain {
            "1" => "PENDING",
            "2" => "READY",
            "3" | "UPLOAD_FAILED" => "FAILED",
            other => other,
        }
        .to_owned();
    };
    match &mut clause.condition {
        Condition::Equal(text) | Condition::NotEqual(text) => name(text),
        Condition::In(texts) | Condition::NotIn(texts) => texts.iter_mut().for_each(name),
        _ => {}
    }
}

fn dataset(dataset: Fields<'_>) -> Result<DatasetFilter, ApiError> {
    let text = |name| Ok::<_, ApiError>(dataset.text(name)?.filter(|text| !text.is_empty()));
    let Some(name) = text("dataset_name")? else {
        let message = "`dataset_name` in the `datasets` clause must be specified.";
        return Err(ApiError::invalid(message));
    };
    Ok(DatasetFilter {
        name: Some(name.to_owned()),
        digest: text("dataset_digest")?.map(str::to_owned),
    })
}

fn order(order: Fields<'_>) -> Result<LoggedModelOrder, ApiError> {
    let name = order.text("field_name")?.unwrap_or_default();
    let field = match name.split_once('.') {
        Some(("metrics", key)) => Field::Metric(key.to_owned()),
        Some(_) => {
            return Err(ApiError::invalid(format!(
                "Invalid order by field name: {name}. Only metrics are supported."
            )));
        }
        None => {
            let attribute = LOGGED_MODELS.attribute_to_order_by(name);
            let unknown = || ApiError::invalid(format!("Invalid order by field name: {name}"));
            Field::Attribute(attribute.ok_or_else(unknown)?)
        }
    };
    let text = |name| Ok::<_, ApiError>(order.text(name)?.filter(|text| !text.is_empty()));
    Ok(LoggedModelOrder {
        field,
        ascending: order.flag("ascending")?.unwrap_or(true),
        dataset: DatasetFilter {
            name: text("dataset_name")?.map(str::to_owned),
            digest: text("dataset_digest")?.map(str::to_owned),
        },
    })
}
