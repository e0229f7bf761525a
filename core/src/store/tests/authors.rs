//! Stories of who wrote what.

use super::*;
use crate::store::{Authors, Creator};

#[test]
fn who_created_a_run_is_told_on_every_device_whoever_wrote_to_it_since() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let runs = [ann.run(1, ExperimentId::DEFAULT), bob.run(2, ExperimentId::DEFAULT)];
    let creators = |device: &Device| {
        let snapshot = device.store.reader().snapshot().unwrap();
        let mut authors = Authors::open(&snapshot).unwrap();
        runs.map(|run| authors.of_document(&DocumentId::run(run)).unwrap())
    };
    assert_eq!(creators(&ann)[0], Creator::NotSealed);

    for device in [&mut ann, &mut bob] {
        device.store.seal(NOW).unwrap();
    }
    meet(&mut ann, &mut bob);
    bob.log(runs[0], 0, &[("lr", "0.1")]).unwrap();
    bob.store.seal(NOW).unwrap();
    meet(&mut ann, &mut bob);
    for device in [&ann, &bob] {
        let [first, second] = creators(device);
        assert_eq!(first, Creator::Device(device_id(ann.seed)));
        assert_eq!(second, Creator::Device(device_id(bob.seed)));
    }
}
