//! The writer's end of its queue: waiting for requests on a thread that runs no tasks.
//!
//! A client that sends its next request when it has the answer to the last leaves the writer idle
//! for some 100 us. Putting a thread to sleep and waking it takes about as long, so the writer looks
//! a little longer before it sleeps, but only while requests do come that fast: who logs once in a
//! while costs nothing.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Write;

/// How long to look for a request before going to sleep, if the last came as soon as that.
const LOOK: Duration = Duration::from_micros(200);

/// What came of waiting.
pub(super) enum Received {
    Write(Write),
    /// The time is over.
    Nothing,
    /// All who could ask are gone.
    Gone,
}

/// Requests to the writer.
pub(super) struct Queue {
    requests: mpsc::Receiver<Write>,
    /// Whether the last request came within [`LOOK`].
    busy: bool,
}

/// Wakes the thread that waits.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Queue {
    pub(super) const fn new(requests: mpsc::Receiver<Write>) -> Self {
        Self { requests, busy: false }
    }

    /// What is there already.
    pub(super) fn try_recv(&mut self) -> Option<Write> {
        self.requests.try_recv().ok()
    }

    /// Waits for a request, until a time if there is one.
    pub(super) fn receive(&mut self, until: Option<Instant>) -> Received {
        let started = Instant::now();
        if self.busy {
            while started.elapsed() < LOOK {
                if let Some(write) = self.try_recv() {
                    return Received::Write(write);
                }
                thread::yield_now();
            }
        }
        let received = self.sleep(until);
        self.busy = started.elapsed() < LOOK;
        received
    }

    fn sleep(&mut self, until: Option<Instant>) -> Received {
        let waker = Waker::from(Arc::new(Sleeper(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match self.requests.poll_recv(&mut context) {
                Poll::Ready(Some(write)) => return Received::Write(write),
                Poll::Ready(None) => return Received::Gone,
                Poll::Pending => {}
            }
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Received::Nothing,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}
