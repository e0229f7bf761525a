//! The log of a daemon: standard error, or a file that is set aside when it is long.
//!
//! Invariant: however long the daemon runs in the background, its log takes at most
//! [`MAX_LOG_BYTES`] twice, and the last of it is never lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

/// A log is set aside when it is as long.
pub(crate) const MAX_LOG_BYTES: u64 = 8 << 20;

/// Where the log of a home's daemon in the background goes.
pub(crate) fn path_in(home: &Path) -> PathBuf {
    home.join("log").join("daemon.log")
}

/// Logs to standard error.
pub(crate) fn to_stderr() {
    let coloured = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    let log = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(io::stderr);
    // Fails only where a test has started one already.
    let _ = log.with_ansi(coloured).try_init();
}

/// Logs to a file.
pub(crate) fn to_file(path: PathBuf) -> io::Result<()> {
    let file = Mutex::new(Rotating::open(path, MAX_LOG_BYTES)?);
    let log = tracing_subscriber::fmt().with_env_filter(filter()).with_writer(file);
    let _ = log.with_ansi(false).try_init();
    Ok(())
}

fn filter() -> EnvFilter {
    let wanted = EnvFilter::try_from_env("RUNMESH_LOG");
    // swarm_discovery would say every few seconds that a network is down.
    let usual = "warn,runmesh_daemon=info,swarm_discovery=off";
    wanted.unwrap_or_else(|_| EnvFilter::new(usual))
}

/// A file that is set aside under another name when it is long, in place of what was before.
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl Rotating {
    fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = append_to(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, max_bytes })
    }

    fn set_aside(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("log.1"))?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// Opens a log to append to it.
pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

impl Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.max_bytes {
            // What cannot be set aside goes on: a long log is better than none.
            let _ = self.set_aside();
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_stays_short_and_keeps_its_last_lines() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("daemon.log");
        fs::write(&path, "before\n")?;
        let mut log = Rotating::open(path.clone(), 1_000)?;
        for line in 0..1_000 {
            // As events are written: each in one piece.
            log.write_all(format!("line {line:04}\n").as_bytes())?;
        }
        let (now, before) =
            (fs::read_to_string(&path)?, fs::read_to_string(dir.path().join("daemon.log.1"))?);
        assert!(now.len() <= 1_010 && before.len() <= 1_010, "{} {}", now.len(), before.len());
        assert!(now.ends_with("line 0999\n"));
        let lines: Vec<&str> = before.lines().chain(now.lines()).collect();
        let first: usize = lines[0][5..].parse().expect("a number");
        let expected: Vec<String> = (first..1_000).map(|line| format!("line {line:04}")).collect();
        assert_eq!(lines, expected);
        assert_eq!(fs::read_dir(dir.path())?.count(), 2);
        Ok(())
    }
}
