//! What is asked about files that are carried by hand: bundles, proofs, backups, and what jobs leave.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use runmesh_core::api::BundleBlobs;

use super::duration_ms;

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
