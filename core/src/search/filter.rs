//! Filters: comparisons joined by AND, as MLflow reads and refuses them.

use std::ops::Range;

use super::SearchError;
use super::condition::{Condition, Relation};
use super::lexer::{Kind, Token, tokens};
use super::pattern::Pattern;
use super::schema::{AttributeKind, Field, FieldKind, Named, RUNS, Schema, Wording, unquoted};

/// More words and signs than this are refused. sqlparse has the same limit.
const MAX_TOKENS: usize = 10_000;

const NUMBER_COMPARATORS: &str = "'=', '!=', '>', '>=', '<', '<='";
const LISTED_COMPARATORS: &str = "'=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN'";
const NULLABLE_COMPARATORS: &str = "'=', '!=', 'LIKE', 'ILIKE', 'IS NULL', 'IS NOT NULL'";
const LIST_COMPARATORS: &str = "'IN', 'NOT IN'";

/// One comparison of a filter. A row is found if all of them hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<A> {
    /// What is compared.
    pub field: Field<A>,
    /// With what.
    pub condition: Condition,
}

/// Reads a filter. An empty one finds everything.
pub fn parse_filter<A: Copy>(
    schema: &Schema<A>,
    text: &str,
) -> Result<Vec<Clause<A>>, SearchError> {
    let Some(filter) = Filter::read(text)? else { return Ok(Vec::new()) };
    filter
        .comparisons(schema.wording)?
        .iter()
        .map(|comparison| filter.clause(schema, comparison))
        .collect()
}

struct Filter<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// For each token, where it is closed if it is a parenthesis that is.
    closing: Vec<Option<usize>>,
}

/// `left comparator right`, where only IS NULL and IS NOT NULL have nothing on the right.
struct Comparison {
    left: Operand,
    comparator: String,
    right: Option<Operand>,
}

/// A name, a value or a list: tokens that are taken as one.
type Operand = Range<usize>;

impl<'a> Filter<'a> {
    /// Reads the words and signs of a filter; none if it is empty.
    fn read(text: &'a str) -> Result<Option<Self>, SearchError> {
        if text.is_empty() {
            return Ok(None);
        }
        let tokens = tokens(text);
        if tokens.is_empty() {
            return Err(SearchError::BlankFilter(text.to_owned()));
        }
        if tokens.len() > MAX_TOKENS {
            return Err(SearchError::TooLong { limit: MAX_TOKENS });
        }
        let end_of_first = tokens.iter().position(|token| token.kind == Kind::Semicolon);
        if end_of_first.is_some_and(|at| at + 1 < tokens.len()) {
            return Err(SearchError::SeveralStatements(text.to_owned()));
        }
        let closing = closing_parentheses(&tokens);
        Ok(Some(Filter { text, tokens, closing }))
    }

    fn raw(&self, comparison: &Comparison) -> Result<RawClause, SearchError> {
        let name = self.source(&comparison.left).to_owned();
        if self.kind(comparison.left.start) != Some(Kind::Identifier) {
            return Err(SearchError::NotAnIdentifier(name));
        }
        let value = match &comparison.right {
            None => RawValue::Nothing,
            Some(right) if self.is_list(right) => RawValue::List(self.list(right)?),
            Some(right) => match (self.number(right), self.kind(right.start)) {
                (Some((number, _)), _) => RawValue::Number(number),
                (None, Some(Kind::Text | Kind::Identifier)) => {
                    RawValue::Text(self.text_value(&RUNS, right, "attributes")?)
                }
                (None, _) => RawValue::Other(self.source(right).to_owned()),
            },
        };
        Ok(RawClause { name, comparator: comparison.comparator.clone(), value })
    }

