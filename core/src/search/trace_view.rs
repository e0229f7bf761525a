//! What a clause or an order sees of a trace. Spans and assessments are read when first asked for.

use super::condition::Condition;
use super::sort_key::{self, Sorted};
use super::traces::{Assessed, TraceWords};
use super::{
    AssessmentKind, SpanField, TraceAttribute, TraceClause, TraceCondition, TraceField, TraceOrder,
};
use crate::ids::RunId;
use crate::rows::TraceRow;
use crate::store::StoreError;
use crate::store::traces::{TraceRows, damaged};
use crate::trace::Span;

pub(super) struct TraceView<'a> {
    rows: &'a TraceRows,
    number: u32,
    row: &'a TraceRow,
    words: TraceWords,
    assessed: Option<Vec<Assessed>>,
}

impl<'a> TraceView<'a> {
    pub(super) const fn new(
        rows: &'a TraceRows,
        number: u32,
        row: &'a TraceRow,
        words: TraceWords,
    ) -> Self {
        Self { rows, number, row, words, assessed: None }
    }

    /// Whether all clauses hold.
    pub(super) fn is_found_by(&mut self, clauses: &[TraceClause]) -> Result<bool, StoreError> {
        let of_span = |clause: &&TraceClause| matches!(clause.field, TraceField::Span(_));
        // What costs a further read comes last.
        if !clauses.iter().filter(|clause| !of_span(clause)).all(|clause| self.holds(clause)) {
            return Ok(false);
        }
        let of_span: Vec<&TraceClause> = clauses.iter().filter(of_span).collect();
        Ok(of_span.is_empty() || self.has_span(&of_span)?)
    }

    fn holds(&mut self, TraceClause { field, condition }: &TraceClause) -> bool {
        let row = self.row;
        match field {
            TraceField::Attribute(attribute) => self.attribute_holds(*attribute, condition),
            TraceField::Name => condition.holds_for_text(row.tag(self.words.name_tag)),
            TraceField::Tag(key) => condition.holds_for_text(row.tag(key)),
            TraceField::Metadata(key) => condition.holds_for_text(row.fact(key)),
            TraceField::Run => self.run_holds(condition),
            TraceField::Prompt => {
                row.prompts.iter().any(|prompt| condition.holds_for_text(Some(prompt)))
            }
            TraceField::Issue => self.assessed().iter().any(|held| {
                held.kind == AssessmentKind::Issue && condition.holds_for_text(Some(&held.name))
            }),
            TraceField::Assessment(kind, name) => self.assessment_holds(*kind, name, condition),
            TraceField::Span(_) => false,
        }
    }

    fn attribute_holds(&self, attribute: TraceAttribute, condition: &TraceCondition) -> bool {
        let row = self.row;
        let number = |value: i64| condition.holds_for_number(Some(value as f64));
        match attribute {
            TraceAttribute::Id => condition.holds_for_text(Some(&row.id)),
            TraceAttribute::Experiment => false,
            TraceAttribute::Start => number(row.start_ms),
            TraceAttribute::Duration => row.duration_ms.is_some_and(number),
            TraceAttribute::End => number(row.end_ms()),
            TraceAttribute::Status => condition.holds_for_text(Some(row.status.as_str())),
            TraceAttribute::ClientRequestId => {
                condition.holds_for_text(row.client_request_id.as_deref())
            }
        }
    }

    /// A trace belongs to the run it comes from and to those it was linked to.
    fn run_holds(&self, condition: &TraceCondition) -> bool {
        let from = self.row.fact(self.words.run_fact);
        if let TraceCondition::Plain(Condition::IsNull) = condition {
            return from.is_none() && self.row.runs.is_empty();
        }
        let linked = || self.row.runs.iter().map(RunId::to_string);
        if let TraceCondition::Plain(Condition::NotEqual(_) | Condition::NotIn(_)) = condition {
            let mut all = from.map(str::to_owned).into_iter().chain(linked()).peekable();
            return all.peek().is_some() && all.all(|run| condition.holds_for_text(Some(&run)));
        }
        condition.holds_for_text(from) || linked().any(|run| condition.holds_for_text(Some(&run)))
    }

