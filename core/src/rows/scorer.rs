//! A scorer's versions, read from its document's row.

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::document::{Container, Scalar};
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::index::fields::info;
use crate::rows::DocumentRow;

/// A version of a scorer, as its document keeps it: as JSON by an id of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Claim {
    /// The number it was given, which another device may have given too.
    number: u32,
    /// When, by the hybrid clock.
    created: Clock,
    /// The scorer, as the client writes it. None if the version was deleted: its number stays taken,
    /// so that it comes to mean no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scorer: Option<String>,
}

impl Claim {
    fn read(value: &Scalar) -> Option<Self> {
        serde_json::from_str(value.as_text()?).ok()
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a claim is plain data")
    }
}

/// A version of a scorer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerVersion {
    /// Its key in the document.
    pub id: String,
    /// Its number, from 1.
    pub number: u32,
    /// Creation, in milliseconds since 1970.
    pub created_ms: i64,
    /// The scorer, as the client writes it.
    pub scorer: String,
}

/// A scorer as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct Scorer<'a> {
    row: &'a DocumentRow,
}

impl<'a> Scorer<'a> {
    /// The scorer of a row, if it is one's and has a version.
    pub fn of(row: &'a DocumentRow) -> Option<Self> {
        let is_one = row.document.kind() == Some(DocumentKind::Scorer);
        let scorer = Self { row };
        let mut claims = row.map(Container::VERSIONS).values().filter_map(Claim::read);
        let exists = is_one && claims.any(|claim| claim.scorer.is_some());
        (exists && scorer.experiment().is_some()).then_some(scorer)
    }

    /// Its document, whose id comes of its experiment and name.
    pub const fn document(&self) -> DocumentId {
        self.row.document
    }

    /// The experiment it belongs to.
    pub fn experiment(&self) -> Option<ExperimentId> {
        let reference = self.row.text(Container::Info, info::EXPERIMENT)?;
        DocumentId::from_reference(reference)?.as_experiment()
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.row.text(Container::Info, info::NAME).unwrap_or_default()
    }

    /// How it is used on traces as they come, as JSON, if that was set.
    pub fn online(&self) -> Option<&'a str> {
        self.row.text(Container::Info, info::ONLINE)
    }

    /// Its versions by number. Of two that were given one number while apart the earlier has it;
    /// the later gets one after all that were given, which the next registration writes down: no
    /// number comes to mean another.
    pub fn versions(&self) -> Vec<ScorerVersion> {
        let numbered = self.numbered().into_iter();
        let version = |(number, claim, id): (u32, Claim, &str)| {
            let (id, created_ms) = (id.to_owned(), claim.created.millis() as i64);
            Some(ScorerVersion { id, number, created_ms, scorer: claim.scorer? })
        };
        numbered.filter_map(version).collect()
    }

    /// The number that its next version gets.
    pub(crate) fn next_number(&self) -> u32 {
        self.numbered().last().map_or(1, |(number, ..)| number.saturating_add(1))
    }

    /// What is to be written so that versions whose number another has keep the one they have now,
    /// whatever is registered after them.
    pub(crate) fn settled(&self) -> Vec<(&'a str, String)> {
        let moved =
            self.numbered().into_iter().filter(|(number, claim, _)| *number != claim.number);
        moved.map(|(number, claim, id)| (id, Claim { number, ..claim }.to_json())).collect()
    }

    /// The keys of its versions, of deleted ones too.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.row.map(Container::VERSIONS).keys().map(String::as_str)
    }

    /// What stands for a version once it is deleted.
    pub(crate) fn deleted_json(&self, id: &str) -> Option<String> {
        let claim = Claim::read(self.row.map(Container::VERSIONS).get(id)?)?;
        Some(Claim { scorer: None, ..claim }.to_json())
    }

    /// All that were given a number, deleted ones too, by the number they have. What is no version,
    /// which a peer may have written, is left out.
    fn numbered(&self) -> Vec<(u32, Claim, &'a str)> {
        let claims = self.row.map(Container::VERSIONS).iter();
        let mut claims: Vec<(Claim, &str)> =
            claims.filter_map(|(id, value)| Some((Claim::read(value)?, id.as_str()))).collect();
        claims.sort_unstable_by(|(a, a_id), (b, b_id)| {
            (a.number, a.created, a_id).cmp(&(b.number, b.created, b_id))
        });
        let mut next = claims.last().map_or(1, |(last, _)| last.number.saturating_add(1));
        let mut taken = None;
        let mut numbered: Vec<(u32, Claim, &str)> = Vec::with_capacity(claims.len());
        for (claim, id) in claims {
            let mut number = claim.number;
            if taken == Some(number) {
                number = next;
                next = next.saturating_add(1);
            }
            taken = Some(claim.number);
            numbered.push((number, claim, id));
        }
        numbered.sort_unstable_by_key(|(number, ..)| *number);
        numbered
    }
}

/// The stored form of a version.
pub(crate) fn version_json(number: u32, created: Clock, scorer: &str) -> String {
    Claim { number, created, scorer: Some(scorer.to_owned()) }.to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::DocumentEdit;

    #[test]
    fn a_number_that_was_given_twice_stays_with_the_earlier() {
        let experiment = DocumentId::experiment("fraud", 0);
        let mut row = DocumentRow::unknown(DocumentId::scorer(&experiment, "safety"));
        let mut edit = DocumentEdit::default();
        edit.set(Container::Info, info::EXPERIMENT, experiment.reference().as_str());
        for (id, number, clock) in [("a", 1, 10), ("c", 2, 20), ("b", 2, 30), ("d", 3, 40)] {
            let version = version_json(number, Clock(clock), id);
            edit.set(Container::VERSIONS, id, version.as_str());
        }
        edit.set(Container::VERSIONS, "z", "what a peer may write");
        row.edit(&edit);
        let versions = Scorer::of(&row).expect("it has versions").versions();
        let numbers: Vec<_> =
            versions.iter().map(|version| (version.number, version.scorer.as_str())).collect();
        assert_eq!(numbers, [(1, "a"), (2, "c"), (3, "d"), (4, "b")]);
    }
}
