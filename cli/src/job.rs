//! `runmesh run`: runs a program with a daemon of its own, and leaves what it logged as a bundle.
//!
//! The daemon has a throw-away home and joins by a ticket without meeting anybody: its join is the
//! first entry of its bundle. The bundle has one name for the whole job; each later one takes the
//! place of the one before, by renaming, so that whoever watches the folder sees whole ones only.
//! No job touches a file of another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use runmesh_core::api::{ExportRequest, JoinRequest, Joined};
use runmesh_daemon::config::Config;

use crate::args::Job;
use crate::bundles::export_to;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::note;
use crate::up::{program, spawn, wait_until_up};

/// The ticket's name in the folder of bundles.
const TICKET: &str = "runmesh.ticket";

/// Runs the program; its exit code is this command's.
pub(crate) fn run(job: &Job) -> Result<(), CliError> {
    let ticket_file = job.ticket.clone().unwrap_or_else(|| job.bundle.join(TICKET));
    let ticket = fs::read_to_string(&ticket_file).map_err(|source| CliError::File {
        doing: "read the ticket in",
        path: ticket_file,
        source,
    })?;
    let home = tempfile::Builder::new().prefix("runmesh-job-").tempdir()?;
    let name = job.name.clone().unwrap_or_else(job_name);
    let runtime = tokio::runtime::Runtime::new()?;
    let _on_runtime = runtime.enter();
    // Before anything is started: a signal must find somebody who cleans up.
    let signals = signals();
    let (mut daemon, client) = start_daemon(home.path(), &name)?;
    let done = runtime.block_on(in_daemon(job, &ticket, &client, &name, signals));
    // Its home goes with it.
    let _ = client.post::<()>("shutdown", &());
    let _ = daemon.wait();
    let code = done?;
    if code == 0 { Ok(()) } else { Err(CliError::Program { code }) }
}

fn job_name() -> String {
    let host = Config::default().name;
    let of_cluster = ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"];
    let id = of_cluster.iter().find_map(|name| std::env::var(name).ok());
    format!("{host}-{}", id.unwrap_or_else(|| std::process::id().to_string()))
}

fn start_daemon(home: &Path, name: &str) -> Result<(Child, Client), CliError> {
    let mut command = program(home)?;
    // Of its own session, so that Ctrl-C ends the program first; and not longer than this one.
    command.args(["up", "--http=127.0.0.1:0", "--peer-port=0", "--background", "--with-parent"]);
    // It is gone before anybody would need to find it.
    command.args(["--mdns=false", &format!("--name={name}")]);
    command.env("RUNMESH_LOG", "warn").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut daemon = spawn(command)?;
    let client = wait_until_up(home, daemon.id(), || daemon.try_wait())?;
    Ok((daemon, client))
}

/// Runs the program and leaves bundles until it ends. Returns its exit code.
async fn in_daemon(
    job: &Job,
    ticket: &str,
    client: &Client,
    name: &str,
    mut signals: Signals,
) -> Result<u8, CliError> {
    let request = JoinRequest {
        ticket: ticket.trim().to_owned(),
        leave_behind: true,
        unmet: true,
        name: None,
        through: Vec::new(),
    };
    let _: Joined = client.post("join", &request)?;
    let bundle = job.bundle.join(format!("{}-{}.bundle", file_name(name), client.daemon().device));
    let child = start_program(job, client)?;
    let pid = child.id();
    let (ended, mut end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut child = child;
        // Nobody listens only if this command is gone.
        let _ = ended.send(child.wait());
    });
    let mut every = tokio::time::interval(Duration::from_millis(job.every));
    every.tick().await;
    let status = loop {
        tokio::select! {
            status = &mut end => break status.map_err(std::io::Error::other)??,
            signal = signals.next() => pass_on(signal, pid),
            _ = every.tick() => {
                if let Err(error) = leave(client, &bundle) {
                    note(&format!("no bundle could be left yet: {error}"));
                }
            }
        }
    };
    leave(client, &bundle)
        .map_err(|error| CliError::NotLeft { folder: job.bundle.clone(), source: error.into() })?;
    Ok(code_of(status))
}

fn leave(client: &Client, bundle: &Path) -> Result<u64, CliError> {
    export_to(client, &ExportRequest { all: true, ..ExportRequest::default() }, bundle)
}

fn start_program(job: &Job, client: &Client) -> Result<Child, CliError> {
    let (program, arguments) = job.program.split_first().expect("the command line demands one");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("MLFLOW_TRACKING_URI", format!("http://{}", client.address()))
        .env("MLFLOW_TRACKING_TOKEN", client.token())
        .env("RUNMESH_HOME", client.home());
    command.spawn().map_err(|source| CliError::Spawn { path: PathBuf::from(program), source })
}

/// A name as a file's: letters, digits, and what does no harm.
fn file_name(name: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = name.chars().map(|c| if harmless(c) { c } else { '_' }).take(80).collect();
    kept.trim_start_matches('.').to_owned()
}

#[cfg(unix)]
fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1)
}

#[cfg(not(unix))]
fn code_of(status: ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(unix)]
struct Signals([(tokio::signal::unix::Signal, rustix::process::Signal); 5]);

/// Listens to what may be sent to end or wake a job. Must be called on a tokio runtime.
#[cfg(unix)]
fn signals() -> Signals {
    use rustix::process::Signal;
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).expect("these signals can be listened to");
    Signals([
        (listen(SignalKind::interrupt()), Signal::INT),
        (listen(SignalKind::terminate()), Signal::TERM),
        (listen(SignalKind::hangup()), Signal::HUP),
        (listen(SignalKind::user_defined1()), Signal::USR1),
        (listen(SignalKind::user_defined2()), Signal::USR2),
    ])
}

#[cfg(unix)]
impl Signals {
    async fn next(&mut self) -> rustix::process::Signal {
        std::future::poll_fn(|context| {
            for (stream, signal) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Passes a signal on to the program. Ctrl-C at a terminal reaches it without us.
#[cfg(unix)]
fn pass_on(signal: rustix::process::Signal, pid: u32) {
    use std::io::IsTerminal;
    if signal == rustix::process::Signal::INT && std::io::stdin().is_terminal() {
        return;
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // It may have ended already.
    let _ = pid.map(|pid| rustix::process::kill_process(pid, signal));
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
fn signals() -> Signals {
    Signals
}

#[cfg(not(unix))]
impl Signals {
    async fn next(&mut self) {
        // Ctrl-C reaches the program without us; it must not end this command before.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
fn pass_on(_: (), _: u32) {}
