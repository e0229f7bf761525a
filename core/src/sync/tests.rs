//! Stories of one session, told by hand. Whole networks of them are in the simulator.

use std::sync::Arc;

use ed25519_dalek::SigningKey;

use super::*;
use crate::act::{Act, ActKind, Role, workspace_id};
use crate::clock::{Clock, UnixMillis};
use crate::entry::EntryError;
use crate::ids::{DeviceId, EntryHash, Incarnation, JournalId, WorkspaceId};
use crate::membership::{Membership, PlacedAct};
use crate::store::Fault;
use crate::ticket::Contact;
use crate::vector::{Tip, VersionVector};

const NOW: UnixMillis = UnixMillis(1_000_000);
const NONCE: [u8; 16] = [5; 16];
const ANN: DeviceId = DeviceId::new([1; 32]);
const BOB: DeviceId = DeviceId::new([2; 32]);
const EVE: DeviceId = DeviceId::new([3; 32]);

fn workspace() -> WorkspaceId {
    workspace_id(&ANN, &NONCE)
}

fn journal(device: DeviceId) -> JournalId {
    JournalId { device, incarnation: Incarnation::new([0; 16]) }
}

fn tip(count: u64) -> Tip {
    Tip { count, hash: EntryHash::new([count as u8; 32]) }
}

fn vector(tips: &[(DeviceId, u64)]) -> VersionVector {
    let mut vector = VersionVector::new();
    for (device, count) in tips {
        vector.set(journal(*device), tip(*count));
    }
    vector
}

/// What is held by one who knows Ann, the founder, and those who joined by her.
fn held(tips: &[(DeviceId, u64)], joined: &[DeviceId]) -> Held {
    let ticket = SigningKey::from_bytes(&[7; 32]);
    let (name, device_name) = ("lab".to_owned(), "ann".to_owned());
    let key = ticket.verifying_key().to_bytes();
    let mut acts = vec![
        (ANN, ActKind::Found { nonce: NONCE, name, device_name }),
        (ANN, ActKind::Invite { key, role: Role::Writer, expires_ms: 0, uses: 9 }),
    ];
    let join = |device| (device, ActKind::join(&ticket, &workspace(), &device, "x".to_owned()));
    acts.extend(joined.iter().copied().map(join));
    let place = |(at, (device, kind)): (usize, (DeviceId, ActKind))| {
        let (place, clock) = ((at as u64, 0), Clock(at as u64));
        let act = Act { kind, seen: Vec::new() };
        PlacedAct::new(journal(device), place, clock, &[at as u8; 32], act)
    };
    let acts: Vec<_> = acts.into_iter().enumerate().map(place).collect();
    let membership = Arc::new(Membership::of(workspace(), &acts));
    Held { vector: vector(tips), membership }
}

fn first_entry() -> FirstEntry {
    FirstEntry { incarnation: Incarnation::new([0; 16]), stored: vec![1] }
}

/// Ann's side of a conversation that she began with `peer`.
fn ann_with(peer: DeviceId, held: Held) -> (Session, Vec<Output>) {
    session_of_ann(peer, held, true)
}

fn session_of_ann(peer: DeviceId, held: Held, calls: bool) -> (Session, Vec<Output>) {
    let (first, name) = (Some(first_entry()), "ann".to_owned());
    let peering = Peering { workspace: workspace(), device: ANN, peer, name, first, calls };
    let mut session = Session::new(peering, held);
    let outputs = told(&mut session, Input::Started);
    (session, outputs)
}

fn told(session: &mut Session, input: Input) -> Vec<Output> {
    session.handle(NOW, input).expect("the peer keeps to the protocol");
    std::iter::from_fn(|| session.next()).filter(|o| !matches!(o, Output::WakeAt(_))).collect()
}

fn have(scope: Scope, tips: &[(DeviceId, u64)]) -> Input {
    Input::Received(Message::Have { scope, vector: vector(tips) })
}

fn entries(device: DeviceId, first: u64, count: usize) -> Input {
    Input::Received(Message::Entries {
        journal: journal(device),
        first,
        previous: tip(first).hash,
        entries: vec![vec![0]; count],
    })
}

fn loaded(first: u64, bytes: usize) -> Input {
    let entries = vec![vec![0; bytes]];
    Input::Loaded { journal: journal(ANN), first, previous: tip(first).hash, entries }
}

