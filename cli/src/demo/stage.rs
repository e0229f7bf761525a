//! The stage of the demo: devices that live in temporary homes, as child processes.
//!
//! Invariant: whatever ends the demo (its end, an error, a panic, Ctrl-C, SIGTERM), the children
//! are stopped and their homes removed. A demo that is killed outright takes the children with
//! it, because their standard input ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::CliError;
use crate::up::{program, signalled, spawn, wait_until_up};

/// How long a daemon may take to seal and stop before it is killed: all it has is thrown away.
const GRACE: Duration = Duration::from_secs(5);

/// All devices of a demo.
pub(crate) struct Stage {
    cast: Arc<Mutex<Cast>>,
    is_done: Arc<AtomicBool>,
}

#[derive(Default)]
struct Cast {
    running: Vec<Running>,
    /// Set by a signal: from then on nobody enters, and the program ends by it.
    is_closed: bool,
}

struct Running {
    child: Child,
    /// Removed when this is dropped.
    _home: tempfile::TempDir,
}

/// One device of a demo.
pub(crate) struct Device {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Stage {
    /// An empty stage that clears itself when a signal comes, and then ends the program.
    pub(crate) fn new() -> Result<Self, CliError> {
        let stage = Self { cast: Arc::default(), is_done: Arc::default() };
        let (cast, is_done) = (Arc::clone(&stage.cast), Arc::clone(&stage.is_done));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async { signalled().await });
            let mut cast = lock(&cast);
            cast.is_closed = true;
            cast.clear();
            // Once all is shown, a signal is how the demo is meant to end.
            std::process::exit(if is_done.load(Ordering::SeqCst) { 0 } else { 130 });
        });
        Ok(stage)
    }

    /// Starts a device in a home of its own.
    pub(crate) fn enter(&self, name: &'static str) -> Result<Device, CliError> {
        let (at, pid, path) = self.start(name)?;
        let ended = || lock(&self.cast).running[at].child.try_wait();
        let client = wait_until_up(&path, pid, ended)?;
        let token = token(&path)?;
        Ok(Device { name, client, token })
    }

    /// Starts a daemon under the lock, so that a signal finds either nothing of it or all.
    fn start(&self, name: &'static str) -> Result<(usize, u32, PathBuf), CliError> {
        let mut cast = lock(&self.cast);
        let home = tempfile::Builder::new().prefix("runmesh-demo-").tempdir()?;
        let path = home.path().to_owned();
        let mut command = program(&path)?;
        command.args(["up", "--with-parent", "--http=127.0.0.1:0", "--mdns=false", "--name", name]);
        command.env("RUNMESH_LOG", "warn").env_remove("RUNMESH_HOME");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // Ctrl-C is for us to hear; the children hear of it from us.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawn(command)?;
        let (at, pid) = (cast.running.len(), child.id());
        cast.running.push(Running { child, _home: home });
        Ok((at, pid, path))
    }

    /// Stays until a signal comes.
    pub(crate) fn stay(&self) -> ! {
        self.is_done.store(true, Ordering::SeqCst);
        park_forever()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A signal's thread that is clearing holds the lock until it has ended the program.
        lock(&self.cast).clear();
    }
}

fn park_forever() -> ! {
    loop {
        thread::park();
    }
}

/// Locks the cast; once a signal has closed the stage, waits for the program to end.
fn lock(cast: &Mutex<Cast>) -> MutexGuard<'_, Cast> {
    let cast = cast.lock().unwrap_or_else(PoisonError::into_inner);
    if cast.is_closed {
        drop(cast);
        park_forever();
    }
    cast
}

impl Cast {
    fn clear(&mut self) {
        for device in &mut self.running {
            drop(device.child.stdin.take());
        }
        let deadline = Instant::now() + GRACE;
        for mut device in self.running.drain(..) {
            while matches!(device.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            // Neither fails unless it is gone already.
            let _ = device.child.kill();
            let _ = device.child.wait();
        }
    }
}

fn token(home: &Path) -> Result<String, CliError> {
    let no_daemon = || CliError::NoDaemon { home: home.to_owned() };
    runmesh_daemon::home::token_of(home)?.ok_or_else(no_daemon)
}
