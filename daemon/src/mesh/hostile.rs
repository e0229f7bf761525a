//! Peers that do not keep to the protocol, over real sockets: strangers who would like to know,
//! and members gone bad. What they send is refused with a reason, nothing of it is stored, and the
//! others are served as before.

use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey};
use runmesh_core::ids::{DeviceId, EntryHash, Incarnation, JournalId, WorkspaceId};
use runmesh_core::sync::{ALPN, Farewell, Message, Obstacle, Scope, VERSION};
use runmesh_core::vector::VersionVector;
use tokio::time::timeout;

use super::tests::{Device, PATIENCE};
use crate::blobs;
use crate::home::Home;

/// An endpoint that says what it likes.
struct Raw {
    _endpoint: Endpoint,
    connection: Connection,
}

/// A conversation in which anything may be said.
pub(super) struct Talk {
    pub(super) send: SendStream,
    pub(super) receive: RecvStream,
    pub(super) connection: Connection,
}

impl Raw {
    async fn connect(secret: [u8; 32], to: &Device, alpn: &[u8]) -> Self {
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")
            .unwrap()
            .secret_key(SecretKey::from_bytes(&secret))
            .bind()
            .await
            .unwrap();
        let mesh = to.app.mesh().unwrap();
        let key = SecretKey::from_bytes(to.app.home.device_secret()).public();
        let loopback = mesh.addresses().into_iter().find(|at| at.ip().is_loopback()).unwrap();
        let address = EndpointAddr::new(key).with_ip_addr(loopback);
        let connection = endpoint.connect(address, alpn).await.unwrap();
        Self { _endpoint: endpoint, connection }
    }

    async fn talk(&self) -> Talk {
        let (send, receive) = self.connection.open_bi().await.unwrap();
        Talk { send, receive, connection: self.connection.clone() }
    }
}

impl Talk {
    pub(super) async fn say(&mut self, message: Message) {
        self.send.write_all(&message.frame().0).await.unwrap();
    }

    async fn hello(&mut self, to: &Device) {
        let workspace = to.app.workspace.id();
        let name = "mallory".to_owned();
        self.say(Message::Hello { version: VERSION, workspace, name, first: None }).await;
        self.say(Message::Have { scope: Scope::All, vector: VersionVector::new() }).await;
    }

    /// The next message, or none if the other side has ended the conversation.
    async fn hear(&mut self) -> Option<Message> {
        let mut head = [0; 4];
        timeout(PATIENCE, self.receive.read_exact(&mut head)).await.unwrap().ok()?;
        let mut bytes = vec![0; u32::from_le_bytes(head) as usize];
        self.receive.read_exact(&mut bytes).await.ok()?;
        Some(Message::decode(&bytes).unwrap())
    }

    pub(super) async fn hear_until(&mut self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut heard = Vec::new();
        while let Some(message) = self.hear().await {
            let done = wanted(&message);
            heard.push(message);
            if done {
                break;
            }
        }
        heard
    }
}

/// A device that was a member and whose key is now in bad hands.
async fn stolen_key(ann: &Device) -> [u8; 32] {
    let bob = Device::up("bob").await;
    bob.join(&ann.invite().await).await.unwrap();
    assert!(bob.synced().await);
    let folder = bob.down().await;
    *Home::open(folder.path()).unwrap().device_secret()
}

fn device_of(secret: &[u8; 32]) -> DeviceId {
    DeviceId::new(*SecretKey::from_bytes(secret).public().as_bytes())
}

/// Proves that a device serves its members: another one joins and gets a run.
async fn serves_others(ann: &Device) {
    let run = ann.run(77).await;
    let carl = Device::up("carl").await;
    carl.join(&ann.invite().await).await.unwrap();
    assert!(carl.synced().await);
    assert!(carl.has(run));
    carl.down().await;
}

