//! Keys at which several values stand: what devices set while they were apart.

use super::error::DocumentError;
use super::history::History;
use super::put::{Container, Scalar};
use super::state::{Standing, order};
use crate::clock::Clock;
use crate::ids::{ChangeHash, DocumentKind};

/// A value that stands at a key beside others, and the change that set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The value.
    pub value: Scalar,
    /// When its change was sealed.
    pub clock: Clock,
    /// The change.
    pub change: ChangeHash,
}

/// A key at which several different values stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contested {
    /// The map.
    pub container: Container,
    /// The key.
    pub key: String,
    /// Each value once, the one that is shown first.
    pub claims: Vec<Claim>,
}

/// The keys of a document at which several different values stand, sorted.
pub fn contested(kind: DocumentKind, snapshot: &[u8]) -> Result<Vec<Contested>, DocumentError> {
    let history = History::read(kind, Some(snapshot))?;
    let mut all = Vec::new();
    for ((container, key), mut values) in Standing::read(&history)?.values {
        order(kind, container, key, &mut values);
        let mut claims: Vec<Claim> = Vec::new();
        for set in values {
            let value = Scalar::from(set.value);
            if claims.iter().all(|claim| claim.value != value) {
                claims.push(Claim { value, clock: set.clock, change: set.change });
            }
        }
        if claims.len() > 1 {
            all.push(Contested { container, key: key.to_owned(), claims });
        }
    }
    Ok(all)
}
