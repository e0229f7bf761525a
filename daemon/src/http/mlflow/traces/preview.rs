//! Previews of what went into a trace and what came out: the first thousand characters, or of a chat
//! the last message.

use runmesh_core::trace::{Attribute, Value};

use super::value::python_json;
use crate::http::mlflow::limits;

/// MLflow's own limit, in characters.
const MAX_CHARS: usize = 1000;
/// What a preview that was cut short ends with.
const CUT: &str = "...";

/// The preview of a value; of a chat, what this role said last.
pub(super) fn of(value: &Value, role: &str) -> String {
    let content = message_text(value, role).filter(|text| !text.is_empty());
    let content = content.unwrap_or_else(|| python_json(value));
    if limits::cut(MAX_CHARS, &content).len() == content.len() {
        return content;
    }
    format!("{}{CUT}", limits::cut(MAX_CHARS - CUT.len(), &content))
}

/// What was said last in a chat as OpenAI's clients have it.
fn message_text(value: &Value, role: &str) -> Option<String> {
    let messages = match (field(value, "messages"), field(value, "choices")) {
        (Some(Value::List(messages)), _) if !messages.is_empty() => messages.iter().collect(),
        (_, Some(Value::List(choices))) => vec![field(choices.first()?, "message")?],
        _ => return None,
    };
    let is_message =
        |message: &&Value| text(message, "role").is_some() && field(message, "content").is_some();
    let messages: Vec<&Value> = messages.into_iter().filter(is_message).collect();
    let said = messages.iter().rev().find(|message| text(message, "role") == Some(role));
    match field(said.or(messages.last())?, "content")? {
        Value::Text(text) => Some(text.clone()),
        // Parts of several kinds, of which one is text.
        Value::List(parts) => parts.iter().find_map(|part| {
            (text(part, "type") == Some("text")).then(|| text(part, "text").map(str::to_owned))?
        }),
        _ => None,
    }
}

fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let Value::Map(attributes) = value else { return None };
    attributes.iter().find(|attribute| attribute.key == key).map(|Attribute { value, .. }| value)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    field(value, key)?.as_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::mlflow::traces::value::from_json;

    #[test]
    fn a_preview_is_short_and_of_a_chat_the_last_message() {
        let of_json = |json| of(&from_json(&json), "user");
        assert_eq!(of_json(serde_json::json!({"x": 1})), r#"{"x": 1}"#);
        let long = of_json(serde_json::json!("é".repeat(2000)));
        assert_eq!(long.chars().count(), MAX_CHARS);
        assert!(long.ends_with("é..."));
        let chat = serde_json::json!({"messages": [
            {"role": "user", "content": "first"},
            {"role": "user", "content": [{"type": "text", "text": "last"}]},
            {"role": "assistant", "content": "answer"},
        ]});
        assert_eq!(of_json(chat.clone()), "last");
        assert_eq!(of(&from_json(&chat), "assistant"), "answer");
        let answer =
            serde_json::json!({"choices": [{"message": {"role": "assistant", "content": "yes"}}]});
        assert_eq!(of(&from_json(&answer), "assistant"), "yes");
    }
}