fn hello(first: Option<FirstEntry>) -> Input {
    let (workspace, name) = (workspace(), "peer".to_owned());
    Input::Received(Message::Hello { version: VERSION, workspace, name, first })
}

fn ingested(held: Held, faults: Vec<(JournalId, Fault)>) -> Input {
    Input::Ingested { batches: 1, held, faults }
}

fn sends_entries(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Send(Message::Entries { .. })))
}

fn loads(outputs: &[Output]) -> Option<u64> {
    outputs.iter().find_map(|output| match output {
        Output::Load { from, .. } => Some(*from),
        _ => None,
    })
}

#[test]
fn what_the_peer_lacks_is_sent_batch_by_batch_within_the_window() {
    let ann = held(&[(ANN, 100)], &[BOB]);
    let (mut session, started) = ann_with(BOB, ann);
    assert!(matches!(
        started[..],
        [Output::Send(Message::Hello { .. }), Output::Send(Message::Have { .. })]
    ));
    let mut outputs = told(&mut session, have(Scope::All, &[(ANN, 3)]));
    let mut sent = 0;
    while let Some(from) = loads(&outputs) {
        assert_eq!(from, 3 + sent);
        outputs = told(&mut session, loaded(from, WINDOW_BYTES / 4));
        assert!(sends_entries(&outputs));
        sent += 1;
    }
    assert_eq!(sent, 4);
    // Word from the peer opens the window again.
    let outputs = told(&mut session, have(Scope::Changed, &[(ANN, 5)]));
    assert_eq!(loads(&outputs), Some(7));
    assert_eq!(session.status().to_send, 95);
}

#[test]
fn what_no_word_comes_of_is_sent_again_in_time() {
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1)], &[BOB]));
    assert_eq!(loads(&told(&mut session, have(Scope::All, &[]))), Some(0));
    assert!(sends_entries(&told(&mut session, loaded(0, 10))));
    session.handle(NOW, Input::Tick).expect("a tick is no fault");
    assert_eq!(session.next(), None, "it is too early");
    session.handle(UnixMillis(NOW.0 + 100_000), Input::Tick).expect("a tick is no fault");
    assert!(matches!(session.next(), Some(Output::Load { from: 0, .. })));
}

#[test]
fn a_stranger_is_told_nothing() {
    let (mut session, started) = ann_with(EVE, held(&[(ANN, 9)], &[]));
    assert!(matches!(started[..], [Output::Send(Message::Hello { .. })]));
    assert_eq!(told(&mut session, have(Scope::All, &[])), []);
    assert_eq!(told(&mut session, Input::Received(Message::Watch { token: 1 })), []);
    assert_eq!(told(&mut session, entries(EVE, 0, 1)), []);
    let outputs = told(&mut session, hello(None));
    let [Output::Send(Message::Bye { farewell, .. }), Output::Done(_)] = &outputs[..] else {
        panic!("not sent away: {outputs:?}")
    };
    assert_eq!(*farewell, Farewell::NotAMember);
}

#[test]
fn a_stranger_that_calls_hears_what_it_would_hear_where_the_workspace_is_not() {
    for first in [None, Some(first_entry())] {
        let nobody = held(&[(ANN, 9)], &[]);
        let (mut session, started) = session_of_ann(EVE, nobody.clone(), false);
        assert_eq!(started, []);
        let mut outputs = told(&mut session, hello(first.clone()));
        if matches!(outputs[..], [Output::Ingest { .. }]) {
            let fault = (journal(EVE), Fault::NotAMember(EVE));
            outputs = told(&mut session, ingested(nobody, vec![fault]));
        }
        let goodbye = Output::Send(super::turned_away(first.as_ref()));
        assert_eq!(outputs, [goodbye, Output::Done(Ended::Here(Farewell::NotAMember))]);
    }
}

#[test]
fn a_member_that_calls_is_greeted_and_so_is_a_joiner_once_it_is_one() {
    let (_, started) = session_of_ann(BOB, held(&[(ANN, 9)], &[BOB]), false);
    let greeting = |outputs: &[Output]| matches!(outputs[0], Output::Send(Message::Hello { .. }));
    assert!(greeting(&started));
    let (mut session, started) = session_of_ann(BOB, held(&[(ANN, 9)], &[]), false);
    assert_eq!(started, []);
    assert!(matches!(told(&mut session, hello(Some(first_entry())))[..], [Output::Ingest { .. }]));
    let outputs = told(&mut session, ingested(held(&[(ANN, 9), (BOB, 1)], &[BOB]), Vec::new()));
    assert!(greeting(&outputs));
}

