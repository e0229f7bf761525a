//! Leases: which blobs are being taken in, and which are about to go.
//!
//! Invariants: a blob with a lease, or that had one since a collection began, is not taken away by
//! that collection: the operation that names it may be about to be written, or have been written
//! after the collection looked. Who takes in a blob that is just being taken away waits until it is
//! gone. A blob that is about to go is promised to nobody.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runmesh_core::ids::BlobHash;

use super::Blobs;

/// How soon to look again whether a collection has ended.
const SOON: Duration = Duration::from_millis(50);

/// The leases of a store.
#[derive(Debug, Default)]
pub(super) struct Leases {
    state: Mutex<State>,
    gone: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// How many leases each blob has.
    leased: HashMap<BlobHash, usize>,
    /// Blobs that had a lease since the collection that runs began; none if none runs.
    touched: Option<HashSet<BlobHash>>,
    /// Blobs that the collection means to take away: they are promised to nobody.
    pub(super) leaving: HashSet<BlobHash>,
    /// Blobs that it is taking away now.
    going: HashSet<BlobHash>,
}

/// Keeps a blob from being collected.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    blob: BlobHash,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.lock();
        if let Some(count) = state.leased.get_mut(&self.blob) {
            *count -= 1;
            if *count == 0 {
                state.leased.remove(&self.blob);
            }
        }
    }
}

/// A collection that runs. There is one at a time.
#[derive(Debug)]
pub struct Collection {
    leases: Arc<Leases>,
}

impl Leases {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs {
    /// Keeps a blob from being collected, whether it is here yet or not. May block for as long as
    /// it is being taken away.
    pub fn lease(&self, blob: BlobHash) -> Lease {
        let leases = Arc::clone(self.leases());
        let mut state = leases.lock();
        while state.going.contains(&blob) {
            state = leases.gone.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        *state.leased.entry(blob).or_default() += 1;
        if let Some(touched) = &mut state.touched {
            touched.insert(blob);
        }
        drop(state);
        Lease { leases, blob }
    }

    /// Begins a collection, unless one runs. What is named is to be looked up after this.
    pub fn collection(&self) -> Option<Collection> {
        let leases = Arc::clone(self.leases());
        let mut state = leases.lock();
        if state.touched.is_some() {
            return None;
        }
        state.touched = Some(state.leased.keys().copied().collect());
        drop(state);
        Some(Collection { leases })
    }

    /// Begins a collection once none runs.
    pub async fn next_collection(&self) -> Collection {
        loop {
            match self.collection() {
                Some(collection) => return collection,
                None => tokio::time::sleep(SOON).await,
            }
        }
    }
}

impl Collection {
    /// Says which blobs are to go, so that this device promises none of them any more.
    pub fn announce(&self, blobs: impl IntoIterator<Item = BlobHash>) {
        self.leases.lock().leaving.extend(blobs);
    }

    /// Says that a blob stays after all.
    pub fn relent(&self, blob: &BlobHash) {
        self.leases.lock().leaving.remove(blob);
    }

    /// Whether a blob may be taken away. If so, whoever takes it in waits for
    /// [`Collection::release`].
    pub fn claim(&self, blob: BlobHash) -> bool {
        let mut state = self.leases.lock();
        let touched = state.touched.as_ref().is_some_and(|touched| touched.contains(&blob));
        if !touched {
            state.going.insert(blob);
        }
        !touched
    }

    /// Lets those go on who wait for what was claimed.
    pub fn release(&self) {
        self.leases.lock().going.clear();
        self.leases.gone.notify_all();
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        let mut state = self.leases.lock();
        state.touched = None;
        state.leaving.clear();
        state.going.clear();
        drop(state);
        self.leases.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::blobs::testing::store;

    const BLOB: BlobHash = BlobHash::new([1; 32]);

    #[test]
    fn what_was_leased_since_a_collection_began_stays() {
        let (_home, blobs) = store();
        let before = blobs.lease(BLOB);
        let collection = blobs.collection().expect("none runs");
        assert!(blobs.collection().is_none(), "one runs");
        drop(before);
        assert!(!collection.claim(BLOB), "its operation may have been written since");
        let other = BlobHash::new([2; 32]);
        drop(blobs.lease(other));
        assert!(!collection.claim(other));
        drop(collection);
        assert!(blobs.collection().expect("none runs").claim(BLOB));
    }

    #[test]
    fn who_takes_in_what_is_going_waits_until_it_is_gone() {
        let (_home, blobs) = store();
        let collection = blobs.collection().expect("none runs");
        assert!(collection.claim(BLOB));
        let (told, tell) = mpsc::channel();
        let taking_in = blobs.clone();
        let thread = std::thread::spawn(move || {
            let lease = taking_in.lease(BLOB);
            tell.recv().expect("the blob went before the lease was given");
            lease
        });
        told.send(()).expect("the other end waits");
        collection.release();
        drop(thread.join().expect("gets its lease"));
        assert!(!collection.claim(BLOB), "it came back");
    }
}
