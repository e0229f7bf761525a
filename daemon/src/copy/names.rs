//! What the copies of things are called, and naming them where the things were named.
//!
//! Invariants: the id of a copy follows from the thing and both workspaces; a text names a copy
//! only where it named what is copied along, by its whole id; what people and programs wrote, in
//! which an id may occur, stays what it was. Ids are 16 bytes that nobody chose, in hexadecimal
//! digits (those of models behind `m-`, those of traces behind `tr-`), so what looks like one is one.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use runmesh_core::ids::{DocumentId, DocumentKind, RunId, WorkspaceId};
use runmesh_core::store::{Snapshot, StoreError};
use runmesh_core::trace::{Span, Value};
use serde_json::Value as Json;

/// What ids of copies are made of, first.
const DOMAIN: &str = "runmesh/copy/1";
/// The same for traces whose clients gave them other ids than OpenTelemetry has.
const TRACE_DOMAIN: &str = "runmesh/copy/trace/1";
/// What clients put before the id that OpenTelemetry has for a trace.
const TRACE: &str = "tr-";
/// What clients put before the id of a logged model.
const MODEL: &str = "m-";
/// How many digits an id has.
const DIGITS: usize = 32;

type Id = [u8; 16];

/// The names of things that have copies in another workspace, or get them now, and of the copies.
pub(super) struct Names {
    from: WorkspaceId,
    to: WorkspaceId,
    copies: HashMap<Id, Id>,
}

impl Names {
    /// Names of nothing yet.
    pub(super) fn new(from: WorkspaceId, to: WorkspaceId) -> Self {
        Self { from, to, copies: HashMap::new() }
    }

    pub(super) fn add_run(&mut self, run: &RunId) {
        self.add(run.as_bytes());
    }

    pub(super) fn add_model(&mut self, model: &DocumentId) {
        self.add(model.id());
    }

    pub(super) fn add_trace(&mut self, trace: &str) {
        if let Some(id) = trace_digits(trace).and_then(|(_, digits)| read(digits)) {
            self.add(&id);
        }
    }

    /// Takes in that a text may be the name of something that was copied before, by what is there.
    pub(super) fn learn(&mut self, text: &str, there: &Snapshot) -> Result<(), StoreError> {
        let Some((head, id)) = id_in(text) else { return Ok(()) };
        if self.copies.contains_key(&id) {
            return Ok(());
        }
        let copy = self.derive(DOMAIN, &id);
        let is_there = match head {
            TRACE => there.trace(&format!("{TRACE}{}", HEXLOWER.encode(&copy)))?.is_some(),
            MODEL => {
                let document = DocumentId::new(DocumentKind::LoggedModel, copy);
                there.document(&document)?.is_some()
            }
            _ => there.run(&RunId::new(copy))?.is_some(),
        };
        if is_there {
            self.copies.insert(id, copy);
        }
        Ok(())
    }

    fn add(&mut self, id: &Id) {
        self.copies.insert(*id, self.derive(DOMAIN, id));
    }

    fn derive(&self, domain: &str, thing: &[u8]) -> Id {
        let parts: [&[u8]; 3] = [self.from.as_bytes(), thing, self.to.as_bytes()];
        let hash = blake3::derive_key(domain, &parts.concat());
        let (id, _) = hash.split_first_chunk().expect("a hash is longer than an id");
        *id
    }

    /// The copy of a run.
    pub(super) fn run(&self, run: &RunId) -> RunId {
        RunId::new(self.derive(DOMAIN, run.as_bytes()))
    }

    /// The copy of a logged model.
    pub(super) fn model(&self, model: &DocumentId) -> DocumentId {
        DocumentId::new(DocumentKind::LoggedModel, self.derive(DOMAIN, model.id()))
    }

    /// The copy of a trace.
    pub(super) fn trace(&self, trace: &str) -> String {
        match trace_digits(trace).and_then(|(head, digits)| Some((head, read(digits)?))) {
            Some((head, id)) => format!("{head}{}", HEXLOWER.encode(&self.derive(DOMAIN, &id))),
            None => {
                let id = self.derive(TRACE_DOMAIN, trace.as_bytes());
                format!("{TRACE}{}", HEXLOWER.encode(&id))
            }
        }
    }

