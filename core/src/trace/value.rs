//! Values of attributes: what OpenTelemetry's AnyValue can hold.

use super::MAX_TEXT_BYTES;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint, unzigzag, zigzag};

/// The most lists and maps within one another. Protobuf's readers stop at 100 messages, of which
/// each level takes two or three.
pub const MAX_DEPTH: usize = 64;

const NOTHING: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INTEGER: u8 = 3;
const NUMBER: u8 = 4;
const TEXT: u8 = 5;
const BYTES: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;

/// A value of an attribute.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Nothing,
    /// Yes or no.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number, kept bit for bit.
    Number(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key, in the order they came.
    Map(Vec<Attribute>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Value,
}

impl Attribute {
    /// A key and its value.
    pub fn new(key: impl Into<String>, value: Value) -> Self {
        Self { key: key.into(), value }
    }
}

impl Value {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nothing => out.push(NOTHING),
            Self::Boolean(value) => out.push(if *value { TRUE } else { FALSE }),
            Self::Integer(value) => {
                out.push(INTEGER);
                put_varint(out, zigzag(*value));
            }
            Self::Number(value) => {
                out.push(NUMBER);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Self::Text(text) => {
                out.push(TEXT);
                put_bytes(out, text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(BYTES);
                put_bytes(out, bytes);
            }
            Self::List(values) => {
                out.push(LIST);
                put_varint(out, values.len() as u64);
                values.iter().for_each(|value| value.put(out));
            }
            Self::Map(attributes) => {
                out.push(MAP);
                put_attributes(out, attributes);
            }
        }
    }

    fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, DecodeError> {
        const WHAT: &str = "attribute";
        Ok(match reader.u8(WHAT)? {
            NOTHING => Self::Nothing,
            FALSE => Self::Boolean(false),
            TRUE => Self::Boolean(true),
            INTEGER => Self::Integer(unzigzag(reader.varint(WHAT)?)),
            NUMBER => Self::Number(f64::from_bits(reader.u64(WHAT)?)),
            TEXT => Self::Text(reader.text(MAX_TEXT_BYTES, WHAT)?.to_owned()),
            BYTES => Self::Bytes(reader.bytes(MAX_TEXT_BYTES, WHAT)?.to_vec()),
            LIST | MAP if depth == 0 => return Err(DecodeError::Invalid { what: WHAT }),
            LIST => {
                let count = reader.length(MAX_TEXT_BYTES, WHAT)?;
                // Without a reservation: the count is checked only by what follows it.
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(Self::read(reader, depth - 1)?);
                }
                Self::List(values)
            }
            MAP => Self::Map(read_at_depth(reader, depth - 1)?),
            _ => return Err(DecodeError::Invalid { what: WHAT }),
        })
    }
}

pub(super) fn put_attributes(out: &mut Vec<u8>, attributes: &[Attribute]) {
    put_varint(out, attributes.len() as u64);
    for attribute in attributes {
        put_bytes(out, attribute.key.as_bytes());
        attribute.value.put(out);
    }
}

pub(super) fn read_attributes(reader: &mut Reader<'_>) -> Result<Vec<Attribute>, DecodeError> {
    read_at_depth(reader, MAX_DEPTH)
}

fn read_at_depth(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Attribute>, DecodeError> {
    let count = reader.length(MAX_TEXT_BYTES, "attributes")?;
    let mut attributes = Vec::new();
    for _ in 0..count {
        let key = reader.text(MAX_TEXT_BYTES, "attribute key")?.to_owned();
        attributes.push(Attribute { key, value: Value::read(reader, depth)? });
    }
    Ok(attributes)
}
