//! Every decoder of outside bytes, on valid bytes and on all that small damage makes of them: cut
//! short, longer, a byte changed. The fuzz targets (tests/fuzz) start from the same bytes:
//! `RUNMESH_WRITE_CORPUS=1 cargo nextest run -p runmesh-tests decoder` writes them there.

use std::path::Path;

use ed25519_dalek::SigningKey;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use runmesh_core::act::{Act, ActKind, Role};
use runmesh_core::artifact::ArtifactContent;
use runmesh_core::bundle::{BundleStart, BundleWriter, MAGIC, Part};
use runmesh_core::carried::Carried;
use runmesh_core::clock::Clock;
use runmesh_core::disk::Disk;
use runmesh_core::document::{self, ChangeContent, Container, DocumentEdit};
use runmesh_core::edit::{Edit, TimedEdit};
use runmesh_core::edit_log::EditLog;
use runmesh_core::entry::{Entry, UnverifiedEntry};
use runmesh_core::ids::{
    BlobHash, DeviceId, DocumentId, DocumentKind, EntryHash, Incarnation, JournalId, RunId,
    WorkspaceId,
};
use runmesh_core::operation::{Operation, OperationKind};
use runmesh_core::rows::{KeyValue, Metric, MetricContext, Point};
use runmesh_core::series::{self, SeriesPoints};
use runmesh_core::sync::{Farewell, FirstEntry, Message, Obstacle, Scope, VERSION as SYNC_VERSION};
use runmesh_core::ticket::{Contact, Ticket};
use runmesh_core::trace::{
    Attribute, Figure, Span, SpanEvent, SpanLink, TraceInfo, TracePart, TraceStatus, Value,
};
use runmesh_core::vector::{Tip, VersionVector};

#[path = "../fuzz/src/decoders.rs"]
#[allow(unreachable_pub, reason = "elsewhere it is the library of the fuzz targets")]
mod decoders;

const WORKSPACE: WorkspaceId = WorkspaceId::new([5; 32]);

fn journal() -> JournalId {
    JournalId { device: decoders::DEVICE, incarnation: Incarnation::new([4; 16]) }
}

fn points() -> Vec<Point> {
    let value = |step: i64| if step % 5 == 0 { f64::NAN } else { 1.0 / (step + 1) as f64 };
    (0..40).map(|step| Point { step, timestamp_ms: 1000 + 20 * step, value: value(step) }).collect()
}

fn acts() -> Vec<Vec<u8>> {
    let ticket = SigningKey::from_bytes(&[7; 32]);
    let (name, device_name) = ("lab".to_owned(), "ann".to_owned());
    let key = ticket.verifying_key().to_bytes();
    let kinds = [
        ActKind::Found { nonce: [9; 16], name, device_name },
        ActKind::Invite { key, role: Role::Writer, expires_ms: 5, uses: 2 },
        ActKind::join(&ticket, &WORKSPACE, &decoders::DEVICE, "bob".to_owned()),
    ];
    kinds.into_iter().map(|kind| Act { kind, seen: vec![[1; 32], [2; 32]] }.encode()).collect()
}

fn changes() -> Vec<Vec<u8>> {
    let nonce = [6; 16];
    let mut edit = DocumentEdit::default();
    edit.set(Container::Params, "lr", "0.1");
    edit.set(Container::Tags, "team", "vision");
    edit.description = Some("first try".to_owned());
    let actor = document::actor(decoders::DEVICE, nonce);
    let sealed = document::seal_edit(DocumentKind::Run, None, actor, Clock(5), &edit);
    let bytes = sealed.expect("a good edit").expect("that changes something").change;
    vec![ChangeContent { nonce, bytes }.encode()]
}

fn all_points() -> Vec<Vec<u8>> {
    let context = MetricContext { model_id: "m-1".to_owned(), ..MetricContext::default() };
    let one = |key: &str, context| SeriesPoints { key: key.to_owned(), context, points: points() };
    let series = [one("auc", MetricContext::default()), one("loss", context)];
    vec![series::encode_points(&series), series::encode_points(&[])]
}

fn entries() -> Vec<Vec<u8>> {
    let operation = |content: Vec<u8>| {
        Operation::new(
            OperationKind::Change,
            [8; 16],
            DocumentId::run(RunId::new([1; 16])),
            content,
        )
    };
    let key = SigningKey::from_bytes(&[3; 32]);
    let operations = changes().into_iter().map(operation).collect();
    let entry = Entry::sign(&key, WORKSPACE, journal(), &Tip::START, Clock(9), operations);
    vec![entry.stored().to_vec()]
}

