//! Stories of backups: copied while somebody writes, and gone on from.

use super::*;
use crate::audit;

impl Device {
    /// A copy of what is sealed.
    fn copied(&mut self) -> Disk {
        self.store.seal(NOW).unwrap();
        let copy = Disk::new();
        self.store.reader().snapshot().unwrap().copy_ground(copy.clone()).unwrap();
        // What a copy holds when it is done is on the disk.
        copy.after_power_loss()
    }

    fn gone_on(database: Disk, seed: u8, incarnation: u8, how: GoesOn) -> Result<Self, StoreError> {
        let log = Disk::new();
        let start = start(seed, incarnation);
        let incarnation = Incarnation::new([incarnation; 16]);
        let store = Store::go_on(files(&database, &log), start, incarnation, how, NOW)?;
        Ok(Self { store, database, log, seed, starts: 50 })
    }
}

fn whole(device: &Device) -> bool {
    let snapshot = device.store.reader().snapshot().unwrap();
    audit::verify(&snapshot, device.store.workspace(), 2).unwrap().wrong.is_empty()
}

#[test]
fn a_copy_shows_what_the_original_showed_and_never_forks_it() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.log(run, 0, &[("lr", "0.1")]).unwrap();
    let copy = bob.copied();
    let before = bob.contents();
    // The original lives on for a while, and tells Ann.
    bob.log(run, 1, &[]).unwrap();
    meet(&mut ann, &mut bob);

    let mut again = Device::gone_on(copy, 2, 77, GoesOn::AsSameDevice).unwrap();
    assert_eq!(again.contents(), before);
    again.log(run, 2, &[]).unwrap();
    meet(&mut ann, &mut again);
    assert_eq!(ann.contents(), again.contents());
    let history = ann.store.reader().snapshot().unwrap().history(&run, "loss").unwrap();
    assert_eq!(history.len(), 3, "what the original told is there, and what the copy logged");
    // The original comes up once more all the same: it loses nothing, and nobody is stuck.
    bob.log(run, 3, &[]).unwrap();
    meet(&mut ann, &mut bob);
    meet(&mut ann, &mut again);
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(ann.contents(), again.contents());
    assert!(whole(&ann) && whole(&bob) && whole(&again));
    assert_eq!(again.contents(), again.rebuilt());
    let again = again.restart_after_power_loss().unwrap();
    assert_eq!(ann.contents(), again.contents());
}

#[test]
fn a_copy_goes_on_as_a_new_device_by_a_ticket() {
    let mut ann = Device::founder();
    let ticket = key(103);
    let public = ticket.verifying_key().to_bytes();
    let invite = ActKind::Invite { key: public, role: Role::Writer, expires_ms: 0, uses: 1 };
    ann.store.declare(NOW, vec![invite]).unwrap();
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.log(run, 0, &[]).unwrap();
    let copy = ann.copied();

    let workspace = ann.store.workspace();
    let join = ActKind::join(&ticket, &workspace, &device_id(3), "ann's new laptop".to_owned());
    let mut carl = Device::gone_on(copy, 3, 78, GoesOn::AsNewDevice(join)).unwrap();
    assert_eq!(carl.store.journal().device, device_id(3));
    carl.log(run, 1, &[]).unwrap();
    meet(&mut ann, &mut carl);
    assert_eq!(ann.contents(), carl.contents());
    assert_eq!(carl.contents(), carl.rebuilt());
    let history = ann.store.reader().snapshot().unwrap().history(&run, "loss").unwrap();
    assert_eq!(history.len(), 2);
}

#[test]
fn a_copy_does_not_change_hands_unnoticed() {
    let mut ann = Device::founder();
    let copy = ann.copied();
    let another = Device::gone_on(copy.after_power_loss(), 3, 78, GoesOn::AsSameDevice);
    assert!(matches!(another, Err(StoreError::NotOurs(_))));
    let join = ActKind::join(&key(9), &ann.store.workspace(), &device_id(FOUNDER), String::new());
    let itself = Device::gone_on(copy, FOUNDER, 78, GoesOn::AsNewDevice(join));
    assert!(matches!(itself, Err(StoreError::NotOurs(_))));
}

#[test]
fn what_is_not_sealed_is_not_in_a_copy_and_does_not_confuse_it() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    let sealed = ann.copied();
    ann.log(run, 0, &[("late", "1")]).unwrap();
    let copy = Disk::new();
    ann.store.reader().snapshot().unwrap().copy_ground(copy.clone()).unwrap();
    let first = Device::gone_on(sealed, FOUNDER, 77, GoesOn::AsSameDevice).unwrap();
    let mut second = Device::gone_on(copy, FOUNDER, 77, GoesOn::AsSameDevice).unwrap();
    assert_eq!(first.contents(), second.contents());
    second.log(run, 1, &[]).unwrap();
    let second = second.restart_after_power_loss().unwrap();
    let history = second.store.reader().snapshot().unwrap().history(&run, "loss").unwrap();
    assert_eq!(history.len(), 1);
}

#[test]
fn a_journal_begins_anew_and_both_parts_of_it_count() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let run = bob.run(1, ExperimentId::DEFAULT);
    let born = bob.store.journal();
    bob.store.reincarnate(NOW, Incarnation::new([99; 16])).unwrap();
    bob.log(run, 0, &[]).unwrap();
    let mut bob = bob.restart_after_power_loss().unwrap();
    assert_eq!(bob.store.journal().incarnation, Incarnation::new([99; 16]));
    bob.log(run, 1, &[]).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(bob.contents(), bob.rebuilt());
    // Who does not know the device is shown its join, which stands where it was born.
    let snapshot = bob.store.reader().snapshot().unwrap();
    assert_eq!(snapshot.birth_of(&bob.store.journal()).unwrap(), born);
}
