//! The model registry: registered models, their versions, and what finds them.
//!
//! A registered model is identified by its name and a generation, as an experiment is. A version is
//! a document of its own with a random id; its number is a claim, so that versions which two devices
//! register while apart are both kept. Invariants: of those that claim one number one is served, the
//! same on every member; a member that had served another refuses the number until a writer resolves
//! it, for a pinned number must not silently become another model; numbers are never used again.

mod event;
mod found;
mod search;
mod semantic;
mod signature;
mod view;

pub use event::{Author, Event, EventKind};
pub use found::{Documents, Numbered, Registry};
pub use search::{SearchedModel, SearchedVersion};
pub use semantic::{Bump, check_semver, next_semver};
pub use signature::{MAX_MLMODEL_BYTES, Signature};
pub use view::{Conflict, Model, Stage, Version};
pub(crate) use view::{info, is_deleted};
