//! Stories of traces: written in parts, found, changed, deleted, met on other devices.

use std::collections::BTreeMap;

use super::{Contents, Device, FOUNDER, NOW, meet};
use crate::action::{Action, Outcome, Refusal, TraceChange, TracesToDelete};
use crate::ids::{DocumentId, ExperimentId, RunId};
use crate::rows::{KeyValue, TraceRow};
use crate::search::{
    Assessed, AssessmentKind, PageStart, TraceQuery, TraceWords, parse_trace_filter,
    parse_trace_order, search_traces,
};
use crate::trace::{Attribute, Span, SpanStatus, TraceInfo, TracePart, TraceStatus, Value};

const WORDS: TraceWords = TraceWords {
    name_tag: "name",
    run_fact: "run",
    assessment: |json| {
        let (name, value) = json.split_once('=')?;
        let kind = AssessmentKind::Feedback;
        Some(Assessed { kind, name: name.to_owned(), valid: true, value: value.to_owned() })
    },
    span_text: |span| format!("{span:?}"),
    attribute_text: |span, key| span.attribute(key)?.as_text().map(str::to_owned),
    span_status: |span| if span.status == SpanStatus::Error { "ERROR" } else { "OK" },
};

fn span(id: u8, name: &str) -> Span {
    Span {
        id: [id; 8],
        parent: if id == 1 { [0; 8] } else { [1; 8] },
        name: name.to_owned(),
        kind: "LLM".to_owned(),
        start_ns: 1_000_000 * u64::from(id),
        end_ns: 9_000_000,
        attributes: vec![Attribute::new("model", Value::Text(format!("model {id}")))],
        ..Span::default()
    }
}

fn info(start_ms: i64, status: TraceStatus, tags: &[(&str, &str)]) -> TraceInfo {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| KeyValue::new(*k, *v)).collect();
    TraceInfo {
        status,
        start_ms,
        duration_ms: status.has_ended().then_some(start_ms % 7),
        metadata: pairs(&[("user", "ann")]),
        tags: pairs(tags),
        ..TraceInfo::default()
    }
}

impl Device {
    pub(super) fn say(&mut self, id: &str, info: TraceInfo) -> Result<TraceRow, Refusal> {
        let mut part = TracePart::new(id.to_owned(), DocumentId::experiment("Default", 0));
        part.infos.push(info);
        match self.act(Action::LogTrace(Box::new(part)))? {
            Outcome::Trace(row) => Ok(*row),
            other => panic!("{other:?}"),
        }
    }

    fn log_spans(&mut self, id: &str, spans: &[Span]) {
        let mut part = TracePart::new(id.to_owned(), DocumentId::experiment("Default", 0));
        part.spans = spans.iter().map(Span::encode).collect();
        part.metadata = vec![KeyValue::new("session", "s")];
        self.act(Action::LogSpans(vec![part])).unwrap();
    }

    fn change_trace(&mut self, id: &str, change: TraceChange) -> Result<Outcome, Refusal> {
        self.act(Action::ChangeTrace { trace: id.to_owned(), change })
    }

    fn delete_traces(&mut self, ids: &[&str], until_ms: Option<i64>, limit: Option<usize>) -> u64 {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let wanted = TracesToDelete { experiment: ExperimentId::DEFAULT, ids, until_ms, limit };
        match self.act(Action::DeleteTraces(wanted)).unwrap() {
            Outcome::Count(count) => count,
            other => panic!("{other:?}"),
        }
    }

    fn found_traces(&self, filter: &str, order: &[&str]) -> Vec<String> {
        let query = query(filter, order);
        let page = search_traces(&self.store.reader().snapshot().unwrap(), &query).unwrap();
        assert_eq!(page.next, None);
        page.traces.into_iter().map(|row| row.id).collect()
    }
}

fn query(filter: &str, order: &[&str]) -> TraceQuery {
    TraceQuery {
        experiments: vec![ExperimentId::DEFAULT],
        clauses: parse_trace_filter(filter).expect(filter),
        order: parse_trace_order(order).expect("an order"),
        start: PageStart::default(),
        limit: 100,
        words: WORDS,
    }
}

