//! The one binary: `runmesh`.

mod args;
mod artifacts;
mod audit;
mod backups;
mod blobs;
mod bundles;
mod client;
mod command;
mod compare;
mod conflicts;
mod demo;
mod doctor;
mod error;
mod job;
mod log;
mod members;
mod models;
mod progress;
mod runs;
mod screen;
mod service;
mod show;
mod status;
mod text;
mod tickets;
mod up;
mod workspaces;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let json = args.json;
    match command::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(json),
    }
}
