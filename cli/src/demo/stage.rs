//! The stage of the demo: devices that live in temporary homes, as child processes.
//!
//! Invariant: whatever ends the demo (its end, an error, a panic, Ctrl-C, SIGTERM), the children
//! are stopped and their homes removed. A demo that is killed outright takes the children with
//! it, because their standard input ends.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::error::CliError;
use crate::up::{program, signalled, spawn, wait_until_up};

/// How long a daemon may take to seal and stop before it is killed: all it has is thrown away.
const GRACE: Duration = Duration::from_secs(5);

/// All devices of a demo.
#[derive(Default)]
pub(crate) struct Stage {
    running: Arc<Mutex<Vec<Running>>>,
    is_done: Arc<AtomicBool>,
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
        let stage = Self::default();
        let (running, is_done) = (Arc::clone(&stage.running), Arc::clone(&stage.is_done));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(signalled());
            clear(&running);
            // Once all is shown, a signal is how the demo is meant to end.
            std::process::exit(if is_done.load(Ordering::SeqCst) { 0 } else { 130 });
        });
        Ok(stage)
    }

    /// Starts a device in a home of its own.
    pub(crate) fn enter(&self, name: &'static str) -> Result<Device, CliError> {
        let home = tempfile::Builder::new().prefix("runmesh-demo-").tempdir()?;
        let path = home.path().to_owned();
        let mut command = program(&path)?;
        command.args(["up", "--with-parent", "--http=127.0.0.1:0", "--name", name]);
        command.env("RUNMESH_LOG", "warn").env_remove("RUNMESH_HOME");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        // Ctrl-C is for us to hear; the children hear of it from us.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = spawn(command)?;
        let mut running = lock(&self.running);
        running.push(Running { child, _home: home });
        let child = &mut running.last_mut().expect("it was pushed just now").child;
        let client = wait_until_up(child, &path)?;
        let token = token(&path)?;
        Ok(Device { name, client, token })
    }

    /// Stays until a signal comes.
    pub(crate) fn stay(&self) -> ! {
        self.is_done.store(true, Ordering::SeqCst);
        loop {
            thread::park();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        clear(&self.running);
    }
}

fn lock(running: &Mutex<Vec<Running>>) -> std::sync::MutexGuard<'_, Vec<Running>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clear(running: &Mutex<Vec<Running>>) {
    let mut running = lock(running);
    for device in running.iter_mut() {
        drop(device.child.stdin.take());
    }
    let deadline = Instant::now() + GRACE;
    for mut device in running.drain(..) {
        while matches!(device.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        // Neither fails unless it is gone already.
        let _ = device.child.kill();
        let _ = device.child.wait();
    }
}

fn token(home: &Path) -> Result<String, CliError> {
    let no_daemon = || CliError::NoDaemon { home: home.to_owned() };
    runmesh_daemon::home::token_of(home)?.ok_or_else(no_daemon)
}
