//! Which events what is done in the registry are, and what they carry.

use runmesh_core::action::{ModelAction, ModelChange, VersionChange};
use runmesh_core::document::Container;
use runmesh_core::registry::Version;
use runmesh_core::rows::{DocumentRow, KeyValue};
use serde_json::{Map, Value, json};

use super::super::registry::PROMPT_TAG;
use super::Event;

/// The tag that holds a prompt's template.
const TEMPLATE_TAG: &str = "mlflow.prompt.text";
/// The tag that says what kind of template it is.
const TYPE_TAG: &str = "_mlflow_prompt_type";

/// The event of an action that was carried out and answered with a document, if it is one.
pub(crate) fn event_of(action: &ModelAction, row: &DocumentRow) -> Option<(Event, Value)> {
    let tag = row.text(Container::Tags, PROMPT_TAG);
    let prompt = tag.is_some_and(|tag| tag.eq_ignore_ascii_case("true"));
    let either = |of_prompt, of_model| if prompt { of_prompt } else { of_model };
    Some(match action {
        ModelAction::Create { name, tags, description } => (
            either(Event::PromptCreated, Event::ModelCreated),
            json!({ "name": name, "tags": shown(tags, prompt), "description": description }),
        ),
        ModelAction::Update { model: name, change } => match change {
            ModelChange::SetTag(tag) if prompt => {
                (Event::PromptTagSet, json!({ "name": name, "key": tag.key, "value": tag.value }))
            }
            ModelChange::DeleteTag(key) if prompt => {
                (Event::PromptTagDeleted, json!({ "name": name, "key": key }))
            }
            ModelChange::SetAlias { alias, version } => (
                either(Event::PromptAliasCreated, Event::VersionAliasCreated),
                json!({ "name": name, "alias": alias, "version": version.to_string() }),
            ),
            ModelChange::DeleteAlias(alias) => (
                either(Event::PromptAliasDeleted, Event::VersionAliasDeleted),
                json!({ "name": name, "alias": alias }),
            ),
            _ => return None,
        },
        ModelAction::Register(new) => {
            let version = Version { row: row.clone() }.number().to_string();
            let mut data = json!({
                "name": new.model,
                "version": version,
                "tags": shown(&new.tags, prompt),
                "description": new.description.as_deref().filter(|text| !text.is_empty()),
            });
            if prompt {
                data["template"] = new
                    .tags
                    .iter()
                    .rev()
                    .find(|tag| tag.key == TEMPLATE_TAG)
                    .map_or(Value::Null, |tag| tag.value.as_str().into());
                (Event::PromptVersionCreated, data)
            } else {
                data["source"] = new.source.as_str().into();
                data["run_id"] = Some(&new.run_id).filter(|id| !id.is_empty()).cloned().into();
                (Event::VersionCreated, data)
            }
        }
        ModelAction::UpdateVersion { model: name, version, change } => match change {
            VersionChange::SetTag(tag) => (
                either(Event::PromptVersionTagSet, Event::VersionTagSet),
                json!({
                    "name": name, "version": version.to_string(), "key": tag.key,
                    "value": tag.value,
                }),
            ),
            VersionChange::DeleteTag(key) => (
                either(Event::PromptVersionTagDeleted, Event::VersionTagDeleted),
                json!({ "name": name, "version": version.to_string(), "key": key }),
            ),
            _ => return None,
        },
    })
}

/// The tags that a receiver is told of: of a prompt, those that are not how it is kept.
fn shown(tags: &[KeyValue], prompt: bool) -> Map<String, Value> {
    let own = [PROMPT_TAG, TEMPLATE_TAG, TYPE_TAG];
    let shown = tags.iter().filter(|tag| !prompt || !own.contains(&tag.key.as_str()));
    shown.map(|tag| (tag.key.clone(), tag.value.as_str().into())).collect()
}
