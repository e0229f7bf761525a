//! Saying who is a member: invitations, removals, roles, names.
//!
//! Invariants: nothing is written that would not count; before a device is removed, this one gets
//! what it can of its journals, for what is not here then counts no more.

use std::time::Duration;

use runmesh_core::act::{ActKind, Cuts, MAX_NAME_BYTES, Role};
use runmesh_core::ids::DeviceId;
use runmesh_core::membership::{Membership, NotYours};
use runmesh_core::store::StoreError;
use runmesh_core::ticket::{Contact, MAX_OTHER_ADDRESSES, MAX_OTHERS, Ticket};

use super::{Mesh, locked};
use crate::WriteError;
use crate::home::{Home, HomeError};

/// How long a removal waits for what connected peers hold.
const LAST_ENTRIES: Duration = Duration::from_secs(5);

/// Why nothing was said about members.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// This device may not.
    #[error(transparent)]
    NotYours(#[from] NotYours),
    /// Nobody is called so.
    #[error("no member's id starts with {0:?}, and none is called so")]
    NoSuchDevice(String),
    /// Several are.
    #[error("{count} devices are called {text:?}, or have ids that start so")]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// How many it means.
        count: usize,
    },
    /// It would leave nobody who can say who is a member.
    #[error(
        "this device is the only admin; make another one first, with `runmesh role DEVICE admin`"
    )]
    LastAdmin,
    /// There is no such ticket that is open.
    #[error("no open ticket has a key that starts with {0:?}")]
    NoSuchTicket(String),
    /// It is a recovery ticket.
    #[error(
        "a recovery ticket cannot be revoked, for it is there for the day on which this device's \
         key is in bad hands; use it up instead: join a device of yours by it"
    )]
    Recovery,
    /// The name is too long.
    #[error("a name takes at most {MAX_NAME_BYTES} bytes")]
    NameTooLong,
    /// One name for several devices.
    #[error("a ticket that names who joins by it is for one device; leave out --name or --uses")]
    OneName,
    /// The recovery ticket cannot be kept.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// It could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The membership cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A ticket to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// What the joiner may do.
    pub role: Role,
    /// When it ends, in milliseconds since 1970; 0 is never.
    pub expires_ms: u64,
    /// How many devices may join by it.
    pub uses: u32,
    /// What who joins by it is called.
    pub name: Option<String>,
}

impl Mesh {
    fn members(&self) -> Result<Membership, StoreError> {
        self.inner.workspace.snapshot()?.membership()
    }

    fn admin(&self) -> Result<Membership, MembersError> {
        let members = self.members()?;
        match members.role(&self.inner.device) {
            Some(Role::Admin) => Ok(members),
            _ => Err(NotYours::NotAnAdmin.into()),
        }
    }

    async fn declare(&self, kinds: Vec<ActKind>) -> Result<(), MembersError> {
        self.inner.workspace.declare(kinds).await?;
        self.inner.refresh_membership();
        Ok(())
    }

    fn ticket(&self, key: [u8; 32], expires_ms: u64) -> Ticket {
        self.with_contacts(Ticket {
            key,
            workspace: self.inner.workspace.id(),
            inviter: self.inner.device,
            expires_ms,
            addresses: Vec::new(),
            others: Vec::new(),
        })
    }

    /// A ticket of this device that says where it and other members are now.
    pub(crate) fn with_contacts(&self, ticket: Ticket) -> Ticket {
        Ticket { addresses: self.addresses(), others: self.contacts(), ..ticket }
    }

    /// The members that a joiner may find when this device is away: those that are connected
    /// first, then those that were heard of last.
    fn contacts(&self) -> Vec<Contact> {
        let (membership, book) = (self.inner.membership(), locked(&self.inner.board.book));
        let links = locked(&self.inner.links);
        let others = membership.members().map(|(device, _)| *device);
        let others = others.filter(|device| *device != self.inner.device);
        let mut known: Vec<_> = others.map(|device| (device, book.contact(&device))).collect();
        known.retain(|(_, contact)| !contact.addresses.is_empty());
        known.sort_by_key(|(device, contact)| {
            (!links.contains_key(device), std::cmp::Reverse(contact.last_seen_ms), *device)
        });
        let contact = |(device, contact): (DeviceId, super::addresses::Contact)| {
            let mut addresses = contact.addresses;
            // Loopback last: it is only of use on the same machine.
            addresses.sort_by_key(|address| address.ip().is_loopback());
            addresses.truncate(MAX_OTHER_ADDRESSES);
            Contact { device, addresses }
        };
        known.into_iter().take(MAX_OTHERS).map(contact).collect()
    }

    /// Makes a ticket.
    pub async fn invite(&self, new: NewTicket) -> Result<Ticket, MembersError> {
        self.admin()?;
        let NewTicket { role, expires_ms, uses, name } = new;
        if name.is_some() && uses > 1 {
            return Err(MembersError::OneName);
        }
        let ticket = self.ticket(rand::random(), expires_ms);
        let key = ticket.signing_key().verifying_key().to_bytes();
        let mut kinds = vec![ActKind::Invite { key, role, expires_ms, uses }];
        if let Some(name) = name {
            kinds.push(ActKind::Rename { key, name: checked(name)? });
        }
        self.declare(kinds).await?;
        Ok(ticket)
    }

