//! Membership: who may read and write a workspace, as a function of the set of acts.
//!
//! Invariants: the result does not depend on the order in which acts arrived; nobody is a member
//! but the founder and those who joined by an invitation that an admin made; an invitation admits
//! no more devices than it says, and where more used it while apart, those whose joins have the
//! lower ids.
//!
//! **Seniority.** Admins are ranked by what made them admins: whose act had seen less is senior,
//! the founder to all. An admin removes and demotes those who are not admins, its juniors and
//! itself, never a senior. Of two acts about one device whose authors had not seen the other's, the
//! senior's counts; and what an admin did that a senior who removed it had not seen does not.
//! So whether an act counts is decided by acts of seniors alone, and there is one answer.
//!
//! **Cuts.** Whoever removes a device says how much of its journals had arrived. What is beyond
//! that counts nowhere, and nobody takes it.

mod graph;
mod judge;
mod naming;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::naming::Seen;
use crate::act::{Act, ActId, ActKind, Cuts, Role, act_id};
use crate::clock::Clock;
use crate::ids::{DeviceId, DocumentId, JournalId, WorkspaceId};
use crate::operation::OperationHash;

/// An act and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedAct {
    /// What other acts call it.
    pub id: ActId,
    /// The journal in which it stands.
    pub journal: JournalId,
    /// The entry that holds it, and its place there.
    pub place: (u64, u32),
    /// When it was sealed.
    pub clock: Clock,
    /// The act.
    pub act: Act,
}

impl PlacedAct {
    /// The act that an operation of an entry holds.
    pub fn new(
        journal: JournalId,
        place: (u64, u32),
        clock: Clock,
        operation: &OperationHash,
        act: Act,
    ) -> Self {
        Self { id: act_id(&journal, operation), journal, place, clock, act }
    }
}

/// How senior an admin is: the lower, the more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// How many acts had been seen by who made it one.
    depth: u64,
    /// The act that made it one; of one by a recovery ticket, that of the ticket's maker.
    anchor: ActId,
    /// How many recovery tickets deep, counted down: each outranks its maker.
    recoveries: i32,
    /// The act itself.
    by: ActId,
}

/// A device whose entries the workspace accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// What it is called.
    pub name: String,
    /// When it joined, by its own hybrid clock.
    pub since: Clock,
    /// How senior it is, if it is an admin.
    pub rank: Option<Rank>,
    /// What of its journals counts from before it was removed and joined again.
    cuts: Cuts,
    /// Of a reader that was a writer: what of its journals counts from then.
    written: Cuts,
}

/// A device that was a member and was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// What it was called.
    pub name: String,
    /// Who removed it.
    pub by: DeviceId,
    /// When, by that device's clock.
    pub at: Clock,
    /// What of its journals counts.
    pub cuts: Cuts,
}

/// An invitation that an admin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who made it.
    pub by: DeviceId,
    /// The role it gives.
    pub role: Role,
    /// When it ends, in milliseconds since 1970; 0 is never.
    pub expires_ms: u64,
    /// How many devices may join by it.
    pub uses: u32,
    /// How many did.
    pub used: u32,
    /// What who joins by it is called, if that was said.
    pub name: Option<String>,
    /// Whether it is a recovery ticket.
    pub recovery: bool,
    /// Why nobody joins by it any more, if so.
    pub closed: Option<Closed>,
}

/// Why nobody joins by an invitation any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// An admin revoked it.
    Revoked {
        /// Who.
        by: DeviceId,
    },
    /// Who made it is an admin no longer.
    InviterLeft,
}

/// Why a join does not make its device a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// No admin made an invitation with this key, or it has not arrived here.
    #[error("the ticket is not known here")]
    UnknownTicket,
    /// The ticket's key did not sign this device's join to this workspace.
    #[error("the ticket was not used with its own key")]
    Forged,
    /// It came after the ticket's end.
    #[error("the ticket has expired")]
    Expired,
    /// Others used it up.
    #[error("the ticket has been used already")]
    UsedUp,
    /// An admin revoked it.
    #[error("the ticket was revoked")]
    Revoked,
    /// The device that made it is an admin no longer.
    #[error("the device that made the ticket is not an admin any more")]
    InviterLeft,
    /// The device was removed after the ticket was made.
    #[error("this device was removed from the workspace; an admin must make it a new ticket")]
    Removed,
}

/// Why an act does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// Its author was not an admin.
    #[error("its device was not an admin")]
    NotAnAdmin,
    /// A senior admin decided otherwise at the same time.
    #[error("a senior admin decided otherwise at the same time")]
    Overruled {
        /// The act that counts instead.
        by: ActId,
    },
    /// Its author had been removed or demoted by one who had not seen it.
    #[error("its device was removed or demoted by one that had not seen it")]
    BeyondCut {
        /// The act that did.
        by: ActId,
    },
    /// It is about a senior admin.
    #[error("it is about an admin that is senior to its device")]
    AboutSenior,
    /// It is about a device that was not known to be a member.
    #[error("it is about a device that had not joined")]
    AboutNobody,
    /// Its device made a recovery ticket before.
    #[error("its device had made a recovery ticket before")]
    SecondRecovery,
    /// It is a join that admits nobody.
    #[error(transparent)]
    Join(#[from] JoinRefusal),
}

/// Why a device may not change another's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotYours {
    /// It is not an admin.
    #[error("this device is not an admin of the workspace")]
    NotAnAdmin,
    /// The other is no member, and never was.
    #[error("no such device is a member")]
    NotAMember,
    /// The other is a senior admin.
    #[error(
        "that device is an admin for longer than this one; an admin that is senior to it can do \
         this, or a device that joined by its recovery ticket"
    )]
    Senior,
}