    /// Divides the filter into comparisons. All that is not part of one, but for AND, is an error.
    fn comparisons(&self, wording: Wording) -> Result<Vec<Comparison>, SearchError> {
        let mut comparisons = Vec::new();
        let mut invalid = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            if self.is_word(at, "AND") {
                at += 1;
            } else if let Some((comparison, end)) = self.comparison_at(at) {
                comparisons.push(comparison);
                at = end;
            } else {
                let part = self.operand_at(at).unwrap_or(at..at + 1);
                let source = self.source(&part);
                invalid.push(match wording.quoted_clauses {
                    true => format!("'{source}'"),
                    false => source.to_owned(),
                });
                at = part.end;
            }
        }
        match invalid.is_empty() {
            true => Ok(comparisons),
            false => Err(SearchError::InvalidClauses(invalid.join(", "))),
        }
    }

    /// The comparison that starts here, and where it ends.
    fn comparison_at(&self, at: usize) -> Option<(Comparison, usize)> {
        let left = self.operand_at(at)?;
        let next = left.end;
        let with = |comparator: &str, right: Option<Operand>, end| {
            let comparator = comparator.to_ascii_uppercase();
            Some((Comparison { left: left.clone(), comparator, right }, end))
        };
        if self.kind(next) == Some(Kind::Comparator) {
            let right = self.operand_at(next + 1)?;
            let end = right.end;
            return with(self.tokens[next].of(self.text), Some(right), end);
        }
        let words = |words: &[&str]| {
            words.iter().enumerate().all(|(offset, word)| self.is_word(next + offset, word))
        };
        let list = |at: usize| self.operand_at(at).filter(|_| self.kind(at) == Some(Kind::Open));
        match () {
            () if words(&["IS", "NULL"]) => with("IS NULL", None, next + 2),
            () if words(&["IS", "NOT", "NULL"]) => with("IS NOT NULL", None, next + 3),
            () if words(&["IN"]) => list(next + 1).and_then(|list| {
                let end = list.end;
                with("IN", Some(list), end)
            }),
            () if words(&["NOT", "IN"]) => list(next + 2).and_then(|list| {
                let end = list.end;
                with("NOT IN", Some(list), end)
            }),
            () => None,
        }
    }

    /// The operand that starts here.
    fn operand_at(&self, at: usize) -> Option<Operand> {
        match self.kind(at)? {
            Kind::Identifier | Kind::Operation | Kind::Number(_) | Kind::Text => Some(at..at + 1),
            Kind::Open => self.closing[at].map(|close| at..close + 1),
            _ => None,
        }
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is_word(self.text, word))
    }

    fn source(&self, operand: &Operand) -> &str {
        &self.text[self.tokens[operand.start].start..self.tokens[operand.end - 1].end]
    }

    /// Reads what a comparison means.
    fn clause<A: Copy>(
        &self,
        schema: &Schema<A>,
        comparison: &Comparison,
    ) -> Result<Clause<A>, SearchError> {
        let name = self.source(&comparison.left);
        if self.kind(comparison.left.start) != Some(Kind::Identifier) {
            return Err(SearchError::NotAnIdentifier(name.to_owned()));
        }
        let named = schema.named(name)?;
        let condition = match &comparison.right {
            None => null_condition(schema, &named, &comparison.comparator)?,
            Some(right) => self.condition(schema, &named, &comparison.comparator, right)?,
        };
        Ok(Clause { field: named.field(), condition })
    }

    fn condition<A: Copy>(
        &self,
        schema: &Schema<A>,
        named: &Named<A>,
        comparator: &str,
        right: &Operand,
    ) -> Result<Condition, SearchError> {
        let found = || self.source(right).to_owned();
        let kind = match (named.kind, named.attribute) {
            (FieldKind::Metric, _) => {
                let (value, _) =
                    self.number(right).ok_or_else(|| SearchError::MetricNeedsNumber(found()))?;
                return number_condition(comparator, value);
            }
            (FieldKind::Param | FieldKind::Tag, _) if schema.lenient && self.is_list(right) => {
                return list_condition(comparator, self.list(right)?);
            }
            (FieldKind::Param, _) => {
                let what = "parameter (e.g. 'my-value')";
                let value = self.text_value(schema, right, what)?;
                return text_condition(comparator, value, NULLABLE_COMPARATORS);
            }
            (FieldKind::Tag, _) => {
                let value = self.text_value(schema, right, "tag (e.g. 'my-value')")?;
                return text_condition(comparator, value, NULLABLE_COMPARATORS);
            }
            (FieldKind::Dataset, _) if self.is_list(right) => {
                return list_condition(comparator, self.list(right)?);
            }
            (FieldKind::Dataset, _) => {
                let value = self.text_value(schema, right, "dataset attributes")?;
                return text_condition(comparator, value, LISTED_COMPARATORS);
            }
            (FieldKind::Attribute, attribute) => {
                attribute.expect("the lookup refuses unknown attributes").kind
            }
        };
        match kind {
            AttributeKind::Number | AttributeKind::Integer => {
                let key = || named.key.clone();
                let (value, integer) = self.number(right).ok_or_else(|| {
                    SearchError::AttributeNeedsNumber { key: key(), found: found() }
                })?;
                if kind == AttributeKind::Integer && !integer {
                    return Err(SearchError::AttributeNeedsInteger { key: key(), found: found() });
                }
                number_condition(comparator, value)
            }
            AttributeKind::Text if self.is_list(right) => {
                Err(SearchError::NoList { valid: schema.listed_attributes() })
            }
            AttributeKind::ListedText if self.is_list(right) => {
                list_condition(comparator, self.list(right)?)
            }
            AttributeKind::Text | AttributeKind::ListedText => {
                let value = self.text_value(schema, right, "attributes")?;
                text_condition(comparator, value, LISTED_COMPARATORS)
            }
            AttributeKind::DecimalId => {
                let values = match self.is_list(right) {
                    true => self.list(right)?,
                    false => vec![self.text_value(schema, right, "attributes")?],
                };
                id_condition(&named.key, comparator, values)
            }
        }
    }

    fn number(&self, operand: &Operand) -> Option<(f64, bool)> {
        let Some(Kind::Number(integer)) = self.kind(operand.start) else { return None };
        let value = self.source(operand).parse();
        Some((value.expect("the lexer knows numbers"), integer))
    }

    fn is_list(&self, operand: &Operand) -> bool {
        self.kind(operand.start) == Some(Kind::Open)
    }

    fn text_value<A>(
        &self,
        schema: &Schema<A>,
        operand: &Operand,
        what: &'static str,
    ) -> Result<String, SearchError> {
        let source = self.source(operand);
        if schema.lenient && self.number(operand).is_some() {
            return Ok(source.to_owned());
        }
        if !matches!(self.kind(operand.start), Some(Kind::Text | Kind::Identifier)) {
            return Err(SearchError::NeedsText { what, found: source.to_owned() });
        }
        match unquoted(source, "'\"") {
            value if value.len() < source.len() => Ok(value.to_owned()),
            _ => Err(SearchError::Unquoted(source.to_owned())),
        }
    }

    /// The texts of `('a', 'b')`.
    fn list(&self, operand: &Operand) -> Result<Vec<String>, SearchError> {
        let inside = operand.start + 1..operand.end - 1;
        let mut values = Vec::new();
        for (offset, token) in self.tokens[inside].iter().enumerate() {
            let source = token.of(self.text);
            let value = unquoted(source, "'\"");
            match (offset % 2, token.kind) {
                (0, Kind::Text | Kind::Identifier) if value.len() < source.len() => {
                    values.push(value.to_owned());
                }
                (0, Kind::Number(_)) => {
                    return Err(SearchError::ListOfOther(self.source(operand).to_owned()));
                }
                (1, Kind::Other) if source == "," => {}
                _ => return Err(SearchError::IllFormedList),
            }
        }
        match values.is_empty() {
            true => Err(SearchError::EmptyList),
            false => Ok(values),
        }
    }
}

