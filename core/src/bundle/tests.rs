//! Bundles that are whole, cut, changed and made up.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::ids::{BlobHash, DeviceId, EntryHash, Incarnation, JournalId, WorkspaceId};
use crate::sync::Message;
use crate::vector::{Tip, VersionVector};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn journal() -> JournalId {
    let device = DeviceId::new(key().verifying_key().to_bytes());
    JournalId { device, incarnation: Incarnation::new([4; 16]) }
}

fn start() -> BundleStart {
    let mut until = VersionVector::new();
    until.set(journal(), Tip { count: 2, hash: EntryHash::new([9; 32]) });
    BundleStart {
        workspace: WorkspaceId::new([1; 32]),
        device: journal().device,
        name: "ann".to_owned(),
        made_ms: 1_700_000_000_000,
        from: VersionVector::new(),
        until,
    }
}

fn parts() -> Vec<Part> {
    let entries = vec![vec![1; 10], vec![2; 20]];
    let previous = EntryHash::new([0; 32]);
    let entries = Message::Entries { journal: journal(), first: 0, previous, entries };
    let bytes = vec![5; 300];
    let hash = BlobHash::new(*blake3::hash(&bytes).as_bytes());
    vec![
        Part::Entries(entries),
        Part::Blob { hash, size: 300 },
        Part::Chunk(bytes[..100].to_vec()),
        Part::Chunk(bytes[100..].to_vec()),
        Part::Blob { hash: BlobHash::new(*blake3::hash(&[]).as_bytes()), size: 0 },
    ]
}

fn bundle() -> Vec<u8> {
    let mut writer = BundleWriter::begin(Vec::new(), &start(), &key()).unwrap();
    for part in parts() {
        writer.put(&part).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> (Vec<Part>, Option<BundleError>) {
    let mut reader = match BundleReader::new(bytes) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut parts = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(part)) => parts.push(part),
            Ok(None) => return (parts, None),
            Err(error) => return (parts, Some(error)),
        }
    }
}

#[test]
fn a_bundle_reads_as_it_was_written() {
    let (read, error) = read(&bundle());
    assert!(error.is_none(), "{error:?}");
    let mut written = vec![Part::Start(start())];
    written.extend(parts());
    written.push(Part::End { entries: 2, blobs: 2 });
    assert_eq!(read, written);
}

#[test]
fn the_bytes_are_golden() {
    let bytes = bundle();
    assert_eq!(bytes.len(), 868);
    // Made by another program, from docs/bundle.md.
    assert_eq!(HEXLOWER.encode(&bytes[16..24]), "de00000001010101");
    assert_eq!(
        blake3::hash(&bytes).to_hex().as_str(),
        "81fe3cd78a459c4bb7af7ad11248b375a6024d9c161b6f554245dacf56271e66"
    );
}

#[test]
fn a_bundle_that_is_cut_gives_its_whole_parts_and_says_where_it_ends() {
    let (whole, _) = read(&bundle());
    let bytes = bundle();
    for length in 0..bytes.len() {
        let (parts, error) = read(&bytes[..length]);
        assert!(parts.len() < whole.len() && parts[..] == whole[..parts.len()]);
        match error {
            Some(BundleError::CutShort { offset, .. }) => assert_eq!(offset, length as u64),
            Some(BundleError::NotABundle) => assert!(length < MAGIC.len()),
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn parts_that_change_places_are_refused() {
    let parts = parts();
    for wrong in [
        vec![parts[1].clone(), parts[0].clone()],
        vec![parts[2].clone()],
        vec![parts[1].clone(), parts[4].clone()],
        vec![parts[4].clone(), parts[3].clone()],
    ] {
        let mut writer = BundleWriter::begin(Vec::new(), &start(), &key()).unwrap();
        for part in &wrong {
            writer.put(part).unwrap();
        }
        let (_, error) = read(&writer.finish().unwrap());
        assert!(matches!(error, Some(BundleError::OutOfPlace { .. })), "{error:?}");
    }
}

#[test]
fn a_start_that_its_device_did_not_sign_is_refused() {
    let forged = SigningKey::from_bytes(&[8; 32]);
    let bytes = BundleWriter::begin(Vec::new(), &start(), &forged).unwrap().finish().unwrap();
    assert!(matches!(read(&bytes).1, Some(BundleError::Malformed { .. })));
}

proptest! {
    #[test]
    fn a_changed_byte_ends_the_bundle_where_it_stands(at in 0..868_usize, by in 1..=255_u8) {
        let (whole, _) = read(&bundle());
        let mut bytes = bundle();
        bytes[at] ^= by;
        let (parts, error) = read(&bytes);
        prop_assert!(error.is_some());
        prop_assert!(parts[..] == whole[..parts.len()], "a changed part was taken");
    }

    #[test]
    fn any_bytes_are_parts_or_an_error(bytes: Vec<u8>) {
        let _ = Part::decode(&bytes);
        let _ = read(&[&MAGIC[..], &bytes].concat());
    }
}