fn held() -> VersionVector {
    let mut vector = VersionVector::new();
    for seed in 1..4 {
        let journal = JournalId {
            device: DeviceId::new([seed; 32]),
            incarnation: Incarnation::new([seed; 16]),
        };
        vector.set(journal, Tip { count: u64::from(seed), hash: EntryHash::new([seed; 32]) });
    }
    vector
}

fn messages() -> Vec<Vec<u8>> {
    let stored = entries().remove(0);
    let first = Some(FirstEntry { incarnation: Incarnation::new([4; 16]), stored: stored.clone() });
    let text = "because".to_owned();
    let all = [
        Message::Hello { version: SYNC_VERSION, workspace: WORKSPACE, name: "ann".into(), first },
        Message::Have { scope: Scope::All, vector: held() },
        Message::Entries {
            journal: journal(),
            first: 3,
            previous: EntryHash::new([2; 32]),
            entries: vec![stored.clone(), stored],
        },
        Message::Refuse {
            journal: journal(),
            obstacle: Obstacle::BadSignature,
            text: text.clone(),
        },
        Message::Watch { token: 3 },
        Message::Sealed { token: 3 },
        Message::Bye { farewell: Farewell::Leaving, text },
        Message::Contacts {
            contacts: vec![Contact {
                device: decoders::DEVICE,
                addresses: ["192.0.2.7:1", "[2001:db8::1]:2"]
                    .map(|address| address.parse().expect("an address"))
                    .into(),
            }],
        },
    ];
    all.into_iter().map(|message| message.frame().0[4..].to_vec()).collect()
}

