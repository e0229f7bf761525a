//! Series: the points of the metrics of a run.
//!
//! A series is a set: logging a point again, or getting it from two devices, adds nothing. Points
//! never touch a document, for there are millions of them. They travel in operations that hold
//! points of any number of series of one run ([`encode_points`]) and are kept in chunks of one
//! series ([`encode_columns`]).

mod columns;
mod merge;
mod points;
mod thin;

pub use columns::{MAX_POINTS, decode_columns, encode_columns};
pub use merge::merge;
pub use points::{
    MAX_CONTEXT_BYTES, MAX_KEY_BYTES, MAX_SERIES_PER_OPERATION, SeriesPoints, decode_points,
    encode_points,
};
pub use thin::{Axis, thin};

#[cfg(test)]
mod tests;
