//! Parts of traces: their bytes, and that a trace is a function of the set of its parts.

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::ids::{DocumentId, ExperimentId};

pub(crate) fn span(id: u8, parent: u8, end_ns: u64) -> Span {
    let of = |byte: u8| if byte == 0 { [0; 8] } else { [byte; 8] };
    Span {
        id: of(id),
        parent: of(parent),
        name: format!("step {id}"),
        kind: "LLM".to_owned(),
        start_ns: u64::from(id) * 1_000_000,
        end_ns,
        status: SpanStatus::Ok,
        status_message: String::new(),
        figures: vec![Figure { group: "tokens".into(), name: "in".into(), value: f64::from(id) }],
        attributes: vec![
            Attribute::new(
                "mlflow.spanInputs",
                Value::Map(vec![
                    Attribute::new("b", Value::Integer(-3)),
                    Attribute::new("a", Value::List(vec![Value::Number(0.5), Value::Nothing])),
                ]),
            ),
            Attribute::new("raw", Value::Bytes(vec![0, 255])),
            Attribute::new("yes", Value::Boolean(true)),
        ],
        events: vec![SpanEvent {
            name: "said".into(),
            time_ns: 7,
            attributes: vec![Attribute::new("q", Value::Text("é".into()))],
        }],
        links: vec![SpanLink { trace: [9; 16], span: [8; 8], attributes: Vec::new() }],
    }
}

fn info(said: u64, status: TraceStatus, tag: &str) -> TraceInfo {
    TraceInfo {
        said: Clock(said),
        status,
        start_ms: 1_000,
        duration_ms: status.has_ended().then_some(5),
        client_request_id: None,
        request_preview: Some("in".into()),
        response_preview: None,
        metadata: vec![KeyValue::new("user", "ann")],
        tags: vec![KeyValue::new("color", tag)],
        assessments: Vec::new(),
    }
}

fn part(infos: Vec<TraceInfo>, spans: &[Span]) -> TracePart {
    let experiment = DocumentId::experiment("agents", 0);
    let mut part = TracePart::new("tr-1".to_owned(), experiment);
    part.infos = infos;
    part.spans = spans.iter().map(Span::encode).collect();
    part.sort();
    part
}

/// The signed format may never change silently: people have journals in it.
#[test]
fn the_signed_bytes_are_golden() {
    let mut whole = part(vec![info(7, TraceStatus::Ok, "red")], &[span(2, 1, 0), span(1, 0, 9)]);
    whole.response_preview = Some("out".to_owned());
    whole.metadata = vec![KeyValue::new("session", "s")];
    whole.tags = vec![KeyValue::new("service", "web")];
    let bytes = whole.encode();
    let hash = blake3::hash(&bytes).to_hex();
    assert_eq!((bytes.len(), &hash[..16]), (420, "df5fcc1d53e4d671"));
    assert_eq!(TracePart::decode(&bytes), Ok(whole));
    let gone = TracePart { deleted: true, ..part(Vec::new(), &[]) };
    let hex = data_encoding::HEXLOWER.encode(&gone.encode());
    let experiment = data_encoding::HEXLOWER.encode(gone.experiment.id());
    assert_eq!(hex, format!("0474722d31{experiment}0100000000"));
}

#[test]
fn what_is_out_of_order_or_said_twice_is_refused() {
    let (one, two) = (span(1, 0, 9).encode(), span(2, 1, 9).encode());
    for spans in [vec![two.clone(), one.clone()], vec![one.clone(), one.clone()]] {
        let wrong = TracePart { spans, ..part(Vec::new(), &[]) };
        assert!(TracePart::decode(&wrong.encode()).is_err());
    }
    let tags = vec![KeyValue::new("b", ""), KeyValue::new("a", "")];
    assert!(TracePart::decode(&TracePart { tags, ..part(Vec::new(), &[]) }.encode()).is_err());
    let nameless = TracePart { trace: String::new(), ..part(Vec::new(), &[]) };
    assert!(TracePart::decode(&nameless.encode()).is_err());
}

#[test]
fn values_within_values_end_somewhere() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(Value::Nothing, |inner, _| Value::List(vec![inner]));
        Span { attributes: vec![Attribute::new("a", value)], ..Span::default() }.encode()
    };
    assert!(nested(MAX_DEPTH).decode().is_ok());
    assert!(nested(MAX_DEPTH + 1).decode().is_err());
    let head = nested(0).as_bytes().to_vec();
    let endless = [&head[..head.len() - 3], &[7, 1].repeat(100_000)].concat();
    assert!(Span::decode(&endless).is_err());
}

fn state_of(parts: &[TracePart]) -> TraceState {
    let mut state = TraceState::unknown("tr-1".to_owned());
    let mut all: std::collections::BTreeMap<SpanId, EncodedSpan> = Default::default();
    for part in parts {
        state.take(part);
        for span in &part.spans {
            let held = all.entry(span.id()).or_insert_with(|| span.clone());
            if !held.counts_over(span) {
                *held = span.clone();
            }
        }
    }
    let spans: Vec<Span> = all.values().map(|span| span.decode().unwrap()).collect();
    if !state.deleted {
        state.see_spans(&spans);
    }
    state
}