#[test]
fn a_joiner_is_served_once_its_join_is_ingested() {
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 9)], &[]));
    let outputs = told(&mut session, hello(Some(first_entry())));
    assert!(matches!(outputs[..], [Output::Ingest { first: 0, .. }]));
    assert_eq!(told(&mut session, have(Scope::All, &[])), []);
    let outputs = told(&mut session, ingested(held(&[(ANN, 9), (BOB, 1)], &[BOB]), Vec::new()));
    assert!(matches!(outputs[0], Output::Send(Message::Have { scope: Scope::All, .. })));
    assert_eq!(loads(&outputs), Some(0));
}

#[test]
fn a_join_that_admits_nobody_ends_the_session() {
    let ann = held(&[(ANN, 9)], &[]);
    let (mut session, _) = ann_with(EVE, ann.clone());
    told(&mut session, hello(Some(first_entry())));
    let fault = (journal(EVE), Fault::NotAMember(EVE));
    let outputs = told(&mut session, ingested(ann, vec![fault]));
    assert_eq!(outputs.last(), Some(&Output::Done(Ended::Here(Farewell::NotAMember))));
}

#[test]
fn a_newcomer_asks_for_everything_and_tells_nothing() {
    let nobody = Arc::new(Membership::default());
    let own = Held { vector: vector(&[(ANN, 4)]), membership: nobody };
    let (mut session, started) = ann_with(BOB, own);
    let empty = Message::Have { scope: Scope::All, vector: VersionVector::new() };
    assert_eq!(started[1], Output::Send(empty));
    assert_eq!(told(&mut session, have(Scope::All, &[(BOB, 3)])), []);
    let outputs = told(&mut session, entries(BOB, 0, 3));
    assert!(matches!(outputs[..], [Output::Ingest { .. }]));
    let outputs = told(&mut session, ingested(held(&[(ANN, 4), (BOB, 3)], &[BOB]), Vec::new()));
    assert_eq!(loads(&outputs), Some(0));
}

/// Bob's join comes in another journal than what lets the newcomer in: Ann has both, and is away.
#[test]
fn a_newcomer_listens_until_it_knows_whom_it_came_in_through() {
    let nobody = Arc::new(Membership::default());
    let own = Held { vector: vector(&[(EVE, 1)]), membership: nobody };
    let first = Some(first_entry());
    let name = "eve".to_owned();
    let peering =
        Peering { workspace: workspace(), device: EVE, peer: BOB, name, first, calls: true };
    let mut session = Session::new(peering, own);
    told(&mut session, Input::Started);
    assert_eq!(told(&mut session, hello(Some(first_entry()))), [], "his join cannot be judged yet");
    told(&mut session, have(Scope::All, &[(ANN, 3), (BOB, 2), (EVE, 1)]));
    told(&mut session, entries(ANN, 0, 3));
    let outputs = told(&mut session, ingested(held(&[(ANN, 3), (EVE, 1)], &[EVE]), Vec::new()));
    assert!(!outputs.iter().any(|o| matches!(o, Output::Done(_))), "{outputs:?}");
    let outputs = told(&mut session, entries(BOB, 0, 2));
    assert!(matches!(outputs[..], [Output::Ingest { first: 0, .. }]), "{outputs:?}");
    let all = held(&[(ANN, 3), (BOB, 2), (EVE, 1)], &[EVE, BOB]);
    let outputs = told(&mut session, ingested(all, Vec::new()));
    assert!(matches!(outputs[0], Output::Send(Message::Have { scope: Scope::All, .. })));
}

#[test]
fn a_gap_is_answered_with_what_is_here() {
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1), (BOB, 2)], &[BOB]));
    told(&mut session, have(Scope::All, &[(ANN, 1), (BOB, 9)]));
    let outputs = told(&mut session, entries(BOB, 5, 1));
    assert!(matches!(outputs[..], [Output::Send(Message::Have { scope: Scope::Again, .. })]));
    // The peer starts again from there.
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1)], &[BOB]));
    told(&mut session, have(Scope::All, &[]));
    told(&mut session, loaded(0, 10));
    assert_eq!(loads(&told(&mut session, have(Scope::Again, &[]))), Some(0));
}

