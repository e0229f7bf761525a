//! Prints what documents and series cost: time per document beside the same done with an Automerge
//! document, bytes per point.
//!
//! `cargo run --release -p runmesh-core --example document_cost`

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::Instant;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, Change, ROOT, ReadDoc};
use runmesh_core::clock::Clock;
use runmesh_core::document::{
    ChangeContent, Container, DocumentEdit, DocumentState, ParsedChange, Scalar, actor, apply,
    genesis, seal_edit,
};
use runmesh_core::ids::{ActorId, DeviceId, DocumentKind};
use runmesh_core::rows::{MetricContext, Point};
use runmesh_core::series::{SeriesPoints, decode_columns, encode_columns, encode_points, merge};

const KIND: DocumentKind = DocumentKind::Run;
const NONCE: [u8; 16] = [7; 16];
const CLOCK: Clock = Clock(1_790_000_000_000 << 16);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    documents()?;
    long_documents()?;
    series();
    Ok(())
}

fn new_run() -> DocumentEdit {
    let mut edit = DocumentEdit::default();
    let fields = [("name", "swift-owl-417"), ("status", "RUNNING"), ("lifecycle", "active")];
    for (key, value) in fields {
        edit.set(Container::Info, key, value);
    }
    edit.set(Container::Info, "start_ms", 1_790_000_000_123);
    for n in 0..20 {
        edit.set(
            Container::Params,
            &format!("param_{n}"),
            format!("{}", 0.01 * f64::from(n)).as_str(),
        );
    }
    for n in 0..5 {
        edit.set(Container::Tags, &format!("tag_{n}"), "some value");
    }
    edit
}

fn finish() -> DocumentEdit {
    let mut edit = DocumentEdit::default();
    edit.set(Container::Info, "status", "FINISHED");
    edit.set(Container::Info, "end_ms", 1_790_000_600_123);
    edit
}

fn documents() -> Result<(), Box<dyn std::error::Error>> {
    let device = DeviceId::new([3; 32]);
    let actor = actor(device, NONCE);
    let (new_run, finish) = (new_run(), finish());
    let created = seal_edit(KIND, None, actor, CLOCK, &new_run)?.ok_or("it changes something")?;
    let finished = seal_edit(KIND, Some(&created.snapshot), actor, CLOCK, &finish)?;
    let finished = finished.ok_or("it changes something")?;
    let content = |bytes: &[u8]| ChangeContent { nonce: NONCE, bytes: bytes.to_vec() }.encode();
    let contents = [content(&created.change), content(&finished.change)];
    let first = ParsedChange::parse(KIND, device, &contents[0])?;
    let second = ParsedChange::parse(KIND, device, &contents[1])?;

    println!("a run of 4 fields, 20 params and 5 tags: {} bytes", created.change.len());
    println!("{:44}{:>10}{:>12}", "us per document", "runmesh", "automerge");
    let ours = time(|| seal_edit(KIND, None, actor, CLOCK, &new_run));
    let theirs = time(|| by_automerge(None, actor, &new_run));
    row("make the change of a new run", ours, Some(theirs));
    let ours = time(|| seal_edit(KIND, Some(&created.snapshot), actor, CLOCK, &finish));
    let saved = by_automerge(None, actor, &new_run)?.1;
    let theirs = time(|| by_automerge(Some(&saved), actor, &finish));
    row("make the change that finishes it", ours, Some(theirs));
    let mut described = new_run.clone();
    described.description = Some("A note of forty characters or so, in text".into());
    let ours = time(|| seal_edit(KIND, None, actor, CLOCK, &described));
    row("make the change of a new run with a note", ours, None);
    row("check a peer's change", time(|| ParsedChange::parse(KIND, device, &contents[0])), None);
    let ours = time(|| apply(KIND, None, std::slice::from_ref(&first)));
    let bytes = &created.change;
    let theirs = time(|| {
        let mut document = empty()?;
        document.apply_changes([Change::try_from(&bytes[..])?])?;
        Ok::<_, Box<dyn std::error::Error>>(document.save_nocompress())
    });
    row("apply it to a new document", ours, Some(theirs));
    let ours = time(|| apply(KIND, Some(&created.snapshot), std::slice::from_ref(&second)));
    row("apply the one that finishes it", ours, None);
    let ours = time(|| DocumentState::read(KIND, &created.snapshot));
    row("read the new run", ours, Some(time(|| read_by_automerge(&saved))));
    row("read the finished run", time(|| DocumentState::read(KIND, &finished.snapshot)), None);
    Ok(())
}

/// A tag that is set again and again, as progress is.
fn long_documents() -> Result<(), Box<dyn std::error::Error>> {
    let actor = actor(DeviceId::new([3; 32]), NONCE);
    println!("\n{:44}{:>10}{:>12}", "a tag set n times", "bytes", "us to set");
    let mut snapshot = seal_edit(KIND, None, actor, CLOCK, &new_run())?.map(|s| s.snapshot);
    for n in 1..=10_000u64 {
        let mut edit = DocumentEdit::default();
        edit.set(Container::Tags, "progress", format!("{n} of 10000").as_str());
        let started = Instant::now();
        let sealed = seal_edit(KIND, snapshot.as_deref(), actor, Clock(CLOCK.0 + n), &edit)?;
        let us = started.elapsed().as_secs_f64() * 1e6;
        snapshot = sealed.map(|sealed| sealed.snapshot);
        if [10, 100, 1_000, 10_000].contains(&n) {
            println!("{n:44}{:>10}{us:>12.1}", snapshot.as_ref().map_or(0, Vec::len));
        }
    }
    Ok(())
}

