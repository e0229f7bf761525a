//! Brings chunks of a series together.

use crate::rows::Point;

/// The points of all chunks in [`Point::history_order`], each once.
///
/// Chunks are mostly in order already, one after the other, and then this is a copy; else sorting
/// takes advantage of the runs it finds.
pub fn merge(chunks: impl IntoIterator<Item = Vec<Point>>) -> Vec<Point> {
    let mut chunks = chunks.into_iter();
    let mut points = chunks.next().unwrap_or_default();
    for chunk in chunks {
        points.extend(chunk);
    }
    if !points.is_sorted_by(|a, b| a.history_order(b).is_lt()) {
        points.sort_by(Point::history_order);
        // The order tells values apart by their bits, so equals are the same point.
        points.dedup_by(|a, b| a.history_order(b).is_eq());
    }
    points
}
