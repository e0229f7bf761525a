//! What is asked about runs and their files.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

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
