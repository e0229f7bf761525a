//! `runmesh up` and `runmesh down`: starts and stops the daemon of a home.

use std::ffi::OsString;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use runmesh_core::api::{RecoveryTicket, Status};
use runmesh_daemon::config::Config;
use runmesh_daemon::daemon::Daemon;
use runmesh_daemon::home::{self, Home};

use crate::args::Up;
use crate::client::{Client, reachable};
use crate::error::CliError;
use crate::log;
use crate::screen::{Screen, Tone, note};
use crate::text::clean;

/// How long a daemon may take to start: one of a new version may build the index of a million runs anew.
const START_PATIENCE: Duration = Duration::from_secs(1_200);
/// After how long who waits for that is told why it may take long.
const EXPLAIN_AFTER: Duration = Duration::from_secs(10);
/// How long a daemon may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(120);
/// How often we look whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the daemon of the home at `home`.
pub(crate) fn up(home: &Path, flags: &Up, screen: &mut Screen) -> Result<(), CliError> {
    if flags.detach {
        return detach(home, flags, screen);
    }
    if flags.background {
        leave_session();
    }
    if flags.background {
        // A home that is new has no folder for it yet: that of a job, which nobody detached.
        private_dir(&home.join("log"))?;
        log::to_file(log::path_in(home))?;
    } else {
        log::to_stderr();
    }
    let config = configured(home, flags)?;
    let home = Home::open(home)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let path = home.path().to_owned();
        // Before anybody can see the daemon: who does may stop it at once.
        let told = told_to_stop(flags.with_parent);
        let daemon = Daemon::start(home, config).await?;
        let asked = tokio::task::spawn_blocking(move || Ready::ask(&Client::of_home(&path)?)).await;
        let ready = asked.map_err(io::Error::from).map_err(CliError::from).flatten();
        if let Err(error) = ready.and_then(|ready| ready.show(screen)) {
            daemon.stop().await?;
            return Err(error);
        }
        Ok(daemon.run_until(told).await?)
    })
}

/// What a person is told once the daemon answers.
struct Ready {
    status: Status,
    keeps_recovery: bool,
}

/// The configuration of the home, with the flags over it.
fn configured(home: &Path, flags: &Up) -> Result<Config, CliError> {
    let mut config = Config::load(home)?;
    let Up { http, peer_port, mdns, peers, relay, blobs, .. } = flags;
    let Up { allowed_hosts, require_token, webhooks, name, .. } = flags;
    config.http = http.unwrap_or(config.http);
    config.peer_port = peer_port.or(config.peer_port);
    config.mdns = mdns.unwrap_or(config.mdns);
    config.peers.extend(peers.iter().cloned());
    config.relay = relay.clone().or(config.relay);
    config.blobs = blobs.unwrap_or(config.blobs);
    config.allowed_hosts.extend(allowed_hosts.iter().cloned());
    config.require_token = require_token.or(config.require_token);
    config.webhooks = webhooks.unwrap_or(config.webhooks);
    if let Some(name) = name {
        config.name.clone_from(name);
    }
    Ok(config)
}

impl Ready {
    fn ask(client: &Client) -> Result<Self, CliError> {
        let kept: RecoveryTicket = client.get("recovery", &[])?;
        Ok(Self { status: client.get("status", &[])?, keeps_recovery: kept.ticket.is_some() })
    }

    fn show(&self, screen: &mut Screen) -> Result<(), CliError> {
        if screen.is_json() {
            return screen.json(&self.status);
        }
        show_ready(&self.status, self.keeps_recovery, screen)
    }
}

/// How `runmesh` is called to ask the daemon of a home.
pub(crate) fn command_for(home: &Path) -> String {
    let named = std::env::var_os("RUNMESH_HOME").filter(|home| !home.is_empty());
    let usual = named.map(PathBuf::from).or_else(|| home::default_path().ok());
    let usual = usual.and_then(|usual| std::path::absolute(usual).ok());
    if usual.as_deref() == std::path::absolute(home).ok().as_deref() {
        return "runmesh".to_owned();
    }
    format!("runmesh --home {}", as_word(&home.display().to_string()))
}

/// A text as a shell reads it back.
fn as_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", clean(text).replace('\'', "'\\''"))
}