#[test]
fn a_fault_stops_one_journal_and_no_other() {
    let ann = held(&[(ANN, 1)], &[BOB, EVE]);
    let (mut session, _) = ann_with(BOB, ann.clone());
    told(&mut session, have(Scope::All, &[(ANN, 1), (BOB, 9), (EVE, 9)]));
    told(&mut session, entries(EVE, 0, 1));
    let fault = EntryError::BadSignature { journal: journal(EVE), number: 0 };
    let outputs = told(&mut session, ingested(ann, vec![(journal(EVE), fault.into())]));
    let [Output::Send(Message::Refuse { obstacle, .. })] = &outputs[..] else {
        panic!("not refused: {outputs:?}")
    };
    assert_eq!(*obstacle, Obstacle::BadSignature);
    assert!(matches!(told(&mut session, entries(BOB, 0, 1))[..], [Output::Ingest { .. }]));
    let again = told(&mut session, entries(EVE, 0, 1));
    assert!(matches!(again[..], [Output::Send(Message::Refuse { .. })]));
    assert_eq!(session.status().stuck.len(), 1);
}

#[test]
fn a_journal_put_off_is_asked_for_once_its_device_is_a_member() {
    let ann = held(&[(ANN, 1)], &[BOB]);
    let (mut session, _) = ann_with(BOB, ann.clone());
    told(&mut session, have(Scope::All, &[(ANN, 1), (EVE, 2)]));
    told(&mut session, entries(EVE, 0, 2));
    let fault = (journal(EVE), Fault::NotAMember(EVE));
    told(&mut session, ingested(ann, vec![fault]));
    let joined = held(&[(ANN, 2)], &[BOB, EVE]);
    let outputs = told(&mut session, Input::Changed(joined));
    assert!(matches!(outputs[0], Output::Send(Message::Have { scope: Scope::Again, .. })));
    assert!(matches!(told(&mut session, entries(EVE, 0, 2))[..], [Output::Ingest { .. }]));
}

/// What admits Eve is in Bob's journal, and hers came first.
#[test]
fn a_journal_that_starts_with_a_join_is_asked_for_again_when_more_is_known() {
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1)], &[BOB]));
    told(&mut session, have(Scope::All, &[(ANN, 1), (BOB, 3), (EVE, 1)]));
    told(&mut session, entries(EVE, 0, 1));
    let fault = (journal(EVE), Fault::NotAMember(EVE));
    told(&mut session, ingested(held(&[(ANN, 1)], &[BOB]), vec![fault]));
    let other = DeviceId::new([9; 32]);
    let changed = Input::Changed(held(&[(ANN, 1), (BOB, 3)], &[BOB, other]));
    let outputs = told(&mut session, changed);
    let again = |o: &Output| matches!(o, Output::Send(Message::Have { scope: Scope::Again, .. }));
    assert!(outputs.iter().any(again), "{outputs:?}");
    assert!(matches!(told(&mut session, entries(EVE, 0, 1))[..], [Output::Ingest { .. }]));
}

#[test]
fn a_peer_that_lost_our_word_gets_it_again() {
    let (mut session, _) = ann_with(BOB, held(&[(BOB, 3)], &[BOB]));
    told(&mut session, have(Scope::All, &[(BOB, 5)]));
    let outputs = told(&mut session, entries(BOB, 0, 3));
    assert!(matches!(outputs[..], [Output::Send(Message::Have { scope: Scope::Changed, .. })]));
}

#[test]
fn two_lines_of_a_journal_are_reported() {
    let (mut session, _) = ann_with(BOB, held(&[(BOB, 3)], &[BOB]));
    let mut theirs = VersionVector::new();
    theirs.set(journal(BOB), Tip { count: 3, hash: EntryHash::new([99; 32]) });
    told(&mut session, Input::Received(Message::Have { scope: Scope::All, vector: theirs }));
    assert_eq!(session.status().stuck[0].0, journal(BOB));
}

