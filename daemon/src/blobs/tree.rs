//! Hashes a blob while it streams past, and produces its outboard on the way.
//!
//! A BLAKE3 hash is the root of a binary tree; the *outboard* is that tree's inner nodes, which a
//! peer needs to verify a part of the blob without the rest. We keep the nodes above groups of
//! 16 KiB, in post order: the one order in which each node is final when it is written, so a blob
//! of unknown length needs one pass and memory for one branch of the tree.
//!
//! Invariants: the hash is the plain BLAKE3 hash of the bytes; the outboard is byte for byte what
//! `bao_tree` calls a post-order outboard; a blob of one group has none.

use bao_tree::{BaoTree, BlockSize};
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use runmesh_core::ids::BlobHash;

/// Groups of 2^4 chunks of 1 KiB.
pub(super) const GROUP: BlockSize = BlockSize::from_chunk_log(4);
/// Bytes in a group: what is verified, and resumed from, at once.
pub const GROUP_BYTES: u64 = 16 << 10;

/// The shape of the tree of a blob of `size` bytes.
pub(super) fn tree_of(size: u64) -> BaoTree {
    BaoTree::new(size, GROUP)
}

/// Where the last group of a blob starts.
pub(super) const fn last_group(size: u64) -> u64 {
    size.saturating_sub(1) / GROUP_BYTES * GROUP_BYTES
}

/// Hashes bytes as they come.
#[derive(Debug, Default)]
pub(super) struct TreeHasher {
    /// The group being filled.
    group: blake3::Hasher,
    group_bytes: u64,
    /// How many groups are closed.
    groups: u64,
    /// The roots of the complete subtrees so far, from the left; one for each 1 bit of `groups`.
    subtrees: Vec<ChainingValue>,
}

impl TreeHasher {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// How many bytes have been hashed.
    pub(super) const fn size(&self) -> u64 {
        self.groups * GROUP_BYTES + self.group_bytes
    }

    /// Hashes `bytes` and appends the nodes that they complete to `outboard`.
    pub(super) fn update(&mut self, mut bytes: &[u8], outboard: &mut Vec<u8>) {
        while !bytes.is_empty() {
            // A full group is closed only when more follows: the last one may be the root.
            if self.group_bytes == GROUP_BYTES {
                self.close_group(outboard);
            }
            let room = (GROUP_BYTES - self.group_bytes) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.group.update(now);
            self.group_bytes += now.len() as u64;
            bytes = later;
        }
    }

    /// Appends the remaining nodes and returns the blob's hash.
    pub(super) fn finish(mut self, outboard: &mut Vec<u8>) -> BlobHash {
        let Some(mut left) = self.subtrees.pop() else {
            return BlobHash::new(*self.group.finalize().as_bytes());
        };
        let mut right = self.group.finalize_non_root();
        while let Some(next) = self.subtrees.pop() {
            put_node(outboard, &left, &right);
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
            left = next;
        }
        put_node(outboard, &left, &right);
        BlobHash::new(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes())
    }

    fn close_group(&mut self, outboard: &mut Vec<u8>) {
        let mut subtree = self.group.finalize_non_root();
        self.groups += 1;
        for _ in 0..self.groups.trailing_zeros() {
            let left = self.subtrees.pop().expect("one subtree for each 1 bit of the count");
            put_node(outboard, &left, &subtree);
            subtree = merge_subtrees_non_root(&left, &subtree, Mode::Hash);
        }
        self.subtrees.push(subtree);
        self.group = blake3::Hasher::new();
        self.group.set_input_offset(self.groups * GROUP_BYTES);
        self.group_bytes = 0;
    }
}

fn put_node(outboard: &mut Vec<u8>, left: &ChainingValue, right: &ChainingValue) {
    outboard.extend_from_slice(left);
    outboard.extend_from_slice(right);
}

#[cfg(test)]
mod tests {
    use bao_tree::io::outboard::PostOrderMemOutboard;

    use super::*;

    #[test]
    fn hash_and_outboard_are_those_of_blake3_and_bao_tree() {
        let group = GROUP_BYTES as usize;
        let mut sizes = vec![0, 1, 1024, 1025];
        for groups in 1..=17 {
            sizes.extend([groups * group - 1, groups * group, groups * group + 1]);
        }
        for size in sizes {
            let bytes: Vec<u8> = (0..size).map(|at| (at / 7) as u8 ^ (at >> 10) as u8).collect();
            for piece in [700, group, 3 * group + 5, usize::MAX] {
                let (mut hasher, mut outboard) = (TreeHasher::new(), Vec::new());
                for part in bytes.chunks(piece) {
                    hasher.update(part, &mut outboard);
                }
                assert_eq!(hasher.size(), size as u64);
                let hash = hasher.finish(&mut outboard);
                let expected = PostOrderMemOutboard::create(&bytes, GROUP);
                assert_eq!(hash.as_bytes(), blake3::hash(&bytes).as_bytes(), "{size} by {piece}");
                assert_eq!(outboard, expected.data, "{size} by {piece}");
            }
        }
    }
}
