//! Reading traces from a snapshot.

use redb::ReadOnlyTable;

use super::snapshot::decode;
use super::tables::{KEYS, SPANS, TRACE_KEYS, TRACE_NUMBERS, TRACES};
use super::{Snapshot, StoreError};
use crate::ids::DocumentId;
use crate::rows::TraceRow;
use crate::trace::{EncodedSpan, Span, TraceState};

impl Snapshot {
    /// A trace that is not deleted.
    pub fn trace(&self, id: &str) -> Result<Option<TraceRow>, StoreError> {
        match self.trace_number(id)? {
            Some(number) => TraceRows::open(self)?.row(number),
            None => Ok(None),
        }
    }

    /// The local number of a trace. Numbers differ from device to device.
    pub(crate) fn trace_number(&self, id: &str) -> Result<Option<u32>, StoreError> {
        let numbers = self.txn().open_table(TRACE_NUMBERS)?;
        Ok(numbers.get(DocumentId::trace(id).id())?.map(|number| number.value()))
    }

    /// The spans of a trace, by id.
    pub fn spans(&self, id: &str) -> Result<Vec<Span>, StoreError> {
        let read = |span: EncodedSpan| span.decode().map_err(|_| damaged());
        self.encoded_spans(id)?.into_iter().map(read).collect()
    }

    pub(crate) fn encoded_spans(&self, id: &str) -> Result<Vec<EncodedSpan>, StoreError> {
        match self.trace_number(id)? {
            Some(number) => TraceRows::open(self)?.spans(number),
            None => Ok(Vec::new()),
        }
    }

    /// What is known of all traces, the deleted ones too, in order of arrival.
    pub fn traces(
        &self,
    ) -> Result<impl Iterator<Item = Result<TraceState, StoreError>> + use<>, StoreError> {
        let rows = self.txn().open_table(TRACES)?.range::<u32>(..)?;
        Ok(rows.map(|item| decode("traces", item?.1.value())))
    }

    /// The local number of a tag's or fact's key, if any run or trace has it.
    pub(crate) fn trace_key_number(&self, key: &str) -> Result<Option<u32>, StoreError> {
        Ok(self.txn().open_table(KEYS)?.get(key)?.map(|number| number.value()))
    }

    /// Keys between these two, the first included, in order or backwards.
    pub(crate) fn trace_keys(
        &self,
        low: &[u8],
        high: &[u8],
    ) -> Result<impl DoubleEndedIterator<Item = Result<Vec<u8>, StoreError>> + use<>, StoreError>
    {
        let keys = self.txn().open_table(TRACE_KEYS)?.range::<&[u8]>(low..high)?;
        Ok(keys.map(|item| Ok(item?.0.value().to_vec())))
    }
}

/// Rows and spans of traces by number, for who reads many.
pub(crate) struct TraceRows {
    rows: ReadOnlyTable<u32, &'static [u8]>,
    spans: ReadOnlyTable<(u32, u64), &'static [u8]>,
}

impl TraceRows {
    pub(crate) fn open(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let txn = snapshot.txn();
        Ok(Self { rows: txn.open_table(TRACES)?, spans: txn.open_table(SPANS)? })
    }

    /// A trace that is not deleted.
    pub(crate) fn row(&self, number: u32) -> Result<Option<TraceRow>, StoreError> {
        let Some(bytes) = self.rows.get(number)? else { return Ok(None) };
        let state: TraceState = decode("traces", bytes.value())?;
        Ok((!state.deleted).then(|| state.into_row()))
    }

    pub(crate) fn spans(&self, number: u32) -> Result<Vec<EncodedSpan>, StoreError> {
        let mut spans = Vec::new();
        for item in self.spans.range((number, 0)..=(number, u64::MAX))? {
            spans.push(EncodedSpan::held(item?.1.value()).ok_or_else(damaged)?);
        }
        Ok(spans)
    }
}

pub(crate) fn damaged() -> StoreError {
    StoreError::NotOurs("a span is damaged; rebuild the index")
}
