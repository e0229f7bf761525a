//! Events: tells who listens that there is something new, as server-sent events.
//!
//! An event says no more than that: who hears it asks again for what it shows. So none needs to be
//! kept, none can be missed, and a page that was asleep hears one when it wakes. While somebody
//! listens, peers are asked for what they have.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, stream};
use tokio::time::{Instant, sleep_until};

use crate::app::App;
use crate::mesh::Mesh;

/// The least time between two events: a loop that logs makes one of its many writes.
const BETWEEN: Duration = Duration::from_millis(500);
/// How often a line is sent when nothing happens, so that both sides notice a dead connection.
const ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(
    State(app): State<Arc<App>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopping = app.stopping.clone();
    let changes = stream::unfold((None, None), move |(last, looking)| {
        let (app, stopping) = (Arc::clone(&app), stopping.clone());
        async move {
            // The mesh may start after the page is open.
            let looking = looking.or_else(|| app.mesh().map(Mesh::look));
            let seen = tokio::select! {
                () = stopping.cancelled() => return None,
                seen = next(&app, last) => seen,
            };
            Some((Ok(Event::default().event("changed").data("{}")), (Some(seen), looking)))
        }
    });
    Sse::new(changes).keep_alive(KeepAlive::new().interval(ALIVE))
}

/// What there was to see when an event was sent.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    state: (u64, u64, u64),
}

/// Waits until there is something to see that was not there at the last event, and then until
/// enough time has passed since. The first event comes at once.
async fn next(app: &App, last: Option<Seen>) -> Seen {
    let Some(last) = last else { return seen(app) };
    loop {
        let mut changed = app.workspace.changed();
        let mut unsealed = app.workspace.unsealed();
        let mut switched = app.workspace.switched();
        // Before we look, so that what comes after we looked is not missed.
        for watched in [&mut changed, &mut unsealed, &mut switched] {
            watched.mark_unchanged();
        }
        if seen(app).state != last.state {
            sleep_until(last.at + BETWEEN).await;
            return seen(app);
        }
        // A workspace that is left tells nothing more; the one that comes has told of the switch.
        tokio::select! {
            Ok(()) = changed.changed() => {}
            Ok(()) = unsealed.changed() => {}
            Ok(()) = switched.changed() => {}
            else => std::future::pending().await,
        }
    }
}

fn seen(app: &App) -> Seen {
    let workspace = &app.workspace;
    let state = (
        *workspace.changed().borrow(),
        *workspace.unsealed().borrow(),
        *workspace.switched().borrow(),
    );
    Seen { at: Instant::now(), state }
}