/// The parts of a bundle, as they are without their checksums, and all of one after its magic.
fn bundles() -> Vec<Vec<u8>> {
    let key = SigningKey::from_bytes(&[3; 32]);
    let start = BundleStart {
        workspace: WORKSPACE,
        device: DeviceId::new(key.verifying_key().to_bytes()),
        name: "ann".to_owned(),
        made_ms: 5,
        from: held(),
        until: held(),
    };
    let mut bundle = BundleWriter::begin(Vec::new(), &start, &key).expect("memory");
    let (previous, entries) = (EntryHash::new([2; 32]), entries());
    let entries = Message::Entries { journal: journal(), first: 3, previous, entries };
    for part in [
        Part::Entries(entries),
        Part::Blob { hash: BlobHash::new([1; 32]), size: 3 },
        Part::Chunk(vec![1, 2, 3]),
    ] {
        bundle.put(&part).expect("memory");
    }
    let whole = bundle.finish().expect("memory")[MAGIC.len()..].to_vec();
    let mut all = vec![whole.clone()];
    let mut rest = &whole[..];
    while let Some((length, after)) = rest.split_first_chunk() {
        let (part, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        all.push(part.to_vec());
        rest = &after[16..];
    }
    all
}

fn logs() -> Vec<Vec<u8>> {
    use redb::StorageBackend;
    let disk = Disk::new();
    let (mut log, _) = EditLog::open(Box::new(disk.clone()), 0).expect("an empty disk");
    let run = RunId::new([1; 16]);
    for (step, point) in points().into_iter().take(3).enumerate() {
        let context = MetricContext::default();
        let metrics = vec![Metric { key: "loss".to_owned(), context, point }];
        let edit = Edit::Points { run, metrics };
        log.append(&[TimedEdit { clock: Clock(step as u64), edit }]).expect("a good disk");
    }
    let mut bytes = vec![0; log.bytes() as usize];
    disk.read(0, &mut bytes).expect("a good disk");
    vec![bytes]
}

/// Valid bytes for a decoder.
fn valid(name: &str) -> Vec<Vec<u8>> {
    let texts = |all: &[&str]| all.iter().map(|text| text.as_bytes().to_vec()).collect();
    match name {
        "act" => acts(),
        "artifact" => {
            let path = "model/weights.bin".to_owned();
            let content = Some((BlobHash::new([1; 32]), 70_000));
            [content, None]
                .map(|content| ArtifactContent { path: path.clone(), content }.encode())
                .to_vec()
        }
        "audit_file" => bundles().into_iter().take(1).collect(),
        "bundle" => bundles(),
        "carried" => {
            let entry = UnverifiedEntry::decode(journal(), 0, &entries()[0]).expect("we wrote it");
            let carried = Carried::of(&entry, Tip::START.hash, 0).expect("it holds a change");
            vec![carried.encode()]
        }
        "change" => changes(),
        "columns" => vec![series::encode_columns(&points()), series::encode_columns(&[])],
        "contact" => {
            let device = decoders::DEVICE;
            let addresses = ["192.0.2.7:4747", "[2001:db8::1]:4747"];
            addresses.map(|address| format!("{device}@{address}").into_bytes()).to_vec()
        }
        "edit_log" => logs(),
        "entry" => entries(),
        "filter" => texts(&[
            "metrics.auc > 0.9 and params.lr = \"0.1\" AND tags.`a b` LIKE '%x_'",
            "attributes.start_time >= 5 and run_id IN ('a', 'b')",
            "name ILIKE 'Fraud%'",
            "metrics.`val loss` DESC",
        ]),
        "message" => messages(),
        "points" => all_points(),
        "ticket" => {
            let ticket = Ticket {
                key: [7; 32],
                workspace: WORKSPACE,
                inviter: decoders::DEVICE,
                expires_ms: 5,
                addresses: vec!["192.0.2.7:4747".parse().expect("an address")],
                others: Vec::new(),
            };
            let other = "192.0.2.8:4747".parse().expect("an address");
            let other = Contact { device: decoders::DEVICE, addresses: vec![other] };
            let of_several = Ticket { others: vec![other], ..ticket.clone() };
            [ticket, of_several].map(|ticket| ticket.to_string().into_bytes()).to_vec()
        }
        "trace" => traces(),
        "trace_filter" => TRACE_FILTERS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "vector" => messages().into_iter().map(|message| message[2..].to_vec()).collect(),
        other => panic!("no valid bytes for {other}"),
    }
}

const TRACE_FILTERS: [&str; 4] = [
    "trace.status = 'OK' AND tags.`a b` != 'x' AND timestamp_ms >= 1.5",
    "name IN ('a', 'b') AND metadata.run RLIKE '^(a|b)+$' AND tag.k IS NOT NULL",
    "span.attributes.model LIKE '%x%' AND feedback.good = 'true' AND expectation.n < 3",
    "execution_time DESC",
];

fn traces() -> Vec<Vec<u8>> {
    let mut part = TracePart::new("tr-1".to_owned(), DocumentId::experiment("agents", 0));
    part.infos.push(TraceInfo {
        said: Clock(7),
        status: TraceStatus::Ok,
        duration_ms: Some(-5),
        request_preview: Some("in".to_owned()),
        metadata: vec![KeyValue::new("user", "ann")],
        ..TraceInfo::default()
    });
    part.tags.push(KeyValue::new("service", "web"));
    let list = Value::List(vec![Value::Integer(-3), Value::Number(0.5), Value::Nothing]);
    let map = Value::Map(vec![Attribute::new("list", list)]);
    let span = |id: u8, parent: u8| Span {
        id: [id; 8],
        parent: [parent; 8],
        name: "step".to_owned(),
        start_ns: 5,
        end_ns: 9,
        figures: vec![Figure { group: "g".into(), name: "n".into(), value: 1.5 }],
        attributes: vec![Attribute::new("in", map.clone())],
        events: vec![SpanEvent { name: "e".into(), time_ns: 7, attributes: Vec::new() }],
        links: vec![SpanLink { trace: [1; 16], span: [2; 8], attributes: Vec::new() }],
        ..Span::default()
    };
    part.spans = vec![span(1, 0).encode(), span(2, 1).encode()];
    part.sort();
    let gone = TracePart { deleted: true, ..TracePart::new("a".to_owned(), part.experiment) };
    vec![part.encode(), gone.encode()]
}

fn write_corpus(name: &str, seeds: &[Vec<u8>]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(folder.join(format!("valid-{number}")), seed).expect("it can be written");
    }
}

#[test]
fn no_decoder_panics_on_damaged_bytes() {
    let mut random = StdRng::seed_from_u64(1);
    for (name, decode) in decoders::DECODERS {
        let seeds = valid(name);
        if std::env::var_os("RUNMESH_WRITE_CORPUS").is_some() {
            write_corpus(name, &seeds);
        }
        for seed in &seeds {
            decode(seed);
            for end in 0..seed.len() {
                decode(&seed[..end]);
            }
            for at in 0..seed.len() {
                for change in [1, 0x80, 0xff, random.random_range(2..0x80)] {
                    let mut damaged = seed.clone();
                    damaged[at] ^= change;
                    decode(&damaged);
                }
                let mut longer = seed.clone();
                longer.splice(at..at, (0..9).map(|_| random.random::<u8>()));
                decode(&longer);
            }
        }
        for length in 0..300 {
            let mut noise = vec![0; length];
            random.fill_bytes(&mut noise);
            decode(&noise);
        }
    }
}

/// What fuzzing found stays found: the corpus holds it, if there is any.
#[test]
fn no_decoder_panics_on_the_corpus() {
    for (name, decode) in decoders::DECODERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files = std::fs::read_dir(&folder).expect("every decoder has a corpus");
        let files: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            decode(&std::fs::read(file).expect("it can be read"));
        }
    }
}