#[test]
fn a_trace_is_there_at_once_after_sealing_and_after_power_loss() {
    let mut ann = Device::founder();
    ann.log_spans("tr-1", &[span(2, "model")]);
    let row = ann.say("tr-1", info(5, TraceStatus::Ok, &[("name", "answer")])).unwrap();
    ann.log_spans("tr-1", &[span(1, "root"), span(2, "model")]);
    assert_eq!((row.status, row.start_ms, row.spans), (TraceStatus::Ok, 5, 1));
    let snapshot = ann.store.reader().snapshot().unwrap();
    let row = snapshot.trace("tr-1").unwrap().unwrap();
    assert_eq!((row.tag("name"), row.fact("session"), row.spans), (Some("answer"), Some("s"), 2));
    assert_eq!(snapshot.spans("tr-1").unwrap(), [span(1, "root"), span(2, "model")]);
    drop(snapshot);
    let before = ann.contents().traces;
    let mut ann = ann.restart_after_power_loss().unwrap();
    assert_eq!(ann.contents().traces, before);
    ann.store.seal(NOW).unwrap();
    assert_eq!(ann.contents().traces, before);
    assert_eq!(ann.rebuilt().traces, before);
    let operations = ann.store.reader().snapshot().unwrap();
    assert_eq!(operations.trace("tr-2").unwrap(), None);
}

#[test]
fn saying_it_again_writes_nothing_and_an_experiment_must_be_there() {
    let mut ann = Device::founder();
    let started = info(5, TraceStatus::InProgress, &[]);
    ann.say("tr-1", started.clone()).unwrap();
    let edits = ann.store.unsealed_edits();
    ann.say("tr-1", started).unwrap();
    assert_eq!(ann.store.unsealed_edits(), edits);
    let mut part = TracePart::new("tr-2".to_owned(), DocumentId::experiment("nowhere", 0));
    part.spans.push(span(1, "root").encode());
    let refused = ann.act(Action::LogSpans(vec![part]));
    assert!(matches!(refused, Err(Refusal::NoSuchExperiment(_))), "{refused:?}");
}

#[test]
fn traces_are_found_by_what_they_say_in_order_of_time() {
    let mut ann = Device::founder();
    for at in 0..20 {
        let color = if at % 2 == 0 { "red" } else { "blue" };
        let status = if at == 7 { TraceStatus::Error } else { TraceStatus::Ok };
        let id = format!("tr-{at:02}");
        // Four of them start in one millisecond: then ids decide.
        let at_ms = i64::from(at).max(4);
        ann.say(&id, info(at_ms, status, &[("color", color), ("name", "answer")])).unwrap();
        ann.log_spans(&id, &[span(1, "root"), span(at + 2, "model")]);
    }
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.change_trace("tr-03", TraceChange::LinkRun(run)).unwrap();
    ann.change_trace("tr-05", TraceChange::SetTag(KeyValue::new("color", "green"))).unwrap();
    ann.change_trace("tr-06", TraceChange::DeleteTag("color".to_owned())).unwrap();
    let put = ("a".to_owned(), Some("good=0.5".to_owned()));
    ann.change_trace("tr-08", TraceChange::Assess(vec![put])).unwrap();
    let all: Vec<String> = (0..20).map(|at| format!("tr-{at:02}")).collect();
    let newest_first: Vec<String> = all[5..].iter().rev().chain(&all[..5]).cloned().collect();
    assert_eq!(ann.found_traces("", &[]), newest_first);
    let ascending: Vec<String> = all[..5].iter().chain(&all[5..]).cloned().collect();
    assert_eq!(ann.found_traces("", &["timestamp ASC"]), ascending);
    let filters = [
        "tags.color = 'red'",
        "tags.color = 'red' AND timestamp_ms > 4 AND timestamp_ms <= 12",
        "tags.color != 'red'",
        "tags.color IS NULL",
        "tags.color RLIKE '^(gr|bl)'",
        "tags.color LIKE '%e%' AND trace.status = 'ERROR'",
        "status IN ('ERROR', 'NONE')",
        "status NOT IN ('ERROR')",
        "name = 'answer' AND metadata.user = 'ann' AND tags.color = 'blue'",
        "request_id IN ('tr-01', 'tr-02', 'none')",
        "execution_time >= 3",
        "end_time < 9",
        "run_id = '01010101010101010101010101010101'",
        "span.name = 'model' AND span.attributes.model = 'model 4'",
        "span.name = 'root' AND span.attributes.model = 'model 4'",
        "feedback.good > 0.4",
        "feedback.good = '0.5'",
        "feedback.good IS NULL AND tags.color = 'green'",
        "metadata.nothing = 'x'",
    ];
    let orders: [&[&str]; 4] =
        [&[], &["timestamp"], &["tag.color DESC", "execution_time"], &["request_id"]];
    // Every answer is that of reading every row, whichever way the index was walked.
    let snapshot = ann.store.reader().snapshot().unwrap();
    for filter in filters {
        for order in orders {
            let mut everything = query("", order);
            everything.limit = 1000;
            let sorted = search_traces(&snapshot, &everything).unwrap().traces;
            let only = |row: &TraceRow| {
                let one = format!("request_id = '{}'{}", row.id, and(filter));
                !ann.found_traces(&one, &[]).is_empty()
            };
            let expected: Vec<String> =
                sorted.iter().filter(|row| only(row)).map(|row| row.id.clone()).collect();
            assert_eq!(ann.found_traces(filter, order), expected, "{filter} {order:?}");
        }
    }
    assert_eq!(ann.found_traces("run_id = '01010101010101010101010101010101'", &[]), ["tr-03"]);
    assert_eq!(
        ann.found_traces("span.attributes.model = 'model 4' AND span.type = 'LLM'", &[]),
        ["tr-02"]
    );
    assert_eq!(ann.found_traces("tags.color IS NULL", &[]), ["tr-06"]);
    assert_eq!(ann.found_traces("feedback.good > 0.4", &[]), ["tr-08"]);
    let mut page = query("tags.name = 'answer'", &[]);
    (page.start, page.limit) = (PageStart::Offset(3), 4);
    let found = search_traces(&snapshot, &page).unwrap();
    let ids: Vec<String> = found.traces.into_iter().map(|row| row.id).collect();
    assert_eq!((ids.as_slice(), found.next.is_some()), (&newest_first[3..7], true));
}

