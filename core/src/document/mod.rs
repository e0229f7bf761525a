//! Documents: experiments and runs as Automerge documents.
//!
//! A document is a set of Automerge changes on top of its kind's fixed genesis change. Changes are
//! made of edits ([`seal_edit`]) or come from peers ([`apply`]); either gives a new snapshot, from
//! which [`DocumentState`] reads what the document says. Maps are read and edited by the code
//! here, a text by Automerge: loading an Automerge document costs more than all else that is done
//! for a new run.

mod apply;
mod change;
mod contested;
mod decode;
mod error;
mod genesis;
mod history;
mod put;
mod runs;
mod seal;
mod state;
mod text;
mod told;

pub use apply::{Applied, Waiting, apply, contains, heads};
pub use change::{ChangeContent, ChangeError, ParsedChange, actor};
pub use contested::{Claim, Contested, contested};
pub use decode::{MAX_ACTORS, MAX_CHANGE_OPS, MAX_DEPENDENCIES};
pub use error::DocumentError;
pub use genesis::{Genesis, genesis};
pub use history::first_change;
pub use put::{Container, DocumentEdit, Put, Scalar};
pub use seal::{Sealed, seal_edit};
pub use state::{DocumentState, Held};
pub use told::{ToldChange, tell};

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
