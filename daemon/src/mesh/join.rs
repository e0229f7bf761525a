//! Joining a workspace by a ticket.
//!
//! Invariants: until a member has let this device in, nothing of its home changes but a folder
//! that is not used; then everything it had is taken along, unless it is told to leave it behind,
//! and only then is the new workspace the one in use. Any member can let a joiner in: the one that
//! made the ticket is called first, then the others that are known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use runmesh_core::act::{ActKind, Role};
use runmesh_core::action::Action;
use runmesh_core::ids::{DeviceId, WorkspaceId};
use runmesh_core::store::StoreError;
use runmesh_core::sync::ALPN;
use runmesh_core::ticket::{Contact, Ticket};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::joining::JoinProgress;
use super::link::{Link, LinkError};
use super::{DIAL_TIMEOUT, Mesh, locked};
use crate::home::Home;
use crate::now;
use crate::workspace::{OpenError, SwitchError, Workspace};

/// How long a member that is to let this device in may be silent. The invitation is known once all that
/// the inviter wrote before it is here, which may be a million runs or come over a slow link.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(60);
/// Who sends fewer bytes in that time only keeps the connection up.
const ALIVE_BYTES: u64 = 16 << 10;
/// How long a member may take to answer if there are others to call.
const ONE_OF_SEVERAL_TIMEOUT: Duration = Duration::from_secs(4);

/// Why a device did not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It is in that workspace already.
    #[error("this device is in that workspace already")]
    AlreadyIn,
    /// Nobody can be called.
    #[error("this daemon has no sessions with other devices")]
    NoMesh,
    /// The ticket has ended.
    #[error("the ticket has expired; ask for a new one with `runmesh invite`")]
    Expired,
    /// No member that is known answers.
    #[error(
        "no member of the workspace answers at {}; check that a daemon runs there and that this \
         machine can reach it, or name a member that is up with --through DEVICE@IP:PORT",
        list(.addresses)
    )]
    Unreachable {
        /// Where it was called.
        addresses: Vec<SocketAddr>,
    },
    /// Those that answered said no.
    #[error("the workspace refuses the ticket: {reason}")]
    Refused {
        /// What it said.
        reason: String,
    },
    /// The session with it failed.
    #[error("the session with a member that was to let this device in failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The new workspace's store cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A reader brings nothing.
    #[error(
        "the ticket is for a reader, who cannot bring the {runs} runs of this device along; join \
         with --leave-behind, and they stay in the workspace that this device has now"
    )]
    OnlyReads {
        /// How many.
        runs: u64,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runs of this device could not be taken along.
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(", ")
}

/// What came of joining.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// The member that let us in, and what it calls itself.
    pub through: DeviceId,
    /// What that member calls itself.
    pub through_name: String,
    /// What this device may do there.
    pub role: Role,
    /// How many runs were taken along.
    pub runs_taken: u64,
}

async fn make_default_experiment(candidate: &Workspace) {
    // Refused where it came with the others' entries already.
    let name = runmesh_core::ids::DEFAULT_EXPERIMENT.to_owned();
    let (artifact_location, tags, description) = (None, Vec::new(), None);
    let create = Action::CreateExperiment { name, artifact_location, tags, description };
    let _ = candidate.act(create).await;
}

/// A workspace that this device is in, and that is not in use yet.
pub struct Admitted {
    /// The workspace. Nobody else holds it.
    pub workspace: Workspace,
    /// How it was joined.
    pub joined: Joined,
}

impl Mesh {
    /// Joins the workspace of a ticket and puts it in the place of this one.
    pub async fn join(
        &self,
        home: &Home,
        ticket: &Ticket,
        leave_behind: bool,
    ) -> Result<Joined, JoinError> {
        let inner = &self.inner;
        let progress = inner.board.joinings.begin(ticket.workspace, ticket.inviter);
        let Admitted { workspace, joined } = self.admit_showing(home, ticket, &progress).await?;
        let runs = inner.workspace.snapshot()?.counts()?.runs;
        if joined.role == Role::Reader && runs > 0 && !leave_behind {
            workspace.stop().await;
            return Err(JoinError::OnlyReads { runs });
        }
        let take_along = !leave_behind && joined.role >= Role::Writer;
        progress.takes_along();
        let runs_taken = self.replace_by(home, workspace, take_along).await?;
        Ok(Joined { runs_taken, ..joined })
    }

