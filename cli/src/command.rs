//! Runs a command.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use runmesh_daemon::home;

use crate::args::{Args, Artifacts, Bundle, Command};
use crate::client::Client;
use crate::error::CliError;
use crate::screen::Screen;
use crate::{
    artifacts, bundles, compare, conflicts, demo, doctor, job, members, models, runs, show, status,
    tickets, up,
};

/// Does what the command line asks.
pub(crate) fn run(args: Args) -> Result<(), CliError> {
    let home = match args.home {
        Some(home) => home,
        None => home::default_path()?,
    };
    let screen = &mut Screen::new(args.json);
    match args.command {
        Command::Up(flags) => up::up(&home, &flags, screen),
        Command::Down => up::down(&client(&home)?, screen),
        Command::Status => status::status(&client(&home)?, screen),
        Command::Ui => ui(&client(&home)?, screen),
        Command::Invite(invite) => tickets::invite(&client(&home)?, &invite, screen),
        Command::Join(join) => members::join(&client(&home)?, join, screen),
        Command::Peers => members::peers(&client(&home)?, screen),
        Command::Members => members::members(&client(&home)?, screen),
        Command::Remove { device } => members::remove(&client(&home)?, device, screen),
        Command::Role { device, role } => members::role(&client(&home)?, device, role, screen),
        Command::Rename { device, name } => members::rename(&client(&home)?, device, name, screen),
        Command::Revoke { ticket } => members::revoke(&client(&home)?, ticket, screen),
        Command::Recovery { forget } => tickets::recovery(&client(&home)?, forget, screen),
        Command::Sync(sync) => members::sync(&client(&home)?, &sync, screen),
        Command::Experiments { all } => runs::experiments(&client(&home)?, all, screen),
        Command::Runs(search) => runs::runs(&client(&home)?, search, screen),
        Command::Show { run } => show::show(&client(&home)?, &run, screen),
        Command::Compare(compare) => compare::compare(&client(&home)?, &compare, screen),
        Command::Models(asked) => models::models(&client(&home)?, asked, screen),
        Command::Conflicts => conflicts::conflicts(&client(&home)?, screen),
        Command::Resolve(asked) => conflicts::resolve(&client(&home)?, asked, screen),
        Command::Artifacts(Artifacts::Ls { run, path, recursive }) => {
            artifacts::ls(&client(&home)?, &run, &path, recursive, screen)
        }
        Command::Artifacts(Artifacts::Get { run, path, output, force }) => {
            artifacts::get(&client(&home)?, &run, &path, output, force, screen)
        }
        Command::Artifacts(Artifacts::Put { run, local, path }) => {
            artifacts::put(&client(&home)?, &run, &local, path, screen)
        }
        Command::Bundle(Bundle::Export(export)) => {
            bundles::export(&client(&home)?, &export, screen)
        }
        Command::Bundle(Bundle::Import { file }) => bundles::import(&client(&home)?, &file, screen),
        Command::Bundle(Bundle::Inspect { file }) => {
            bundles::inspect(&client(&home)?, &file, screen)
        }
        Command::Run(job) => job::run(&job),
        Command::Doctor { rebuild } => doctor::doctor(&home, rebuild, screen),
        Command::Token => token(home, screen),
        Command::Completions { shell } => {
            // The generator panics where it cannot write, so it writes to memory.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "runmesh", &mut script);
            screen.bytes(&script)
        }
        Command::Demo(demo) => demo::demo(&demo, screen),
    }
}

fn client(home: &Path) -> Result<Client, CliError> {
    Client::of_home(home)
}

/// The token stands behind the `#`, which browsers send to nobody.
fn ui(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let link = format!("http://{}/#token={}", client.address(), client.token());
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "link": link }));
    }
    screen.line(&link)
}

fn token(home: PathBuf, screen: &mut Screen) -> Result<(), CliError> {
    let token = home::token_of(&home)?.ok_or(CliError::NoDaemon { home })?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "token": token }));
    }
    screen.line(&token)
}
