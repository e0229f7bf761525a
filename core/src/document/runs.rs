//! The columns of an Automerge change: run-length coded numbers, differences, texts and booleans.
//!
//! Invariant: a row is read in constant time and a column is never held unpacked, so a run of any
//! length costs no more than the rows that the reader asks for.

use super::decode::MAX_CHANGE_OPS;
use crate::codec::{DecodeError, Reader};
use crate::operation::MAX_CONTENT_BYTES;

/// A run-length encoded column. A column that ends early goes on as nulls, as Automerge has it.
pub(super) struct Runs<'a, T> {
    reader: Reader<'a>,
    read: fn(&mut Reader<'a>) -> Result<T, DecodeError>,
    run: Run<T>,
    left: u64,
}

enum Run<T> {
    Same(T),
    Each,
    Nulls,
}

impl<'a> Runs<'a, u64> {
    pub(super) fn numbers(bytes: &'a [u8]) -> Self {
        Self::new(bytes, |reader| reader.varint("number"))
    }
}

impl<'a> Runs<'a, &'a str> {
    pub(super) fn texts(bytes: &'a [u8]) -> Self {
        Self::new(bytes, |reader| reader.text(MAX_CONTENT_BYTES, "key"))
    }
}

impl<'a, T: Copy> Runs<'a, T> {
    fn new(bytes: &'a [u8], read: fn(&mut Reader<'a>) -> Result<T, DecodeError>) -> Self {
        Self { reader: Reader::new(bytes), read, run: Run::Nulls, left: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<T>, DecodeError> {
        if self.left == 0 {
            if self.reader.is_empty() {
                return Ok(None);
            }
            let (left, run) = match read_signed(&mut self.reader, "run length")? {
                0 => (self.reader.varint("run of nulls")?, Run::Nulls),
                count @ 1.. => (count.unsigned_abs(), Run::Same((self.read)(&mut self.reader)?)),
                count => (count.unsigned_abs(), Run::Each),
            };
            if left == 0 {
                return Err(DecodeError::Invalid { what: "run length" });
            }
            (self.left, self.run) = (left, run);
        }
        self.left -= 1;
        match self.run {
            Run::Same(value) => Ok(Some(value)),
            Run::Each => (self.read)(&mut self.reader).map(Some),
            Run::Nulls => Ok(None),
        }
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.left > 0 {
            return Err(DecodeError::Invalid { what: "run length" });
        }
        self.reader.finish("column")
    }
}

/// A column of differences.
pub(super) struct Deltas<'a> {
    deltas: Runs<'a, i64>,
    absolute: i64,
}

impl<'a> Deltas<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { deltas: Runs::new(bytes, |reader| read_signed(reader, "delta")), absolute: 0 }
    }

    pub(super) fn next(&mut self) -> Result<Option<i64>, DecodeError> {
        let Some(delta) = self.deltas.next()? else { return Ok(None) };
        let sum = self.absolute.checked_add(delta);
        self.absolute = sum.ok_or(DecodeError::Invalid { what: "delta" })?;
        Ok(Some(self.absolute))
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        self.deltas.finish()
    }
}

/// A column of booleans: lengths of runs of false and true in turn.
pub(super) struct Booleans<'a> {
    reader: Reader<'a>,
    value: bool,
    left: u64,
}

impl<'a> Booleans<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), value: true, left: 0 }
    }

    pub(super) fn next(&mut self) -> Result<bool, DecodeError> {
        while self.left == 0 {
            self.value = !self.value;
            self.left = self.reader.varint("boolean run")?;
        }
        self.left -= 1;
        Ok(self.value)
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.left > 0 {
            return Err(DecodeError::Invalid { what: "boolean run" });
        }
        self.reader.finish("booleans")
    }
}

/// Counts the rows of a column of numbers without going through them one by one.
pub(super) fn count_runs(bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut total = 0u64;
    while !reader.is_empty() {
        let count = read_signed(&mut reader, "run length")?;
        let values = if count < 0 { count.unsigned_abs() } else { 1 };
        total = total.saturating_add(count.unsigned_abs());
        if count == 0 || total > MAX_CHANGE_OPS as u64 {
            let (what, limit) = ("operations of a change", MAX_CHANGE_OPS);
            return Err(DecodeError::TooLong { what, length: total, limit });
        }
        for _ in 0..values {
            reader.varint("action")?;
        }
    }
    Ok(total as usize)
}

/// Takes a signed LEB128 number in its shortest form.
pub(super) fn read_signed(reader: &mut Reader<'_>, what: &'static str) -> Result<i64, DecodeError> {
    let mut value = 0i128;
    let mut previous = 0;
    for shift in (0..70).step_by(7) {
        let byte = reader.u8(what)?;
        value |= i128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let extended = if byte & 0x40 == 0 { value } else { value - (1 << (shift + 7)) };
            // The last byte must say more than the sign of the one before.
            let idle =
                (byte == 0 && previous & 0x40 == 0) || (byte == 0x7f && previous & 0x40 != 0);
            if shift > 0 && idle {
                return Err(DecodeError::Invalid { what });
            }
            return i64::try_from(extended).map_err(|_| DecodeError::Invalid { what });
        }
        previous = byte;
    }
    Err(DecodeError::Invalid { what })
}
