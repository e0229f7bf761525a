//! The command line: what can be asked, and the help that says so.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use runmesh_daemon::places::PlaceName;

mod carry;
mod mesh;
mod models;
mod runs;
mod up;

pub(crate) use carry::*;
pub(crate) use mesh::*;
pub(crate) use models::*;
pub(crate) use runs::*;
pub(crate) use up::*;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed, or not everything is as it should be
  2  the command line makes no sense
  3  no daemon runs for this home
  4  there is no such run, experiment, artifact or model
  5  it was refused, as things are
  6  it took longer than allowed";

/// Peer-to-peer, offline-first experiment tracking
#[derive(Debug, Parser)]
#[command(name = "runmesh", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// The folder that holds all a device has [default: the platform's data folder]
    #[arg(long, global = true, env = "RUNMESH_HOME", value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// The workspace of this device that is meant [default: the one of `runmesh workspace use`]
    #[arg(long, short = 'w', global = true, env = "RUNMESH_WORKSPACE", value_name = "NAME")]
    pub(crate) workspace: Option<PlaceName>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the daemon of this home
    Up(Up),
    /// Stop the daemon of this home
    Down,
    /// Show how this device is doing
    Status,
    /// Print a link to the web page that opens it with the token of this home
    Ui,
    /// Print a ticket with which another device can join this workspace
    Invite(Invite),
    /// Join the workspace of a ticket, taking the runs of this device along
    Join(Join),
    /// List the other devices of the workspace
    Peers,
    /// List the members, those who were, and the tickets that are open
    Members,
    /// Remove a device from the workspace; what has arrived of it stays
    Remove {
        /// The device's name, or the start of its id
        device: String,
    },
    /// Say what a member may do
    Role {
        /// The device's name, or the start of its id
        device: String,
        /// What it may do from here on
        role: RoleArg,
    },
    /// Give a device another name
    Rename {
        /// The device's name, or the start of its id
        device: String,
        /// What it is called from here on
        name: String,
    },
    /// Close a ticket, so that nobody joins by it any more
    Revoke {
        /// The ticket, or the start of its key as `runmesh members` shows it
        ticket: String,
    },
    /// Print the ticket that brings this workspace back if this device is lost
    Recovery {
        /// Remove it from this device instead: it is kept elsewhere now
        #[arg(long)]
        forget: bool,
    },
    /// List experiments
    Experiments {
        /// Deleted ones too
        #[arg(long)]
        all: bool,
    },
    /// List runs
    Runs(Runs),
    /// Show a run
    Show {
        /// The run's id, or the start of it
        run: String,
    },
    /// Copy runs, with their models and traces, into another workspace of this device
    Copy {
        /// The runs' ids, or the starts of them
        #[arg(required = true)]
        runs: Vec<String>,
        /// What the other workspace is called on this device
        #[arg(long, value_name = "WORKSPACE")]
        to: PlaceName,
    },
    /// Show runs side by side, what differs first
    Compare(Compare),
    /// List, show, register and promote models
    #[command(subcommand)]
    Models(Models),
    /// List what devices set differently while they were apart
    Conflicts,
    /// Settle one of the conflicts
    Resolve(Resolve),
    /// Show who did what, when and on which device; verify it; export it as proof
    Audit(Audit),
    /// List, get and put the files of a run
    #[command(subcommand)]
    Artifacts(Artifacts),
    /// Keep the files of a run here, whatever the policy: fetch them, never free them
    Pin {
        /// A run's id or the start of it, RUN/PATH, or the hash of a blob
        what: String,
    },
    /// Keep something no more than the policy says
    Unpin {
        /// What was pinned
        what: String,
    },
    /// List what is pinned
    Pins,
    /// Free files that nothing names any more, and those that others promised to keep
    Gc {
        /// Free what nothing names even if nobody else promised to keep a copy
        #[arg(long)]
        force: bool,
        /// Say what would be freed, and free nothing
        #[arg(long, short = 'n')]
        dry_run: bool,
    },
    /// Take a deleted run away for good, on every device, with its history and its files
    Purge {
        /// The run's id, or the start of it
        run: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Show what connected devices lack of each other, or wait until they lack nothing
    Sync(Sync),
    /// Keep several workspaces on this device: list, create, choose, rename, leave
    #[command(subcommand)]
    Workspace(Workspace),
    /// Carry runs by hand: write what others lack to a file, or take in such a file
    #[command(subcommand)]
    Bundle(Bundle),
    /// Copy this home while it is in use, to a file or into a folder that is kept for it
    Backup {
        /// The tar file to write; or a folder, which is brought up to date if it holds a backup
        path: PathBuf,
        /// Replace the file if it is there
        #[arg(long, short)]
        force: bool,
    },
    /// Make a home from a backup, at --home, which must not be there yet
    Restore(Restore),
    /// Run a program without a daemon: what it logs ends up as a bundle in a folder
    Run(Job),
    /// Check that this home and all workspaces in it are sound; with --workspace, one of them
    Doctor {
        /// Drop everything derived and build it again
        #[arg(long)]
        rebuild: bool,
    },
    /// Have systemd keep the daemon of this home running
    #[command(subcommand)]
    Service(ServiceAsked),
    /// Print the token that clients need where one is needed (MLFLOW_TRACKING_TOKEN)
    Token,
    /// Print the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// See it work: two devices log while apart, join, and end up with the same runs
    Demo(Demo),
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let span: jiff::Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(days).map_err(|error| error.to_string())?;
    match u64::try_from(duration.as_millis()) {
        Ok(ms) if ms > 0 => Ok(ms),
        _ => Err("must lie in the future".to_owned()),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Leave at once, with 0 if both devices hold the same
    #[arg(long)]
    pub(crate) exit: bool,
    /// How many models to train, on both devices together
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) runs: u32,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::mesh::valid_for;
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(valid_for("30m"), Ok(ValidFor(Some(1_800_000))));
        assert_eq!(valid_for("7d"), Ok(ValidFor(Some(7 * 86_400_000))));
        assert_eq!(valid_for("never"), Ok(ValidFor(None)));
        for wrong in ["", "soon", "-5m", "0s"] {
            assert!(valid_for(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_required_token_may_be_said_in_short() {
        let up = |args: &[&str]| {
            let args = ["runmesh", "up"].iter().chain(args);
            match Args::try_parse_from(args).expect("a command line").command {
                Command::Up(up) => up.require_token,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(up(&[]), None);
        assert_eq!(up(&["--require-token"]), Some(true));
        assert_eq!(up(&["--require-token", "false"]), Some(false));
    }
}
