//! What is asked about who is in a workspace, which workspaces there are, and what members disagree on.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use runmesh_core::api::Role;
use runmesh_daemon::places::PlaceName;

use super::duration_ms;

#[derive(Debug, ClapArgs)]
pub(crate) struct Resolve {
    /// The id of the conflict; or the document's name or the start of its id, and KEY
    pub(crate) what: String,
    /// What of the document, as `runmesh conflicts` shows it
    pub(crate) key: Option<String>,
    /// The letter of a value, or a value; of a name that two have, the new name of the later one
    #[arg(long, value_name = "A|B|VALUE", required_unless_present = "value")]
    pub(crate) take: Option<String>,
    /// A value that looks like a letter
    #[arg(long, value_name = "VALUE", conflicts_with = "take")]
    pub(crate) value: Option<String>,
    /// Why, for the history of a model
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    pub(crate) note: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Invite {
    /// What the joiner may do
    #[arg(long, default_value = "writer")]
    pub(crate) role: RoleArg,
    /// For how long the ticket is good, as in 30m, 24h or 7d; or never
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = valid_for)]
    pub(crate) expires: ValidFor,
    /// How many devices may join by it
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) uses: u32,
    /// What the joiner is called; for a ticket of one use
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// For how long a ticket is good, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValidFor(pub(crate) Option<u64>);

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArg {
    Reader,
    Writer,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Reader => Self::Reader,
            RoleArg::Writer => Self::Writer,
            RoleArg::Admin => Self::Admin,
        }
    }
}

pub(super) fn valid_for(text: &str) -> Result<ValidFor, String> {
    if text == "never" {
        return Ok(ValidFor(None));
    }
    duration_ms(text).map(|ms| ValidFor(Some(ms)))
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Join {
    /// What `runmesh invite` printed
    pub(crate) ticket: String,
    /// Leave the runs of this device in the workspace where they are, which stays on this device
    #[arg(long)]
    pub(crate) leave_behind: bool,
    /// Join it beside the workspaces of this device, under this name; none is taken along
    #[arg(long = "as", value_name = "NAME", conflicts_with = "leave_behind")]
    pub(crate) name: Option<PlaceName>,
    /// Join without meeting another device: a bundle of this one lets the others know
    #[arg(long)]
    pub(crate) unmet: bool,
    /// A member to ask beside those that the ticket names; repeatable
    #[arg(long, value_name = "DEVICE@IP:PORT", conflicts_with = "unmet")]
    pub(crate) through: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workspace {
    /// List the workspaces of this device
    List,
    /// Found a workspace
    Create {
        /// What it is called: letters, digits, dots, dashes and underscores
        name: PlaceName,
    },
    /// Choose the workspace that clients and commands get if they name none
    Use {
        /// What it is called on this device
        name: PlaceName,
    },
    /// Leave a workspace and free what it takes on this device, which nothing undoes
    Leave {
        /// What it is called on this device
        name: PlaceName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Call a workspace something else on this device
    Rename {
        /// What it is called on this device
        name: PlaceName,
        /// What it is called from here on
        new_name: PlaceName,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Sync {
    /// Wait until this device and all connected ones hold the same
    #[arg(long)]
    pub(crate) wait: bool,
    /// For how long to wait at most
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = duration_ms)]
    pub(crate) timeout: u64,
}
