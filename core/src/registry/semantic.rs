//! Semantic versions of models: which one comes next.
//!
//! MAJOR changes when callers must change: when inputs or outputs of the model do. The rules are
//! those of <https://semver.org>; build metadata is left out, for it takes no part in the order.

use semver::{Prerelease, Version};
use serde::{Deserialize, Serialize};

/// What the next version changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Bump {
    /// What callers must know of.
    Major,
    /// Something that they need not.
    Minor,
    /// A fault.
    Patch,
}

/// Reads a semantic version as models may carry it.
pub fn check_semver(text: &str) -> Result<Version, String> {
    let version: Version = text.parse().map_err(|error: semver::Error| error.to_string())?;
    match version.build.is_empty() {
        true => Ok(version),
        false => Err("build metadata, after a plus sign, cannot be part of it".to_owned()),
    }
}

/// The version after the highest there is; the first is 1.0.0. A pre-release becomes the release
/// that it was for.
pub fn next_semver(highest: Option<&Version>, bump: Bump) -> Version {
    let Some(highest) = highest else { return Version::new(1, 0, 0) };
    let Version { major, minor, patch, .. } = *highest;
    let was_for = match (minor, patch) {
        (0, 0) => Bump::Major,
        (_, 0) => Bump::Minor,
        _ => Bump::Patch,
    };
    let includes = match (was_for, bump) {
        (Bump::Major, _) | (Bump::Minor, Bump::Minor | Bump::Patch) => true,
        (Bump::Patch, bump) => bump == Bump::Patch,
        (Bump::Minor, Bump::Major) => false,
    };
    if highest.pre != Prerelease::EMPTY && includes {
        return Version::new(major, minor, patch);
    }
    match bump {
        Bump::Major => Version::new(major.saturating_add(1), 0, 0),
        Bump::Minor => Version::new(major, minor.saturating_add(1), 0),
        Bump::Patch => Version::new(major, minor, patch.saturating_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_version_is_the_one_that_semver_asks_for() {
        let next = |from: &str, bump| {
            next_semver(Some(&check_semver(from).expect(from)), bump).to_string()
        };
        assert_eq!(next_semver(None, Bump::Patch), Version::new(1, 0, 0));
        assert_eq!(next("1.3.2", Bump::Major), "2.0.0");
        assert_eq!(next("1.3.2", Bump::Minor), "1.4.0");
        assert_eq!(next("1.3.2", Bump::Patch), "1.3.3");
        assert_eq!(next("2.0.0-rc.1", Bump::Major), "2.0.0");
        assert_eq!(next("2.0.0-rc.1", Bump::Patch), "2.0.0");
        assert_eq!(next("1.4.0-beta", Bump::Minor), "1.4.0");
        assert_eq!(next("1.4.0-beta", Bump::Major), "2.0.0");
        assert_eq!(next("1.4.1-beta", Bump::Minor), "1.5.0");
        for wrong in ["1.2", "v1.2.3", "1.2.3+build", ""] {
            assert!(check_semver(wrong).is_err(), "{wrong}");
        }
    }
}