#[test]
fn traces_that_come_between_pages_shift_nothing() {
    for order in [&[] as &[&str], &["timestamp"], &["tag.color DESC"]] {
        let mut ann = Device::founder();
        for at in 0..9 {
            // Three start in each millisecond.
            let tags = [("color", ["red", "blue"][at % 2])];
            ann.say(&format!("tr-{at}"), info(at as i64 / 3 + 10, TraceStatus::Ok, &tags)).unwrap();
        }
        let expected = ann.found_traces("", order);
        let mut paged = TraceQuery { limit: 2, ..query("", order) };
        let (mut ids, mut before) = (Vec::new(), 0);
        loop {
            let found = search_traces(&ann.store.reader().snapshot().unwrap(), &paged).unwrap();
            ids.extend(found.traces.into_iter().map(|row| row.id));
            let Some(next) = found.next else { break };
            paged.start = PageStart::After(next);
            // One that every order has at its start.
            let start_ms = if order == ["timestamp"] { 1 } else { 100 };
            let new = info(start_ms, TraceStatus::Ok, &[("color", "violet")]);
            ann.say(&format!("tr-before-{before}"), new).unwrap();
            before += 1;
        }
        assert_eq!((ids, before), (expected, 4), "{order:?}");
    }
}

#[test]
fn a_link_to_a_run_may_come_before_the_trace() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    let linked = "run_id = '01010101010101010101010101010101'";
    ann.change_trace("tr-1", TraceChange::LinkRun(run)).unwrap();
    let tag = TraceChange::SetTag(KeyValue::new("color", "red"));
    assert_eq!(ann.change_trace("tr-1", tag), Err(Refusal::NoSuchTrace("tr-1".to_owned())));
    assert!(ann.found_traces(linked, &[]).is_empty());
    ann.say("tr-1", info(5, TraceStatus::Ok, &[])).unwrap();
    assert_eq!(ann.found_traces(linked, &[]), ["tr-1"]);
    let before = ann.contents().traces;
    assert_eq!(ann.rebuilt().traces, before);
    ann.delete_traces(&["tr-1"], None, None);
    let refused = ann.change_trace("tr-1", TraceChange::LinkRun(run));
    assert_eq!(refused, Err(Refusal::NoSuchTrace("tr-1".to_owned())));
}

fn and(filter: &str) -> String {
    // A clause by id comes first, so that it decides how to walk.
    if filter.is_empty() { String::new() } else { format!(" AND {filter}") }
}

#[test]
fn deleted_traces_stay_deleted() {
    let mut ann = Device::founder();
    for at in 0..6 {
        ann.say(&format!("tr-{at}"), info(at, TraceStatus::Ok, &[])).unwrap();
        ann.log_spans(&format!("tr-{at}"), &[span(1, "root")]);
    }
    assert_eq!(ann.delete_traces(&["tr-4", "tr-9"], None, None), 1);
    assert_eq!(ann.delete_traces(&["tr-4"], None, None), 0);
    assert_eq!(ann.delete_traces(&[], Some(3), Some(2)), 2);
    assert_eq!(ann.found_traces("", &[]), ["tr-5", "tr-3", "tr-2"]);
    ann.log_spans("tr-0", &[span(1, "root")]);
    let refused = ann.say("tr-0", info(1, TraceStatus::Ok, &[]));
    assert_eq!(refused, Err(Refusal::TraceDeleted("tr-0".to_owned())));
    let refused = ann.change_trace("tr-0", TraceChange::DeleteTag("a".to_owned()));
    assert_eq!(refused, Err(Refusal::NoSuchTrace("tr-0".to_owned())));
    let snapshot = ann.store.reader().snapshot().unwrap();
    assert_eq!(snapshot.spans("tr-0").unwrap(), []);
    drop(snapshot);
    let before = ann.contents().traces;
    assert_eq!(ann.rebuilt().traces, before);
}

