//! Every decoder of bytes that come from outside, as a function that must not panic on any.
//!
//! What is accepted is held to more: written again it is the same, or reads as the same.

use redb::StorageBackend;
use runmesh_core::act::Act;
use runmesh_core::artifact::ArtifactContent;
use runmesh_core::audit;
use runmesh_core::bundle::{BundleReader, MAGIC, Part};
use runmesh_core::carried::Carried;
use runmesh_core::codec::Reader;
use runmesh_core::disk::Disk;
use runmesh_core::document::{self, ParsedChange};
use runmesh_core::edit_log::EditLog;
use runmesh_core::entry::{UnverifiedEntry, verify_chain};
use runmesh_core::ids::{DeviceId, DocumentKind, Incarnation, JournalId, WorkspaceId};
use runmesh_core::search;
use runmesh_core::series;
use runmesh_core::sync::Message;
use runmesh_core::ticket::{Contact, Ticket};
use runmesh_core::trace::TracePart;
use runmesh_core::vector::{Tip, VersionVector};

/// A decoder, and the name of its fuzz target.
pub type Decoder = (&'static str, fn(&[u8]));

/// All of them.
pub const DECODERS: [Decoder; 17] = [
    ("act", act),
    ("artifact", artifact),
    ("audit_file", audit_file),
    ("bundle", bundle),
    ("carried", carried),
    ("change", change),
    ("columns", columns),
    ("contact", contact),
    ("edit_log", edit_log),
    ("entry", entry),
    ("filter", filter),
    ("message", message),
    ("points", points),
    ("ticket", ticket),
    ("trace", trace),
    ("trace_filter", trace_filter),
    ("vector", vector),
];

/// A file of `runmesh audit export` that starts as one does.
pub fn audit_file(bytes: &[u8]) {
    let whole = [&MAGIC[..], bytes].concat();
    let _ = audit::verify_file(&whole[..], 1);
}

/// The content of a carried operation.
pub fn carried(bytes: &[u8]) {
    if let Ok(carried) = Carried::decode(bytes) {
        assert_eq!(carried.encode(), bytes);
        let _ = carried.verify(WorkspaceId::new([5; 32]));
        let (document, content) = carried.change();
        let kind = document.kind().unwrap_or(DocumentKind::Run);
        let _ = ParsedChange::parse(kind, carried.device(), content);
    }
}

/// A member's device and addresses as a person writes them.
pub fn contact(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = text.parse::<Contact>();
}

/// A part of a bundle, and a bundle that starts with the same bytes.
pub fn bundle(bytes: &[u8]) {
    let _ = Part::decode(bytes);
    let whole = [&MAGIC[..], bytes].concat();
    let mut reader = BundleReader::new(&whole[..]).expect("the magic is right");
    while let Ok(Some(_)) = reader.next() {}
}

/// The device whose entries and changes are read.
pub const DEVICE: DeviceId = DeviceId::new([3; 32]);

fn journal() -> JournalId {
    JournalId { device: DEVICE, incarnation: Incarnation::new([4; 16]) }
}

/// The content of an act.
pub fn act(bytes: &[u8]) {
    if let Ok(Some(act)) = Act::decode(bytes) {
        assert_eq!(act.encode(), bytes);
    }
}

/// The content of an artifact operation.
pub fn artifact(bytes: &[u8]) {
    if let Ok(artifact) = ArtifactContent::decode(bytes) {
        assert_eq!(artifact.encode(), bytes);
    }
}

/// The content of a change operation, applied to an empty document if it is in form.
pub fn change(bytes: &[u8]) {
    for kind in [DocumentKind::Experiment, DocumentKind::Run] {
        if let Ok(change) = ParsedChange::parse(kind, DEVICE, bytes) {
            // It may contradict itself; that is an error, not a panic.
            if let Ok(applied) = document::apply(kind, None, &[change]) {
                document::DocumentState::read(kind, &applied.snapshot).expect("we wrote it");
            }
        }
    }
}

/// Columns of points.
pub fn columns(bytes: &[u8]) {
    if let Ok(points) = series::decode_columns(bytes) {
        let again = series::decode_columns(&series::encode_columns(&points)).expect("we wrote it");
        let bits = |points: &[runmesh_core::rows::Point]| -> Vec<(i64, i64, u64)> {
            points.iter().map(|p| (p.step, p.timestamp_ms, p.value.to_bits())).collect()
        };
        assert_eq!(bits(&again), bits(&points));
    }
}

/// The log of edits on this device's own disk, after who knows what happened to it.
pub fn edit_log(bytes: &[u8]) {
    let disk = Disk::new();
    disk.set_len(bytes.len() as u64).expect("the disk does not fail");
    disk.write(0, bytes).expect("the disk does not fail");
    if let Ok((log, edits)) = EditLog::open(Box::new(disk), 0) {
        assert_eq!(log.next(), edits.len() as u64);
    }
}

/// An entry as it is stored and sent.
pub fn entry(bytes: &[u8]) {
    if let Ok(entry) = UnverifiedEntry::decode(journal(), 0, bytes) {
        assert_eq!(entry.stored(), bytes);
        // Its device's key is not a key, so no signature is good.
        let (good, fault) = verify_chain(WorkspaceId::new([5; 32]), Tip::START, vec![entry], 1);
        assert!(good.is_empty() && fault.is_some());
    }
}

/// A filter of runs or experiments.
pub fn filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = search::parse_filter(&search::RUNS, text);
    let _ = search::parse_filter(&search::EXPERIMENTS, text);
    let _ = search::parse_filter(&search::REGISTERED_MODELS, text);
    let _ = search::parse_filter(&search::MODEL_VERSIONS, text);
    let _ = search::parse_order(&search::RUNS, &[text]);
}

/// A message of a sync session.
pub fn message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        let frame = message.clone().frame().0;
        assert_eq!(Message::decode(&frame[4..]), Ok(message));
    }
}

/// The content of a points operation.
pub fn points(bytes: &[u8]) {
    if let Ok(all) = series::decode_points(bytes) {
        let again = series::decode_points(&series::encode_points(&all)).expect("we wrote it");
        // By their text: NaN is not equal to itself.
        assert_eq!(format!("{again:?}"), format!("{all:?}"));
    }
}

/// A ticket as a person pastes it.
pub fn ticket(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(ticket) = text.parse::<Ticket>() {
        assert_eq!(ticket.to_string().parse::<Ticket>().expect("we wrote it"), ticket);
    }
}

/// The content of a trace operation.
pub fn trace(bytes: &[u8]) {
    if let Ok(part) = TracePart::decode(bytes) {
        assert_eq!(part.encode(), bytes);
        for span in &part.spans {
            assert_eq!(&span.decode().expect("it was read").encode(), span);
        }
    }
}

/// A filter of traces.
pub fn trace_filter(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = search::parse_trace_filter(text);
    let _ = search::parse_trace_order(&[text]);
}

/// A version vector.
pub fn vector(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let _ = VersionVector::read(&mut reader);
}