/// What a stranger hears that calls for a workspace.
async fn stranger_hears(ann: &Device, workspace: WorkspaceId) -> Vec<Message> {
    let raw = Raw::connect([66; 32], ann, ALPN).await;
    let mut talk = raw.talk().await;
    let name = "eve".to_owned();
    talk.say(Message::Hello { version: VERSION, workspace, name, first: None }).await;
    talk.say(Message::Have { scope: Scope::All, vector: VersionVector::new() }).await;
    talk.hear_until(|_| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_hears_goodbye_and_not_which_workspace_is_here() {
    let ann = Device::up("ann").await;
    let run = ann.run(1).await;
    ann.put(run, "secret.bin", &[7; 1000]).await;
    ann.app.workspace.seal().await.unwrap();
    let heard = stranger_hears(&ann, ann.app.workspace.id()).await;
    assert_eq!(heard, stranger_hears(&ann, WorkspaceId::new([5; 32])).await);
    let [Message::Bye { farewell: Farewell::NotAMember, .. }] = &heard[..] else {
        panic!("a stranger was told {heard:?}")
    };
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_blob() {
    let ann = Device::up("ann").await;
    let run = ann.run(1).await;
    ann.put(run, "secret.bin", &[7; 1000]).await;
    let raw = Raw::connect([66; 32], &ann, blobs::ALPN).await;
    let closed = timeout(PATIENCE, raw.connection.closed()).await.unwrap();
    let iroh::endpoint::ConnectionError::ApplicationClosed(close) = closed else {
        panic!("closed otherwise: {closed:?}")
    };
    assert_eq!(close.error_code, blobs::CLOSE_NOT_A_MEMBER.into());
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_the_session_and_is_shown() {
    let ann = Device::up("ann").await;
    let secret = stolen_key(&ann).await;
    let garbage: [&[u8]; 3] = [
        // A message that is none, a length beyond all limits, an empty frame.
        &[5, 0, 0, 0, 0xff, 1, 2, 3, 4],
        &[0xff; 64],
        &[0, 0, 0, 0],
    ];
    for bytes in garbage {
        let raw = Raw::connect(secret, &ann, ALPN).await;
        let mut talk = raw.talk().await;
        talk.hello(&ann).await;
        talk.send.write_all(bytes).await.unwrap();
        talk.hear_until(|_| false).await;
        timeout(PATIENCE, talk.connection.closed()).await.unwrap();
    }
    let mut progress = ann.app.mesh().unwrap().inner.progress.subscribe();
    let shown = || {
        let peers = ann.app.mesh().unwrap().peers();
        peers.into_iter().find(|peer| peer.device == device_of(&secret)).unwrap().last_error
    };
    while shown().is_none() {
        timeout(PATIENCE, progress.changed()).await.unwrap().unwrap();
    }
    serves_others(&ann).await;
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_none_are_refused_and_not_stored() {
    let ann = Device::up("ann").await;
    let secret = stolen_key(&ann).await;
    let vector = ann.app.workspace.snapshot().unwrap().vector().unwrap();
    let tip_of = |wanted: DeviceId| vector.iter().find(|(journal, _)| journal.device == wanted);
    let (own, tip) = tip_of(device_of(&secret)).map(|(journal, tip)| (*journal, *tip)).unwrap();
    let stored = ann.app.workspace.snapshot().unwrap().entries(&own, 0, 1).unwrap().remove(0);
    let entries = |journal: JournalId, first: u64, previous: EntryHash, entry: Vec<u8>| {
        Message::Entries { journal, first, previous, entries: vec![entry] }
    };
    let unknown =
        JournalId { device: DeviceId::new([9; 32]), incarnation: Incarnation::new([9; 16]) };
    let cases = [
        // Its own first entry again, as the next: signed for another place.
        (entries(own, tip.count, tip.hash, stored.clone()), Obstacle::BadSignature),
        (entries(own, tip.count, EntryHash::new([8; 32]), stored.clone()), Obstacle::BrokenChain),
        (entries(own, tip.count, tip.hash, vec![7; 200]), Obstacle::Malformed),
        (entries(unknown, 0, EntryHash::new([0; 32]), stored), Obstacle::BadSignature),
    ];
    for (message, wanted) in cases {
        let raw = Raw::connect(secret, &ann, ALPN).await;
        let mut talk = raw.talk().await;
        talk.hello(&ann).await;
        talk.say(message.clone()).await;
        let heard = talk.hear_until(|heard| matches!(heard, Message::Refuse { .. })).await;
        let Some(Message::Refuse { obstacle, .. }) = heard.last() else {
            panic!("{message:?} was not refused: {heard:?}")
        };
        assert_eq!(*obstacle, wanted, "{message:?}");
    }
    assert_eq!(ann.app.workspace.snapshot().unwrap().vector().unwrap(), vector);
    serves_others(&ann).await;
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_not_stored_and_what_is_missing_is_asked_for() {
    let ann = Device::up("ann").await;
    let secret = stolen_key(&ann).await;
    let vector = ann.app.workspace.snapshot().unwrap().vector().unwrap();
    let own = *vector.iter().find(|(journal, _)| journal.device == device_of(&secret)).unwrap().0;
    let stored = ann.app.workspace.snapshot().unwrap().entries(&own, 0, 1).unwrap();
    let raw = Raw::connect(secret, &ann, ALPN).await;
    let mut talk = raw.talk().await;
    talk.hello(&ann).await;
    let previous = EntryHash::new([8; 32]);
    talk.say(Message::Entries { journal: own, first: 900, previous, entries: stored }).await;
    let again = |heard: &Message| matches!(heard, Message::Have { scope: Scope::Again, .. });
    let heard = talk.hear_until(again).await;
    assert!(heard.last().is_some_and(again), "{heard:?}");
    assert_eq!(ann.app.workspace.snapshot().unwrap().vector().unwrap(), vector);
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_falls_silent_or_opens_a_thousand_streams_holds_up_nobody() {
    let ann = Device::up("ann").await;
    let secret = stolen_key(&ann).await;
    let raw = Raw::connect(secret, &ann, ALPN).await;
    let mut talk = raw.talk().await;
    talk.hello(&ann).await;
    // Half a message, of a length that may be.
    talk.send.write_all(&[0, 0, 8, 0, 1, 2, 3]).await.unwrap();
    for _ in 0..1000 {
        // As many as the other side allows.
        match timeout(Duration::from_millis(1), raw.connection.open_bi()).await {
            Ok(Ok((mut send, _))) => drop(send.write_all(&[1; 100]).await),
            _ => break,
        }
    }
    serves_others(&ann).await;
    ann.down().await;
}
