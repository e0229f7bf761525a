//! Showing that something is under way, and how far it is.
//!
//! Invariants: nothing of it is on standard output; where standard error is no terminal, it shows
//! nothing; the daemon is asked a few times a second at most.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::CliError;

/// How often to ask how far something is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows on a terminal that something is under way.
pub(crate) fn spinner(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(doing);
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    bar.set_style(style.expect("the template is valid"));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Waits for something, and looks from time to time how far it is.
pub(crate) fn while_looking<T>(
    look: impl Fn() + Send,
    wait: impl FnOnce() -> Result<T, CliError>,
) -> Result<T, CliError> {
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.recv_timeout(LOOK_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                look();
            }
        });
        let waited = wait();
        drop(done);
        waited
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waits_looks_until_it_is_done() -> Result<(), CliError> {
        let (looked, seen) = mpsc::channel();
        let look = move || looked.send(()).unwrap_or_default();
        let answer = while_looking(look, || {
            let twice = [seen.recv(), seen.recv()];
            assert_eq!(twice, [Ok(()), Ok(())]);
            Ok(7)
        });
        assert_eq!(answer?, 7);
        // Ends only if nobody looks any more.
        seen.iter().for_each(drop);
        Ok(())
    }
}
