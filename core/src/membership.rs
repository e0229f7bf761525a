//! Membership: who may read and write a workspace, as a function of the set of acts.
//!
//! Invariants: the result does not depend on the order in which acts arrived; nobody is a member
//! but the founder and those who joined by an invitation that an admin made; an invitation admits
//! no more devices than it says, and where more used it while apart, those whose joins have the
//! lower hashes.

use std::collections::BTreeMap;

use crate::act::{Act, ActKind, Role, workspace_id};
use crate::clock::Clock;
use crate::ids::{DeviceId, WorkspaceId};
use crate::operation::OperationHash;

/// An act and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedAct {
    /// The hash of the operation that holds it.
    pub hash: OperationHash,
    /// The device that wrote it.
    pub device: DeviceId,
    /// When it was sealed.
    pub clock: Clock,
    /// The act.
    pub act: Act,
}

/// A device whose entries the workspace accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// What it calls itself.
    pub name: String,
    /// When it joined, by its own hybrid clock.
    pub since: Clock,
}

/// An invitation that an admin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The role it gives.
    pub role: Role,
    /// When it ends, in milliseconds since 1970; 0 is never.
    pub expires_ms: u64,
    /// How many devices may join by it.
    pub uses: u32,
    /// How many did.
    pub used: u32,
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
}

/// Who may read and write a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    name: String,
    founder: Option<DeviceId>,
    members: BTreeMap<DeviceId, Member>,
    invitations: BTreeMap<[u8; 32], Invitation>,
}

impl Membership {
    /// Works out the membership from all acts known, in whatever order.
    pub fn of(workspace: WorkspaceId, acts: &[PlacedAct]) -> Self {
        let mut acts: Vec<&PlacedAct> = acts.iter().collect();
        acts.sort_by_key(|placed| placed.hash);
        let mut membership = Self::default();
        for placed in &acts {
            if let ActKind::Found { nonce, name, device_name } = &placed.act.kind
                && workspace_id(&placed.device, nonce) == workspace
            {
                membership.found(placed, name, device_name);
            }
        }
        // A member admitted in one round may have invited others: go on until nothing changes.
        while membership.round(workspace, &acts) {}
        membership
    }

    fn found(&mut self, placed: &PlacedAct, name: &str, device_name: &str) {
        name.clone_into(&mut self.name);
        self.founder = Some(placed.device);
        let name = device_name.to_owned();
        let founder = Member { role: Role::Admin, name, since: placed.clock };
        self.members.insert(placed.device, founder);
    }

    fn round(&mut self, workspace: WorkspaceId, acts: &[&PlacedAct]) -> bool {
        let before = (self.members.len(), self.invitations.len());
        for placed in acts {
            if let ActKind::Invite { key, role, expires_ms, uses } = &placed.act.kind
                && self.role(&placed.device) == Some(Role::Admin)
            {
                let (role, expires_ms, uses) = (*role, *expires_ms, *uses);
                let invitation = Invitation { role, expires_ms, uses, used: 0 };
                self.invitations.entry(*key).or_insert(invitation);
            }
        }
        for placed in acts {
            if self.members.contains_key(&placed.device) {
                continue;
            }
            let millis = placed.clock.millis();
            let Ok(role) = self.may_join(workspace, &placed.device, &placed.act.kind, millis)
            else {
                continue;
            };
            if let ActKind::Join { key, device_name, .. } = &placed.act.kind {
                self.invitations.entry(*key).and_modify(|invitation| invitation.used += 1);
                let member = Member { role, name: device_name.clone(), since: placed.clock };
                self.members.insert(placed.device, member);
            }
        }
        before != (self.members.len(), self.invitations.len())
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
        if invitation.expires_ms != 0 && now_ms >= invitation.expires_ms {
            return Err(JoinRefusal::Expired);
        }
        if invitation.used >= invitation.uses {
            return Err(JoinRefusal::UsedUp);
        }
        Ok(invitation.role)
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
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;

    const NONCE: [u8; 16] = [5; 16];

    fn device(seed: u8) -> DeviceId {
        DeviceId::new([seed; 32])
    }

    fn workspace() -> WorkspaceId {
        workspace_id(&device(1), &NONCE)
    }

    fn place(hash: u8, by: u8, millis: u64, kind: ActKind) -> PlacedAct {
        let clock = Clock::from_millis(crate::clock::UnixMillis(millis));
        let act = Act { kind, seen: Vec::new() };
        PlacedAct { hash: [hash; 32], device: device(by), clock, act }
    }

    fn found() -> PlacedAct {
        let kind = ActKind::Found { nonce: NONCE, name: "lab".into(), device_name: "ann".into() };
        place(9, 1, 1, kind)
    }

    fn invite(hash: u8, by: u8, ticket: &SigningKey, role: Role, uses: u32) -> PlacedAct {
        let key = ticket.verifying_key().to_bytes();
        place(hash, by, 10, ActKind::Invite { key, role, expires_ms: 1_000, uses })
    }

    fn join(hash: u8, by: u8, ticket: &SigningKey, millis: u64) -> PlacedAct {
        let kind = ActKind::join(ticket, &workspace(), &device(by), format!("device {by}"));
        place(hash, by, millis, kind)
    }

    fn ticket(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn a_device_joins_by_an_admins_invitation_only() {
        let by_admin =
            [found(), invite(2, 1, &ticket(1), Role::Writer, 1), join(3, 2, &ticket(1), 20)];
        assert_eq!(Membership::of(workspace(), &by_admin).role(&device(2)), Some(Role::Writer));
        let by_stranger =
            [found(), invite(2, 7, &ticket(1), Role::Writer, 1), join(3, 2, &ticket(1), 20)];
        assert_eq!(Membership::of(workspace(), &by_stranger).role(&device(2)), None);
        let mut stolen = by_admin;
        stolen[2].device = device(3);
        assert_eq!(Membership::of(workspace(), &stolen).role(&device(3)), None);
    }

    #[test]
    fn tickets_end_and_are_used_up() {
        let late =
            [found(), invite(2, 1, &ticket(1), Role::Writer, 1), join(3, 2, &ticket(1), 1_000)];
        assert_eq!(Membership::of(workspace(), &late).role(&device(2)), None);
        let twice = [
            found(),
            invite(2, 1, &ticket(1), Role::Writer, 1),
            join(4, 2, &ticket(1), 20),
            join(3, 3, &ticket(1), 30),
        ];
        let membership = Membership::of(workspace(), &twice);
        assert_eq!(membership.role(&device(3)), Some(Role::Writer), "the lower hash is admitted");
        assert_eq!(membership.role(&device(2)), None);
    }

    #[test]
    fn nobody_else_can_found_the_workspace() {
        let mut usurped = found();
        usurped.device = device(2);
        assert_eq!(Membership::of(workspace(), &[usurped]).members().count(), 0);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle()) {
            let acts = [
                found(),
                invite(2, 1, &ticket(1), Role::Admin, 1),
                join(3, 2, &ticket(1), 20),
                invite(4, 2, &ticket(2), Role::Writer, 2),
                join(7, 3, &ticket(2), 30),
                join(6, 4, &ticket(2), 30),
                join(5, 5, &ticket(2), 30),
            ];
            let shuffled: Vec<_> = order.iter().map(|at| acts[*at].clone()).collect();
            let membership = Membership::of(workspace(), &shuffled);
            prop_assert_eq!(&membership, &Membership::of(workspace(), &acts));
            prop_assert_eq!(membership.members().count(), 4);
        }
    }
}