    /// Has a member let this device into the workspace of a ticket.
    pub async fn admit(&self, home: &Home, ticket: &Ticket) -> Result<Admitted, JoinError> {
        let progress = self.inner.board.joinings.begin(ticket.workspace, ticket.inviter);
        self.admit_showing(home, ticket, &progress).await
    }

    async fn admit_showing(
        &self,
        home: &Home,
        ticket: &Ticket,
        progress: &JoinProgress,
    ) -> Result<Admitted, JoinError> {
        let inner = &self.inner;
        let candidate = self.candidate(home, ticket)?;
        let is_member = |held: &Workspace| {
            let members = held.snapshot().and_then(|snapshot| snapshot.membership());
            members.is_ok_and(|members| members.role(&inner.device).is_some())
        };
        // An earlier attempt may have come as far as this.
        let admitted = match is_member(&candidate) {
            true => Ok(ticket.inviter),
            false => self.be_admitted(ticket, &candidate, progress).await,
        };
        let membership = candidate.snapshot().and_then(|held| held.membership());
        let role = membership.as_ref().ok().and_then(|all| all.role(&inner.device));
        let knows_nobody = membership.as_ref().is_ok_and(|all| all.founder().is_none());
        let (Ok(through), Ok(membership), Some(role)) = (&admitted, membership, role) else {
            candidate.stop().await;
            if knows_nobody && matches!(admitted, Err(JoinError::Refused { .. })) {
                // The next ticket may be a better one, and shows another join.
                Workspace::discard(home, &ticket.workspace)?;
            }
            return Err(admitted.err().unwrap_or_else(|| JoinError::Refused {
                reason: "it did not accept the ticket".to_owned(),
            }));
        };
        let through = *through;
        let through_name = membership.member(&through).map(|member| member.name.clone());
        let through_name = through_name.unwrap_or_default();
        if role >= Role::Writer {
            make_default_experiment(&candidate).await;
        }
        inner.board.learn_of(ticket);
        let joined = Joined {
            workspace: ticket.workspace,
            name: membership.name().to_owned(),
            through,
            through_name,
            role,
            runs_taken: 0,
        };
        Ok(Admitted { workspace: candidate, joined })
    }

    /// Puts another workspace in the place of this one.
    async fn replace_by(
        &self,
        home: &Home,
        workspace: Workspace,
        take_along: bool,
    ) -> Result<u64, JoinError> {
        let inner = &self.inner;
        let candidate = workspace.into_candidate().expect("nobody else holds it");
        let runs_taken = inner.workspace.switch(home, candidate, take_along).await?;
        inner.refresh_membership();
        self.offer_recovery(home).await;
        locked(&inner.attempts).clear();
        inner.call_now.notify_one();
        Ok(runs_taken)
    }

    /// The store of a ticket's workspace, in which this device's journal starts with its join.
    fn candidate(&self, home: &Home, ticket: &Ticket) -> Result<Workspace, JoinError> {
        let inner = &self.inner;
        let places = home.places().map_err(OpenError::from)?;
        let mut held = places.iter().flat_map(|places| places.all());
        if held.any(|place| place.id == ticket.workspace) {
            return Err(JoinError::AlreadyIn);
        }
        if ticket.expires_ms != 0 && now().0 >= ticket.expires_ms {
            return Err(JoinError::Expired);
        }
        let act = ActKind::join(
            &ticket.signing_key(),
            &ticket.workspace,
            &inner.device,
            inner.name.clone(),
        );
        Ok(Workspace::candidate(home, ticket.workspace, act)?.into_workspace())
    }

    /// Joins the workspace of a ticket without meeting anybody, and puts it in the place of this
    /// one: the join is in this device's journal, and counts with every member that gets it in a
    /// bundle or a session.
    pub async fn join_unmet(
        &self,
        home: &Home,
        ticket: &Ticket,
        leave_behind: bool,
    ) -> Result<Joined, JoinError> {
        let Admitted { workspace, joined } = self.admit_unmet(home, ticket).await?;
        let runs_taken = self.replace_by(home, workspace, !leave_behind).await?;
        Ok(Joined { runs_taken, ..joined })
    }