/// What stands on the right of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RawValue {
    Nothing,
    Number(f64),
    Text(String),
    List(Vec<String>),
    /// Something else, as it was written.
    Other(String),
}

/// A comparison that no schema has read.
pub(super) struct RawClause {
    pub(super) name: String,
    /// In upper case.
    pub(super) comparator: String,
    pub(super) value: RawValue,
}

/// Divides a filter into comparisons, for languages that have their own rules for each name.
pub(super) fn raw_clauses(text: &str) -> Result<Vec<RawClause>, SearchError> {
    let Some(filter) = Filter::read(text)? else { return Ok(Vec::new()) };
    let comparisons = filter.comparisons(Wording::OF_TRACKING)?;
    comparisons.iter().map(|comparison| filter.raw(comparison)).collect()
}

fn null_condition<A>(
    schema: &Schema<A>,
    named: &Named<A>,
    comparator: &str,
) -> Result<Condition, SearchError> {
    let (kinds, nullable) = schema.nullable;
    match (kinds.contains(&named.kind), comparator) {
        (true, "IS NULL") => Ok(Condition::IsNull),
        (true, _) => Ok(Condition::IsNotNull),
        (false, _) => {
            let kind = named.kind.as_str();
            Err(SearchError::NeverNull { nullable, kind, key: named.key.clone() })
        }
    }
}

