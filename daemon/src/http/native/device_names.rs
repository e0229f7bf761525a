//! What devices are called in tables, and which are meant by a name or the start of an id.
//!
//! Devices that people gave one name are told apart by their ids, so that a click on what a table
//! shows finds the runs of that device alone.

use std::collections::{BTreeMap, HashMap};
use std::slice;
use std::sync::Arc;

use runmesh_core::ids::DeviceId;
use runmesh_core::membership::Membership;
use runmesh_core::search::Condition;

use super::audit::MIN_ID_CHARS;

/// What devices are called.
pub(super) struct Names {
    /// By people. Those who left are among them; a device that nobody named is not.
    given: BTreeMap<DeviceId, String>,
    /// By us.
    shown: HashMap<DeviceId, Arc<str>>,
}

impl Names {
    pub(super) fn of(members: &Membership) -> Self {
        let present = members.members().map(|(device, member)| (*device, member.name.clone()));
        let former = members.former().map(|(device, former)| (*device, former.name.clone()));
        Self::given(former.chain(present).filter(|(_, name)| !name.is_empty()).collect())
    }

    fn given(given: BTreeMap<DeviceId, String>) -> Self {
        let mut times = HashMap::<&str, usize>::new();
        for name in given.values() {
            *times.entry(name).or_default() += 1;
        }
        let shown = |(device, name): (&DeviceId, &String)| match times[name.as_str()] {
            1 => (*device, name.as_str().into()),
            _ => (*device, format!("{name} {}", device.short()).into()),
        };
        let shown = given.iter().map(shown).collect();
        Self { given, shown }
    }

    /// What we call a device.
    pub(super) fn shown(&mut self, device: DeviceId) -> Arc<str> {
        Arc::clone(self.shown.entry(device).or_insert_with(|| device.short().into()))
    }

    /// What is asked of a device's name or the start of its id, as asked of what we call devices.
    pub(super) fn meant(&self, asked: &Condition) -> Condition {
        match asked {
            Condition::Equal(text) => Condition::In(self.called(slice::from_ref(text))),
            Condition::In(texts) => Condition::In(self.called(texts)),
            Condition::NotEqual(text) => Condition::NotIn(self.called(slice::from_ref(text))),
            Condition::NotIn(texts) => Condition::NotIn(self.called(texts)),
            Condition::Like(_) => {
                let likes = |device: &DeviceId, shown: &str| {
                    let name = self.given.get(device).map_or(shown, String::as_str);
                    asked.holds_for_text(Some(name))
                };
                Condition::In(self.those(likes))
            }
            other => other.clone(),
        }
    }

    /// What we call the devices of these names or ids.
    fn called(&self, texts: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for text in texts {
            let named = self.those(|device, shown| {
                shown == text || self.given.get(device).is_some_and(|name| name == text)
            });
            let start = text.to_lowercase();
            let by_id = |device: &DeviceId, _: &str| {
                start.len() >= MIN_ID_CHARS && device.to_string().starts_with(&start)
            };
            found.extend(if named.is_empty() { self.those(by_id) } else { named });
        }
        found
    }

    fn those(&self, wanted: impl Fn(&DeviceId, &str) -> bool) -> Vec<String> {
        let found = self.shown.iter().filter(|(device, shown)| wanted(device, shown));
        found.map(|(_, shown)| shown.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[(u8, &str)]) -> Names {
        let device = |(id, name): &(u8, &str)| (DeviceId::new([*id; 32]), (*name).to_owned());
        Names::given(names.iter().map(device).collect())
    }

    fn found(names: &Names, text: &str) -> Vec<String> {
        let Condition::In(mut found) = names.meant(&Condition::Equal(text.to_owned())) else {
            panic!("one text is one of a list")
        };
        found.sort_unstable();
        found
    }

    #[test]
    fn a_device_is_found_by_its_name_and_by_the_start_of_its_id() {
        let mut names = named(&[(0xAA, "gpu-box"), (0xBB, "laptop"), (0xCC, "aaaa")]);
        assert_eq!(&*names.shown(DeviceId::new([0xDD; 32])), "dddddddddd");
        assert_eq!(found(&names, "gpu-box"), ["gpu-box"]);
        assert_eq!(found(&names, "BBBBBB"), ["laptop"]);
        assert_eq!(found(&names, "dddd"), ["dddddddddd"]);
        assert_eq!(found(&names, "aaaa"), ["aaaa"], "a name comes before an id");
        assert!(found(&names, "bbb").is_empty(), "too short for an id");
        assert!(found(&names, "nobody").is_empty());
    }

    #[test]
    fn devices_of_one_name_are_found_together_and_told_apart() {
        let mut names = named(&[(1, "box"), (2, "box"), (3, "desk")]);
        let shown = names.shown(DeviceId::new([1; 32]));
        assert_eq!(&*shown, "box 0101010101");
        assert_eq!(found(&names, "box"), ["box 0101010101", "box 0202020202"]);
        assert_eq!(found(&names, &shown), ["box 0101010101"]);
        let not = names.meant(&Condition::NotEqual("desk".to_owned()));
        assert_eq!(not, Condition::NotIn(vec!["desk".to_owned()]));
    }
}
