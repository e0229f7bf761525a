//! Paths of artifacts as clients send them, and who owns what is at them.
//!
//! A path that gets past here is relative, has no `.`, `..` or empty part, no backslash, no drive
//! letter, no `#` and no control character: it means the same file below the same folder on every
//! device it will ever reach, whatever system that runs.

use percent_encoding::percent_decode_str;
use runmesh_core::ids::{DocumentId, RunId};

use super::error::ApiError;

/// The longest path that is taken.
const MAX_PATH_BYTES: usize = 4096;
/// A path that still changes after so many decodings is an attack.
const MAX_DECODINGS: usize = 10;

fn refuse() -> ApiError {
    ApiError::invalid("Invalid path")
}

/// Reads a path. Empty is the root. MLflow decodes percent signs until none are left, so that no
/// later decoding can turn a harmless path into another.
pub(crate) fn parse(text: &str) -> Result<String, ApiError> {
    let mut path = text.to_owned();
    let mut decodings = 0;
    while path.contains('%') {
        let decoded = percent_decode_str(&path).decode_utf8().map_err(|_| refuse())?;
        if decoded == path {
            break;
        }
        path = decoded.into_owned();
        decodings += 1;
        if decodings > MAX_DECODINGS {
            return Err(refuse());
        }
    }
    if path.len() > MAX_PATH_BYTES || path.starts_with('/') || has_drive(&path) {
        return Err(refuse());
    }
    if path.chars().any(|char| char.is_control() || matches!(char, '\\' | '#')) {
        return Err(refuse());
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(refuse());
    }
    Ok(parts.join("/"))
}

/// Whether the path starts with a drive letter or with the scheme of local files.
fn has_drive(path: &str) -> bool {
    let Some((head, _)) = path.split_once(':') else { return false };
    matches!(head.as_bytes(), [letter] if letter.is_ascii_alphabetic())
        || head.eq_ignore_ascii_case("file")
}

/// The folder of an experiment's logged models.
pub(crate) const MODELS_FOLDER: &str = "models";

/// A place below the artifact root, by who owns what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of runs' and models' folders and of what the workspace owns: the root of all, an
    /// experiment's or that of an experiment's models.
    Above {
        /// The folder's path; empty for the root of all.
        folder: String,
    },
    /// A run's or a model's folder, which has one element: `artifacts`.
    Owner {
        /// The run or the model.
        owner: DocumentId,
    },
    /// Something that an owner has at a path; an empty path is the owner's root.
    Owned {
        /// The owner.
        owner: DocumentId,
        /// The path.
        path: String,
    },
}

impl Place {
    /// The place of a path that [`parse`] let through.
    pub(crate) fn of(path: &str) -> Self {
        let workspace = || Self::Owned { owner: DocumentId::WORKSPACE, path: path.to_owned() };
        let above = || Self::Above { folder: path.to_owned() };
        let mut parts = path.splitn(3, '/');
        let experiment = parts.next().unwrap_or_default();
        if !experiment.bytes().all(|byte| byte.is_ascii_digit()) {
            return workspace();
        }
        let (owner, rest) = match (parts.next(), parts.next()) {
            (None, _) | (Some(MODELS_FOLDER), None) => return above(),
            (Some(MODELS_FOLDER), Some(rest)) => {
                let (model, rest) = split(rest);
                (DocumentId::from_logged_model(model), rest)
            }
            // Only the form that ids are written in: otherwise two paths would mean one place.
            (Some(run), rest) => {
                let id = run.parse::<RunId>().ok().filter(|id| id.to_string() == run);
                (id.map(DocumentId::run), rest)
            }
        };
        match (owner, rest.map(split)) {
            (Some(owner), None) => Self::Owner { owner },
            (Some(owner), Some(("artifacts", path))) => {
                Self::Owned { owner, path: path.unwrap_or_default().to_owned() }
            }
            _ => workspace(),
        }
    }
}

/// The first part of a path, and the rest.
fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(head, rest)| (head, Some(rest)))
}

#[cfg(test)]
mod tests {
    use runmesh_core::ids::DocumentKind;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_artifacts() {
        let nested = (0..12).fold("%2e%2e".to_owned(), |path, _| path.replace('%', "%25"));
        for path in [
            "../../etc/passwd",
            "a/../../b",
            "..%2f..%2fetc%2fpasswd",
            "%2e%2e/%2e%2e/etc/passwd",
            "%252e%252e/etc/passwd",
            "/etc/passwd",
            "%2fetc",
            "C:\\x",
            "C:/x",
            "C:x",
            "c%3Ax",
            "a\\b",
            "a%5Cb",
            "a%23b",
            "a\0b",
            "a%00b",
            "a\nb",
            "file:///etc",
            "FILE:etc",
            "%ff",
            nested.as_str(),
        ] {
            assert_eq!(parse(path), Err(ApiError::invalid("Invalid path")), "{path:?}");
        }
        assert!(parse(&"a/".repeat(3000)).is_err());
    }

    #[test]
    fn paths_take_one_form() {
        for (path, form) in [
            ("", ""),
            ("./a//b/", "a/b"),
            ("a%20b.txt", "a b.txt"),
            ("100%.txt", "100%.txt"),
            ("...", "..."),
            ("é:x/日本", "é:x/日本"),
        ] {
            assert_eq!(parse(path).as_deref(), Ok(form), "{path:?}");
        }
    }

    #[test]
    fn artifacts_of_runs_and_models_are_theirs_and_the_rest_the_workspaces() {
        let run = RunId::new([0xab; 16]);
        let owned = |owner, path: &str| Place::Owned { owner, path: path.to_owned() };
        let of_run = |path| owned(DocumentId::run(run), path);
        let of_workspace = |path| owned(DocumentId::WORKSPACE, path);
        for folder in ["", "12", "12/models"] {
            assert_eq!(Place::of(folder), Place::Above { folder: folder.to_owned() });
        }
        let owner = DocumentId::run(run);
        assert_eq!(Place::of(&format!("12/{run}")), Place::Owner { owner });
        assert_eq!(Place::of(&format!("12/{run}/artifacts")), of_run(""));
        assert_eq!(Place::of(&format!("12/{run}/artifacts/a/b")), of_run("a/b"));
        let owner = DocumentId::new(DocumentKind::LoggedModel, [0xab; 16]);
        let model = format!("12/models/{}", owner.as_logged_model().expect("a logged model"));
        assert_eq!(Place::of(&model), Place::Owner { owner });
        assert_eq!(Place::of(&format!("{model}/artifacts/a/b")), owned(owner, "a/b"));
        let upper = format!("12/{}/artifacts", run.to_string().to_uppercase());
        let trace = format!("12/{run}/traces/x");
        let elsewhere = format!("{model}/x");
        for path in [
            "models/x",
            "12/models/m-1/artifacts/f",
            elsewhere.as_str(),
            upper.as_str(),
            trace.as_str(),
        ] {
            assert_eq!(Place::of(path), of_workspace(path));
        }
    }
}