    /// The copy of a run that is copied along, by the text that names the run.
    pub(super) fn copied_run(&self, run: &str) -> Option<RunId> {
        let run: RunId = run.parse().ok()?;
        self.copies.get(run.as_bytes()).map(|copy| RunId::new(*copy))
    }

    /// What clients call the copy of a logged model, copied or not. What is none stays as it is.
    pub(super) fn model_id(&self, model: &str) -> String {
        let document = DocumentId::from_logged_model(model);
        document
            .map_or_else(|| model.to_owned(), |document| super::model_id(&self.model(&document)))
    }

    /// The name of a copy where a text is that of what is copied, with or without quotes, and
    /// nothing else; any other text as it is.
    pub(super) fn named(&self, text: &str) -> String {
        if self.is_name(text) { self.within(text) } else { text.to_owned() }
    }

    /// JSON whose texts are [`Self::named`]; none if no text of it is a name, or it is no JSON.
    pub(super) fn in_json(&self, json: &str) -> Option<String> {
        // Most texts are neither a list nor an object, and need not be read.
        if !json.starts_with(['{', '[']) {
            return None;
        }
        let mut value = serde_json::from_str(json).ok()?;
        self.name_in(&mut value).then(|| value.to_string())
    }

    /// Returns whether anything was named.
    fn name_in(&self, value: &mut Json) -> bool {
        match value {
            Json::String(text) if self.is_name(text) => {
                *text = self.within(text);
                true
            }
            Json::Array(values) => {
                values.iter_mut().fold(false, |any, one| self.name_in(one) | any)
            }
            Json::Object(map) => map.values_mut().fold(false, |any, one| self.name_in(one) | any),
            _ => false,
        }
    }

    /// A text in which copies are named wherever what is copied was.
    pub(super) fn within(&self, text: &str) -> String {
        let is_digit = |char: char| matches!(char, '0'..='9' | 'a'..='f');
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_digit) {
            let (before, from) = rest.split_at(start);
            let (digits, after) = from.split_at(from.find(|c| !is_digit(c)).unwrap_or(from.len()));
            named.push_str(before);
            match read(digits).and_then(|id| self.copies.get(&id)) {
                Some(copy) => named.push_str(&HEXLOWER.encode(copy)),
                None => named.push_str(digits),
            }
            rest = after;
        }
        named.push_str(rest);
        named
    }

    /// Has a span name copies: in attributes that hold an id and nothing else, and in its links.
    pub(super) fn in_span(&self, span: &mut Span) {
        for attribute in &mut span.attributes {
            if let Value::Text(text) = &mut attribute.value {
                *text = self.named(text);
            }
        }
        for link in &mut span.links {
            if let Some(copy) = self.copies.get(&link.trace) {
                link.trace = *copy;
            }
        }
    }

    /// Whether a text is the name of something that has a copy. Traces whose ids have another form
    /// are named by nothing but themselves.
    fn is_name(&self, text: &str) -> bool {
        id_in(text).is_some_and(|(_, id)| self.copies.contains_key(&id))
    }
}

/// The id that a text is, in quotes or not, and what stands before its digits.
fn id_in(text: &str) -> Option<(&'static str, Id)> {
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    [TRACE, MODEL, ""].into_iter().find_map(|head| Some((head, read(bare.strip_prefix(head)?)?)))
}

/// Whether a text has the form of an id.
pub(super) fn is_id(text: &str) -> bool {
    id_in(text).is_some()
}

/// What stands before the digits of a trace's id, and the digits.
fn trace_digits(trace: &str) -> Option<(&'static str, &str)> {
    match trace.strip_prefix(TRACE) {
        Some(digits) => Some((TRACE, digits)),
        None => (trace.len() == DIGITS).then_some(("", trace)),
    }
}

