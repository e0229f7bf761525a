//! Stories of the audit: who did what, told from the journals, and journals that were changed.

use std::collections::BTreeSet;

use redb::ReadableTable;

use super::*;
use crate::action::{ModelAction, ModelChange, VersionName};
use crate::audit::{self, About, FileReport, Flaw, Line, Page, Standing};
use crate::bundle::{BundleStart, BundleWriter, Part};
use crate::membership::Void;
use crate::registry::Author;
use crate::store::tables::ENTRIES;
use crate::sync::Message;

impl Device {
    fn page(&self, about: &About, limit: usize, cursor: Option<&str>) -> Page {
        let snapshot = self.store.reader().snapshot().unwrap();
        audit::page(&snapshot, self.store.workspace(), about, limit, cursor).unwrap()
    }

    fn lines(&self, about: &About) -> Vec<Line> {
        self.page(about, audit::MAX_LINES, None).lines
    }

    /// What was done, oldest first.
    fn parts(&self, about: &About) -> Vec<String> {
        let lines = self.lines(about).into_iter().rev();
        lines.flat_map(|line| line.said.parts).collect()
    }

    fn verified(&self) -> audit::Verified {
        let snapshot = self.store.reader().snapshot().unwrap();
        audit::verify(&snapshot, self.store.workspace(), 2).unwrap()
    }

    /// A file as it is exported.
    fn exported(&self) -> Vec<u8> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let start = BundleStart {
            workspace: self.store.workspace(),
            device: device_id(self.seed),
            name: "ann".to_owned(),
            made_ms: NOW.0,
            from: VersionVector::new(),
            until: snapshot.vector().unwrap(),
        };
        self.exported_as(&start)
    }

    fn exported_as(&self, start: &BundleStart) -> Vec<u8> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let mut writer = BundleWriter::begin(Vec::new(), start, &key(self.seed)).unwrap();
        for (journal, _) in snapshot.vector().unwrap().iter() {
            let first = start.from.tip(journal).count;
            let Some(chain) = snapshot.chain(journal, first, usize::MAX, 1000).unwrap() else {
                continue;
            };
            let (journal, previous, entries) = (*journal, chain.previous, chain.entries);
            let entries = Message::Entries { journal, first, previous, entries };
            writer.put(&Part::Entries(entries)).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Changes a byte of an entry on the disk.
    fn damage(&self, entry: u64, at: usize) {
        let txn = self.store.database.begin_write().unwrap();
        {
            let mut table = txn.open_table(ENTRIES).unwrap();
            let mut row = table.get((0, entry)).unwrap().unwrap().value().to_vec();
            row[at] ^= 1;
            table.insert((0, entry), row.as_slice()).unwrap();
        }
        txn.commit().unwrap();
    }
}

fn check(file: &[u8]) -> FileReport {
    audit::verify_file(file, 2).unwrap()
}

/// Ann founds, Bob joins, and both do this and that.
fn lab() -> (Device, Device, RunId) {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let experiment = ann.experiment("fraud");
    let run = ann.run(1, experiment.id);
    for step in 0..3 {
        ann.log(run, step, &[("lr", "0.1")]).unwrap();
    }
    meet(&mut ann, &mut bob);
    let path = "model/weights.bin".to_owned();
    let owner = DocumentId::run(run);
    bob.act(Action::PutArtifact { owner, path, blob: BlobHash::new([7; 32]), size: 300 }).unwrap();
    bob.act(Action::DeleteRunTag { id: run, key: "kind".to_owned() }).unwrap();
    meet(&mut ann, &mut bob);
    (ann, bob, run)
}

#[test]
fn what_was_done_is_said_in_words_with_who_did_it() {
    let (ann, bob, run) = lab();
    let about = About { documents: Some(BTreeSet::from([DocumentId::run(run)])), device: None };
    let told = ann.parts(&about);
    assert_eq!(
        told,
        [
            "created run \"run 01010101010101010101010101010101\" in \"fraud\"".to_owned(),
            "set status to \"RUNNING\"".to_owned(),
            "set user to \"ann\"".to_owned(),
            "set param lr to \"0.1\"".to_owned(),
            "set tag kind to \"test\"".to_owned(),
            "set tag step to \"2\"".to_owned(),
            "logged 3 points of loss".to_owned(),
            "deleted tag kind".to_owned(),
            "put artifact model/weights.bin (300 bytes, 0707070707070707)".to_owned(),
        ]
    );
    let by_bob = About { device: Some(device_id(2)), ..About::default() };
    let lines = ann.lines(&by_bob);
    assert!(lines.iter().all(|line| line.journal.device == device_id(2)));
    assert!(lines.iter().all(|line| line.standing == Standing::Counts));
    assert_eq!(
        lines.last().unwrap().said.parts,
        ["joined as \"device 2\" by ticket 9c2ffa08"].map(|text| {
            // The ticket's key is what the ticket's secret makes it.
            let public = key(102).verifying_key().to_bytes();
            text.replace("9c2ffa08", &data_encoding::HEXLOWER.encode(&public[..4]))
        })
    );
    let all = ann.parts(&About::default());
    assert!(all.contains(&"founded workspace \"lab\" as \"ann\"".to_owned()));
    assert!(all.iter().any(|part| part.starts_with("invited 1 device as a writer by ticket ")));
    // Everybody reads the same journals.
    assert_eq!(ann.lines(&About::default()), bob.lines(&About::default()));
}