fn show_ready(status: &Status, keeps_recovery: bool, screen: &mut Screen) -> Result<(), CliError> {
    let runmesh = command_for(Path::new(&status.home));
    let name = screen.toned(&clean(&status.device.name), Tone::Strong);
    let device = status.device.id.short();
    screen.line(&format!("runmesh {} is up: device {name} ({device})", status.version))?;
    let mut facts = vec![
        ("log", format!("export MLFLOW_TRACKING_URI=http://{}", reachable(&status.http))),
        ("see", format!("{runmesh} runs, or {runmesh} ui for a link to the web page")),
        ("pair", format!("{runmesh} invite")),
        ("stop", format!("{runmesh} down")),
    ];
    if status.clients_need_token {
        facts.insert(1, ("token", format!("export MLFLOW_TRACKING_TOKEN=$({runmesh} token)")));
    }
    if keeps_recovery {
        // The ticket itself would end in logs.
        facts.push(("keep", format!("{runmesh} recovery (prints a ticket for a safe place)")));
    }
    screen.facts(facts)
}

/// Ends when the person, the system or the parent says so, from the call on.
fn told_to_stop(with_parent: bool) -> impl Future<Output = ()> {
    let signalled = signalled();
    async move {
        tokio::select! {
            () = signalled => {}
            () = parent_gone(), if with_parent => {}
        }
    }
}

/// Ends at the first signal to stop that comes after the call. Must be called on a tokio runtime.
#[cfg(unix)]
pub(crate) fn signalled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| signal(kind).expect("these signals can be listened to");
    let mut interrupt = listen(SignalKind::interrupt());
    let mut terminate = listen(SignalKind::terminate());
    let mut hang_up = listen(SignalKind::hangup());
    async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

