//! Which events what is done in the registry are, and what they carry.

use runmesh_core::action::{ModelAction, ModelChange, NewVersion, VersionChange};
use runmesh_core::document::Container;
use runmesh_core::registry::Version;
use runmesh_core::rows::{DocumentRow, KeyValue};
use serde_json::Map;

use super::super::registry::PROMPT_TAG;
use super::event::{Event, Field, Payload, text};

/// The tag that holds a prompt's template.
const TEMPLATE_TAG: &str = "mlflow.prompt.text";
/// The tag that says what kind of template it is.
const TYPE_TAG: &str = "_mlflow_prompt_type";

/// The event of an action that was carried out and answered with a document, if it is one.
pub(crate) fn event_of(action: &ModelAction, row: &DocumentRow) -> Option<(Event, Payload)> {
    let tag = row.text(Container::Tags, PROMPT_TAG);
    let prompt = tag.is_some_and(|tag| tag.eq_ignore_ascii_case("true"));
    let either = |of_prompt, of_model| if prompt { of_prompt } else { of_model };
    Some(match action {
        ModelAction::Create { name, tags, description } => {
            let event = either(Event::PromptCreated, Event::ModelCreated);
            let description = ("description", description.clone().into());
            (event, [text("name", name), shown(tags, prompt), description].into())
        }
        ModelAction::Update { model, change } => model_event(text("name", model), change, prompt)?,
        ModelAction::Register(new) => registered(new, row, prompt),
        ModelAction::UpdateVersion { model, version, change } => {
            let (name, version) = (text("name", model), text("version", &version.to_string()));
            match change {
                VersionChange::SetTag(tag) => {
                    let event = either(Event::PromptVersionTagSet, Event::VersionTagSet);
                    (
                        event,
                        [name, version, text("key", &tag.key), text("value", &tag.value)].into(),
                    )
                }
                VersionChange::DeleteTag(key) => {
                    let event = either(Event::PromptVersionTagDeleted, Event::VersionTagDeleted);
                    (event, [name, version, text("key", key)].into())
                }
                _ => return None,
            }
        }
    })
}

fn model_event(name: Field, change: &ModelChange, prompt: bool) -> Option<(Event, Payload)> {
    let either = |of_prompt, of_model| if prompt { of_prompt } else { of_model };
    Some(match change {
        ModelChange::SetTag(tag) if prompt => {
            let fields = [name, text("key", &tag.key), text("value", &tag.value)];
            (Event::PromptTagSet, fields.into())
        }
        ModelChange::DeleteTag(key) if prompt => {
            (Event::PromptTagDeleted, [name, text("key", key)].into())
        }
        ModelChange::SetAlias { alias, version } => {
            let event = either(Event::PromptAliasCreated, Event::VersionAliasCreated);
            let fields = [name, text("alias", alias), text("version", &version.to_string())];
            (event, fields.into())
        }
        ModelChange::DeleteAlias(alias) => {
            let event = either(Event::PromptAliasDeleted, Event::VersionAliasDeleted);
            (event, [name, text("alias", alias)].into())
        }
        _ => return None,
    })
}

fn registered(new: &NewVersion, row: &DocumentRow, prompt: bool) -> (Event, Payload) {
    let (name, tags) = (text("name", &new.model), shown(&new.tags, prompt));
    let version = text("version", &Version { row: row.clone() }.number().to_string());
    let given = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned).into();
    let description = ("description", given(new.description.as_deref().unwrap_or_default()));
    if prompt {
        let template = new.tags.iter().rev().find(|tag| tag.key == TEMPLATE_TAG);
        let template = ("template", template.map(|tag| tag.value.clone()).into());
        let fields = [name, version, template, tags, description];
        return (Event::PromptVersionCreated, fields.into());
    }
    let run_id = ("run_id", given(&new.run_id));
    let fields = [name, version, text("source", &new.source), run_id, tags, description];
    (Event::VersionCreated, fields.into())
}

/// The tags that a receiver is told of: of a prompt, those that are not how it is kept.
fn shown(tags: &[KeyValue], prompt: bool) -> Field {
    let own = [PROMPT_TAG, TEMPLATE_TAG, TYPE_TAG];
    let shown = tags.iter().filter(|tag| !prompt || !own.contains(&tag.key.as_str()));
    let shown: Map<_, _> = shown.map(|tag| (tag.key.clone(), tag.value.as_str().into())).collect();
    ("tags", shown.into())
}