fn series() {
    const START_MS: i64 = 1_790_000_000_000;
    let noise = |step: i64| {
        let mixed = (step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 11) as f64 / 9e15
    };
    let loss = |step: i64| 2.0 * (-(step as f64) / 20_000.0).exp() + 0.05 * noise(step);
    let tight = |value: &dyn Fn(i64) -> f64| -> Vec<Point> {
        let point = |step| Point { step, timestamp_ms: START_MS + step / 4, value: value(step) };
        (0..100_000).map(point).collect()
    };
    let per_second = |value: &dyn Fn(i64) -> f64| -> Vec<Point> {
        let late = |step: i64| (noise(step) * 4.0) as i64;
        let point = |step| Point {
            step,
            timestamp_ms: START_MS + step * 1_000 + late(step),
            value: value(step),
        };
        (1_000..1_060).map(point).collect()
    };
    let values: [(&str, &dyn Fn(i64) -> f64); 4] = [
        ("a loss computed in 32 bits", &|step| f64::from(loss(step) as f32)),
        ("a loss computed in 64 bits", &loss),
        ("an accuracy, so many of 10,000", &|step| (noise(step) * 10_000.0).floor() / 10_000.0),
        ("a constant", &|_| 0.001),
    ];
    println!("\n{:44}{:>10}{:>12}", "bytes per point", "loop", "1/s by 60");
    for (name, value) in values {
        let points = tight(value);
        let in_loop = encode_columns(&points).len() as f64 / points.len() as f64;
        let points = per_second(value);
        let count = points.len() as f64;
        let minute =
            SeriesPoints { key: "train/loss".into(), context: MetricContext::default(), points };
        let by_minute = encode_points(&[minute]).len() as f64 / count;
        println!("{name:44}{in_loop:>10.2}{by_minute:>12.2}");
    }
    let points = tight(values[0].1);
    let bytes = encode_columns(&points);
    println!("\n{:44}{:>10}", "ms per 100,000 points of the first kind", "");
    row("pack", time(|| encode_columns(&points)) / 1e3, None);
    row("unpack", time(|| decode_columns(&bytes)) / 1e3, None);
    let chunks: Vec<Vec<Point>> = points.chunks(8_192).map(<[_]>::to_vec).collect();
    row("merge, in order", time(|| merge(chunks.clone())) / 1e3, None);
    row("merge, chunks reversed", time(|| merge(chunks.iter().rev().cloned())) / 1e3, None);
    let few = per_second(values[0].1);
    row("pack 60 points (us)", time(|| encode_columns(&few)), None);
    row("pack 1 point (us)", time(|| encode_columns(&few[..1])), None);
}

fn empty() -> Result<Automerge, Box<dyn std::error::Error>> {
    let mut document = Automerge::new();
    document.apply_changes([Change::try_from(genesis(KIND).bytes())?])?;
    Ok(document)
}

/// Returns the change and the saved document.
fn by_automerge(
    saved: Option<&[u8]>,
    actor: ActorId,
    edit: &DocumentEdit,
) -> Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error>> {
    let mut document = saved.map_or_else(empty, |saved| Ok(Automerge::load(saved)?))?;
    document.set_actor(automerge::ActorId::from(*actor.as_bytes()));
    let mut transaction = document.transaction();
    for put in &edit.puts {
        let map = transaction
            .get(ROOT, put.container.name(DocumentKind::Run))?
            .ok_or("genesis made it")?
            .1;
        match &put.value {
            Some(Scalar::Text(text)) => transaction.put(map, &put.key, text.as_str())?,
            Some(Scalar::Integer(integer)) => transaction.put(map, &put.key, *integer)?,
            None => transaction.delete(map, &put.key)?,
        }
    }
    transaction.commit_with(CommitOptions::default().with_time(CLOCK.0 as i64));
    let change = document.get_last_local_change().ok_or("it changed something")?;
    Ok((change.raw_bytes().to_vec(), document.save_nocompress()))
}

fn read_by_automerge(saved: &[u8]) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let document = Automerge::load(saved)?;
    let mut values = Vec::new();
    for container in Container::ALL {
        let map =
            document.get(ROOT, container.name(DocumentKind::Run))?.ok_or("genesis made it")?.1;
        for item in document.map_range(&map, ..) {
            values.push((item.key.to_string(), format!("{:?}", item.value)));
        }
    }
    Ok(values)
}

fn row(name: &str, ours: f64, theirs: Option<f64>) {
    match theirs {
        Some(theirs) => println!("{name:44}{ours:>10.1}{theirs:>12.1}"),
        None => println!("{name:44}{ours:>10.1}"),
    }
}

/// Microseconds per call: the median of nine rounds.
fn time<T>(mut work: impl FnMut() -> T) -> f64 {
    let mut once = || {
        let started = Instant::now();
        black_box(work());
        started.elapsed()
    };
    let calls = (20_000 / once().max(once()).as_micros().max(1)).clamp(3, 2_000) as u32;
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| (0..calls).map(|_| once()).sum::<std::time::Duration>().as_secs_f64())
        .map(|seconds| seconds * 1e6 / f64::from(calls))
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