fn number_condition(comparator: &str, value: f64) -> Result<Condition, SearchError> {
    let relation = match comparator {
        "=" => Relation::Equal,
        "!=" => Relation::NotEqual,
        "<" => Relation::Less,
        "<=" => Relation::LessOrEqual,
        ">" => Relation::Greater,
        ">=" => Relation::GreaterOrEqual,
        _ => return Err(invalid_comparator(comparator, NUMBER_COMPARATORS)),
    };
    Ok(Condition::Number(relation, value))
}

fn text_condition(
    comparator: &str,
    value: String,
    valid: &'static str,
) -> Result<Condition, SearchError> {
    match comparator {
        "=" => Ok(Condition::Equal(value)),
        "!=" => Ok(Condition::NotEqual(value)),
        "LIKE" => Ok(Condition::Like(Pattern::like(&value))),
        "ILIKE" => Ok(Condition::Like(Pattern::ilike(&value))),
        _ => Err(invalid_comparator(comparator, valid)),
    }
}

fn list_condition(comparator: &str, values: Vec<String>) -> Result<Condition, SearchError> {
    match comparator {
        "IN" => Ok(Condition::In(values)),
        "NOT IN" => Ok(Condition::NotIn(values)),
        _ => Err(invalid_comparator(comparator, LIST_COMPARATORS)),
    }
}

fn id_condition(
    key: &str,
    comparator: &str,
    values: Vec<String>,
) -> Result<Condition, SearchError> {
    // As integers, so that '007' is 7.
    let ids = values.into_iter().map(|value| match value.trim().parse::<i128>() {
        Ok(id) => Ok(id.to_string()),
        Err(_) => Err(SearchError::InvalidExperimentId(value)),
    });
    let ids: Vec<String> = ids.collect::<Result<_, _>>()?;
    match comparator {
        "=" | "IN" => Ok(Condition::In(ids)),
        "!=" | "NOT IN" => Ok(Condition::NotIn(ids)),
        _ => {
            let (key, found) = (key.to_owned(), comparator.to_owned());
            Err(SearchError::InvalidIdComparator { key, found })
        }
    }
}

fn invalid_comparator(found: &str, valid: &'static str) -> SearchError {
    SearchError::InvalidComparator { found: found.to_owned(), valid }
}

/// For each token, where it is closed if it is a parenthesis that is.
fn closing_parentheses(tokens: &[Token]) -> Vec<Option<usize>> {
    let mut closing = vec![None; tokens.len()];
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open => open.push(at),
            Kind::Close => {
                if let Some(start) = open.pop() {
                    closing[start] = Some(at);
                }
            }
            _ => {}
        }
    }
    closing
}
