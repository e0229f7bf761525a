//! The command line: what can be asked, and the help that says so.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use runmesh_core::api::{BundleBlobs, Role};
use runmesh_core::registry::{Bump, Stage};
use runmesh_core::ticket::Contact;
use runmesh_daemon::config::{BlobPolicy, RelayUrl, WebhookPolicy, parse_relay};
use runmesh_daemon::places::PlaceName;

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

#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Up {
    /// Run in the background
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Where HTTP listens; port 0 is any that is free [default: 127.0.0.1:4747]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// The UDP port for other devices [default: the one of last time, first 4747]
    #[arg(long, value_name = "PORT")]
    pub(crate) peer_port: Option<u16>,
    /// Whether to look for members on the LAN, and to be found there [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) mdns: Option<bool>,
    /// Where a member is that nothing else tells of; repeatable
    #[arg(long = "peer", value_name = "DEVICE@IP:PORT")]
    pub(crate) peers: Vec<Contact>,
    /// Your own iroh-relay, for members that cannot reach each other otherwise [default: none]
    #[arg(long, value_name = "URL", value_parser = parse_relay)]
    pub(crate) relay: Option<RelayUrl>,
    /// Which blobs to fetch unasked: all, none or small:SIZE [default: small:16MiB]
    #[arg(long, value_name = "POLICY")]
    pub(crate) blobs: Option<BlobPolicy>,
    /// A name other than loopback's that clients may use for this machine; repeatable
    #[arg(long = "allowed-host", value_name = "NAME")]
    pub(crate) allowed_hosts: Vec<String>,
    /// Whether ML clients need the token [default: if others can log in to this machine]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) require_token: Option<bool>,
    /// Where webhooks may be sent: public (https to the internet) or any [default: public]
    #[arg(long, value_name = "POLICY")]
    pub(crate) webhooks: Option<WebhookPolicy>,
    /// What this device is called [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Leave the terminal's session: what --detach starts
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// Stop when standard input ends: for a parent that may be killed
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

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

