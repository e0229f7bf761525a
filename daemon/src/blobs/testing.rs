//! What the tests of blobs share.

use tempfile::TempDir;

use super::Blobs;

/// An empty store in a folder that disappears with the first of the two.
pub(super) fn store() -> (TempDir, Blobs) {
    let home = TempDir::new().expect("a folder for the test");
    let blobs = Blobs::in_folder(home.path()).expect("an empty folder opens");
    (home, blobs)
}

/// Bytes that neither repeat nor compress; the same for the same length.
pub(super) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&size.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
