//! Stories of what runs read: datasets keep the order in which they came, on every device.

use super::*;
use crate::rows::DatasetInput;

fn dataset(name: &str, source: &str) -> DatasetInput {
    DatasetInput {
        name: name.to_owned(),
        digest: "d1".to_owned(),
        source_type: "code".to_owned(),
        source: source.to_owned(),
        schema: None,
        profile: None,
        tags: Vec::new(),
    }
}

impl Device {
    fn read(&mut self, id: RunId, datasets: Vec<DatasetInput>) {
        self.act(Action::LogInputs { id, datasets, models: Vec::new() }).unwrap();
    }

    /// The names and sources of the datasets of a run.
    fn datasets(&self, id: RunId) -> Vec<(String, String)> {
        let row = self.store.reader().snapshot().unwrap().run(&id).unwrap().unwrap();
        row.datasets.into_iter().map(|dataset| (dataset.name, dataset.source)).collect()
    }

    fn names(&self, id: RunId) -> String {
        self.datasets(id).into_iter().map(|(name, _)| name).collect()
    }
}

#[test]
fn datasets_keep_the_order_in_which_they_came() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.read(run, vec![dataset("c", ""), dataset("a", "")]);
    assert_eq!(ann.names(run), "ca");
    meet(&mut ann, &mut bob);
    // Apart, both add some.
    ann.read(run, vec![dataset("z", "")]);
    bob.read(run, vec![dataset("y", ""), dataset("b", "")]);
    assert_eq!((ann.names(run), bob.names(run)), ("caz".to_owned(), "cayb".to_owned()));
    meet(&mut ann, &mut bob);
    assert_eq!((ann.names(run), bob.names(run)), ("cayzb".to_owned(), "cayzb".to_owned()));
    ann.read(run, vec![dataset("0", "")]);
    meet(&mut ann, &mut bob);
    assert_eq!((ann.names(run), bob.names(run)), ("cayzb0".to_owned(), "cayzb0".to_owned()));
    assert_eq!(ann.contents(), bob.contents());
    let contents = ann.contents();
    assert_eq!(contents, ann.rebuilt());
    let ann = ann.restart_after_power_loss().unwrap();
    assert_eq!(ann.contents(), contents);
}

#[test]
fn a_dataset_that_is_logged_again_stays_what_it_was() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.read(run, vec![dataset("b", "first"), dataset("a", ""), dataset("b", "second")]);
    ann.read(run, vec![dataset("b", "third")]);
    let told = ann.datasets(run);
    let told: Vec<_> = told.iter().map(|(name, source)| (name.as_str(), source.as_str())).collect();
    assert_eq!(told, [("b", "first"), ("a", "")]);
}
