//! Searching registered models and versions. Prompts are hidden unless a filter asks for them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::registry::{Model, Registry, SearchedModel, SearchedVersion};
use runmesh_core::search::{
    Clause, Condition, Field, MODEL_VERSIONS, REGISTERED_MODELS, RowQuery, Schema,
    VersionAttribute, parse_filter, parse_order, search_rows,
};
use runmesh_core::store::{Snapshot, StoreError};
use serde_json::Value;

use super::super::error::ApiError;
use super::super::message::{Fields, Message, wrong_type};
use super::super::render::{self, Page};
use super::super::{page, read};
use super::render::{ModelJson, VersionJson};
use super::{PROMPT_TAG, SEMVER_TAG};
use crate::app::App;

const DEFAULT_MODELS: i64 = 100;
const MAX_MODELS: i64 = 1000;
const DEFAULT_VERSIONS: i64 = 200_000;
const MAX_VERSIONS: i64 = 200_000;

/// A search as it was asked for.
struct Asked<A> {
    query: RowQuery<A>,
    page: page::Asked,
    /// Whether prompts are searched, or what is none.
    prompts: bool,
}

impl<A: Copy + PartialEq> Asked<A> {
    fn read(
        what: &str,
        fields: Fields<'_>,
        schema: &Schema<A>,
        default: i64,
        most: i64,
    ) -> Result<Self, ApiError> {
        let limit = fields.integer("max_results")?.unwrap_or(default);
        if limit > most {
            // The client sent it in a URL, where all is text.
            return Err(wrong_type("max_results", &Value::from(limit.to_string())));
        }
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid value for max_results. It must be a positive integer, but got {limit}"
            ))
        })?;
        let page = page::Asked::read(what, fields)?;
        let mut clauses = parse_filter(schema, fields.text("filter")?.unwrap_or_default())?;
        let order = parse_order(schema, &fields.texts("order_by")?)?;
        let prompts = ask_for_prompts(&clauses);
        if !prompts {
            // That a model is none need not be said of it.
            clauses.retain(|clause| clause.field != Field::Tag(PROMPT_TAG.to_owned()));
        }
        let query = RowQuery { clauses, order, start: page.start.clone(), limit };
        Ok(Self { query, page, prompts })
    }
}

/// Whether a filter asks for prompts: the first clause about it decides.
fn ask_for_prompts<A: PartialEq>(clauses: &[Clause<A>]) -> bool {
    let about = clauses.iter().find(|clause| clause.field == Field::Tag(PROMPT_TAG.to_owned()));
    match about.map(|clause| &clause.condition) {
        Some(Condition::Equal(value)) => value.eq_ignore_ascii_case("true"),
        Some(Condition::NotEqual(value)) => value.eq_ignore_ascii_case("false"),
        _ => false,
    }
}

fn is_prompt(model: &Model) -> bool {
    model.tag(PROMPT_TAG) == Some("true")
}

pub(super) async fn models(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let asked =
        Asked::read("models", message.fields(), &REGISTERED_MODELS, DEFAULT_MODELS, MAX_MODELS)?;
    read(&app, move |snapshot| {
        let rows = Registry::new(snapshot).models()?.into_iter();
        let rows = rows.filter(|model| asked.prompts || !is_prompt(model)).map(SearchedModel);
        let found = search_rows(rows.map(Ok), &asked.query)?;
        let items = found.rows.iter().map(|model| ModelJson::read(snapshot, &model.0));
        let items = items.collect::<Result<Vec<_>, _>>()?;
        let next = found.next.map(|key| asked.page.next(items.len(), &key));
        Ok(render::json(&Page { name: "registered_models", items: &items, next }))
    })
    .await
}

pub(super) async fn versions(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let mut asked =
        Asked::read("versions", message.fields(), &MODEL_VERSIONS, DEFAULT_VERSIONS, MAX_VERSIONS)?;
    asked.query.map_fields(|field| match field {
        Field::Tag(tag) if tag == SEMVER_TAG => Field::Attribute(VersionAttribute::Semver),
        other => other,
    });
    read(&app, move |snapshot| {
        let models = models_of(snapshot, &asked.query.clauses)?;
        let mut rows = Vec::new();
        for model in models.iter().filter(|model| asked.prompts || !is_prompt(model)) {
            let versions = Registry::new(snapshot).versions(&model.id())?.into_iter();
            let versions = versions.map(|version| SearchedVersion { model, version });
            rows.extend(
                versions.filter(|row| asked.prompts || row.version.tag(PROMPT_TAG) != Some("true")),
            );
        }
        let found = search_rows(rows.into_iter().map(Ok), &asked.query)?;
        let items = found.rows.iter().map(|row| VersionJson::new(row.model, &row.version));
        let items: Vec<_> = items.collect();
        let next = found.next.map(|key| asked.page.next(items.len(), &key));
        Ok(render::json(&Page { name: "model_versions", items: &items, next }))
    })
    .await
}

/// The models whose versions a filter may find: most name one.
fn models_of(
    snapshot: &Snapshot,
    clauses: &[Clause<VersionAttribute>],
) -> Result<Vec<Model>, StoreError> {
    let name = clauses.iter().find_map(|clause| match (&clause.field, &clause.condition) {
        (Field::Attribute(VersionAttribute::Name), Condition::Equal(name)) => Some(name),
        _ => None,
    });
    match name {
        Some(name) => Ok(Registry::new(snapshot).model(name)?.into_iter().collect()),
        None => Registry::new(snapshot).models(),
    }
}