#[test]
fn an_info_counts_over_what_the_spans_say_and_an_end_over_a_start() {
    let spans = part(Vec::new(), &[span(1, 0, 9_000_000), span(2, 1, 8_000_000)]);
    let row = state_of(std::slice::from_ref(&spans)).into_row();
    assert_eq!((row.start_ms, row.duration_ms, row.status), (1, Some(8), TraceStatus::Ok));
    assert_eq!(row.experiment, DocumentId::experiment("agents", 0).as_experiment().unwrap());

    let end = part(vec![info(5, TraceStatus::Error, "end")], &[]);
    let start = part(vec![info(9, TraceStatus::InProgress, "start")], &[]);
    let row = state_of(&[end, spans, start]).into_row();
    assert_eq!((row.start_ms, row.duration_ms, row.status), (1_000, Some(5), TraceStatus::Error));
    assert_eq!((row.tag("color"), row.spans), (Some("end"), 2));
}

#[test]
fn what_is_counted_above_is_not_counted_again_below() {
    let mut silent = span(3, 1, 9);
    silent.figures.clear();
    let sum = |spans: &[Span]| state_of(&[part(Vec::new(), spans)]).into_row().figures[0].value;
    // 1 has 2 and 3 below it, and 3 has 4.
    assert_eq!(sum(&[span(1, 0, 9), span(2, 1, 9), silent.clone(), span(4, 3, 9)]), 1.0);
    let mut quiet = span(1, 0, 9);
    quiet.figures.clear();
    assert_eq!(sum(&[quiet, span(2, 1, 9), silent, span(4, 3, 9)]), 6.0);
    // A circle ends.
    let mut around = [span(5, 6, 9), span(6, 5, 9)];
    around[1].figures.clear();
    assert_eq!(state_of(&[part(Vec::new(), &around)]).into_row().figures, []);
}

#[test]
fn a_deleted_trace_is_nothing_else() {
    let gone = TracePart { deleted: true, ..part(Vec::new(), &[]) };
    let logged = part(vec![info(1, TraceStatus::Ok, "red")], &[span(1, 0, 9)]);
    let [first, last] =
        [[gone.clone(), logged.clone()], [logged, gone]].map(|parts| state_of(&parts));
    assert!(first.deleted);
    assert_eq!(first, last);
}

fn any_part() -> impl Strategy<Value = TracePart> {
    let any_info = (0..4u64, 0..4usize, 0..3u8)
        .prop_map(|(said, status, tag)| info(said, TraceStatus::ALL[status], &tag.to_string()));
    let any_span =
        (1..4u8, 0..4u8, 0..3u64).prop_map(|(id, parent, end)| span(id, parent, end * 1_000_000));
    let infos = proptest::collection::vec(any_info, 0..3);
    let spans = proptest::collection::vec(any_span, 0..4);
    let experiment = 0..2u32;
    (infos, spans, experiment, "[ab]?", proptest::bool::weighted(0.05)).prop_map(
        |(infos, spans, generation, session, deleted)| {
            let mut part = part(infos, &spans);
            part.experiment = DocumentId::experiment("agents", generation);
            part.request_preview = (!session.is_empty()).then(|| session.clone());
            part.metadata = vec![KeyValue::new("session", session)];
            part.deleted = deleted;
            part
        },
    )
}

proptest! {
    #[test]
    fn a_trace_is_what_its_parts_say_in_any_order_merged_or_split(
        parts in proptest::collection::vec(any_part(), 1..6),
        order in any::<proptest::sample::Index>(),
    ) {
        let expected = state_of(&parts);
        let mut other = parts.clone();
        other.rotate_left(order.index(parts.len()));
        other.reverse();
        // Twice is as once.
        other.extend(parts.clone());
        prop_assert_eq!(&state_of(&other), &expected);
        let split: Vec<TracePart> = parts.iter().cloned().flat_map(|part| part.split(64)).collect();
        prop_assert_eq!(&state_of(&split), &expected);
        let mut merged: Vec<TracePart> = Vec::new();
        for part in parts {
            match merged.iter_mut().find(|held| held.experiment == part.experiment) {
                Some(held) => held.merge(part),
                None => merged.push(part),
            }
        }
        for part in &merged {
            let read = TracePart::decode(&part.encode());
            prop_assert_eq!(read.as_ref(), Ok(part));
        }
        prop_assert_eq!(&state_of(&merged), &expected);
    }

    #[test]
    fn any_bytes_are_a_part_or_an_error(bytes: Vec<u8>) {
        if let Ok(part) = TracePart::decode(&bytes) {
            prop_assert_eq!(part.encode(), bytes);
        }
    }

    #[test]
    fn damaged_bytes_are_a_part_or_an_error(
        part in any_part(),
        at in any::<proptest::sample::Index>(),
        byte: u8,
    ) {
        let mut bytes = part.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(part) = TracePart::decode(&bytes) {
            prop_assert_eq!(part.encode(), bytes);
        }
    }
}

#[test]
fn a_trace_without_an_experiment_is_found_by_no_search() {
    let row = TraceState::unknown("tr-1".to_owned()).into_row();
    assert_eq!(row.experiment, ExperimentId::NONE);
}
