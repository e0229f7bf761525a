//! Reading a few values of a run's row without reading the rest.
//!
//! A row is postcard's form of a [`RunRow`](super::RunRow). Deserializing the eighty texts of a
//! row costs several times what it takes to step over them by their lengths, and whoever searches or
//! makes columns looks at many more rows than are returned.

use serde::Deserialize;

use super::{Lifecycle, Point, RunStatus};
use crate::ids::{ExperimentId, RunId};
use crate::store::StoreError;

/// What a run's row starts with: all that every run has. The fields are those of
/// [`RunRow`](super::RunRow), in its order.
#[derive(Deserialize)]
pub(crate) struct RunHead<'a> {
    pub(crate) id: RunId,
    pub(crate) experiment: ExperimentId,
    pub(crate) name: &'a str,
    pub(crate) user: &'a str,
    pub(crate) status: RunStatus,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: Option<i64>,
    _deleted_ms: Option<i64>,
    description: &'a str,
}

impl<'a> RunHead<'a> {
    /// Reads the head of a row, and returns where the rest starts: params, tags, metrics, datasets.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, RowCursor<'a>), StoreError> {
        let (head, rest) = postcard::take_from_bytes(bytes).map_err(damaged_run)?;
        Ok((head, RowCursor(rest)))
    }

    /// From start to end, in milliseconds, if it has ended.
    pub(crate) fn duration_ms(&self) -> Option<i64> {
        self.end_ms.map(|end_ms| end_ms.saturating_sub(self.start_ms))
    }

    /// The note that people edit, if there is one.
    pub(crate) fn description(&self) -> Option<&'a str> {
        (!self.description.is_empty()).then_some(self.description)
    }
}

/// That the bytes of a run's row are not as they should be.
pub(crate) const fn damaged_run(source: postcard::Error) -> StoreError {
    StoreError::DamagedRow { table: "index-runs", source }
}

/// That a run's row ends too early.
pub(crate) const fn cut_short() -> StoreError {
    damaged_run(postcard::Error::DeserializeUnexpectedEnd)
}

/// The rest of a row's bytes. Every step is `None` if they are not as they should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowCursor<'a>(pub(crate) &'a [u8]);

/// What a [`Metric`](super::Metric) starts with: its key, then its context, then its point.
const CONTEXT_TEXTS: usize = 3;

impl<'a> RowCursor<'a> {
    /// Steps over the length of a list, and returns it.
    pub(crate) fn length(&mut self) -> Option<u64> {
        self.varint()
    }

    /// Steps over a key and its value.
    pub(crate) fn next_pair(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.text()?, self.text()?))
    }

    /// Steps over the latest point of a series, and returns it with the metric's key.
    pub(crate) fn next_metric(&mut self) -> Option<(&'a [u8], Point)> {
        let key = self.text()?;
        for _ in 0..CONTEXT_TEXTS {
            self.text()?;
        }
        let (step, timestamp_ms) = (self.signed()?, self.signed()?);
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some((key, Point { step, timestamp_ms, value: f64::from_le_bytes(*value) }))
    }

    /// Steps over a list of pairs, which are sorted by key, and returns the value of one key.
    pub(crate) fn pair(&mut self, wanted: Option<&str>) -> Option<Option<&'a [u8]>> {
        let mut found = None;
        for _ in 0..self.length()? {
            let (key, value) = self.next_pair()?;
            if wanted.is_some_and(|wanted| wanted.as_bytes() == key) {
                found = Some(value);
            }
        }
        Some(found)
    }

    /// Steps over the latest points, and returns that of a metric in whatever context, as
    /// [`RunRow::metric`](super::RunRow::metric) has it.
    pub(crate) fn metric(&mut self, wanted: Option<&str>) -> Option<Option<Point>> {
        let mut latest: Option<Point> = None;
        for _ in 0..self.length()? {
            let (key, point) = self.next_metric()?;
            let is_later = |held: Point| held.latest_order(&point).is_le();
            if wanted.is_some_and(|wanted| wanted.as_bytes() == key) && latest.is_none_or(is_later)
            {
                latest = Some(point);
            }
        }
        Some(latest)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{KeyValue, Metric, MetricContext};

    fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
        let pairs = prop::collection::btree_map("[a-c]{0,2}", ".{0,200}", 0..5);
        pairs.prop_map(|pairs| pairs.into_iter().map(|(k, v)| KeyValue::new(k, v)).collect())
    }

    fn metrics() -> impl Strategy<Value = Vec<Metric>> {
        let metric = ("[a-c]", "[m]{0,2}", any::<(i64, i64, f64)>()).prop_map(
            |(key, model_id, (step, timestamp_ms, value))| Metric {
                key,
                context: MetricContext { model_id, ..MetricContext::default() },
                point: Point { step, timestamp_ms, value },
            },
        );
        prop::collection::vec(metric, 0..5)
    }

    proptest! {
        #[test]
        fn what_is_stepped_over_is_what_was_written(
            pairs in pairs(),
            metrics in metrics(),
            end: u8,
            wanted in "[a-c]{0,2}",
        ) {
            let bytes = postcard::to_stdvec(&(&pairs, &metrics, end)).expect("plain data");
            let mut cursor = RowCursor(&bytes);
            let value = crate::rows::lookup(&pairs, &wanted).map(str::as_bytes);
            prop_assert_eq!(cursor.pair(Some(&wanted)), Some(value));
            let same = metrics.iter().filter(|metric| metric.key == wanted);
            let latest = same.map(|metric| metric.point).max_by(|a, b| a.latest_order(b));
            let found = cursor.metric(Some(&wanted)).expect("metrics");
            let bits = |point: Option<Point>| {
                point.map(|p| (p.step, p.timestamp_ms, p.value.to_bits()))
            };
            prop_assert_eq!(bits(found), bits(latest));
            prop_assert_eq!(cursor.0, [end]);
            // What was cut short is noticed.
            for length in 0..bytes.len() - 1 {
                let mut cursor = RowCursor(&bytes[..length]);
                let all = cursor.pair(None).and_then(|_| cursor.metric(None));
                prop_assert!(all.is_none(), "{} of {} bytes", length, bytes.len());
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let mut cursor = RowCursor(&bytes);
            let _ = cursor.pair(Some("a")).and_then(|_| cursor.metric(Some("a")));
        }
    }
}
