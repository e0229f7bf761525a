//! Which workspaces a home holds, and what each is called in addresses: the file `workspace`.
//!
//! The first line is the id of the workspace that clients get if they name none; each further one
//! is the id of a workspace and its name. Homes of the time when there was one have the first line
//! only. Names are the home's own: `/w/lab` here may be `/w/team` elsewhere. Invariants: there is at
//! least one workspace; no two have one name, and none has two; the file is replaced whole.

use std::fmt;
use std::str::FromStr;

use runmesh_core::ids::WorkspaceId;
use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// The most workspaces of a home: each has a thread and a file of its own.
pub const MAX_WORKSPACES: usize = 256;

/// What a workspace is called in addresses: a part of a path that needs no escapes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlaceName(String);

/// Text that cannot be the name of a workspace in addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be the name of a workspace: write a letter or digit, then up to 63 letters, \
     digits, dots, dashes and underscores"
)]
pub struct BadPlaceName {
    text: String,
}

impl FromStr for PlaceName {
    type Err = BadPlaceName;

    fn from_str(text: &str) -> Result<Self, BadPlaceName> {
        let starts_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if starts_well && text.len() <= MAX_NAME_BYTES && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadPlaceName { text: text.chars().take(MAX_NAME_BYTES).collect() })
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

impl TryFrom<String> for PlaceName {
    type Error = BadPlaceName;

    fn try_from(text: String) -> Result<Self, BadPlaceName> {
        text.parse()
    }
}

impl From<PlaceName> for String {
    fn from(name: PlaceName) -> Self {
        name.0
    }
}

impl fmt::Display for PlaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PlaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is nearest to a workspace's own name, which may be any text.
    pub fn like(text: &str) -> Self {
        let mut name = String::new();
        for c in text.chars().take(MAX_NAME_BYTES - 4) {
            match u8::try_from(c).ok().filter(|byte| is_plain(*byte)) {
                Some(byte) => name.push(char::from(byte)),
                None if name.ends_with('-') => {}
                None => name.push('-'),
            }
        }
        let trimmed = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        Self(if trimmed.is_empty() { "workspace".to_owned() } else { trimmed.to_owned() })
    }

    fn numbered(&self, number: usize) -> Self {
        let number = format!("-{number}");
        let kept = self.0.len().min(MAX_NAME_BYTES - number.len());
        Self(format!("{}{number}", &self.0[..kept]))
    }
}

/// A workspace of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub id: WorkspaceId,
    /// What it is called in addresses.
    pub name: PlaceName,
}

/// The workspaces of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    all: Vec<Place>,
    current: usize,
}

/// Why the list of workspaces stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// There is none of the name.
    #[error("there is no workspace {0} in this home")]
    NoSuch(String),
    /// Another has the name.
    #[error("a workspace of this home is called {0} already")]
    Taken(PlaceName),
    /// It is in the home already.
    #[error("this device is in that workspace already")]
    Here,
    /// There are too many.
    #[error("a home holds at most {MAX_WORKSPACES} workspaces")]
    TooMany,
    /// Clients get it if they name none.
    #[error("{0} is the workspace that clients get if they name none")]
    Current(PlaceName),
}

impl Places {
    /// The workspaces of a home that has one.
    pub fn one(id: WorkspaceId, name: PlaceName) -> Self {
        Self { all: vec![Place { id, name }], current: 0 }
    }

