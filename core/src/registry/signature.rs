//! What a model takes and gives back, as its `MLmodel` file declares it, and how two differ.
//!
//! The file is YAML that somebody else wrote. It is read as a stream of events, of which a few texts
//! are kept: nothing in it is expanded, and nothing in it is run.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};
use serde_json::Value;

/// The longest `MLmodel` file that is read, in bytes.
pub const MAX_MLMODEL_BYTES: u64 = 1 << 20;
/// A file that is nested deeper than this declares nothing.
const MAX_DEPTH: usize = 64;

/// The declared inputs and outputs of a model. What is not declared is not compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signature {
    inputs: Option<String>,
    outputs: Option<String>,
}

/// Where the reader stands in the file.
enum Frame {
    /// In a map, after a key or before one.
    Map(Option<String>),
    List,
}

impl Signature {
    /// Reads what an `MLmodel` file declares; nothing if it is no such file.
    pub fn of_mlmodel(text: &str) -> Self {
        let mut signature = Self::default();
        let mut frames: Vec<Frame> = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, _)) = event else { return Self::default() };
            match event {
                Event::MappingStart(..) => frames.push(Frame::Map(None)),
                Event::SequenceStart(..) => frames.push(Frame::List),
                Event::MappingEnd | Event::SequenceEnd => {
                    frames.pop();
                    end_of_value(&mut frames);
                }
                Event::Scalar(text, ..) => match frames.last_mut() {
                    Some(Frame::Map(key @ None)) => *key = Some(text.into_owned()),
                    Some(_) => {
                        signature.take(&frames, &text);
                        end_of_value(&mut frames);
                    }
                    None => {}
                },
                Event::Alias(_) => match frames.last_mut() {
                    Some(Frame::Map(key @ None)) => *key = Some(String::new()),
                    _ => end_of_value(&mut frames),
                },
                _ => {}
            }
            if frames.len() > MAX_DEPTH {
                return Self::default();
            }
        }
        signature
    }

    fn take(&mut self, frames: &[Frame], text: &str) {
        let [Frame::Map(Some(outer)), Frame::Map(Some(inner))] = frames else { return };
        let declared = match (outer.as_str(), inner.as_str()) {
            ("signature", "inputs") => &mut self.inputs,
            ("signature", "outputs") => &mut self.outputs,
            _ => return,
        };
        // What is not declared is written as null.
        *declared = text.starts_with('[').then(|| text.to_owned());
    }

    /// How `next` differs, in lines for people; none if callers of this one can call it.
    pub fn difference(&self, next: &Self) -> Vec<String> {
        let mut lines = difference("input", self.inputs.as_deref(), next.inputs.as_deref());
        lines.extend(difference("output", self.outputs.as_deref(), next.outputs.as_deref()));
        lines
    }
}

fn end_of_value(frames: &mut [Frame]) {
    if let Some(Frame::Map(key)) = frames.last_mut() {
        *key = None;
    }
}

fn difference(kind: &str, old: Option<&str>, new: Option<&str>) -> Vec<String> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    let (old, new) = (fields(old), fields(new));
    let mut lines = Vec::new();
    for (name, was) in &old {
        match new.get(name) {
            Some(is) if is == was => {}
            Some(is) => lines.push(format!("{kind} {name}: {was} becomes {is}")),
            None => lines.push(format!("{kind} {name}: {was} is gone")),
        }
    }
    let added = new.iter().filter(|(name, _)| !old.contains_key(*name));
    lines.extend(added.map(|(name, is)| format!("{kind} {name}: {is} is new")));
    lines
}

/// What is declared of each field, by its name or its place.
fn fields(json: &str) -> BTreeMap<String, String> {
    let Ok(Value::Array(fields)) = serde_json::from_str(json) else { return BTreeMap::new() };
    let field = |(at, mut field): (usize, Value)| {
        let name = field.as_object_mut().and_then(|field| field.remove("name"));
        let name = match name {
            Some(Value::String(name)) => name,
            _ => format!("#{}", at + 1),
        };
        (name, declaration(&field))
    };
    fields.into_iter().enumerate().map(field).collect()
}

/// `double`, `string (optional)`, or the declaration as it stands.
fn declaration(field: &Value) -> String {
    let known = field
        .as_object()
        .filter(|field| field.keys().all(|key| matches!(key.as_str(), "type" | "required")));
    let word = known.and_then(|field| field.get("type")).and_then(Value::as_str);
    match (word, field.get("required")) {
        (Some(word), Some(Value::Bool(false))) => format!("{word} (optional)"),
        (Some(word), _) => word.to_owned(),
        (None, _) => field.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IRIS: &str = r#"artifact_path: model
flavors:
  python_function:
    env: &env
      conda: conda.yaml
    data: {signature: "no", list: [*env, a]}
signature:
  inputs: '[{"type": "double", "name": "sepal length (cm)", "required": true}, {"type":
    "double", "name": "it''s", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
utc_time_created: '2026-01-01'
"#;

    #[test]
    fn a_signature_is_read_as_mlflow_folds_it() {
        let signature = Signature::of_mlmodel(IRIS);
        assert_eq!(signature.difference(&signature), Vec::<String>::new());
        let next = IRIS.replace(
            "\"type\": \"double\", \"name\": \"sepal",
            "\"type\": \"string\", \"name\": \"sepal",
        );
        let next = next.replace("it''s", "other").replace("int64", "float32");
        assert_eq!(
            signature.difference(&Signature::of_mlmodel(&next)),
            [
                "input it's: double is gone",
                "input sepal length (cm): double becomes string",
                "input other: double is new",
                "output #1: {\"tensor-spec\":{\"dtype\":\"int64\",\"shape\":[-1]},\"type\":\"tensor\"} \
             becomes {\"tensor-spec\":{\"dtype\":\"float32\",\"shape\":[-1]},\"type\":\"tensor\"}",
            ]
        );
    }

    #[test]
    fn what_declares_nothing_is_compared_with_nothing() {
        let signature = Signature::of_mlmodel(IRIS);
        let deep = "[".repeat(100_000);
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nsignature: {inputs: *b}";
        for text in ["", "signature: null", "signature:\n  inputs: null", "{", &deep, bomb] {
            assert_eq!(Signature::of_mlmodel(text), Signature::default(), "{text:.40}");
            assert!(signature.difference(&Signature::of_mlmodel(text)).is_empty());
        }
    }
}