fn valid_for(text: &str) -> Result<ValidFor, String> {
    if text == "never" {
        return Ok(ValidFor(None));
    }
    duration_ms(text).map(|ms| ValidFor(Some(ms)))
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

#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Write what this device holds, and others may lack, to a file
    Export(Export),
    /// Take in a file that another device wrote
    Import {
        /// The file
        file: PathBuf,
    },
    /// Say what is in a file and whether it is whole; nothing is taken in
    Inspect {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) asked: Option<AuditAsked>,
    /// Only what was done to this run: its id, or the start of it
    #[arg(long, value_name = "RUN", conflicts_with = "model")]
    pub(crate) run: Option<String>,
    /// Only what was done to this registered model and its versions
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Only what this device did: its name, or the start of its id
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// The most lines, the newest first
    #[arg(long, short = 'n', value_name = "LINES", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditAsked {
    /// Check every signature and every link of what is here, or of a file that was exported
    Verify {
        /// A file; it needs neither a home nor a daemon
        file: Option<PathBuf>,
    },
    /// Write a file that proves by itself, anywhere, what was done: a bundle without blobs
    Export {
        /// The file to write
        file: PathBuf,
        /// Replace the file if it is there
        #[arg(long, short)]
        force: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// The file to write
    pub(crate) file: PathBuf,
    /// Start after what this member said, in a bundle, that it holds [default: what all said]
    #[arg(long = "for", value_name = "DEVICE", conflicts_with_all = ["all", "since"])]
    pub(crate) reader: Option<String>,
    /// Start at the first entry
    #[arg(long, conflicts_with = "since")]
    pub(crate) all: bool,
    /// Start where an earlier bundle ended, or at a date, as in 2026-11-20 or 2026-11-20T18:00
    #[arg(long, value_name = "BUNDLE|DATE")]
    pub(crate) since: Option<String>,
    /// Which blobs to put in: all, small (up to the size that is fetched unasked) or none
    #[arg(long, value_name = "WHICH", default_value = "all")]
    pub(crate) with_blobs: BlobsArg,
    /// Encrypt it, to the members or to the one it is for
    #[arg(long)]
    pub(crate) encrypt: bool,
    /// Replace the file if it is there
    #[arg(long, short)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BlobsArg {
    All,
    Small,
    None,
}

impl From<BlobsArg> for BundleBlobs {
    fn from(blobs: BlobsArg) -> Self {
        match blobs {
            BlobsArg::All => Self::All,
            BlobsArg::Small => Self::Small,
            BlobsArg::None => Self::None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAsked {
    /// Write the unit, and start it where systemd runs
    Install(Service),
    /// Stop the unit and remove it; the home stays
    Uninstall(Service),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Service {
    /// One daemon for the whole machine, under a user of its own, with its home in /var/lib/runmesh
    #[arg(long)]
    pub(crate) system: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Restore {
    /// The file or the folder that `runmesh backup` wrote
    pub(crate) from: PathBuf,
    /// Go on as the device that was backed up, which must never run again
    #[arg(long, conflicts_with = "ticket", required_unless_present = "ticket")]
    pub(crate) same_device: bool,
    /// Go on as a new device that joins by this ticket: what `runmesh invite` or `recovery` printed
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Job {
    /// The folder to leave the bundle in
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bundle: PathBuf,
    /// A file with a ticket of many uses [default: runmesh.ticket in the folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket: Option<PathBuf>,
    /// How often to leave a bundle before the program ends, as in 5m
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration_ms)]
    pub(crate) every: u64,
    /// What the device of this job is called [default: the host's name and the job's id]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Runs {
    /// What to find, as in "metrics.loss < 0.1 and params.model = 'cnn'"
    #[arg(default_value = "")]
    pub(crate) filter: String,
    /// In which order, as in "metrics.loss ASC"; repeatable [default: latest start first]
    #[arg(long, short, value_name = "KEY [ASC|DESC]")]
    pub(crate) order_by: Vec<String>,
    /// An experiment's name or id; repeatable [default: all]
    #[arg(long, short, value_name = "EXPERIMENT")]
    pub(crate) experiment: Vec<String>,
    /// How many to list at most
    #[arg(long, short = 'n', default_value_t = 20)]
    pub(crate) limit: usize,
    /// A column to show, as in metrics.loss or params.lr; repeatable [default: what differs]
    #[arg(long, short, value_name = "KEY")]
    pub(crate) column: Vec<String>,
    /// Deleted runs instead of those in use
    #[arg(long)]
    pub(crate) deleted: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// The runs' ids, or the starts of them
    #[arg(required = true, num_args = 2..)]
    pub(crate) runs: Vec<String>,
    /// A metric and which way it is better, as in auc:max; repeatable [default: by its name]
    #[arg(long, short, value_name = "NAME:max|min")]
    pub(crate) metric: Vec<crate::compare::Judged>,
    /// Write a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Models {
    /// List registered models
    Ls,
    /// Show a model: versions, stages, aliases, history
    Show {
        /// Its name
        name: String,
        /// All of its history
        #[arg(long)]
        history: bool,
    },
    /// Register a model that a run logged, as the next version
    Register(Register),
    /// Move a version to a stage, or give it an alias
    Promote(Promote),
    /// Bring an earlier version back to a stage
    Rollback(Rollback),
    /// Say which of the versions that claim one number keeps it; the others get new ones
    Resolve {
        /// The model's name
        name: String,
        /// The version's id, or the start of it
        #[arg(long, value_name = "ID")]
        keep: String,
        /// Why
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Register {
    /// The run's id, or the start of it
    pub(crate) run: String,
    /// The registered model's name; it is created if there is none
    #[arg(long)]
    pub(crate) name: String,
    /// Where the model is among the run's artifacts, or what the logged model is called
    #[arg(long, default_value = "model")]
    pub(crate) path: String,
    /// Give it the semantic version after the highest; the first is 1.0.0
    #[arg(long, value_name = "PART")]
    pub(crate) bump: Option<BumpArg>,
    /// Give it this semantic version
    #[arg(long, value_name = "MAJOR.MINOR.PATCH[-PRE]", conflicts_with = "bump")]
    pub(crate) version: Option<String>,
    /// Register it though its inputs or outputs changed without a new major version
    #[arg(long)]
    pub(crate) force: bool,
    /// A note that stays with the version
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Why, for the history
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BumpArg {
    /// Inputs or outputs changed
    Major,
    /// It does more, or better
    Minor,
    /// A fault is mended
    Patch,
}

impl From<BumpArg> for Bump {
    fn from(bump: BumpArg) -> Self {
        match bump {
            BumpArg::Major => Self::Major,
            BumpArg::Minor => Self::Minor,
            BumpArg::Patch => Self::Patch,
        }
    }
}

fn stage(word: &str) -> Result<Stage, String> {
    Stage::from_word(word).ok_or_else(|| "None, Staging, Production or Archived".to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Promote {
    /// The model's name
    pub(crate) name: String,
    /// The version: its number, its semantic version, or the start of its id
    pub(crate) version: String,
    /// The stage [default: Production]
    #[arg(long, value_parser = stage)]
    pub(crate) stage: Option<Stage>,
    /// An alias to give it, in place of a stage
    #[arg(long, conflicts_with = "stage")]
    pub(crate) alias: Option<String>,
    /// Leave the other versions of the stage in it; else they are archived
    #[arg(long)]
    pub(crate) keep_others: bool,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rollback {
    /// The model's name
    pub(crate) name: String,
    /// The version to bring back: its number, its semantic version, or the start of its id
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: String,
    /// The stage
    #[arg(long, value_parser = stage, default_value = "Production")]
    pub(crate) stage: Stage,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Artifacts {
    /// List the files of a run
    Ls {
        /// The run's id, or the start of it
        run: String,
        /// A folder
        #[arg(default_value = "")]
        path: String,
        /// What is in folders too
        #[arg(long, short)]
        recursive: bool,
    },
    /// Copy a file or folder of a run here
    Get {
        /// The run's id, or the start of it
        run: String,
        /// A file or folder; without one, everything
        #[arg(default_value = "")]
        path: String,
        /// Where to put it; - is standard output [default: its name, here]
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
        /// Replace files that are here already
        #[arg(long, short)]
        force: bool,
    },
    /// List which devices hold the files of a run
    Where {
        /// The run's id, or the start of it
        run: String,
        /// A file or folder; without one, everything
        #[arg(default_value = "")]
        path: String,
    },
    /// Copy a file or folder from here to a run
    Put {
        /// The run's id, or the start of it
        run: String,
        /// What to copy
        local: PathBuf,
        /// Its path in the run [default: its name]
        path: Option<String>,
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
