//! How long groups of writes take until they are durable, since the program started.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// From 0.1 ms, which a fast disk takes, to 3 s, which no disk should.
const BUCKETS: u16 = 16;

static ALL: LazyLock<Histogram> =
    LazyLock::new(|| Histogram::new(exponential_buckets(0.0001, 2.0, BUCKETS)));

/// All that were counted.
pub(crate) fn all() -> &'static Histogram {
    &ALL
}

/// Counts one.
pub(super) fn note(took: Duration) {
    ALL.observe(took.as_secs_f64());
}
