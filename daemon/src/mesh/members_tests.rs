//! Who may do what, over real sockets: readers, removed devices, tickets that are no good any more.

use runmesh_core::act::Role;
use runmesh_core::action::Refusal;
use runmesh_core::ids::RunId;
use runmesh_core::ticket::Ticket;

use super::tests::{Device, PATIENCE};
use super::{JoinError, MembersError, NewTicket};
use crate::WriteError;
use crate::testing::create_run;

impl Device {
    pub(super) fn id(&self) -> runmesh_core::ids::DeviceId {
        self.app.mesh().unwrap().inner.device
    }

    /// Waits until what the workspace holds is as wanted.
    async fn until(&self, is_so: impl Fn() -> bool) {
        let mut changed = self.app.workspace.changed();
        while !is_so() {
            tokio::time::timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
        }
    }

    /// Waits until this device's membership is as it shall be.
    async fn learns(&self, shall: impl Fn(&runmesh_core::membership::Membership) -> bool) {
        self.until(|| shall(&self.app.workspace.snapshot().unwrap().membership().unwrap())).await;
    }

    /// Waits until a run has come, through whomever.
    async fn gets_run(&self, run: RunId) {
        self.until(|| self.has(run)).await;
    }

    async fn refused(&self, ticket: &Ticket) -> String {
        match self.join(ticket).await {
            Err(JoinError::Refused { reason }) => reason,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_writes_nothing_until_it_may() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    let run = ann.run(1).await;
    bob.join(&ann.invite_as(Role::Reader).await).await.unwrap();
    assert!(bob.synced().await && bob.has(run));
    let refused = bob.app.workspace.act(create_run(RunId::new([2; 16]))).await;
    assert!(matches!(refused, Err(WriteError::Refused(Refusal::OnlyReads))), "{refused:?}");
    // No journal of a reader is in anybody's way.
    let stuck: Vec<_> = ann.app.mesh().unwrap().peers().into_iter().map(|p| p.stuck).collect();
    assert_eq!(stuck, [Vec::<String>::new()]);
    let device = bob.id();
    ann.app.mesh().unwrap().set_role(device, Role::Writer).await.unwrap();
    bob.learns(|members| members.may_write(&device)).await;
    bob.app.workspace.act(create_run(RunId::new([2; 16]))).await.unwrap();
    assert!(ann.synced().await && ann.has(RunId::new([2; 16])));
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_told_that_it_cannot_bring_runs() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    let run = bob.run(2).await;
    let ticket = ann.invite_as(Role::Reader).await;
    let told = bob.join(&ticket).await;
    assert!(matches!(told, Err(JoinError::OnlyReads { runs: 1 })), "{told:?}");
    assert!(bob.has(run), "its own workspace is as it was");
    let joined = bob.app.mesh().unwrap().join(&bob.app.home, &ticket, true).await.unwrap();
    assert_eq!((joined.role, joined.runs_taken), (Role::Reader, 0));
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_device_writes_later_counts_nowhere() {
    let (ann, bob, carl) =
        (Device::up("ann").await, Device::up("bob").await, Device::up("carl").await);
    bob.join(&ann.invite().await).await.unwrap();
    carl.join(&ann.invite().await).await.unwrap();
    let before = bob.run(2).await;
    assert!(bob.synced().await);
    // Who has only just joined may not be connected to anybody yet.
    ann.gets_run(before).await;
    carl.gets_run(before).await;
    let device = bob.id();
    ann.app.mesh().unwrap().remove(device).await.unwrap();
    carl.learns(|members| members.was_removed(&device)).await;
    // Bob may not have heard: to him, it is as if nobody were there.
    let later = bob.app.workspace.act(create_run(RunId::new([3; 16]))).await;
    bob.app.workspace.seal().await.unwrap();
    assert!(later.is_ok() || matches!(later, Err(WriteError::Refused(Refusal::NotAMember))));
    let bobs = bob.app.workspace.snapshot().unwrap().vector().unwrap();
    assert!(ann.synced().await);
    for device in [&ann, &carl] {
        assert!(device.has(before) && !device.has(RunId::new([3; 16])));
        let theirs = device.app.workspace.snapshot().unwrap().vector().unwrap();
        assert!(
            bobs.tip(&bob.app.workspace.journal()).count
                >= theirs.tip(&bob.app.workspace.journal()).count
        );
        assert!(!device.app.mesh().unwrap().peers().iter().any(|peer| peer.device == bob.id()));
    }
    // The ticket by which it came does not let it in again, nor does one made before.
    let members = ann.app.workspace.snapshot().unwrap().membership().unwrap();
    assert_eq!(members.role(&device), None);
    ann.down().await;
    bob.down().await;
    carl.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_no_good_any_more_are_refused_with_the_reason() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    let mesh = ann.app.mesh().unwrap();
    let local = |mut ticket: Ticket| {
        ticket.addresses.retain(|address| address.ip().is_loopback());
        ticket
    };
    let used = ann.invite().await;
    let carl = Device::up("carl").await;
    carl.join(&used).await.unwrap();
    assert!(bob.refused(&used).await.contains("has been used already"));
    let revoked = ann.invite().await;
    mesh.revoke(&revoked.to_string()).await.unwrap();
    assert!(bob.refused(&revoked).await.contains("was revoked"));
    let late = NewTicket { role: Role::Writer, expires_ms: 1, uses: 1, name: None };
    let late = local(mesh.invite(late).await.unwrap());
    assert!(matches!(bob.join(&late).await, Err(JoinError::Expired)));
    // To one whose clock is wrong, the door says so.
    let hopeful = Ticket { expires_ms: 0, ..late };
    assert!(bob.refused(&hopeful).await.contains("has expired"));
    let named = NewTicket { role: Role::Writer, expires_ms: 0, uses: 1, name: Some("gpu".into()) };
    bob.join(&local(mesh.invite(named).await.unwrap())).await.unwrap();
    let members = ann.app.workspace.snapshot().unwrap().membership().unwrap();
    assert_eq!(members.member(&bob.id()).unwrap().name, "gpu");
    ann.down().await;
    bob.down().await;
    carl.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_ticket_brings_a_workspace_back_without_its_founder() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    bob.join(&ann.invite_as(Role::Admin).await).await.unwrap();
    let kept = ann.app.home.recovery_ticket(&ann.app.workspace.id()).unwrap().unwrap();
    let refused = bob.app.mesh().unwrap().remove(ann.id()).await;
    assert!(matches!(refused, Err(MembersError::NotYours(_))), "{refused:?}");
    let mut ticket: Ticket = kept.parse().unwrap();
    ticket.addresses.retain(|address| address.ip().is_loopback());
    let new = Device::up("ann's new laptop").await;
    new.join(&ticket).await.unwrap();
    assert!(new.synced().await);
    let lost = ann.id();
    new.app.mesh().unwrap().remove(lost).await.unwrap();
    assert!(new.app.workspace.snapshot().unwrap().membership().unwrap().was_removed(&lost));
    // It is the one to keep a ticket from now on.
    assert!(new.app.home.recovery_ticket(&new.app.workspace.id()).unwrap().is_some());
    ann.down().await;
    bob.down().await;
    new.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_ticket_works_while_its_maker_is_gone() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    bob.join(&ann.invite_as(Role::Admin).await).await.unwrap();
    assert!(bob.synced().await && ann.synced().await);
    let (mesh, lost) = (ann.app.mesh().unwrap(), ann.id());
    let kept = ann.app.home.recovery_ticket(&ann.app.workspace.id()).unwrap().unwrap();
    let printed_early: Ticket = kept.parse().unwrap();
    assert!(printed_early.others.is_empty(), "nobody else was known");
    let mut printed_late = mesh.with_contacts(printed_early.clone());
    assert_eq!(
        printed_late.others.iter().map(|other| other.device).collect::<Vec<_>>(),
        [bob.id()]
    );
    ann.down().await;

    // Nothing answers there.
    let nowhere = vec!["127.0.0.1:9".parse().unwrap()];
    let new = Device::up("ann's new laptop").await;
    let alone = Ticket { addresses: nowhere.clone(), ..printed_early };
    let told = new.join(&alone).await;
    assert!(matches!(told, Err(JoinError::Unreachable { .. })), "{told:?}");
    printed_late.addresses = nowhere;
    let joined = new.app.mesh().unwrap().join(&new.app.home, &printed_late, false).await.unwrap();
    assert_eq!((joined.through, joined.through_name.as_str()), (bob.id(), "bob"));
    new.app.mesh().unwrap().remove(lost).await.unwrap();
    bob.learns(|members| members.was_removed(&lost)).await;
    bob.down().await;
    new.down().await;
}
