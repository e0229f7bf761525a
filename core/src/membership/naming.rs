//! What a new act names as seen: the acts that no other has seen, and each act that decides whether
//! the new one counts, or that counts because the new one has seen it.
//!
//! The first would be enough for who holds all acts that its author did. But a device takes in only
//! journals whose entries count as far as it knows, and what stands between two acts may be in a journal
//! that it can take only once it knows that one has seen the other: a member's word after its join, where its
//! inviter is removed later. So nothing that matters is left to what stands between.

use std::collections::BTreeSet;

use super::PlacedAct;
use super::graph::Graph;
use super::judge::{Subject, subject};
use crate::act::{ActId, ActKind};
use crate::ids::DeviceId;

/// The acts that a device holds, for making acts that have seen them.
pub struct Seen<'a> {
    graph: Graph<'a>,
    heads: BTreeSet<ActId>,
}

impl<'a> Seen<'a> {
    /// All acts that the device holds.
    pub fn of(acts: &'a [PlacedAct]) -> Self {
        let graph = Graph::of(acts);
        let heads = graph.heads().into_iter().map(|at| graph.act(at).id).collect();
        Self { graph, heads }
    }

    /// What an act of `author` names, in order. It may be more than one act can name.
    pub fn named_by(&self, author: &DeviceId, kind: &ActKind) -> Vec<ActId> {
        let decides = Decides::of(&self.graph, author, kind);
        let placed = self.graph.placed().map(|at| self.graph.act(at));
        let decisive = placed.filter(|earlier| decides.on(earlier)).map(|earlier| earlier.id);
        let ids: BTreeSet<ActId> = self.heads.iter().copied().chain(decisive).collect();
        ids.into_iter().collect()
    }
}

/// What decides whether an act counts, and what hangs on it.
struct Decides<'a> {
    author: &'a DeviceId,
    subject: Option<Subject>,
    /// The tickets that nobody joins by later.
    closes: BTreeSet<[u8; 32]>,
}

impl<'a> Decides<'a> {
    fn of(graph: &Graph<'_>, author: &'a DeviceId, kind: &ActKind) -> Self {
        let closes = match kind {
            ActKind::Revoke { key } => BTreeSet::from([*key]),
            ActKind::Remove { device, .. } | ActKind::SetRole { device, .. } => {
                let theirs = graph.of_device(device).iter().map(|at| graph.act(*at));
                theirs.filter_map(|placed| ticket(&placed.act.kind)).collect()
            }
            _ => BTreeSet::new(),
        };
        Self { author, subject: subject(kind), closes }
    }

    fn on(&self, earlier: &PlacedAct) -> bool {
        let about = subject(&earlier.act.kind);
        if let ActKind::Join { key, .. } = &earlier.act.kind {
            let who = Subject::Standing(earlier.journal.device);
            return self.subject == Some(who) || self.closes.contains(key);
        }
        about.is_some() && (about == self.subject || about == Some(Subject::Standing(*self.author)))
    }
}

/// The ticket that an act makes.
const fn ticket(kind: &ActKind) -> Option<[u8; 32]> {
    match kind {
        ActKind::Invite { key, .. } | ActKind::Recovery { key } => Some(*key),
        _ => None,
    }
}