#[test]
fn an_alias_that_moves_is_said_with_the_number_of_the_version() {
    let mut ann = Device::founder();
    let author = Author { device: device_id(FOUNDER), who: "ann".to_owned(), note: String::new() };
    let mut act = |action: ModelAction| {
        let (action, author) = (Box::new(action), Box::new(author.clone()));
        ann.act(Action::Model { action, author }).unwrap();
    };
    for id in [1, 2] {
        act(ModelAction::Register(new_version(id, "fraud", NewSemver::None)));
    }
    let version = VersionName::Number(2);
    act(ModelAction::Update {
        model: "fraud".to_owned(),
        change: ModelChange::SetAlias { alias: "champion".to_owned(), version },
    });
    ann.store.seal(NOW).unwrap();
    let told = ann.parts(&About::default());
    assert!(told.contains(&"moved alias champion to version 2".to_owned()), "{told:?}");
}

#[test]
fn pages_tell_everything_once_whatever_comes_in_meanwhile() {
    let (mut ann, mut bob, run) = lab();
    let whole = ann.lines(&About::default());
    for limit in [1, 2, 7, whole.len()] {
        let (mut lines, mut cursor) = (Vec::new(), None);
        loop {
            let page = ann.page(&About::default(), limit, cursor.as_deref());
            assert!(page.lines.len() <= limit);
            lines.extend(page.lines);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
            bob.log(run, 100 + lines.len() as i64, &[]).unwrap();
            bob.send(&mut ann);
            ann.log(run, 200 + lines.len() as i64, &[]).unwrap();
            ann.store.seal(NOW).unwrap();
        }
        // What came in meanwhile was not told; of the rest nothing is missing, in the same order.
        let now = ann.lines(&About::default()).into_iter();
        assert_eq!(lines, now.filter(|line| lines.contains(line)).collect::<Vec<_>>());
        assert!(whole.iter().all(|line| lines.contains(line)));
        if limit == 1 {
            assert_eq!(lines, whole);
        }
    }
    let snapshot = ann.store.reader().snapshot().unwrap();
    let refused =
        audit::page(&snapshot, ann.store.workspace(), &About::default(), 1, Some("no cursor"));
    assert!(refused.is_err());
}

#[test]
fn what_membership_makes_void_is_told_and_said_not_to_count() {
    let [mut ann, mut bob, mut carl] = three();
    let run = bob.run(2, ExperimentId::DEFAULT);
    bob.send(&mut carl);
    ann.remove(2);
    ann.send(&mut carl);
    let about = About { documents: Some(BTreeSet::from([DocumentId::run(run)])), device: None };
    let lines = carl.lines(&about);
    assert!(!lines.is_empty());
    assert!(lines.iter().all(|line| line.standing == Standing::SetAside), "{lines:?}");
    assert_eq!(carl.verified().set_aside, 1);
    assert_eq!(carl.verified().wrong, []);

    // Carl is no admin: what he says of Ann is void.
    carl.remove(FOUNDER);
    let lines = carl.lines(&About { device: Some(device_id(3)), ..About::default() });
    assert_eq!(lines[0].said.parts, ["removed device ann"]);
    assert_eq!(lines[0].standing, Standing::Void(Void::NotAnAdmin));
}

