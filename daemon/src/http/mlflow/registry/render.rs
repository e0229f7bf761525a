//! Models and versions as MLflow's clients read them.

use runmesh_core::document::Container;
use runmesh_core::ids::DocumentId;
use runmesh_core::registry::{Model, Registry, Version};
use runmesh_core::rows::DocumentRow;
use runmesh_core::store::{Snapshot, StoreError};
use serde::Serialize;

use super::SEMVER_TAG;

#[derive(Debug, Serialize)]
struct PairJson {
    key: String,
    value: String,
}

fn tags(row: &DocumentRow) -> Vec<PairJson> {
    let pair = |(key, value): (&str, &str)| PairJson { key: key.into(), value: value.into() };
    row.texts(Container::Tags).map(pair).collect()
}

#[derive(Debug, Serialize)]
struct AliasJson {
    alias: String,
    version: String,
}

/// A version.
#[derive(Debug, Serialize)]
pub(super) struct VersionJson {
    name: String,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    current_stage: &'static str,
    description: String,
    source: String,
    run_id: String,
    status: &'static str,
    run_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<PairJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    model_id: String,
}

impl VersionJson {
    pub(super) fn new(model: &Model, version: &Version) -> Self {
        let named = |(_, id): &(&str, DocumentId)| *id == version.id();
        let aliases = model.aliases().filter(named).map(|(alias, _)| alias.to_owned()).collect();
        let mut tags = tags(&version.row);
        if !version.semver_text().is_empty() {
            let (key, value) = (SEMVER_TAG.to_owned(), version.semver_text().to_owned());
            tags.push(PairJson { key, value });
        }
        Self {
            name: model.name.clone(),
            version: version.number().to_string(),
            creation_timestamp: version.created().millis() as i64,
            last_updated_timestamp: version.updated_ms(model),
            current_stage: version.stage().as_str(),
            description: version.row.description.clone(),
            source: version.source().to_owned(),
            run_id: version.run_id().to_owned(),
            status: "READY",
            run_link: version.run_link().to_owned(),
            tags,
            aliases,
            model_id: version.logged_model().to_owned(),
        }
    }
}

/// A registered model with the latest version of each stage.
#[derive(Debug, Serialize)]
pub(super) struct ModelJson {
    name: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<VersionJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<PairJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<AliasJson>,
}

impl ModelJson {
    pub(super) fn read(snapshot: &Snapshot, model: &Model) -> Result<Self, StoreError> {
        let mut registry = Registry::new(snapshot);
        let latest = registry.latest(&model.id())?;
        let mut aliases = Vec::new();
        for (alias, id) in model.aliases() {
            // One whose version was deleted elsewhere meanwhile names nothing.
            let version = registry.version_of(&id)?;
            let version = version.map(|version| version.number().to_string());
            aliases.extend(version.map(|version| AliasJson { alias: alias.to_owned(), version }));
        }
        Ok(Self {
            name: model.name.clone(),
            creation_timestamp: model.created().millis() as i64,
            last_updated_timestamp: model.updated_ms(),
            description: model.row.description.clone(),
            latest_versions: latest.iter().map(|one| VersionJson::new(model, one)).collect(),
            tags: tags(&model.row),
            aliases,
        })
    }
}