    /// Makes the ticket that brings the workspace back if this device is lost, and keeps it in
    /// the home, if this device is the most senior admin and has made none.
    pub(super) async fn make_recovery_ticket(&self, home: &Home) -> Result<(), MembersError> {
        let (members, own) = (self.members()?, self.inner.device);
        let ranks = members.members().filter_map(|(device, held)| Some((held.rank?, *device)));
        let made = members.invitations().any(|(_, open)| open.recovery && open.by == own);
        if ranks.min().is_none_or(|(_, most)| most != own) || made {
            return Ok(());
        }
        let ticket = self.ticket(rand::random(), 0);
        let key = ticket.signing_key().verifying_key().to_bytes();
        // First: a ticket that is made and lost cannot be made again.
        home.keep_recovery_ticket(&ticket.workspace, &ticket.to_string())?;
        self.declare(vec![ActKind::Recovery { key }]).await
    }

    /// The device that a person means: by its name, or the start of its id.
    pub fn device_called(&self, text: &str) -> Result<DeviceId, MembersError> {
        called(&self.members()?, text)
    }

    /// Removes a device, which may be this one. What of its journals is not here then, or with
    /// a connected peer, does not count any more.
    pub async fn remove(&self, device: DeviceId) -> Result<(), MembersError> {
        self.members()?.may_change(&self.inner.device, &device)?;
        if !locked(&self.inner.links).is_empty() {
            self.sync_wait(LAST_ENTRIES).await?;
        }
        let members = self.members()?;
        members.may_change(&self.inner.device, &device)?;
        Self::leaves_an_admin(&members, &device)?;
        self.declare(vec![ActKind::Remove { device, cuts: Cuts::new() }]).await
    }

    /// Says what a member may do from here on.
    pub async fn set_role(&self, device: DeviceId, role: Role) -> Result<(), MembersError> {
        let members = self.admin()?;
        if members.role(&device).is_none() {
            return Err(NotYours::NotAMember.into());
        }
        members.may_change(&self.inner.device, &device)?;
        if members.role(&device) == Some(role) {
            return Ok(());
        }
        if role < Role::Admin {
            Self::leaves_an_admin(&members, &device)?;
        }
        self.declare(vec![ActKind::SetRole { device, role, cuts: Cuts::new() }]).await
    }

    fn leaves_an_admin(members: &Membership, but: &DeviceId) -> Result<(), MembersError> {
        let mut others = members.members().filter(|(device, _)| *device != but);
        if others.any(|(_, member)| member.role == Role::Admin) {
            return Ok(());
        }
        Err(MembersError::LastAdmin)
    }

    /// Calls a member something else.
    pub async fn rename(&self, device: DeviceId, name: String) -> Result<(), MembersError> {
        if device != self.inner.device {
            self.admin()?;
        }
        let (key, name) = (*device.as_bytes(), checked(name)?);
        self.declare(vec![ActKind::Rename { key, name }]).await
    }

    /// Closes a ticket, which is named by itself or by the start of its key's public half.
    pub async fn revoke(&self, text: &str) -> Result<(), MembersError> {
        let members = self.admin()?;
        let start = match text.parse::<Ticket>() {
            Ok(ticket) => {
                let key = ticket.signing_key().verifying_key().to_bytes();
                data_encoding::HEXLOWER.encode(&key)
            }
            Err(_) => text.to_ascii_lowercase(),
        };
        let none = || MembersError::NoSuchTicket(text.chars().take(12).collect());
        let mut open = members.invitations().filter(|(key, open)| {
            open.closed.is_none() && data_encoding::HEXLOWER.encode(*key).starts_with(&start)
        });
        let (key, invitation) = open.next().filter(|_| !start.is_empty()).ok_or_else(none)?;
        match open.count() {
            0 if invitation.recovery => Err(MembersError::Recovery),
            0 => self.declare(vec![ActKind::Revoke { key: *key }]).await,
            more => Err(MembersError::Ambiguous { text: start, count: more + 1 }),
        }
    }
}

fn checked(name: String) -> Result<String, MembersError> {
    if name.len() > MAX_NAME_BYTES { Err(MembersError::NameTooLong) } else { Ok(name) }
}

fn called(members: &Membership, text: &str) -> Result<DeviceId, MembersError> {
    let former = members.former().map(|(device, former)| (*device, former.name.as_str()));
    let present = members.members().map(|(device, member)| (*device, member.name.as_str()));
    let all: Vec<(DeviceId, &str)> = present.chain(former).collect();
    let start = text.to_ascii_lowercase();
    let by_name = all.iter().filter(|(_, name)| *name == text);
    let by_id = all.iter().filter(|(device, _)| device.to_string().starts_with(&start));
    let meant: std::collections::BTreeSet<DeviceId> =
        by_name.chain(by_id).map(|(device, _)| *device).collect();
    let mut meant_in_order = meant.iter();
    match (meant_in_order.next(), meant.len()) {
        (Some(device), 1) if !text.is_empty() => Ok(*device),
        (Some(_), count) if !text.is_empty() => {
            Err(MembersError::Ambiguous { text: text.to_owned(), count })
        }
        _ => Err(MembersError::NoSuchDevice(text.to_owned())),
    }
}