    fn assessed(&mut self) -> &[Assessed] {
        let (row, read) = (self.row, self.words.assessment);
        self.assessed.get_or_insert_with(|| {
            row.assessments.iter().filter_map(|held| read(&held.value)).collect()
        })
    }

    fn assessment_holds(
        &mut self,
        kind: AssessmentKind,
        name: &str,
        condition: &TraceCondition,
    ) -> bool {
        let all = self.assessed();
        let mut values =
            all.iter().filter(|held| held.valid && held.kind == kind && held.name == name);
        match condition {
            TraceCondition::Plain(Condition::IsNull) => values.next().is_none(),
            TraceCondition::Plain(Condition::IsNotNull) => values.next().is_some(),
            TraceCondition::Plain(Condition::Number(relation, asked)) => values.any(|held| {
                held.value.parse::<f64>().is_ok_and(|value| relation.holds(value, *asked))
            }),
            // A text is JSON in quotes, a number or a boolean is not: `'yes'` and `'true'` mean either.
            TraceCondition::Plain(Condition::Equal(asked)) => {
                values.any(|held| says(&held.value, asked))
            }
            TraceCondition::Plain(Condition::NotEqual(asked)) => {
                values.any(|held| !says(&held.value, asked))
            }
            other => values.any(|held| other.holds_for_text(Some(&held.value))),
        }
    }

    /// Whether one span satisfies all of these clauses.
    fn has_span(&self, clauses: &[&TraceClause]) -> Result<bool, StoreError> {
        for encoded in self.rows.spans(self.number)? {
            let span = encoded.decode().map_err(|_| damaged())?;
            let holds = |clause: &&TraceClause| match &clause.field {
                TraceField::Span(field) => self.span_holds(&span, field, &clause.condition),
                _ => true,
            };
            if clauses.iter().all(holds) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn span_holds(&self, span: &Span, field: &SpanField, condition: &TraceCondition) -> bool {
        match field {
            SpanField::Name => condition.holds_for_text(Some(&span.name)),
            SpanField::Kind => condition.holds_for_text(Some(&span.kind)),
            SpanField::Status => condition.holds_for_text(Some((self.words.span_status)(span))),
            SpanField::Content => condition.holds_for_text(Some(&(self.words.span_text)(span))),
            SpanField::Attribute(key) => {
                condition.holds_for_text((self.words.attribute_text)(span, key).as_deref())
            }
        }
    }

    /// Bytes that compare as traces are to be sorted.
    pub(super) fn sort_key(&self, order: &[TraceOrder]) -> Vec<u8> {
        let mut key = Vec::new();
        for one in order {
            sort_key::push(&mut key, self.sorted(&one.field), one.ascending);
        }
        sort_key::push(&mut key, Sorted::Integer(Some(self.row.start_ms)), false);
        sort_key::push(&mut key, Sorted::Text(Some(&self.row.id)), true);
        key
    }

    fn sorted(&self, field: &TraceField) -> Sorted<'_> {
        let row = self.row;
        match field {
            TraceField::Attribute(TraceAttribute::Id) => Sorted::Text(Some(&row.id)),
            TraceField::Attribute(TraceAttribute::Experiment) => {
                Sorted::Integer(Some(row.experiment.0 as i64))
            }
            TraceField::Attribute(TraceAttribute::Start) => Sorted::Integer(Some(row.start_ms)),
            TraceField::Attribute(TraceAttribute::Duration) => Sorted::Integer(row.duration_ms),
            TraceField::Attribute(TraceAttribute::End) => Sorted::Integer(Some(row.end_ms())),
            TraceField::Attribute(TraceAttribute::Status) => {
                Sorted::Text(Some(row.status.as_str()))
            }
            TraceField::Name => Sorted::Text(row.tag(self.words.name_tag)),
            TraceField::Run => Sorted::Text(row.fact(self.words.run_fact)),
            TraceField::Tag(key) => Sorted::Text(row.tag(key)),
            TraceField::Metadata(key) => Sorted::Text(row.fact(key)),
            // Nothing sorts by these: see `parse_trace_order`.
            _ => Sorted::Text(None),
        }
    }
}

/// Whether a value, as JSON, is what was asked for.
fn says(json: &str, asked: &str) -> bool {
    json == asked || serde_json::to_string(asked).is_ok_and(|text| text == json)
}
