//! Which acts count, and what they come to.
//!
//! Admins are taken in order of seniority, each with all it did as one. What makes an admin is the
//! act of a senior, and nothing that a junior does can void an act of a senior: so when it is an
//! admin's turn, all that matters is decided.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::Graph;
use super::{Closed, Former, Invitation, JoinRefusal, Member, Membership, PlacedAct, Rank, Void};
use crate::act::{ActKind, Cuts, Role, workspace_id};
use crate::ids::{DeviceId, DocumentId, JournalId, WorkspaceId};

/// What made a device an admin, and how senior it is by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Grant {
    rank: Rank,
    device: DeviceId,
    by: usize,
    /// Whether its recovery tickets were judged: who joins by them goes before.
    recoveries_judged: bool,
}

/// An invitation that counts.
struct Invite {
    act: usize,
    by: Grant,
    open: Invitation,
}

struct Judge<'a> {
    workspace: WorkspaceId,
    graph: Graph<'a>,
    joins: BTreeMap<[u8; 32], Vec<usize>>,
    joins_of: BTreeMap<DeviceId, Vec<usize>>,
    queue: BTreeSet<Grant>,
    grants: BTreeMap<DeviceId, Vec<Grant>>,
    /// Acts that remove or demote, by whom they are about.
    strips: BTreeMap<DeviceId, Vec<usize>>,
    /// Acts that say what a device is, or what it is called.
    about: BTreeMap<Subject, Vec<usize>>,
    revokes: BTreeMap<[u8; 32], Vec<usize>>,
    invites: BTreeMap<[u8; 32], Invite>,
    purged: BTreeSet<DocumentId>,
    counts: BTreeSet<usize>,
    void: BTreeMap<usize, Void>,
}

/// What two acts cannot both decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Standing(DeviceId),
    Name([u8; 32]),
}

pub(super) fn subject(kind: &ActKind) -> Option<Subject> {
    Some(match kind {
        ActKind::Remove { device, .. } | ActKind::SetRole { device, .. } => {
            Subject::Standing(*device)
        }
        ActKind::Rename { key, .. } => Subject::Name(*key),
        _ => return None,
    })
}

/// What an act leaves of a device's journals, if it takes something from the device.
const fn cuts(kind: &ActKind) -> Option<&Cuts> {
    match kind {
        ActKind::Remove { cuts, .. }
        | ActKind::SetRole { cuts, role: Role::Reader | Role::Writer, .. } => Some(cuts),
        _ => None,
    }
}

pub(super) fn judge(workspace: WorkspaceId, acts: &[PlacedAct]) -> Membership {
    let graph = Graph::of(acts);
    let (mut joins, mut joins_of) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
    for at in 0..graph.len() {
        let placed = graph.act(at);
        if let ActKind::Join { key, .. } = &placed.act.kind {
            if is_first_by(&graph, placed, key) {
                joins.entry(*key).or_default().push(at);
            }
            joins_of.entry(placed.journal.device).or_default().push(at);
        }
    }
    let mut judge = Judge {
        workspace,
        graph,
        joins,
        joins_of,
        queue: BTreeSet::new(),
        grants: BTreeMap::new(),
        strips: BTreeMap::new(),
        about: BTreeMap::new(),
        revokes: BTreeMap::new(),
        invites: BTreeMap::new(),
        purged: BTreeSet::new(),
        counts: BTreeSet::new(),
        void: BTreeMap::new(),
    };
    judge.find_founder();
    while let Some(grant) = judge.queue.pop_first() {
        judge.take_admin(grant);
    }
    judge.take_others();
    judge.conclude()
}

/// Whether it is the first join by a ticket in its journal. Others are nothing: they would take uses of
/// the ticket from other devices, and their ids count, while whoever takes the journal meets the first alone.
fn is_first_by(graph: &Graph<'_>, join: &PlacedAct, key: &[u8; 32]) -> bool {
    let own = graph.of_device(&join.journal.device).iter().map(|at| graph.act(*at));
    let mut earlier = own.filter(|o| o.journal == join.journal && o.place < join.place);
    !earlier.any(|other| other.act.kind.is_join_by_key() == Some(*key))
}