fn read(digits: &str) -> Option<Id> {
    (digits.len() == DIGITS).then(|| HEXLOWER.decode(digits.as_bytes()).ok()?.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names::new(WorkspaceId::new([1; 32]), WorkspaceId::new([2; 32]))
    }

    #[test]
    fn the_id_of_a_copy_follows_from_where_it_is_from_and_goes_to() {
        let (ann, lab) = (WorkspaceId::new([1; 32]), WorkspaceId::new([2; 32]));
        let run = RunId::new([3; 16]);
        let copy = names().run(&run);
        assert_eq!(copy, Names::new(ann, lab).run(&run));
        let others = [
            Names::new(lab, ann).run(&run),
            names().run(&RunId::new([4; 16])),
            Names::new(ann, ann).run(&run),
            run,
        ];
        assert!(!others.contains(&copy));
    }

    #[test]
    fn a_text_names_copies_where_it_named_what_is_copied_and_nowhere_else() {
        let mut names = names();
        let (run, other) = (RunId::new([0xab; 16]), RunId::new([0xcd; 16]));
        let model = DocumentId::new(DocumentKind::LoggedModel, [0xef; 16]);
        let trace = format!("tr-{}", "12".repeat(16));
        names.add_run(&run);
        names.add_model(&model);
        names.add_trace(&trace);
        let copy = names.run(&run);
        let model_copy = super::super::model_id(&names.model(&model));
        let before = format!(
            "{{\"run\": \"{run}\", \"é\": \"{}\"}} {trace}",
            super::super::model_id(&model)
        );
        let after =
            format!("{{\"run\": \"{copy}\", \"é\": \"{model_copy}\"}} {}", names.trace(&trace));
        assert_eq!(names.within(&before), after);
        assert_eq!(names.within(&after), after, "copies are not copied");
        // Another run, a longer number, a shorter one, other letters.
        let untouched = [format!("{other}"), format!("{run}00"), run.to_string()[1..].to_owned()];
        for text in untouched.into_iter().chain([run.to_string().to_uppercase(), String::new()]) {
            assert_eq!(names.within(&text), text);
        }
        assert_eq!(names.copied_run(&run.to_string()), Some(copy));
        assert_eq!(names.copied_run(&other.to_string()), None);
        assert_eq!(names.model_id(&super::super::model_id(&model)), model_copy);
        assert_eq!(names.model_id("m-1"), "m-1");
    }

    #[test]
    fn traces_keep_the_form_of_their_ids() {
        let names = names();
        let digits = "0f".repeat(16);
        assert_eq!(names.trace(&format!("tr-{digits}")), format!("tr-{}", names.trace(&digits)));
        let odd = names.trace("request 7");
        assert!(odd.starts_with("tr-") && odd.len() == 35 && odd != names.trace("request 8"));
    }

    #[test]
    fn what_people_wrote_stays_and_what_is_a_name_is_that_of_a_copy() {
        let mut names = names();
        let run = RunId::new([0xab; 16]);
        names.add_run(&run);
        let copy = names.run(&run);
        assert_eq!(names.named(&format!("\"{run}\"")), format!("\"{copy}\""));
        assert_eq!(names.named(&format!("see {run}")), format!("see {run}"));
        let json = |run: &RunId| format!(r#"[{{"id":"{run}","why":"see {run}"}},1.5,null]"#);
        let mixed = json(&copy).replace(&format!("see {copy}"), &format!("see {run}"));
        assert_eq!(names.in_json(&json(&run)), Some(mixed));
        for text in [format!(r#"{{"why": "see {run}"}}"#), run.to_string(), "[".to_owned()] {
            assert_eq!(names.in_json(&text), None, "{text}");
        }
    }

    #[test]
    fn what_went_into_a_step_stays_what_it_was() {
        let mut names = names();
        let digits = "0f".repeat(16);
        names.add_trace(&format!("tr-{digits}"));
        let text = |text: String| Value::Text(text);
        let asked = text(format!("what of tr-{digits}?"));
        let mut span = Span {
            attributes: vec![
                runmesh_core::trace::Attribute::new("id", text(format!("\"tr-{digits}\""))),
                runmesh_core::trace::Attribute::new("inputs", asked.clone()),
            ],
            ..Span::default()
        };
        names.in_span(&mut span);
        let copy = format!("\"{}\"", names.trace(&format!("tr-{digits}")));
        assert_eq!(span.attribute("id"), Some(&text(copy)));
        assert_eq!(span.attribute("inputs"), Some(&asked));
    }
}
