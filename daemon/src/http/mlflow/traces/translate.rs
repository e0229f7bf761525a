//! What other instrumentations say in words of their own, said in MLflow's: the kind of a step, the
//! model, the tokens it took, what went in and what came out.
//!
//! Invariant: what a span says in MLflow's words stays as it is, and so do the words it was said in.

use runmesh_core::trace::{Attribute, MAX_DEPTH, Span, Value};

use super::dialects::{Counts, DIALECTS, Dialect, INPUT_EVENTS, OUTPUT_EVENTS};
use super::names::{
    CACHE_FIGURES, INPUTS, MESSAGE_FORMAT, MODEL, MODEL_PROVIDER, OUTPUTS, SPAN_TYPE,
    TOKEN_FIGURES, TOOLS, USAGE,
};
use super::spans::{set, text_of};
use super::value::is_within;

/// Adds what a span says only in words that are not MLflow's.
pub(super) fn complete(span: &mut Span) {
    let kind = text_of(span.attribute(SPAN_TYPE));
    if kind.is_none_or(|kind| kind == "UNKNOWN")
        && let Some(kind) = first(|dialect| dialect.kind.of(span))
    {
        set(&mut span.attributes, SPAN_TYPE, Value::Text(kind.to_owned()));
    }
    add(span, INPUTS, |span| {
        let said = first(|dialect| dialect.inputs.of(span));
        said.or_else(|| INPUT_EVENTS.iter().find_map(|told| told(span)))
    });
    add(span, OUTPUTS, |span| {
        let said = first(|dialect| dialect.outputs.of(span));
        said.or_else(|| OUTPUT_EVENTS.iter().find_map(|told| told(span)))
    });
    add(span, USAGE, |span| first(|dialect| usage(dialect.tokens.of(span))));
    add(span, MESSAGE_FORMAT, |span| {
        let format = first(|dialect| dialect.format.as_ref().filter(|form| (form.is_of)(span)));
        format.map(|format| Value::Text(format.name.to_owned()))
    });
    add(span, TOOLS, |span| first(|dialect| dialect.tools.of(span)));
    add(span, MODEL, |span| {
        let said = first(|dialect| dialect.model.of(span));
        said.or_else(|| [INPUTS, OUTPUTS].iter().find_map(|key| model_in(span.attribute(key)?)))
    });
    add(span, MODEL_PROVIDER, |span| first(|dialect| dialect.provider.of(span)));
}

fn first<T>(said: impl FnMut(&'static Dialect) -> Option<T>) -> Option<T> {
    DIALECTS.iter().find_map(said)
}

/// Adds an attribute that is not there, unless it would be nested more deeply than can be stored.
fn add(span: &mut Span, name: &str, said: impl FnOnce(&Span) -> Option<Value>) {
    if span.attribute(name).is_none()
        && let Some(value) = said(span).filter(|value| is_within(value, MAX_DEPTH))
    {
        set(&mut span.attributes, name, value);
    }
}

/// Counts by MLflow's names for them, if there are any.
fn usage([read, written, all, cached, kept]: Counts) -> Option<Value> {
    let all = all.or_else(|| read?.checked_add(written?));
    let is_counted = [read, written, all].iter().any(Option::is_some);
    let names = TOKEN_FIGURES.into_iter().chain(CACHE_FIGURES);
    let counts = names.zip([read, written, all, cached, kept]);
    let usage =
        counts.filter_map(|(name, count)| Some(Attribute::new(name, Value::Integer(count?))));
    is_counted.then(|| Value::Map(usage.collect()))
}

/// The model that is named in what a step was given or gave back.
fn model_in(value: &Value) -> Option<Value> {
    let Value::Map(attributes) = value else { return None };
    let model = &attributes.iter().find(|attribute| attribute.key == "model")?.value;
    model.as_text().filter(|model| !model.is_empty()).map(|model| Value::Text(model.to_owned()))
}