#[cfg(not(unix))]
pub(crate) async fn signalled() {
    // Where nothing can be listened to, nothing comes.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ends when standard input does: the parent holds its other end, and is gone with it.
fn parent_gone() -> impl Future<Output = ()> {
    let (gone, heard) = tokio::sync::oneshot::channel();
    // A thread of its own, because a blocked read would keep the runtime from ending.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    });
    async { heard.await.unwrap_or(()) }
}

fn leave_session() {
    #[cfg(unix)]
    // Fails only where we lead a group already, and then there is nothing to leave.
    let _ = rustix::process::setsid();
}

/// Starts the daemon in the background, and waits until it answers.
fn detach(home: &Path, flags: &Up, screen: &mut Screen) -> Result<(), CliError> {
    let path = log::path_in(home);
    let file = |doing| {
        let path = path.clone();
        move |source| CliError::File { doing, path, source }
    };
    private_dir(&home.join("log")).map_err(file("make"))?;
    let log = log::append_to(&path).map_err(file("write"))?;
    let from = log.metadata().map_err(file("read"))?.len();
    let mut command = program(home)?;
    let log_for_errors = log.try_clone().map_err(file("write"))?;
    command.arg("up").args(flags.again()).arg("--background");
    command.stdin(Stdio::null()).stdout(log).stderr(log_for_errors);
    let mut child = spawn(command)?;
    let client = match wait_until_up(home, child.id(), || child.try_wait()) {
        Ok(client) => client,
        Err(CliError::NotStarted { exit, .. }) => {
            let log = read_from(&path, from).map_err(file("read"))?;
            return Err(CliError::NotStarted { log, exit });
        }
        Err(error) => return Err(error),
    };
    Ready::ask(&client)?.show(screen)
}

fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn read_from(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// This program again, for the home at `home`.
pub(crate) fn program(home: &Path) -> Result<Command, CliError> {
    let path = std::env::current_exe()?;
    let home = std::path::absolute(home)?;
    let mut command = Command::new(path);
    command.arg("--home").arg(home);
    Ok(command)
}

/// Starts a program.
pub(crate) fn spawn(mut command: Command) -> Result<Child, CliError> {
    command.spawn().map_err(|source| {
        let path = PathBuf::from(command.get_program());
        CliError::Spawn { path, source }
    })
}

/// Waits until the daemon that was started for `home` as process `pid` answers, or `ended` says
/// that it is gone.
pub(crate) fn wait_until_up(
    home: &Path,
    pid: u32,
    mut ended: impl FnMut() -> io::Result<Option<ExitStatus>>,
) -> Result<Client, CliError> {
    let started = Instant::now();
    let mut explained = false;
    loop {
        if let Some(status) = ended()? {
            let exit = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            return Err(CliError::NotStarted { log: String::new(), exit: exit.max(1) });
        }
        let client = Client::of_home(home);
        if let Ok(client) = client
            && client.daemon().pid == pid
            && client.get::<Status>("status", &[]).is_ok()
        {
            return Ok(client);
        }
        if started.elapsed() > START_PATIENCE {
            return Err(CliError::NotStarted { log: String::new(), exit: 6 });
        }
        if started.elapsed() > EXPLAIN_AFTER && !explained {
            note("the daemon is still starting; the first start of a new version may take minutes");
            explained = true;
        }
        thread::sleep(LOOK_EVERY);
    }
}

impl Up {
    /// The flags as they are written, for a daemon in the background.
    fn again(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: Option<String>| {
            args.extend(value.map(|value| format!("{flag}={value}").into()));
        };
        add("--http", self.http.map(|http| http.to_string()));
        add("--peer-port", self.peer_port.map(|port| port.to_string()));
        add("--mdns", self.mdns.map(|mdns| mdns.to_string()));
        add("--relay", self.relay.as_ref().map(ToString::to_string));
        for contact in &self.peers {
            for address in &contact.addresses {
                add("--peer", Some(format!("{}@{address}", contact.device)));
            }
        }
        add("--blobs", self.blobs.map(|blobs| blobs.to_string()));
        add("--require-token", self.require_token.map(|token| token.to_string()));
        add("--webhooks", self.webhooks.map(|policy| policy.to_string()));
        add("--name", self.name.clone());
        for host in &self.allowed_hosts {
            add("--allowed-host", Some(host.clone()));
        }
        args
    }
}

/// Stops the daemon, and waits until its home is free.
pub(crate) fn down(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let pid = client.daemon().pid;
    let _: () = client.post("shutdown", &())?;
    let deadline = Instant::now() + STOP_PATIENCE;
    while home::is_in_use(client.home())? {
        if Instant::now() > deadline {
            return Err(CliError::NotStopped { pid });
        }
        thread::sleep(LOOK_EVERY);
    }
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "stopped": pid }));
    }
    screen.line("runmesh is down")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn flags(args: &[OsString]) -> Up {
        let args = [OsString::from("runmesh"), "up".into()].into_iter().chain(args.to_vec());
        match Args::try_parse_from(args).expect("a command line").command {
            Command::Up(up) => up,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_daemon_in_the_background_gets_the_same_flags() {
        let written = ["--http=[::1]:0", "--peer-port=7", "--blobs=small:1500", "--name=-x y"];
        let written = written.into_iter().chain([
            "--require-token=false",
            "--webhooks=any",
            "--allowed-host=a",
            "--mdns=false",
            "--relay=https://relay.example",
            "--peer=00000000000000000000000000000000000000000000000000000000000000aa@[::1]:7",
        ]);
        let written: Vec<OsString> = written.chain(["--allowed-host=b"]).map(Into::into).collect();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let config = |up: &Up| configured(dir.path(), up).expect("a configuration");
        let up = flags(&written);
        assert_eq!(config(&flags(&up.again())), config(&up));
        assert_eq!(config(&up).name, "-x y");
    }

    #[test]
    fn flags_override_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let text = "name = 'file'\npeer_port = 9\nblobs = 'none'\n";
        fs::write(dir.path().join("config.toml"), text).expect("a file");
        let config = configured(dir.path(), &flags(&["--name=flag".into()]));
        let config = config.expect("a configuration");
        assert_eq!((config.name.as_str(), config.peer_port), ("flag", Some(9)));
    }

    #[test]
    fn a_home_that_is_not_the_usual_one_is_named() {
        let usual = home::default_path().expect("a data folder");
        assert_eq!(command_for(Path::new("/srv/lab")), "runmesh --home /srv/lab");
        assert_eq!(command_for(Path::new("/srv/ann's lab")), r"runmesh --home '/srv/ann'\''s lab'");
        if std::env::var_os("RUNMESH_HOME").is_none() {
            assert_eq!(command_for(&usual), "runmesh");
        }
    }
}