#[test]
fn an_entry_that_was_changed_on_the_disk_is_named() {
    let (ann, _, _) = lab();
    let whole = ann.verified();
    assert_eq!((whole.journals, &whole.wrong[..]), (2, &[][..]));
    assert_eq!(whole.entries, ann.contents().vector.entries());
    // Ann's journal was the first here. A byte of a signature, of the link and of the body.
    for at in [0, 40, 120] {
        let (ann, ..) = lab();
        ann.damage(2, at);
        let wrong = ann.verified().wrong;
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!(wrong[0].journal, ann.store.journal());
        // The link is the hash of the entry before, by which that one's signature is checked.
        assert!((1..=2).contains(&wrong[0].entry), "{wrong:?}");
        let lines = ann.lines(&About::default());
        let of_entry = lines
            .iter()
            .filter(|line| line.journal == ann.store.journal() && (1..=2).contains(&line.entry));
        assert!(
            of_entry.clone().any(|line| line.standing != Standing::Counts) || of_entry.count() == 0
        );
    }
}

#[test]
fn a_file_proves_by_itself_what_was_done() {
    let (ann, _, _) = lab();
    let file = ann.exported();
    let report = check(&file);
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.workspace_name, "lab");
    assert_eq!(report.founder, Some(device_id(FOUNDER)));
    let names: Vec<&str> = report.journals.iter().map(|held| held.name.as_str()).collect();
    assert_eq!(BTreeSet::from_iter(names), BTreeSet::from(["ann", "device 2"]));
    let entries: u64 = report.journals.iter().map(|held| held.entries).sum();
    assert_eq!(entries, ann.contents().vector.entries());
    assert_eq!(report.bytes, file.len() as u64);
}

#[test]
fn a_file_that_was_changed_cut_or_begun_later_does_not_pass() {
    let (ann, _, _) = lab();
    let file = ann.exported();
    for at in (0..file.len()).step_by(37) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        let passes = audit::verify_file(&changed[..], 2).is_ok_and(|report| report.is_sound());
        assert!(!passes, "byte {at}");
        let passes = audit::verify_file(&file[..at], 2).is_ok_and(|report| report.is_sound());
        assert!(!passes, "cut at {at}");
    }
    // One whose checksums are right but whose writer left out the beginning, or the end.
    let until = ann.contents().vector;
    let tip = until.tip(&ann.store.journal());
    let mut from = VersionVector::new();
    let second = ann.store.reader().snapshot().unwrap();
    let second = second.chain(&ann.store.journal(), 1, 1, 1).unwrap().unwrap().previous;
    from.set(ann.store.journal(), crate::vector::Tip { count: 1, hash: second });
    let start = |from, until| BundleStart {
        workspace: ann.store.workspace(),
        device: device_id(FOUNDER),
        name: "ann".to_owned(),
        made_ms: NOW.0,
        from,
        until,
    };
    let later = check(&ann.exported_as(&start(from, until.clone())));
    assert!(!later.is_sound() && later.founder.is_none());
    let mut further = until;
    further.set(ann.store.journal(), crate::vector::Tip { count: tip.count + 1, ..tip });
    let wrong = check(&ann.exported_as(&start(VersionVector::new(), further))).wrong;
    assert!(matches!(wrong[..], [audit::Wrong { why: Flaw::Missing { .. }, .. }]), "{wrong:?}");
}

#[test]
fn a_file_with_entries_of_a_stranger_does_not_pass() {
    let (ann, _, _) = lab();
    let stranger =
        ActKind::join(&key(99), &ann.store.workspace(), &device_id(9), "mallory".to_owned());
    let mut mallory = Device::born(9, ann.store.workspace(), stranger);
    mallory.experiment("hers");
    mallory.store.seal(NOW).unwrap();
    let (ours, theirs) = (ann.contents().vector, mallory.contents().vector);
    let mut until = ours;
    for (journal, tip) in theirs.iter() {
        until.set(*journal, *tip);
    }
    let start = BundleStart {
        workspace: ann.store.workspace(),
        device: device_id(9),
        name: "mallory".to_owned(),
        made_ms: NOW.0,
        from: VersionVector::new(),
        until,
    };
    let mut writer = BundleWriter::begin(Vec::new(), &start, &key(9)).unwrap();
    for device in [&ann, &mallory] {
        let snapshot = device.store.reader().snapshot().unwrap();
        for (journal, _) in snapshot.vector().unwrap().iter() {
            let chain = snapshot.chain(journal, 0, usize::MAX, 1000).unwrap().unwrap();
            let (journal, previous, entries) = (*journal, chain.previous, chain.entries);
            let entries = Message::Entries { journal, first: 0, previous, entries };
            writer.put(&Part::Entries(entries)).unwrap();
        }
    }
    let wrong = check(&writer.finish().unwrap()).wrong;
    assert!(
        matches!(wrong[..], [audit::Wrong { entry: 0, why: Flaw::DoesNotCount { .. }, .. }]),
        "{wrong:?}"
    );
    assert_eq!(wrong[0].journal.device, device_id(9));
}
