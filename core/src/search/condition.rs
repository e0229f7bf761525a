//! What a clause asks of a value.

use super::pattern::Pattern;

/// How two numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// What a clause asks of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A number that compares so with this one.
    Number(Relation, f64),
    /// This text.
    Equal(String),
    /// Another text.
    NotEqual(String),
    /// A text that matches.
    Like(Pattern),
    /// One of these texts.
    In(Vec<String>),
    /// A text that is none of these.
    NotIn(Vec<String>),
    /// No value.
    IsNull,
    /// Any value.
    IsNotNull,
}

impl Relation {
    /// Whether `left` compares so with `right`. NaN only ever differs.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Condition {
    /// Whether a number, if there is one, is what is asked for.
    pub fn holds_for_number(&self, value: Option<f64>) -> bool {
        match (self, value) {
            (Self::IsNull, None) | (Self::IsNotNull, Some(_)) => true,
            (Self::Number(relation, asked), Some(value)) => relation.holds(value, *asked),
            _ => false,
        }
    }

    /// Whether a text, if there is one, is what is asked for. No value is also not another one.
    pub fn holds_for_text(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return *self == Self::IsNull };
        match self {
            Self::Equal(asked) => value == asked,
            Self::NotEqual(asked) => value != asked,
            Self::Like(pattern) => pattern.matches(value),
            Self::In(asked) => asked.iter().any(|one| value == one),
            Self::NotIn(asked) => asked.iter().all(|one| value != one),
            Self::IsNotNull => true,
            Self::IsNull | Self::Number(..) => false,
        }
    }
}
