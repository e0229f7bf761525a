//! What webhooks can be told of, and an example of each for testing them.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

/// A field of a payload.
pub(super) type Field = (&'static str, Value);

/// A field that is a text.
pub(super) fn text(name: &'static str, value: &str) -> Field {
    (name, value.into())
}

/// What a webhook is told of an event: its fields in MLflow's order, for people read them too.
#[derive(Debug, Clone)]
pub(crate) struct Payload(Vec<Field>);

impl<const N: usize> From<[Field; N]> for Payload {
    fn from(fields: [Field; N]) -> Self {
        Self(fields.into())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Something that webhooks can be told of. In a home's file each is written as `entity.action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Event {
    ModelCreated,
    VersionCreated,
    VersionTagSet,
    VersionTagDeleted,
    VersionAliasCreated,
    VersionAliasDeleted,
    PromptCreated,
    PromptVersionCreated,
    PromptTagSet,
    PromptTagDeleted,
    PromptVersionTagSet,
    PromptVersionTagDeleted,
    PromptAliasCreated,
    PromptAliasDeleted,
    /// Of MLflow's gateway, which is not built: it can be subscribed to and never comes.
    BudgetExceeded,
}

impl Event {
    /// All of them.
    const ALL: [Self; 15] = [
        Self::ModelCreated,
        Self::VersionCreated,
        Self::VersionTagSet,
        Self::VersionTagDeleted,
        Self::VersionAliasCreated,
        Self::VersionAliasDeleted,
        Self::PromptCreated,
        Self::PromptVersionCreated,
        Self::PromptTagSet,
        Self::PromptTagDeleted,
        Self::PromptVersionTagSet,
        Self::PromptVersionTagDeleted,
        Self::PromptAliasCreated,
        Self::PromptAliasDeleted,
        Self::BudgetExceeded,
    ];

    /// MLflow's names for what it is about and what was done.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ModelCreated => ("registered_model", "created"),
            Self::VersionCreated => ("model_version", "created"),
            Self::VersionTagSet => ("model_version_tag", "set"),
            Self::VersionTagDeleted => ("model_version_tag", "deleted"),
            Self::VersionAliasCreated => ("model_version_alias", "created"),
            Self::VersionAliasDeleted => ("model_version_alias", "deleted"),
            Self::PromptCreated => ("prompt", "created"),
            Self::PromptVersionCreated => ("prompt_version", "created"),
            Self::PromptTagSet => ("prompt_tag", "set"),
            Self::PromptTagDeleted => ("prompt_tag", "deleted"),
            Self::PromptVersionTagSet => ("prompt_version_tag", "set"),
            Self::PromptVersionTagDeleted => ("prompt_version_tag", "deleted"),
            Self::PromptAliasCreated => ("prompt_alias", "created"),
            Self::PromptAliasDeleted => ("prompt_alias", "deleted"),
            Self::BudgetExceeded => ("budget_policy", "exceeded"),
        }
    }

    /// The event of these words, in whichever case; or the actions that the entity has, which are
    /// none if there is no such entity.
    pub(crate) fn of(entity: &str, action: &str) -> Result<Self, Vec<&'static str>> {
        let (entity, action) = (entity.to_lowercase(), action.to_lowercase());
        let of_entity = || Self::ALL.into_iter().filter(|event| event.words().0 == entity);
        let found = of_entity().find(|event| event.words().1 == action);
        found.ok_or_else(|| {
            let mut actions: Vec<_> = of_entity().map(|event| event.words().1).collect();
            actions.sort_unstable();
            actions
        })
    }

    /// What a test of a webhook sends.
    pub(crate) fn example(self) -> Payload {
        let is_prompt = self.words().0.starts_with("prompt");
        let name = text("name", if is_prompt { "example_prompt" } else { "example_model" });
        let (version, alias) = (text("version", "1"), text("alias", "example_alias"));
        let (key, value) = (text("key", "example_key"), text("value", "example_value"));
        let tags = ("tags", json!({ "example_key": "example_value" }));
        let description = |of: &str| text("description", &format!("An example {of}"));
        match self {
            Self::ModelCreated => [name, tags, description("registered model")].into(),
            Self::PromptCreated => [name, tags, description("prompt")].into(),
            Self::VersionCreated => {
                let (source, run_id) = ("models:/123", "abcd1234abcd5678");
                let (source, run_id) = (text("source", source), text("run_id", run_id));
                [name, version, source, run_id, tags, description("model version")].into()
            }
            Self::PromptVersionCreated => {
                let template = text("template", "Hello {{name}}!");
                [name, version, template, tags, description("prompt version")].into()
            }
            Self::VersionTagSet | Self::PromptVersionTagSet => [name, version, key, value].into(),
            Self::VersionTagDeleted | Self::PromptVersionTagDeleted => [name, version, key].into(),
            Self::PromptTagSet => [name, key, value].into(),
            Self::PromptTagDeleted => [name, key].into(),
            Self::VersionAliasCreated | Self::PromptAliasCreated => [name, alias, version].into(),
            Self::VersionAliasDeleted | Self::PromptAliasDeleted => [name, alias].into(),
            Self::BudgetExceeded => [
                text("budget_policy_id", "bp-abc123"),
                text("budget_unit", "USD"),
                ("budget_amount", json!(100.0)),
                ("current_spend", json!(105.5)),
                text("duration_unit", "MONTHS"),
                ("duration_value", json!(1)),
                text("target_scope", "ENDPOINT"),
                text("workspace", "default"),
                text("target_value", "ep-abc123"),
                ("window_start", json!(1_704_067_200_000_i64)),
            ]
            .into(),
        }
    }
}

impl From<Event> for String {
    fn from(event: Event) -> Self {
        let (entity, action) = event.words();
        format!("{entity}.{action}")
    }
}

impl TryFrom<String> for Event {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let words = text.split_once('.').unwrap_or_default();
        Self::of(words.0, words.1).map_err(|_| format!("there is no event {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_as_it_is_written() {
        for event in Event::ALL {
            assert_eq!(Event::try_from(String::from(event)), Ok(event));
            let (entity, action) = event.words();
            assert_eq!(Event::of(&entity.to_uppercase(), &action.to_uppercase()), Ok(event));
            let example = serde_json::to_string(&event.example()).expect("it is plain data");
            let first = if event == Event::BudgetExceeded { "budget_policy_id" } else { "name" };
            assert!(example.starts_with(&format!("{{\"{first}\":")), "{example}");
        }
        assert_eq!(Event::of("model_version_tag", "created"), Err(vec!["deleted", "set"]));
        assert_eq!(Event::of("nope", "created"), Err(Vec::new()));
    }
}