    /// Reads the file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let current: WorkspaceId = lines.next()?.trim().parse().ok()?;
        let mut all = Vec::new();
        for line in lines {
            let (id, name) = line.trim().split_once(' ')?;
            all.push(Place { id: id.parse().ok()?, name: name.parse().ok()? });
        }
        if all.is_empty() {
            return Some(Self::one(current, PlaceName::like(&current.short())));
        }
        let names: std::collections::BTreeSet<_> = all.iter().map(|place| &place.name).collect();
        let ids: std::collections::BTreeSet<_> = all.iter().map(|place| place.id).collect();
        let unique = names.len() == all.len() && ids.len() == all.len();
        let current = all.iter().position(|place| place.id == current)?;
        unique.then_some(Self { all, current })
    }

    /// The file.
    pub(crate) fn to_text(&self) -> String {
        let first = format!("{}\n", self.current().id);
        self.all.iter().fold(first, |text, place| format!("{text}{} {}\n", place.id, place.name))
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> &[Place] {
        &self.all
    }

    /// The one that clients get if they name none.
    pub fn current(&self) -> &Place {
        &self.all[self.current]
    }

    fn position(&self, name: &str) -> Result<usize, PlaceError> {
        let found = self.all.iter().position(|place| place.name.as_str() == name);
        found.ok_or_else(|| PlaceError::NoSuch(name.chars().take(MAX_NAME_BYTES).collect()))
    }

    /// A name that is free, and is or is like this one.
    pub fn free_name(&self, like: &str) -> PlaceName {
        let like = PlaceName::like(like);
        let numbered = (2..).map(|number| like.numbered(number));
        let mut names = std::iter::once(like.clone()).chain(numbered);
        names.find(|name| self.position(name.as_str()).is_err()).unwrap_or(like)
    }

    /// Adds a workspace.
    pub fn add(&mut self, id: WorkspaceId, name: PlaceName) -> Result<(), PlaceError> {
        self.may_add(id, &name)?;
        self.all.push(Place { id, name });
        Ok(())
    }

    /// Whether a workspace could be added.
    pub fn may_add(&self, id: WorkspaceId, name: &PlaceName) -> Result<(), PlaceError> {
        if self.all.iter().any(|place| place.id == id) {
            return Err(PlaceError::Here);
        }
        if self.all.len() >= MAX_WORKSPACES {
            return Err(PlaceError::TooMany);
        }
        match self.position(name.as_str()) {
            Ok(_) => Err(PlaceError::Taken(name.clone())),
            Err(_) => Ok(()),
        }
    }

    /// Makes a workspace the one that clients get if they name none.
    pub fn choose(&mut self, name: &str) -> Result<(), PlaceError> {
        self.current = self.position(name)?;
        Ok(())
    }

    /// Calls a workspace something else.
    pub fn rename(&mut self, name: &str, new: PlaceName) -> Result<(), PlaceError> {
        let at = self.position(name)?;
        match self.position(new.as_str()) {
            Ok(other) if other != at => Err(PlaceError::Taken(new)),
            _ => {
                self.all[at].name = new;
                Ok(())
            }
        }
    }

    /// Puts another workspace in the place of one: what clients address by its name is the other
    /// one from here on.
    pub fn replace(&mut self, old: WorkspaceId, new: WorkspaceId) -> Result<(), PlaceError> {
        if self.all.iter().any(|place| place.id == new) {
            return Err(PlaceError::Here);
        }
        let place = self.all.iter_mut().find(|place| place.id == old);
        place.ok_or_else(|| PlaceError::NoSuch(old.short()))?.id = new;
        Ok(())
    }

    /// Takes a workspace out of the list.
    pub fn remove(&mut self, name: &str) -> Result<(), PlaceError> {
        let at = self.position(name)?;
        if at == self.current {
            return Err(PlaceError::Current(self.all[at].name.clone()));
        }
        self.all.remove(at);
        self.current -= usize::from(at < self.current);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> WorkspaceId {
        WorkspaceId::new([byte; 32])
    }

    fn name(text: &str) -> PlaceName {
        text.parse().expect("a name")
    }

    #[test]
    fn a_name_is_a_part_of_a_path_and_nothing_else() {
        for good in ["lab", "2", "a.b-c_D", &"x".repeat(64)] {
            assert_eq!(name(good).as_str(), good);
        }
        for bad in ["", ".", "..", "-x", "_", "a/b", "a b", "a%2e", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<PlaceName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_text_has_a_name_that_is_like_it() {
        let cases = [
            ("lab", "lab"),
            ("Ann's lab (2026)", "Ann-s-lab-2026"),
            ("../../etc", "etc"),
            ("实验室", "workspace"),
            ("", "workspace"),
        ];
        for (text, like) in cases {
            assert_eq!(PlaceName::like(text), name(like), "{text:?}");
        }
        assert!(PlaceName::like(&"y".repeat(999)).as_str().parse::<PlaceName>().is_ok());
        let mut places = Places::one(id(1), name("lab"));
        assert_eq!(places.free_name("lab"), name("lab-2"));
        places.add(id(2), name("lab-2")).expect("both are new");
        assert_eq!(places.free_name("lab"), name("lab-3"));
        assert_eq!(places.free_name("other"), name("other"));
    }

    #[test]
    fn the_file_keeps_all_and_one_of_an_old_home_is_read() {
        let mut places = Places::one(id(1), name("ann"));
        places.add(id(2), name("lab")).expect("both are new");
        places.choose("lab").expect("it is there");
        let text = format!("{}\n{} ann\n{} lab\n", id(2), id(1), id(2));
        assert_eq!(places.to_text(), text);
        assert_eq!(Places::parse(&text), Some(places));
        let old = Places::parse(&format!("{}\n", id(7))).expect("one line");
        assert_eq!(old, Places::one(id(7), name(&id(7).short())));
        let one = id(1);
        for damaged in [
            String::new(),
            "lab\n".to_owned(),
            format!("{}\n{one} lab\n", id(2)),
            format!("{one}\n{one} lab\n{one} two\n"),
            format!("{one}\n{one} lab\n{} lab\n", id(2)),
            format!("{one}\n{one} ../x\n"),
        ] {
            assert_eq!(Places::parse(&damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn names_and_workspaces_stay_unique_and_the_current_one_stays() {
        let mut places = Places::one(id(1), name("ann"));
        assert_eq!(places.add(id(1), name("lab")), Err(PlaceError::Here));
        assert_eq!(places.add(id(2), name("ann")), Err(PlaceError::Taken(name("ann"))));
        assert_eq!(places.remove("ann"), Err(PlaceError::Current(name("ann"))));
        places.add(id(2), name("lab")).expect("both are new");
        places.choose("lab").expect("it is there");
        assert_eq!(places.rename("ann", name("lab")), Err(PlaceError::Taken(name("lab"))));
        assert_eq!(places.replace(id(2), id(1)), Err(PlaceError::Here));
        places.replace(id(2), id(3)).expect("it is there");
        places.remove("ann").expect("it is not the current one");
        assert_eq!(places.current(), &Place { id: id(3), name: name("lab") });
        assert_eq!(places.choose("ann"), Err(PlaceError::NoSuch("ann".to_owned())));
    }
}
