//! What other members said, in bundles of theirs, that they hold.
//!
//! Only a member's own signed word counts, and the later word replaces the earlier one: a device
//! restored from a backup holds less than it once did.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use runmesh_core::codec::Reader;
use runmesh_core::ids::{DeviceId, WorkspaceId};
use runmesh_core::vector::VersionVector;
use serde::{Deserialize, Serialize};

use crate::home::{Home, HomeError};

/// What one device holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Word {
    /// When it said so, by its own clock.
    made_ms: u64,
    /// The vector's bytes, in base64.
    vector: String,
}

/// What is kept in the home, by device.
pub(crate) type Words = BTreeMap<DeviceId, Word>;

/// What a device is known to hold; nothing if it never said.
pub(crate) fn of(words: &Words, device: &DeviceId) -> VersionVector {
    let bytes = words.get(device).and_then(|word| BASE64.decode(word.vector.as_bytes()).ok());
    let vector = bytes.and_then(|bytes| VersionVector::read(&mut Reader::new(&bytes)).ok());
    vector.unwrap_or_default()
}

/// Keeps what a member said.
pub(super) fn note(
    home: &Home,
    workspace: &WorkspaceId,
    device: DeviceId,
    made_ms: u64,
    vector: &VersionVector,
) -> Result<(), HomeError> {
    let mut words = home.acknowledged(workspace)?;
    if words.get(&device).is_some_and(|word| word.made_ms >= made_ms) {
        return Ok(());
    }
    let mut bytes = Vec::new();
    vector.put(&mut bytes);
    words.insert(device, Word { made_ms, vector: BASE64.encode(&bytes) });
    home.set_acknowledged(workspace, &words)
}