/// Who may read and write a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    name: String,
    founder: Option<DeviceId>,
    members: BTreeMap<DeviceId, Member>,
    former: BTreeMap<DeviceId, Former>,
    invitations: BTreeMap<[u8; 32], Invitation>,
    purged: BTreeSet<DocumentId>,
    void: BTreeMap<ActId, (DeviceId, Void)>,
}

impl Membership {
    /// Works out the membership from all acts known, in whatever order.
    pub fn of(workspace: WorkspaceId, acts: &[PlacedAct]) -> Self {
        judge::judge(workspace, acts)
    }

    /// The role that a join would give `device` now, or why it would not be admitted.
    pub fn may_join(
        &self,
        workspace: WorkspaceId,
        device: &DeviceId,
        join: &ActKind,
        now_ms: u64,
    ) -> Result<Role, JoinRefusal> {
        let ActKind::Join { key, .. } = join else { return Err(JoinRefusal::UnknownTicket) };
        let invitation = self.invitations.get(key).ok_or(JoinRefusal::UnknownTicket)?;
        if !join.is_signed_join(&workspace, device) {
            return Err(JoinRefusal::Forged);
        }
        match invitation.closed {
            Some(Closed::Revoked { .. }) => return Err(JoinRefusal::Revoked),
            Some(Closed::InviterLeft) => return Err(JoinRefusal::InviterLeft),
            None => {}
        }
        if invitation.expires_ms != 0 && now_ms >= invitation.expires_ms {
            return Err(JoinRefusal::Expired);
        }
        if invitation.used >= invitation.uses {
            return Err(JoinRefusal::UsedUp);
        }
        Ok(invitation.role)
    }

    /// Whether `by` may remove a device or change its role.
    pub fn may_change(&self, by: &DeviceId, device: &DeviceId) -> Result<(), NotYours> {
        let own = self.member(by).and_then(|member| member.rank);
        let Some(theirs) = self.member(device) else {
            return Err(match (own, self.former.contains_key(device)) {
                (Some(_), true) => return Ok(()),
                (None, true) => NotYours::NotAnAdmin,
                _ => NotYours::NotAMember,
            });
        };
        if by == device {
            return Ok(());
        }
        let own = own.ok_or(NotYours::NotAnAdmin)?;
        if theirs.rank.is_some_and(|theirs| theirs < own) { Err(NotYours::Senior) } else { Ok(()) }
    }

    /// What a device is called, whether it is a member or was one; empty if nobody named it.
    pub fn name_of(&self, device: &DeviceId) -> &str {
        let present = self.member(device).map(|member| member.name.as_str());
        let former = || self.former.get(device).map(|former| former.name.as_str());
        present.or_else(former).unwrap_or_default()
    }

    /// Whether a device was a member and is none any more.
    pub fn was_removed(&self, device: &DeviceId) -> bool {
        self.former.contains_key(device)
    }

    /// How many entries of a journal count; none if there is no end to it.
    pub fn limit(&self, journal: &JournalId) -> Option<u64> {
        if let Some(former) = self.former.get(&journal.device) {
            return Some(former.cuts.get(&journal.incarnation).copied().unwrap_or(0));
        }
        let Some(member) = self.members.get(&journal.device) else { return Some(0) };
        let cut = member.cuts.get(&journal.incarnation).copied();
        let written = member.written.get(&journal.incarnation).copied();
        cut.into_iter().chain(written).min()
    }

    /// Whether an entry's operations may be others than acts.
    pub fn may_hold_data(&self, journal: &JournalId, entry: u64) -> bool {
        let Some(member) = self.members.get(&journal.device) else {
            return self.limit(journal).is_some_and(|limit| entry < limit);
        };
        let before = [&member.cuts, &member.written].map(|cuts| cuts.get(&journal.incarnation));
        member.role >= Role::Writer || before.into_iter().flatten().any(|limit| entry < *limit)
    }

    /// The workspace's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The device that founded the workspace, once its first entry is here.
    pub const fn founder(&self) -> Option<DeviceId> {
        self.founder
    }

    /// A member.
    pub fn member(&self, device: &DeviceId) -> Option<&Member> {
        self.members.get(device)
    }

    /// What a device may do, if it is a member.
    pub fn role(&self, device: &DeviceId) -> Option<Role> {
        self.member(device).map(|member| member.role)
    }

    /// Whether a device's entries count.
    pub fn may_write(&self, device: &DeviceId) -> bool {
        self.role(device).is_some_and(|role| role >= Role::Writer)
    }

    /// All members, by device.
    pub fn members(&self) -> impl Iterator<Item = (&DeviceId, &Member)> {
        self.members.iter()
    }

    /// All devices that were removed, by device.
    pub fn former(&self) -> impl Iterator<Item = (&DeviceId, &Former)> {
        self.former.iter()
    }

    /// All invitations, by the public halves of their keys.
    pub fn invitations(&self) -> impl Iterator<Item = (&[u8; 32], &Invitation)> {
        self.invitations.iter()
    }

    /// The documents that admins had purged.
    pub const fn purged(&self) -> &BTreeSet<DocumentId> {
        &self.purged
    }

    /// The acts that do not count, who wrote them, and why they do not.
    pub fn void(&self) -> impl Iterator<Item = (&ActId, &DeviceId, &Void)> {
        self.void.iter().map(|(act, (device, why))| (act, device, why))
    }
}