#[test]
fn members_that_understand_it_are_told_where_others_are() {
    let contacts =
        vec![Contact { device: BOB, addresses: vec!["192.0.2.7:1".parse().expect("an address")] }];
    let tell = || Input::Contacts(contacts.clone());
    let message = || Message::Contacts { contacts: contacts.clone() };
    let (mut session, _) = ann_with(BOB, held(&[], &[BOB]));
    assert_eq!(told(&mut session, tell()), []);
    assert_eq!(told(&mut session, hello(None)), [Output::Send(message())]);
    assert_eq!(told(&mut session, have(Scope::All, &[])), [], "once is enough");
    let learnt = told(&mut session, Input::Received(message()));
    assert_eq!(learnt, [Output::Learn(contacts.clone())]);
    // One that speaks version 1 would end the session over it.
    let (mut session, _) = ann_with(BOB, held(&[], &[BOB]));
    let (workspace, name) = (workspace(), "peer".to_owned());
    let old = Message::Hello { version: 1, workspace, name, first: None };
    told(&mut session, Input::Received(old));
    assert_eq!(told(&mut session, tell()), []);
    // A stranger is neither told nor believed.
    let (mut session, _) = ann_with(EVE, held(&[], &[]));
    assert_eq!(told(&mut session, tell()), []);
    assert_eq!(told(&mut session, Input::Received(message())), []);
}

#[test]
fn nonsense_ends_the_session() {
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1)], &[BOB]));
    let past_the_end = entries(BOB, u64::MAX, 1);
    let refused = session.handle(NOW, past_the_end);
    assert!(matches!(refused, Err(SyncError::Numbers { .. })));
    let last: Vec<_> = std::iter::from_fn(|| session.next()).collect();
    assert_eq!(last.last(), Some(&Output::Done(Ended::Here(Farewell::Nonsense))));

    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1)], &[BOB]));
    let (workspace, name) = (WorkspaceId::new([9; 32]), String::new());
    let other = Message::Hello { version: VERSION, workspace, name, first: None };
    let refused = session.handle(NOW, Input::Received(other));
    assert!(matches!(refused, Err(SyncError::OtherWorkspace(_))));
}

#[test]
fn a_watched_device_seals_and_says_so() {
    let (mut session, _) = ann_with(BOB, held(&[(ANN, 1)], &[BOB]));
    told(&mut session, have(Scope::All, &[(ANN, 1)]));
    let outputs = told(&mut session, Input::Received(Message::Watch { token: 4 }));
    assert_eq!(outputs, [Output::Seal { token: 4 }]);
    let outputs = told(&mut session, Input::Sealed { token: 4, held: held(&[(ANN, 2)], &[BOB]) });
    let [
        Output::Send(Message::Have { scope: Scope::All, .. }),
        Output::Send(Message::Sealed { token: 4 }),
        Output::Load { from: 1, .. },
    ] = &outputs[..]
    else {
        panic!("not answered: {outputs:?}")
    };
}

#[test]
fn another_line_of_ones_own_journal_is_asked_for_as_a_whole_and_once() {
    let ann = held(&[(ANN, 5), (BOB, 1)], &[BOB]);
    let (mut session, _) = ann_with(BOB, ann.clone());
    told(&mut session, have(Scope::All, &[(ANN, 5), (BOB, 1)]));
    let refused = || {
        let (journal, obstacle) = (journal(ANN), Obstacle::BrokenChain);
        Input::Received(Message::Refuse { journal, obstacle, text: String::new() })
    };
    let asks = Output::Send(Message::Have { scope: Scope::Again, vector: vector(&[(BOB, 1)]) });
    assert!(told(&mut session, refused()).contains(&asks));
    let reclaimed = |count| {
        let (journal, held) = (journal(ANN), ann.clone());
        Input::Reclaimed { journal, tip: Some(tip(count)), held }
    };
    let says = |count| {
        let vector = vector(&[(ANN, count)]);
        Output::Send(Message::Have { scope: Scope::Changed, vector })
    };
    let outputs = told(&mut session, entries(ANN, 0, 3));
    assert!(matches!(outputs[..], [Output::Reclaim { first: 0, .. }]), "{outputs:?}");
    assert!(told(&mut session, reclaimed(3)).contains(&says(3)));
    assert_eq!(told(&mut session, entries(ANN, 0, 3)), [], "it is here already");
    let outputs = told(&mut session, entries(ANN, 3, 2));
    assert!(matches!(outputs[..], [Output::Reclaim { first: 3, .. }]), "{outputs:?}");
    assert!(told(&mut session, reclaimed(5)).contains(&says(5)));
    assert!(!told(&mut session, refused()).contains(&asks));
    // Of another's journal, whose lines are not this device's to sign, nothing is asked.
    let (journal, obstacle) = (journal(BOB), Obstacle::BrokenChain);
    let of_bob = Input::Received(Message::Refuse { journal, obstacle, text: String::new() });
    assert_eq!(told(&mut session, of_bob), []);
}
