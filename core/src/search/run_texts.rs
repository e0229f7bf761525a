//! The texts of a column of runs, each under a code.
//!
//! Invariants: a code always stands for the same text; one text may have two codes, but none of the first
//! [`FEW`] has.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::OnceLock;

use crate::index::value_key;

/// The code of a run that has no text.
pub(super) const NO_TEXT: u32 = 0;
/// How many texts of a column are found again whenever one is set.
const FEW: usize = 256;
/// So many texts are looked for again while a column is read; of more, some are kept twice.
const MAX_KNOWN: usize = 1 << 16;

/// Texts by code.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<u32>,
    whole: Vec<bool>,
    /// The codes of the first texts: if there are no more, as of most params and tags, none is kept twice.
    few: HashMap<Vec<u8>, u32>,
    /// How many there were when the column was read.
    read: usize,
    ranks: OnceLock<Ranks>,
}

/// Texts that a column has already, while blocks of it are read.
#[derive(Default)]
pub(super) struct KnownTexts {
    whole: HashMap<Vec<u8>, u32>,
    parts: HashMap<Vec<u8>, u32>,
}

impl KnownTexts {
    /// The code of a text, which it gets now if it has none that is known.
    pub(super) fn code(&mut self, texts: &mut Texts, head: &[u8], whole: bool) -> u32 {
        let known = if whole { &mut self.whole } else { &mut self.parts };
        if let Some(code) = known.get(head) {
            return *code;
        }
        let code = texts.push(head, whole);
        if known.len() < MAX_KNOWN {
            known.insert(head.to_vec(), code);
        }
        code
    }
}

/// The order of texts.
#[derive(Debug, Clone)]
pub(super) struct Ranks {
    /// By code: texts that tie in the index have one rank.
    pub(super) of: Vec<u32>,
    /// By rank, a code of it.
    codes: Vec<u32>,
}

/// The first bytes of a text, as a number: if those of two differ, they sort as the texts do.
pub(super) fn head_of(text: &[u8]) -> u64 {
    let mut head = [0; 8];
    let length = text.len().min(head.len());
    head[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(head)
}

impl Texts {
    /// Gives a text a new code.
    pub(super) fn push(&mut self, head: &[u8], whole: bool) -> u32 {
        self.ranks = OnceLock::new();
        self.bytes.extend_from_slice(head);
        self.ends.push(u32::try_from(self.bytes.len()).expect("32 bytes for each of few runs"));
        self.whole.push(whole);
        let code = self.ends.len() as u32;
        if whole && self.few.len() < FEW {
            self.few.insert(head.to_vec(), code);
        }
        code
    }

    /// The code of a text, if it is one of those that are found again.
    pub(super) fn known(&self, head: &[u8], whole: bool) -> Option<u32> {
        self.few.get(head).copied().filter(|_| whole)
    }

    /// How many codes there are; they start at 1.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// What a code stands for.
    pub(super) fn get(&self, code: u32) -> (&[u8], bool) {
        let at = code as usize - 1;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        (&self.bytes[start..self.ends[at] as usize], self.whole[at])
    }

    /// The codes of the texts that are kept, ascending.
    pub(super) fn codes(&self, keeps: impl Fn(&[u8], bool) -> bool) -> Vec<u32> {
        let mut start = 0;
        let texts = (1..).zip(self.ends.iter().zip(&self.whole));
        let kept = texts.filter_map(|(code, (end, whole))| {
            let text = &self.bytes[start..*end as usize];
            start = *end as usize;
            keeps(text, *whole).then_some(code)
        });
        kept.collect()
    }

    /// Whether none is cut.
    pub(super) fn are_whole(&self) -> bool {
        self.whole.iter().all(|whole| *whole)
    }

    /// Says that all texts were read, and only few are added from here on.
    pub(super) fn close(&mut self) {
        self.read = self.len();
        self.bytes.shrink_to_fit();
    }

    /// Whether so many were added since that reading the column anew is better.
    pub(super) fn are_worn(&self) -> bool {
        self.len() - self.read > self.read.max(MAX_KNOWN)
    }

    /// What they take in memory, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        // Ranks are not there yet, but may come.
        let each = size_of::<u32>() * 3 + 1;
        self.bytes.capacity() + self.ends.capacity() * each
    }

    /// The order of all texts.
    pub(super) fn ranks(&self) -> &Ranks {
        self.ranks.get_or_init(|| {
            let place = |code: &u32| self.get(*code).0;
            // Most texts differ in their heads, which are at hand.
            let codes = 1..=self.len() as u32;
            let mut order: Vec<_> = codes.map(|code| (head_of(place(&code)), code)).collect();
            order.sort_unstable_by(|(a, at), (b, bt)| {
                a.cmp(b).then_with(|| place(at).cmp(place(bt)))
            });
            let mut ranks = Ranks { of: vec![0; self.len() + 1], codes: Vec::new() };
            for (_, code) in order {
                if ranks.codes.last().is_none_or(|last| place(last) != place(&code)) {
                    ranks.codes.push(code);
                }
                ranks.of[code as usize] = ranks.codes.len() as u32 - 1;
            }
            ranks
        })
    }

    /// How many places come before a text, by rank.
    pub(super) fn ranks_before(&self, text: &str, itself: bool) -> u32 {
        let head = value_key::text(text);
        let before = self.ranks().codes.partition_point(|code| {
            let order = self.get(*code).0.cmp(head);
            order == Ordering::Less || (itself && order == Ordering::Equal)
        });
        before as u32
    }
}
