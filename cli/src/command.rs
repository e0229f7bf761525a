//! Runs a command.

use std::path::PathBuf;

use clap::CommandFactory;
use runmesh_core::api::CollectRequest;
use runmesh_daemon::home;

use crate::args::{Args, Artifacts, AuditAsked, Bundle, Command, ServiceAsked};
use crate::client::Client;
use crate::error::CliError;
use crate::screen::Screen;
use crate::{
    artifacts, audit, backups, blobs, bundles, compare, conflicts, demo, doctor, job, members,
    models, runs, service, show, status, tickets, up, workspaces,
};

/// Does what the command line asks.
pub(crate) fn run(args: Args) -> Result<(), CliError> {
    let home = match args.home {
        Some(home) => home,
        None => home::default_path()?,
    };
    let screen = &mut Screen::new(args.json);
    let workspace = args.workspace;
    let device = || Client::of_home(&home);
    let client = || device().map(|client| client.in_workspace(workspace.as_ref()));
    match args.command {
        Command::Up(flags) => up::up(&home, &flags, screen),
        Command::Down => up::down(&client()?, screen),
        Command::Status => status::status(&client()?, screen),
        Command::Ui => ui(&client()?, screen),
        Command::Invite(invite) => tickets::invite(&client()?, &invite, screen),
        Command::Join(join) => members::join(&client()?, join, screen),
        Command::Peers => members::peers(&client()?, screen),
        Command::Members => members::members(&client()?, screen),
        Command::Remove { device } => members::remove(&client()?, device, screen),
        Command::Role { device, role } => members::role(&client()?, device, role, screen),
        Command::Rename { device, name } => members::rename(&client()?, device, name, screen),
        Command::Revoke { ticket } => members::revoke(&client()?, ticket, screen),
        Command::Recovery { forget } => tickets::recovery(&client()?, forget, screen),
        Command::Sync(sync) => members::sync(&client()?, &sync, screen),
        Command::Experiments { all } => runs::experiments(&client()?, all, screen),
        Command::Runs(search) => runs::runs(&client()?, search, screen),
        Command::Show { run } => show::show(&client()?, &run, screen),
        Command::Compare(compare) => compare::compare(&client()?, &compare, screen),
        Command::Models(asked) => models::models(&client()?, asked, screen),
        Command::Conflicts => conflicts::conflicts(&client()?, screen),
        Command::Resolve(asked) => conflicts::resolve(&client()?, asked, screen),
        Command::Audit(asked) => match &asked.asked {
            Some(AuditAsked::Verify { file: Some(file) }) => audit::verify_file(file, screen),
            Some(AuditAsked::Verify { file: None }) => audit::verify(&client()?, screen),
            Some(AuditAsked::Export { file, force }) => {
                audit::export(&client()?, file, *force, screen)
            }
            None => audit::audit(&client()?, &asked, screen),
        },
        Command::Artifacts(Artifacts::Ls { run, path, recursive }) => {
            artifacts::ls(&client()?, &run, &path, recursive, screen)
        }
        Command::Artifacts(Artifacts::Get { run, path, output, force }) => {
            artifacts::get(&client()?, &run, &path, output, force, screen)
        }
        Command::Artifacts(Artifacts::Where { run, path }) => {
            blobs::holders(&client()?, &run, &path, screen)
        }
        Command::Pin { what } => blobs::pin(&client()?, what, screen),
        Command::Unpin { what } => blobs::unpin(&client()?, what, screen),
        Command::Purge { run, yes } => blobs::purge(&client()?, &run, yes, screen),
        Command::Gc { force, dry_run } => {
            blobs::gc(&client()?, CollectRequest { force, dry_run }, screen)
        }
        Command::Pins => blobs::pins(&client()?, screen),
        Command::Artifacts(Artifacts::Put { run, local, path }) => {
            artifacts::put(&client()?, &run, &local, path, screen)
        }
        Command::Bundle(Bundle::Export(export)) => bundles::export(&client()?, &export, screen),
        Command::Bundle(Bundle::Import { file }) => bundles::import(&client()?, &file, screen),
        Command::Bundle(Bundle::Inspect { file }) => bundles::inspect(&client()?, &file, screen),
        Command::Workspace(asked) => workspaces::workspaces(&device()?, asked, screen),
        Command::Backup { path, force } => backups::backup(&device()?, &path, force, screen),
        Command::Restore(asked) => backups::restore(&home, &asked, screen),
        Command::Copy { runs, to } => workspaces::copy(&client()?, runs, to, screen),
        Command::Run(job) => job::run(&job),
        Command::Doctor { rebuild } => doctor::doctor(&home, workspace.as_ref(), rebuild, screen),
        Command::Service(ServiceAsked::Install(asked)) => service::install(&home, &asked, screen),
        Command::Service(ServiceAsked::Uninstall(asked)) => service::uninstall(&asked, screen),
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

/// The token stands behind the `#`, which browsers send to nobody.
fn ui(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let (address, place) = (client.address(), client.place());
    let link = format!("http://{address}{place}/#token={}", client.token());
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
