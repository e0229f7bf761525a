//! Joining as who waits for it sees it, through a member that takes its time.

use iroh::endpoint::presets;
use iroh::{Endpoint, RelayMode, SecretKey};
use runmesh_core::api::{JoinStage, Joining, Named};
use runmesh_core::ids::{DeviceId, EntryHash, JournalId, WorkspaceId};
use runmesh_core::sync::{ALPN, FirstEntry, Message, Scope, VERSION};
use runmesh_core::ticket::Ticket;
use runmesh_core::vector::{Tip, VersionVector};
use tempfile::TempDir;
use tokio::time::timeout;

use super::JoinError;
use super::hostile::Talk;
use super::tests::{Device, PATIENCE};
use crate::home::Home;

/// A member that says what it holds when the test has it do so.
struct Slow {
    endpoint: Endpoint,
    ticket: Ticket,
    device: DeviceId,
    journal: JournalId,
    vector: VersionVector,
    stored: Vec<Vec<u8>>,
    /// The hash of the entry before the last.
    before_last: EntryHash,
    _folder: TempDir,
}

impl Slow {
    /// Goes on as a device that has invited somebody last, and is down.
    async fn after(ann: Device) -> Self {
        ann.app.workspace.seal().await.unwrap();
        let mut ticket = ann.invite().await;
        let (held, journal) = (ann.app.workspace.snapshot().unwrap(), ann.app.workspace.journal());
        let vector = held.vector().unwrap();
        let stored = held.entries(&journal, 0, usize::MAX).unwrap();
        let last = stored.len() as u64 - 1;
        let before_last = held.chain(&journal, last, 1, 1).unwrap().unwrap().previous;
        drop(held);
        let folder = ann.down().await;
        let secret = *Home::open(folder.path()).unwrap().device_secret();
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")
            .unwrap()
            .alpns(vec![ALPN.to_vec()])
            .secret_key(SecretKey::from_bytes(&secret))
            .bind()
            .await
            .unwrap();
        ticket.addresses = endpoint.bound_sockets();
        let device = ticket.inviter;
        Self { endpoint, ticket, device, journal, vector, stored, before_last, _folder: folder }
    }

    /// Answers a call, and says all but the invitation.
    async fn answer(&self) -> Talk {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        let (send, receive) = connection.accept_bi().await.unwrap();
        let mut talk = Talk { send, receive, connection };
        let stored = self.stored[0].clone();
        let first = Some(FirstEntry { incarnation: self.journal.incarnation, stored });
        let (workspace, name) = (self.ticket.workspace, "ann".to_owned());
        talk.say(Message::Hello { version: VERSION, workspace, name, first }).await;
        talk.say(Message::Have { scope: Scope::All, vector: self.vector.clone() }).await;
        let most = self.stored[..self.stored.len() - 1].to_vec();
        talk.say(self.entries(0, Tip::START.hash, most)).await;
        talk
    }

    fn entries(&self, first: u64, previous: EntryHash, entries: Vec<Vec<u8>>) -> Message {
        Message::Entries { journal: self.journal, first, previous, entries }
    }

    fn invitation(&self) -> Message {
        let last = self.stored.len() - 1;
        self.entries(last as u64, self.before_last, self.stored[last..].to_vec())
    }
}

/// Waits until what is shown of the joining is as it shall be.
async fn shown(device: &Device, shall: impl Fn(&Joining) -> bool) -> Joining {
    let mesh = device.app.mesh().unwrap();
    let mut progress = mesh.inner.progress.subscribe();
    loop {
        if let [joining] = &mesh.joining()[..]
            && shall(joining)
        {
            return joining.clone();
        }
        timeout(PATIENCE, progress.changed()).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_join_sees_how_much_has_come_and_from_whom() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    ann.run(1).await;
    ann.run(2).await;
    let slow = Slow::after(ann).await;
    let member = async {
        let mut talk = slow.answer().await;
        // Each of the figures is told on its own, so for a moment one may be ahead of the others.
        let all_came = |joining: &Joining| {
            joining.entries > 0 && joining.runs == 2 && joining.entries_to_come == 1
        };
        let seen = shown(&bob, all_came).await;
        assert_eq!(
            seen,
            Joining {
                workspace: slow.ticket.workspace,
                through: Named { id: slow.device, name: "ann".to_owned() },
                stage: JoinStage::TakingIn,
                entries: slow.stored.len() as u64 - 1,
                entries_to_come: 1,
                runs: 2,
            }
        );
        talk.say(slow.invitation()).await;
        // The connection stays up until the other side has what it wants.
        talk.connection.closed().await;
    };
    let (joined, ()) = tokio::join!(bob.join(&slow.ticket), member);
    joined.unwrap();
    assert_eq!(bob.app.mesh().unwrap().joining(), []);
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_of_a_joining_that_failed_or_was_given_up() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    let slow = Slow::after(ann).await;
    let mesh = bob.app.mesh().unwrap();
    {
        let joining = std::pin::pin!(bob.join(&slow.ticket));
        let member = async {
            let talk = slow.answer().await;
            shown(&bob, |joining| joining.entries > 0).await;
            talk
        };
        tokio::select! {
            joined = joining => panic!("nobody let it in: {joined:?}"),
            _talk = member => {}
        }
    }
    assert_eq!(mesh.joining(), [], "who asked has gone");
    let (workspace, inviter) = (WorkspaceId::new([9; 32]), DeviceId::new([9; 32]));
    let nowhere = Ticket { workspace, inviter, addresses: Vec::new(), ..slow.ticket.clone() };
    let refused = bob.join(&nowhere).await;
    assert!(matches!(refused, Err(JoinError::Unreachable { .. })), "{refused:?}");
    assert_eq!(mesh.joining(), []);
    bob.down().await;
}
