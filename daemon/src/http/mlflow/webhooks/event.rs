//! What webhooks can be told of, and an example of each for testing them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    pub(crate) fn example(self) -> Value {
        let is_prompt = self.words().0.starts_with("prompt");
        let kind = if is_prompt { "prompt" } else { "model" };
        let name = format!("example_{kind}");
        let tags = json!({ "example_key": "example_value" });
        match self {
            Self::ModelCreated => json!({
                "name": name, "tags": tags, "description": "An example registered model",
            }),
            Self::PromptCreated => json!({
                "name": name, "tags": tags, "description": "An example prompt",
            }),
            Self::VersionCreated => json!({
                "name": name, "version": "1", "source": "models:/123",
                "run_id": "abcd1234abcd5678", "tags": tags,
                "description": "An example model version",
            }),
            Self::PromptVersionCreated => json!({
                "name": name, "version": "1", "template": "Hello {{name}}!", "tags": tags,
                "description": "An example prompt version",
            }),
            Self::VersionTagSet | Self::PromptVersionTagSet => json!({
                "name": name, "version": "1", "key": "example_key", "value": "example_value",
            }),
            Self::VersionTagDeleted | Self::PromptVersionTagDeleted => {
                json!({ "name": name, "version": "1", "key": "example_key" })
            }
            Self::PromptTagSet => {
                json!({ "name": name, "key": "example_key", "value": "example_value" })
            }
            Self::PromptTagDeleted => json!({ "name": name, "key": "example_key" }),
            Self::VersionAliasCreated | Self::PromptAliasCreated => {
                json!({ "name": name, "alias": "example_alias", "version": "1" })
            }
            Self::VersionAliasDeleted | Self::PromptAliasDeleted => {
                json!({ "name": name, "alias": "example_alias" })
            }
            Self::BudgetExceeded => json!({
                "budget_policy_id": "bp-abc123", "budget_unit": "USD", "budget_amount": 100.0,
                "current_spend": 105.5, "duration_unit": "MONTHS", "duration_value": 1,
                "target_scope": "ENDPOINT", "workspace": "default", "target_value": "ep-abc123",
                "window_start": 1_704_067_200_000_i64,
            }),
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
            assert!(event.example().is_object());
        }
        assert_eq!(Event::of("model_version_tag", "created"), Err(vec!["deleted", "set"]));
        assert_eq!(Event::of("nope", "created"), Err(Vec::new()));
    }
}
