//! Values written as Python writes them: MLflow's error messages quote what they refuse so.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// As `json.dumps(value, sort_keys=True, separators=(",", ":"))`: ASCII only.
pub(crate) fn json(value: &Value) -> String {
    ascii(&value.to_string())
}

/// As `json.dumps(value, sort_keys=True)`: ASCII only, with a space after each comma and colon.
pub(crate) fn dumps(value: &Value) -> String {
    let mut text = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, Spaced));
    written.expect("a JSON value can be written to memory");
    ascii(&String::from_utf8_lossy(&text))
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// JSON with everything that is not ASCII escaped.
fn ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if char.is_ascii() {
            ascii.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// As `type(value).__name__`.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// As `repr(text)`.
pub(crate) fn repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for char in text.chars() {
        match char {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            _ if char == quote => quoted.extend(['\\', quote]),
            _ if char.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(char))),
            _ => quoted.push(char),
        }
    }
    quoted.push(quote);
    quoted
}

/// As `posixpath.normpath(path)`.
pub(crate) fn normpath(path: &str) -> String {
    let slashes = match path.len() - path.trim_start_matches('/').len() {
        // POSIX lets exactly two leading slashes mean something of their own.
        2 => 2,
        leading => leading.min(1),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if slashes > 0 => {}
            _ => parts.push(part),
        }
    }
    let normal = format!("{}{}", "/".repeat(slashes), parts.join("/"));
    if normal.is_empty() { ".".to_owned() } else { normal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_python_writes_them() {
        assert_eq!(json(&serde_json::json!({"b": "é😀", "a": [1, 2.5]})), {
            r#"{"a":[1,2.5],"b":"\u00e9\ud83d\ude00"}"#
        });
        assert_eq!(dumps(&serde_json::json!({"b": [1, "é"], "c": {}})), {
            r#"{"b": [1, "\u00e9"], "c": {}}"#
        });
        assert_eq!(repr("it's"), r#""it's""#);
        assert_eq!(repr("a'b\"\n"), r#"'a\'b"\n'"#);
        assert_eq!(type_name(&serde_json::json!(1.0)), "float");
    }

    #[test]
    fn paths_are_normalised_as_by_posixpath() {
        for (path, normal) in [
            ("", "."),
            ("a//b/", "a/b"),
            ("../x", "../x"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("//a", "//a"),
            ("///a/./b", "/a/b"),
        ] {
            assert_eq!(normpath(path), normal, "{path:?}");
        }
    }
}
