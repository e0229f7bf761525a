//! What is asked about registered models.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use runmesh_core::registry::{Bump, Stage};

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