#[test]
fn divided_devices_agree_on_traces_after_meeting() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    // One trace that runs through both, and what each says of the other's.
    ann.log_spans("tr-both", &[span(1, "root")]);
    bob.log_spans("tr-both", &[span(2, "remote"), span(3, "remote")]);
    bob.say("tr-both", info(3, TraceStatus::InProgress, &[("by", "bob")])).unwrap();
    ann.say("tr-both", info(4, TraceStatus::Ok, &[("by", "ann")])).unwrap();
    ann.say("tr-ann", info(5, TraceStatus::Ok, &[("color", "red")])).unwrap();
    bob.say("tr-bob", info(6, TraceStatus::Ok, &[])).unwrap();
    meet(&mut ann, &mut bob);
    bob.change_trace("tr-ann", TraceChange::SetTag(KeyValue::new("color", "blue"))).unwrap();
    ann.change_trace("tr-ann", TraceChange::DeleteTag("color".to_owned())).unwrap();
    ann.change_trace("tr-both", TraceChange::Assess(vec![("a".into(), Some("x=1".into()))]))
        .unwrap();
    assert_eq!(ann.delete_traces(&["tr-bob"], None, None), 1);
    bob.log_spans("tr-bob", &[span(1, "late")]);
    meet(&mut ann, &mut bob);
    let contents = ann.contents();
    assert_eq!(bob.contents(), contents);
    assert_eq!(contents.traces["tr-both"].1, 3);
    assert_eq!(ann.found_traces("tags.by = 'ann'", &[]), ["tr-both"]);
    for device in [&mut ann, &mut bob] {
        assert_eq!(device.rebuilt(), contents);
        let mut found = device.found_traces("", &[]);
        found.sort();
        assert_eq!(found, ["tr-ann", "tr-both"]);
    }
}

#[test]
fn traces_come_along_when_a_device_joins() {
    let mut ann = Device::founder();
    ann.say("tr-1", info(5, TraceStatus::Ok, &[("name", "answer")])).unwrap();
    ann.log_spans("tr-1", &[span(1, "root"), span(2, "model")]);
    ann.log_spans("tr-2", &[span(1, "root")]);
    ann.say("tr-3", info(5, TraceStatus::Ok, &[])).unwrap();
    ann.delete_traces(&["tr-3"], None, None);
    ann.change_trace("tr-1", TraceChange::SetTag(KeyValue::new("color", "red"))).unwrap();
    let old = ann.store.reader().snapshot().unwrap();
    let mut host = Device::founder();
    let mut joined = Device::joiner(&mut host, FOUNDER + 1);
    joined.store.adopt(NOW, &old).unwrap();
    let traces: BTreeMap<_, _> = Contents::of(&old).traces;
    assert_eq!(joined.contents().traces, traces);
    joined.store.adopt(NOW, &old).unwrap();
    assert_eq!(joined.contents().traces, traces);
    assert_eq!(joined.found_traces("tags.color = 'red'", &[]), ["tr-1"]);
    assert_eq!(joined.rebuilt().traces, traces);
    let nobody = RunId::new([9; 16]);
    let refused = joined.change_trace("tr-1", TraceChange::LinkRun(nobody));
    assert_eq!(refused, Err(Refusal::NoSuchRun(nobody)));
}

#[test]
fn what_is_written_at_once_survives_power_loss_however_much_it_is() {
    let mut ann = Device::founder();
    let part = |at: u8| {
        let mut large = span(1, "large");
        large.attributes = vec![Attribute::new("text", Value::Text("x".repeat(1_900 << 10)))];
        let experiment = DocumentId::experiment("Default", 0);
        let mut part = TracePart::new(format!("tr-{at:02}"), experiment);
        part.spans.push(large.encode());
        part
    };
    // More than the log takes for one group.
    let actions = (0..36).map(|at| Action::LogSpans(vec![part(at)])).collect();
    let answers = ann.store.write(NOW, actions).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let too_much = ann.act(Action::LogSpans((40..65).map(part).collect()));
    assert!(matches!(too_much, Err(Refusal::TooLarge { .. })), "{too_much:?}");
    let ann = ann.restart_after_power_loss().unwrap();
    assert_eq!(ann.found_traces("", &[]).len(), 36);
}
