//! Bundles: what this device holds as a file for carrying by hand, and what such files bring.
//!
//! Both ways are streams: memory does not grow with the bundle. The format is
//! [`runmesh_core::bundle`]; what of it is encrypted, and to whom, is in [`sealed`].

mod acknowledged;
mod export;
mod import;
mod sealed;
mod watch;

pub(crate) use self::acknowledged::{Words, of as held_by};
pub use self::export::{Asked, ExportError, Plan};
pub use self::import::{ImportError, import, inspect};
pub(crate) use self::watch::Seen;
pub use self::watch::{Watch, WatchState};
