//! Sort keys: bytes that compare as rows are to be sorted.
//!
//! One comparison of bytes stands for a whole order_by, and two keys are never equal, because
//! every key ends in the row's id.

use crate::index::value_key;

/// What a row is sorted by at one place of the order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sorted<'a> {
    Number(Option<f64>),
    Integer(Option<i64>),
    Text(Option<&'a str>),
}

/// What has a value comes first, then NaN, then what has none, whichever the direction.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Class {
    Value = 0,
    NotANumber = 1,
    Missing = 2,
}

/// Appends one place of the order.
pub(super) fn push(key: &mut Vec<u8>, value: Sorted<'_>, ascending: bool) {
    let class = match value {
        Sorted::Number(Some(number)) if number.is_nan() => Class::NotANumber,
        Sorted::Number(Some(_)) | Sorted::Integer(Some(_)) | Sorted::Text(Some(_)) => Class::Value,
        Sorted::Number(None) | Sorted::Integer(None) | Sorted::Text(None) => Class::Missing,
    };
    key.push(class as u8);
    let start = key.len();
    match value {
        Sorted::Number(Some(number)) => key.extend_from_slice(&value_key::number(number)),
        Sorted::Integer(Some(integer)) => key.extend_from_slice(&value_key::integer(integer)),
        Sorted::Text(Some(text)) => push_text(key, text),
        Sorted::Number(None) | Sorted::Integer(None) | Sorted::Text(None) => {}
    }
    if !ascending {
        for byte in &mut key[start..] {
            *byte = !*byte;
        }
    }
}

/// Two zeros end a text, so that one sorts before those it starts; a zero in it is escaped.
fn push_text(key: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        key.push(byte);
        if byte == 0 {
            key.push(u8::MAX);
        }
    }
    key.extend_from_slice(&[0, 0]);
}

/// Where a sort key stands at its first place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum First {
    /// It has a number or an integer, as the index has it.
    Number([u8; 8]),
    /// It has a text.
    Text(String),
    NotANumber,
    Missing,
}

/// Reads the first place of a sort key, and returns what comes after it; none if it is no sort key
/// of this kind.
pub(super) fn first(key: &[u8], is_text: bool, ascending: bool) -> Option<(First, &[u8])> {
    let (class, rest) = key.split_first()?;
    let flip = |byte: &u8| if ascending { *byte } else { !*byte };
    match class {
        1 => Some((First::NotANumber, rest.get(8..)?)),
        2 => Some((First::Missing, rest)),
        0 if !is_text => {
            let (bytes, rest) = rest.split_first_chunk::<8>()?;
            Some((First::Number(bytes.map(|byte| flip(&byte))), rest))
        }
        0 => {
            let mut text = Vec::new();
            let mut bytes = rest.iter();
            loop {
                let byte = flip(bytes.next()?);
                // A zero is followed by another at the end, and by 255 within the text.
                if byte == 0 && flip(bytes.next()?) == 0 {
                    break;
                }
                text.push(byte);
            }
            Some((First::Text(String::from_utf8(text).ok()?), bytes.as_slice()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    fn keys(first: Sorted<'_>, second: i64, ascending: bool) -> Vec<u8> {
        let mut key = Vec::new();
        push(&mut key, first, ascending);
        push(&mut key, Sorted::Integer(Some(second)), true);
        key
    }

    proptest! {
        #[test]
        fn keys_sort_as_their_values_do(
            a in proptest::option::of("[\0\x01a]{0,4}"),
            b in proptest::option::of("[\0\x01a]{0,4}"),
            then: [i64; 2],
            ascending: bool,
        ) {
            let order = match (&a, &b) {
                (Some(a), Some(b)) if ascending => a.cmp(b),
                (Some(a), Some(b)) => b.cmp(a),
                (a, b) => a.is_none().cmp(&b.is_none()),
            };
            let key = |text: &Option<String>, n| keys(Sorted::Text(text.as_deref()), n, ascending);
            prop_assert_eq!(key(&a, then[0]).cmp(&key(&b, then[1])), order.then(then[0].cmp(&then[1])));
        }
    }

    #[test]
    fn what_has_no_value_comes_last_both_ways() {
        for ascending in [true, false] {
            let key = |value| keys(Sorted::Number(value), 0, ascending);
            let (value, nan, missing) = (key(Some(f64::INFINITY)), key(Some(f64::NAN)), key(None));
            assert!(value < nan && nan < missing);
            assert_eq!(key(Some(1.0)).cmp(&key(Some(2.0))) == Ordering::Less, ascending);
        }
    }
}