impl<'a> Judge<'a> {
    fn kind(&self, at: usize) -> &'a ActKind {
        &self.graph.act(at).act.kind
    }

    fn author(&self, at: usize) -> DeviceId {
        self.graph.act(at).journal.device
    }

    fn find_founder(&mut self) {
        let founds = self.graph.placed().filter(|at| match self.kind(*at) {
            ActKind::Found { nonce, .. } => {
                workspace_id(&self.author(*at), nonce) == self.workspace
            }
            _ => false,
        });
        // A device that founded one workspace twice did so at first.
        let Some(by) = founds.min_by_key(|at| (self.graph.depth(*at), *at)) else { return };
        self.counts.insert(by);
        let id = self.graph.act(by).id;
        let rank = Rank { depth: 0, anchor: id, recoveries: 0, by: id };
        let device = self.author(by);
        self.queue.insert(Grant { rank, device, by, recoveries_judged: false });
    }

    /// Judges all that a device did as the admin that an act made it.
    fn take_admin(&mut self, grant: Grant) {
        let Grant { device, by, .. } = grant;
        if !grant.recoveries_judged {
            if self.kind(by).is_join_by_key().is_some_and(|key| !self.admit(by, key)) {
                return;
            }
            if matches!(self.kind(by), ActKind::SetRole { .. }) && !self.is_member_at(&device, by) {
                return;
            }
            self.grants.entry(device).or_default().push(grant);
        }
        let own: Vec<usize> = self.graph.of_device(&device).to_vec();
        let mine = own.into_iter().filter(|act| self.graph.has_seen(*act, by));
        for act in mine.collect::<Vec<_>>() {
            let first = matches!(self.kind(act), ActKind::Recovery { .. });
            let judged = self.counts.contains(&act) || self.void.contains_key(&act);
            if judged || self.kind(act).is_birth() || first == grant.recoveries_judged {
                continue;
            }
            if self
                .strips_of(&device)
                .any(|strip| self.graph.has_seen(act, strip) && self.graph.has_seen(strip, by))
            {
                continue;
            }
            match self.fault(&grant, act) {
                None => self.count(&grant, act),
                Some(why) => drop(self.void.insert(act, why)),
            }
        }
        if !grant.recoveries_judged {
            self.queue.insert(Grant { recoveries_judged: true, ..grant });
        }
    }

    fn strips_of(&self, device: &DeviceId) -> impl Iterator<Item = usize> + use<'_, 'a> {
        self.strips.get(device).into_iter().flatten().copied()
    }

    /// Why an act of an admin does not count, if it does not.
    fn fault(&self, grant: &Grant, act: usize) -> Option<Void> {
        if let Some(by) = self.beyond_cut(act) {
            return Some(Void::BeyondCut { by });
        }
        match self.kind(act) {
            ActKind::Remove { device, .. } | ActKind::SetRole { device, .. } => {
                if !self.knows(act, device) {
                    return Some(Void::AboutNobody);
                }
                if *device != grant.device && self.is_senior_at(device, act, grant) {
                    return Some(Void::AboutSenior);
                }
            }
            ActKind::Revoke { key } => {
                // A recovery ticket is there for when its maker's key is in bad hands.
                let protects = |invite: &&Invite| {
                    let equal = invite.open.recovery && invite.by.rank == grant.rank;
                    invite.open.role == Role::Admin && (invite.by.rank < grant.rank || equal)
                };
                if self.invites.get(key).filter(protects).is_some() {
                    return Some(Void::AboutSenior);
                }
            }
            ActKind::Recovery { .. } if !self.is_first_recovery(act) => {
                return Some(Void::SecondRecovery);
            }
            _ => {}
        }
        self.overruled(act)
    }

    /// Whether it is the first recovery ticket in the journal in which its device was born: of
    /// those nobody can add one later, whatever else is in bad hands.
    fn is_first_recovery(&self, act: usize) -> bool {
        let placed = self.graph.act(act);
        let own = self.graph.of_device(&placed.journal.device).iter().map(|at| self.graph.act(*at));
        let in_journal: Vec<_> = own.filter(|other| other.journal == placed.journal).collect();
        let born_here = |birth: &&&PlacedAct| {
            birth.act.kind.is_birth() && birth.place.0 == 0 && placed.place.0 >= birth.place.0
        };
        let earlier = |other: &&&PlacedAct| {
            matches!(other.act.kind, ActKind::Recovery { .. }) && other.place < placed.place
        };
        in_journal.iter().any(|other| born_here(&other)) && !in_journal.iter().any(|o| earlier(&o))
    }

    /// The act that took something from an act's device without having seen the act, if any.
    fn beyond_cut(&self, act: usize) -> Option<crate::act::ActId> {
        let placed = self.graph.act(act);
        let JournalId { device, incarnation } = placed.journal;
        let mut unseen = self.strips_of(&device).filter(|strip| !self.graph.has_seen(act, *strip));
        let strip = unseen.find(|strip| {
            let kept = cuts(self.kind(*strip)).and_then(|cuts| cuts.get(&incarnation));
            *strip != act && placed.place.0 >= kept.copied().unwrap_or(0)
        })?;
        Some(self.graph.act(strip).id)
    }

    fn overruled(&self, act: usize) -> Option<Void> {
        let decided = self.about.get(&subject(self.kind(act))?)?;
        let by = decided.iter().find(|other| self.graph.concurrent(act, **other))?;
        Some(Void::Overruled { by: self.graph.act(*by).id })
    }

    /// Whether an act's author had seen a device join, or found.
    fn knows(&self, act: usize, device: &DeviceId) -> bool {
        let joins = self.joins_of.get(device).into_iter().flatten();
        joins.copied().any(|join| self.graph.has_seen(act, join))
            || self.graph.of_device(device).iter().any(|born| {
                matches!(self.kind(*born), ActKind::Found { .. })
                    && self.counts.contains(born)
                    && self.graph.has_seen(act, *born)
            })
    }

    /// Whether, as far as an act's author had seen, a device was there and not removed.
    fn is_member_at(&self, device: &DeviceId, act: usize) -> bool {
        let removes = self.strips_of(device).filter(|strip| {
            matches!(self.kind(*strip), ActKind::Remove { .. }) && self.graph.has_seen(act, *strip)
        });
        let removes: Vec<usize> = removes.collect();
        let born = self.graph.of_device(device).iter().copied();
        born.filter(|at| self.kind(*at).is_birth() && self.graph.has_seen(act, *at))
            .any(|join| removes.iter().all(|remove| !self.graph.has_seen(*remove, join)))
    }

    /// Whether, as far as an act's author had seen, a device was an admin senior to the author.
    fn is_senior_at(&self, device: &DeviceId, act: usize, author: &Grant) -> bool {
        let grants = self.grants.get(device).into_iter().flatten();
        grants.filter(|theirs| theirs.rank < author.rank).any(|theirs| {
            let stripped = self.strips_of(device).any(|strip| {
                self.graph.has_seen(act, strip) && self.graph.has_seen(strip, theirs.by)
            });
            self.graph.has_seen(act, theirs.by) && !stripped
        })
    }

    /// Takes in an act that counts.
    fn count(&mut self, grant: &Grant, act: usize) {
        self.counts.insert(act);
        self.about.extend_subject(subject(self.kind(act)), act);
        let depth = self.graph.depth(act).max(grant.rank.depth) + 1;
        match self.kind(act) {
            ActKind::Invite { key, role, expires_ms, uses } => {
                let (role, expires_ms, uses) = (*role, *expires_ms, *uses);
                self.invite(grant, act, *key, (role, expires_ms, uses), false);
            }
            ActKind::Recovery { key } => self.invite(grant, act, *key, (Role::Admin, 0, 1), true),
            ActKind::Revoke { key } => self.revokes.entry(*key).or_default().push(act),
            ActKind::SetRole { device, role: Role::Admin, .. } => {
                let id = self.graph.act(act).id;
                let rank = Rank { depth, anchor: id, recoveries: 0, by: id };
                let device = *device;
                self.queue.insert(Grant { rank, device, by: act, recoveries_judged: false });
            }
            ActKind::Remove { device, .. } | ActKind::SetRole { device, .. } => {
                self.strips.entry(*device).or_default().push(act);
            }
            // Of other documents, a later version may know what it is to purge them.
            ActKind::Purge { document } if document.as_run().is_some() => {
                self.purged.insert(*document);
            }
            _ => {}
        }
    }

    fn invite(
        &mut self,
        grant: &Grant,
        act: usize,
        key: [u8; 32],
        (role, expires_ms, uses): (Role, u64, u32),
        recovery: bool,
    ) {
        if self.invites.contains_key(&key) {
            return;
        }
        let by = grant.device;
        let open =
            Invitation { by, role, expires_ms, uses, used: 0, name: None, recovery, closed: None };
        self.invites.insert(key, Invite { act, by: *grant, open });
        if role < Role::Admin {
            return;
        }
        let depth = self.graph.depth(act).max(grant.rank.depth) + 1;
        for join in self.joins.get(&key).into_iter().flatten() {
            let id = self.graph.act(*join).id;
            let rank = if recovery {
                Rank { recoveries: grant.rank.recoveries - 1, by: id, ..grant.rank }
            } else {
                Rank { depth, anchor: id, recoveries: 0, by: id }
            };
            let device = self.author(*join);
            self.queue.insert(Grant { rank, device, by: *join, recoveries_judged: false });
        }
    }

    /// Judges a join by an invitation, and counts it against the invitation's uses.
    fn admit(&mut self, join: usize, key: [u8; 32]) -> bool {
        match self.join_fault(join, &key) {
            None => {
                self.counts.insert(join);
                if let Some(invite) = self.invites.get_mut(&key) {
                    invite.open.used += 1;
                }
                true
            }
            Some(why) => {
                self.void.insert(join, why.into());
                false
            }
        }
    }

    fn join_fault(&self, join: usize, key: &[u8; 32]) -> Option<JoinRefusal> {
        let Some(invite) = self.invites.get(key) else { return Some(JoinRefusal::UnknownTicket) };
        let (placed, device) = (self.graph.act(join), self.author(join));
        if !placed.act.kind.is_signed_join(&self.workspace, &device) {
            return Some(JoinRefusal::Forged);
        }
        let expires_ms = invite.open.expires_ms;
        if expires_ms != 0 && placed.clock.millis() >= expires_ms {
            return Some(JoinRefusal::Expired);
        }
        let unseen = |act: &usize| !self.graph.has_seen(*act, join);
        if self.revokes.get(key).into_iter().flatten().any(unseen) {
            return Some(JoinRefusal::Revoked);
        }
        if self.closed_by_strip(invite).any(|strip| unseen(&strip)) {
            return Some(JoinRefusal::InviterLeft);
        }
        let removed = self.strips_of(&device).any(|strip| {
            matches!(self.kind(strip), ActKind::Remove { .. })
                && !self.graph.has_seen(invite.act, strip)
                && unseen(&strip)
        });
        if removed {
            return Some(JoinRefusal::Removed);
        }
        (invite.open.used >= invite.open.uses).then_some(JoinRefusal::UsedUp)
    }

    /// What made an invitation's maker an admin no longer, after it made it.
    fn closed_by_strip(&self, invite: &Invite) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let made = invite.act;
        self.strips_of(&invite.by.device).filter(move |strip| !self.graph.has_seen(made, *strip))
    }

    /// Judges what others than admins did: they join, and name themselves.
    fn take_others(&mut self) {
        let joins = self.joins.iter().flat_map(|(key, joins)| joins.iter().map(|at| (*at, *key)));
        for (join, key) in joins.collect::<Vec<_>>() {
            if !self.counts.contains(&join) && !self.void.contains_key(&join) {
                self.admit(join, key);
            }
        }
        let mut rest: Vec<usize> = self.graph.placed().collect();
        rest.retain(|at| !self.counts.contains(at) && !self.void.contains_key(at));
        rest.sort_by_key(|at| (self.graph.depth(*at), *at));
        for act in rest {
            let own = *self.author(act).as_bytes();
            let why = match self.kind(act) {
                ActKind::Rename { key, .. } if *key == own => match self.beyond_cut(act) {
                    Some(by) => Some(Void::BeyondCut { by }),
                    None => self.overruled(act),
                },
                // Seeing is free, and so is leaving.
                ActKind::Seen => None,
                ActKind::Remove { device, .. } if *device.as_bytes() == own => self.overruled(act),
                ActKind::Join { key, .. } => {
                    Some(self.join_fault(act, key).unwrap_or(JoinRefusal::UsedUp).into())
                }
                _ => Some(Void::NotAnAdmin),
            };
            match why {
                Some(why) => drop(self.void.insert(act, why)),
                None => {
                    self.counts.insert(act);
                    self.about.extend_subject(subject(self.kind(act)), act);
                }
            }
        }
    }

    /// What the acts that count come to.
    fn conclude(mut self) -> Membership {
        let mut membership = Membership::default();
        let devices: BTreeSet<DeviceId> = self.counts.iter().map(|at| self.author(*at)).collect();
        for device in devices {
            self.conclude_device(device, &mut membership);
        }
        let names: Vec<_> = self.about.keys().copied().collect();
        for subject in names {
            let Subject::Name(key) = subject else { continue };
            let Some(name) = self.last_name(&key) else { continue };
            if let Some(invite) = self.invites.get_mut(&key) {
                invite.open.name = Some(name);
            }
        }
        for (key, invite) in &self.invites {
            let mut open = invite.open.clone();
            let revoked = self.revokes.get(key).and_then(|revokes| revokes.first());
            open.closed = match revoked {
                Some(revoke) => Some(Closed::Revoked { by: self.author(*revoke) }),
                None => self.closed_by_strip(invite).next().map(|_| Closed::InviterLeft),
            };
            membership.invitations.insert(*key, open);
        }
        membership.purged = std::mem::take(&mut self.purged);
        for (at, why) in &self.void {
            let act = self.graph.act(*at);
            membership.void.insert(act.id, (act.journal.device, *why));
        }
        membership
    }

    /// Goes through what happened to a device, in order: of acts about it that count, each has seen
    /// the one before.
    fn conclude_device(&self, device: DeviceId, membership: &mut Membership) {
        let about = self.about.get(&Subject::Standing(device)).into_iter().flatten();
        let mut acts: Vec<usize> = about.copied().collect();
        acts.sort_by_key(|at| (self.graph.depth(*at), *at));
        let births = self.graph.of_device(&device).iter().copied();
        let mut births: Vec<usize> =
            births.filter(|at| self.kind(*at).is_birth() && self.counts.contains(at)).collect();
        births.sort_unstable();
        let mut member = None;
        let mut former: Option<Former> = None;
        for act in acts {
            let (seen, later) =
                births.into_iter().partition(|birth| self.graph.has_seen(act, *birth));
            births = later;
            self.be_born(seen, &mut member, &former, membership);
            self.change(act, &mut member, &mut former);
        }
        self.be_born(births, &mut member, &former, membership);
        match (member, former) {
            (Some(member), _) => drop(membership.members.insert(device, member)),
            (None, Some(former)) => drop(membership.former.insert(device, former)),
            (None, None) => {}
        }
    }

    fn be_born(
        &self,
        births: Vec<usize>,
        member: &mut Option<Member>,
        former: &Option<Former>,
        membership: &mut Membership,
    ) {
        for birth in births {
            if member.is_some() {
                return;
            }
            let placed = self.graph.act(birth);
            let device = placed.journal.device;
            let (role, name) = match &placed.act.kind {
                ActKind::Found { name, device_name, .. } => {
                    membership.name.clone_from(name);
                    membership.founder = Some(device);
                    (Role::Admin, device_name.clone())
                }
                ActKind::Join { key, device_name, .. } => {
                    let role = self.invites.get(key).map_or(Role::Reader, |held| held.open.role);
                    (role, self.last_name(key).unwrap_or_else(|| device_name.clone()))
                }
                _ => continue,
            };
            let name = self.last_name(device.as_bytes()).unwrap_or(name);
            let cuts = former.as_ref().map(|former| former.cuts.clone()).unwrap_or_default();
            let (since, written) = (placed.clock, Cuts::new());
            *member = Some(Member { role, name, since, rank: self.rank(birth), cuts, written });
        }
    }

    fn change(&self, act: usize, member: &mut Option<Member>, former: &mut Option<Former>) {
        let placed = self.graph.act(act);
        match &placed.act.kind {
            ActKind::Remove { cuts, .. } => {
                let mut cuts = cuts.clone();
                // Whoever removes once more may let more of it count, not less.
                for (incarnation, before) in former.iter().flat_map(|former| &former.cuts) {
                    let held = cuts.entry(*incarnation).or_default();
                    *held = (*before).max(*held);
                }
                let name = match (member.take(), former.take()) {
                    (Some(member), _) => member.name,
                    (None, Some(former)) => former.name,
                    (None, None) => return,
                };
                let (by, at) = (placed.journal.device, placed.clock);
                *former = Some(Former { name, by, at, cuts });
            }
            ActKind::SetRole { role, cuts, .. } => {
                let Some(member) = member else { return };
                member.written = match (member.role, role) {
                    (Role::Reader, Role::Reader) => std::mem::take(&mut member.written),
                    (_, Role::Reader) => cuts.clone(),
                    _ => Cuts::new(),
                };
                member.role = *role;
                member.rank = match role {
                    Role::Admin => member.rank.or_else(|| self.rank(act)),
                    Role::Reader | Role::Writer => None,
                };
            }
            _ => {}
        }
    }

    fn rank(&self, by: usize) -> Option<Rank> {
        let mut grants = self.grants.values().flatten();
        grants.find(|grant| grant.by == by).map(|grant| grant.rank)
    }

    fn last_name(&self, key: &[u8; 32]) -> Option<String> {
        let acts = self.about.get(&Subject::Name(*key))?;
        let last = acts.iter().max_by_key(|at| (self.graph.depth(**at), **at))?;
        match self.kind(*last) {
            ActKind::Rename { name, .. } => Some(name.clone()),
            _ => None,
        }
    }
}

trait BySubject {
    fn extend_subject(&mut self, subject: Option<Subject>, act: usize);
}

impl BySubject for BTreeMap<Subject, Vec<usize>> {
    fn extend_subject(&mut self, subject: Option<Subject>, act: usize) {
        if let Some(subject) = subject {
            self.entry(subject).or_default().push(act);
        }
    }
}

impl ActKind {
    /// Whether it is a device's first word.
    const fn is_birth(&self) -> bool {
        matches!(self, Self::Found { .. } | Self::Join { .. })
    }

    const fn is_join_by_key(&self) -> Option<[u8; 32]> {
        match self {
            Self::Join { key, .. } => Some(*key),
            _ => None,
        }
    }
}