    /// Starts a journal with a join in the workspace of a ticket, without meeting anybody.
    pub async fn admit_unmet(&self, home: &Home, ticket: &Ticket) -> Result<Admitted, JoinError> {
        let inner = &self.inner;
        let workspace = self.candidate(home, ticket)?;
        make_default_experiment(&workspace).await;
        inner.board.learn_of(ticket);
        let joined = Joined {
            workspace: ticket.workspace,
            name: String::new(),
            through: ticket.inviter,
            through_name: String::new(),
            role: Role::Writer,
            runs_taken: 0,
        };
        Ok(Admitted { workspace, joined })
    }

    /// Asks one member after the other to let this device in; returns the one that did. If none
    /// does, what a member said that was reached counts, and of these the one asked first.
    async fn be_admitted(
        &self,
        ticket: &Ticket,
        candidate: &Workspace,
        progress: &JoinProgress,
    ) -> Result<DeviceId, JoinError> {
        let inviter = Contact { device: ticket.inviter, addresses: ticket.addresses.clone() };
        let contacts: Vec<_> = std::iter::once(&inviter).chain(&ticket.others).collect();
        let patience = if contacts.len() == 1 { DIAL_TIMEOUT } else { ONE_OF_SEVERAL_TIMEOUT };
        let mut told = None;
        for contact in &contacts {
            progress.calls(contact.device);
            match self.ask_to_be_admitted(contact, candidate, patience, progress).await {
                Ok(()) => return Ok(contact.device),
                Err(JoinError::Unreachable { .. }) => {}
                // Who made the ticket knows; another may not have heard of it yet.
                Err(error) if contact.device == ticket.inviter => return Err(error),
                Err(error) => told = told.or(Some(error)),
            }
        }
        let addresses = contacts.iter().flat_map(|contact| contact.addresses.iter().copied());
        Err(told.unwrap_or_else(|| JoinError::Unreachable { addresses: addresses.collect() }))
    }

    /// Syncs the candidate with a member until that shows both as members.
    async fn ask_to_be_admitted(
        &self,
        contact: &Contact,
        candidate: &Workspace,
        patience: Duration,
        progress: &JoinProgress,
    ) -> Result<(), JoinError> {
        let (inner, Contact { device: member, addresses }) = (&self.inner, contact);
        let unreachable = || JoinError::Unreachable { addresses: addresses.clone() };
        let address = inner.board.address_at(member, addresses).ok_or_else(unreachable)?;
        let call = inner.board.endpoint.connect(address, ALPN);
        let connection = match timeout(patience, call).await {
            Ok(Ok(connection)) => connection,
            _ => return Err(unreachable()),
        };
        let link = Arc::new(Link::calling(connection, inner.device));
        progress.takes_in(&link);
        // Both are to be known as members: of a member that is not, nothing is believed later.
        let both = [inner.device, *member];
        let session = link.drive(inner, candidate, |held| {
            let counts = candidate.snapshot().and_then(|held| held.counts());
            progress.has_runs(counts.map_or(0, |counts| counts.runs));
            both.iter().all(|device| held.membership.role(device).is_some())
        });
        let received = || link.connection().stats().udp_rx.bytes;
        let ended = while_it_moves(ADMISSION_PATIENCE, received, session).await;
        inner.count(&link);
        link.close(super::link::CLOSE_TWICE, b"it joins, and calls again as a member");
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(LinkError::SentAway(reason))) => Err(JoinError::Refused { reason }),
            Ok(Err(error)) => Err(JoinError::Failed(Box::new(error))),
            Err(_) => Err(unreachable()),
        }
    }
}

/// Waits for work as long as something is received for it.
async fn while_it_moves<T>(
    patience: Duration,
    received: impl Fn() -> u64,
    work: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut work = std::pin::pin!(work);
    let mut before = received();
    loop {
        match timeout(patience, &mut work).await {
            Err(_) if received() >= before + ALIVE_BYTES => before = received(),
            ended => return ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn who_sends_something_is_waited_for_and_who_only_keeps_up_is_not() {
        for (sends, comes) in [(ALIVE_BYTES, true), (ALIVE_BYTES - 1, false)] {
            let looked = Cell::new(0);
            let received = || {
                looked.set(looked.get() + 1);
                looked.get() * sends
            };
            let work = poll_fn(|_| if looked.get() > 4 { Poll::Ready(()) } else { Poll::Pending });
            let ended = while_it_moves(Duration::from_millis(1), received, work).await;
            assert_eq!(ended.is_ok(), comes, "{sends} bytes each time");
        }
    }
}
