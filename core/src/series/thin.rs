//! Thins a series to what a chart can show.
//!
//! The axis is cut into equal parts, and of each part the lowest and the highest point stay, in
//! their order: a spike of one point among a million is still seen, which an average or every nth
//! point would lose. Of points that are not numbers a part keeps the first, so that a curve breaks
//! where its values do.

use std::ops::RangeInclusive;

use crate::rows::Point;

/// What a chart has along its bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// The step.
    Step,
    /// The time.
    Time,
}

impl Axis {
    /// Where on the axis a point is.
    pub const fn of(self, point: &Point) -> i64 {
        match self {
            Self::Step => point.step,
            Self::Time => point.timestamp_ms,
        }
    }
}

/// The points within a part of an axis, in its order: all if there are at most `limit`, else two
/// and, where values are not numbers, one more of each of `limit / 2` parts. The first and the
/// last stay.
///
/// A point before and one after the range come along, so that the curve goes on to the edges.
pub fn thin(
    mut points: Vec<Point>,
    axis: Axis,
    range: &RangeInclusive<i64>,
    limit: usize,
) -> Vec<Point> {
    if !points.is_sorted_by_key(|point| axis.of(point)) {
        points.sort_by_key(|point| axis.of(point));
    }
    let from = points.partition_point(|point| axis.of(point) < *range.start()).saturating_sub(1);
    let until = points.partition_point(|point| axis.of(point) <= *range.end());
    let points = &points[from..points.len().min(until + 1).max(from)];
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= limit {
        return points.to_vec();
    }
    let parts = (limit / 2).max(1) as i128;
    let (low, high) = (i128::from(axis.of(first)), i128::from(axis.of(last)));
    let part = |point: &Point| (i128::from(axis.of(point)) - low) * parts / (high - low + 1);
    let mut kept = vec![*first];
    let inner = &points[1..points.len() - 1];
    for chunk in inner.chunk_by(|a, b| part(a) == part(b)) {
        keep(chunk, &mut kept);
    }
    kept.push(*last);
    kept
}

/// Keeps the lowest and the highest point of a part, and the first that is not a number.
fn keep(part: &[Point], kept: &mut Vec<Point>) {
    let finite = || part.iter().enumerate().filter(|(_, point)| point.value.is_finite());
    let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.value.total_cmp(&b.1.value);
    let mut places = [
        finite().min_by(by_value).map(|(place, _)| place),
        finite().max_by(by_value).map(|(place, _)| place),
        part.iter().position(|point| !point.value.is_finite()),
    ];
    places.sort_unstable();
    let mut before = None;
    for place in places.into_iter().flatten() {
        if before.replace(place) != Some(place) {
            kept.push(part[place]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;

    fn series(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        let point = |(step, value)| Point { step, timestamp_ms: 1_000 + step, value };
        (0..).zip(values).map(point).collect()
    }

    #[test]
    fn a_spike_among_a_million_points_is_seen() {
        let mut points = series((0..1_000_000).map(|step| f64::from(step % 100)));
        points[777_777].value = 1e9;
        points[333_333].value = -1e9;
        let thinned = thin(points.clone(), Axis::Step, &ALL, 2_000);
        assert!(thinned.len() <= 2_002, "{}", thinned.len());
        assert!(thinned.contains(&points[777_777]) && thinned.contains(&points[333_333]));
        assert_eq!((thinned[0], thinned[thinned.len() - 1]), (points[0], points[999_999]));
        assert!(thinned.is_sorted_by_key(|point| point.step));
    }

    #[test]
    fn a_part_of_the_axis_comes_with_its_neighbours() {
        let points = series((0..100).map(f64::from));
        let steps = |range| -> Vec<i64> {
            thin(points.clone(), Axis::Step, &range, 50).iter().map(|point| point.step).collect()
        };
        assert_eq!(steps(10..=12), [9, 10, 11, 12, 13]);
        assert_eq!(steps(-5..=0), [0, 1]);
        assert_eq!(steps(99..=200), [98, 99]);
        assert_eq!(steps(500..=600), [99]);
        let times = thin(points.clone(), Axis::Time, &(1_010..=1_010), 50);
        assert_eq!(times, points[9..12]);
        assert!(thin(Vec::new(), Axis::Step, &ALL, 50).is_empty());
    }

    #[test]
    fn the_ends_of_the_axis_overflow_nothing() {
        let at = |step| Point { step, timestamp_ms: 0, value: 1.0 };
        let points = vec![at(i64::MIN), at(-1), at(0), at(1), at(i64::MAX)];
        let thinned = thin(points, Axis::Step, &ALL, 2);
        assert_eq!((thinned[0].step, thinned[thinned.len() - 1].step), (i64::MIN, i64::MAX));
    }

    #[test]
    fn a_curve_breaks_where_its_values_do() {
        let mut points = series((0..1_000).map(f64::from));
        points[500].value = f64::NAN;
        let thinned = thin(points, Axis::Step, &ALL, 20);
        assert_eq!(thinned.iter().filter(|point| point.value.is_nan()).count(), 1);
    }
}
