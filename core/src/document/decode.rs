//! Reads the bytes of an Automerge change, strictly.
//!
//! Automerge's own reader is made for bytes of friends: a run length of 2^60 keeps it busy for
//! ever, and it asserts where a peer can lie. This one reads the subset that runmesh writes: puts
//! and deletions of texts and integers in the maps of the genesis change, insertions and
//! deletions in its text. Invariants: whatever the bytes, it neither panics nor loops nor
//! allocates beyond [`MAX_CHANGE_OPS`]; what it accepts, Automerge reads the same (a test
//! compares the two). The format: <https://automerge.org/automerge-binary-format-spec/>.

use sha2::{Digest, Sha256};

use super::genesis::{DESCRIPTION, genesis};
use super::put::{Container, Scalar};
use super::runs::{Booleans, Deltas, Runs, count_runs, read_signed};
use crate::clock::Clock;
use crate::codec::{DecodeError, Reader};
use crate::ids::{ActorId, ChangeHash, DocumentKind};
use crate::operation::MAX_CONTENT_BYTES;

/// The most operations in one change. A description of this many characters is one change.
pub const MAX_CHANGE_OPS: usize = 1 << 18;
/// The most changes that one change can name as those it follows.
pub const MAX_DEPENDENCIES: usize = 1 << 12;
/// The most actors that one change can name.
pub const MAX_ACTORS: usize = 1 << 12;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHANGE_CHUNK: u8 = 1;

/// Names an operation of a document; ordered as Automerge orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct OpId {
    pub(super) counter: u64,
    pub(super) actor: ActorId,
}

/// One operation of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op<'a> {
    /// Sets or deletes a key of a map, in place of the values it names.
    Put { container: Container, key: &'a str, value: Option<Value<'a>>, replaces: Vec<OpId> },
    /// Inserts into the description, after an element or at the start.
    Insert { after: Option<OpId>, text: &'a str },
    /// Deletes an element of the description.
    Delete { element: OpId },
}

/// A value as it stands in the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Integer(i64),
}

impl From<Value<'_>> for Scalar {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Text(text) => Self::from(text),
            Value::Integer(integer) => Self::from(integer),
        }
    }
}

/// A change whose head has been read and whose columns have been told apart.
#[derive(Debug, Clone)]
pub(super) struct RawChange<'a> {
    pub(super) hash: ChangeHash,
    pub(super) deps: Vec<ChangeHash>,
    pub(super) actor: ActorId,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) clock: Clock,
    pub(super) ops: usize,
    kind: DocumentKind,
    others: Vec<ActorId>,
    columns: Columns<'a>,
}

impl<'a> RawChange<'a> {
    /// Reads all but the operations.
    pub(super) fn read(kind: DocumentKind, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array("change magic")? != MAGIC {
            return Err(DecodeError::Invalid { what: "change magic" });
        }
        let checksum = reader.array::<4>("change checksum")?;
        let hashed = reader.rest();
        // A deflated change is another chunk type: entries are compressed as a whole.
        if reader.u8("chunk type")? != CHANGE_CHUNK {
            return Err(DecodeError::Invalid { what: "chunk type" });
        }
        let length = reader.length(MAX_CONTENT_BYTES, "change")?;
        if length != reader.rest().len() {
            return Err(DecodeError::Invalid { what: "change length" });
        }
        let hash: [u8; 32] = Sha256::digest(hashed).into();
        if hash[..4] != checksum {
            return Err(DecodeError::Invalid { what: "change checksum" });
        }
        Self::read_body(kind, ChangeHash::new(hash), reader)
    }

    fn read_body(
        kind: DocumentKind,
        hash: ChangeHash,
        mut reader: Reader<'a>,
    ) -> Result<Self, DecodeError> {
        let mut deps = Vec::new();
        for _ in 0..reader.length(MAX_DEPENDENCIES, "dependencies")? {
            deps.push(ChangeHash::new(reader.array("dependency")?));
        }
        let actor = read_actor(&mut reader)?;
        let seq = reader.varint("sequence number")?;
        let start_op = reader.varint("first operation")?;
        let clock = Clock(read_signed(&mut reader, "time")? as u64);
        reader.length(0, "message")?;
        let mut others = Vec::new();
        for _ in 0..reader.length(MAX_ACTORS, "actors")? {
            others.push(read_actor(&mut reader)?);
        }
        let columns = Columns::read(&mut reader)?;
        reader.finish("change")?;
        let ops = count_runs(columns.action)?;
        let in_order = deps.is_sorted_by(|a, b| a < b);
        let bounded = (1..=u64::from(u32::MAX) - MAX_CHANGE_OPS as u64).contains(&start_op);
        if deps.is_empty() || !in_order || seq == 0 || !bounded || ops == 0 {
            return Err(DecodeError::Invalid { what: "change head" });
        }
        Ok(Self { hash, deps, actor, seq, start_op, clock, ops, kind, others, columns })
    }

    /// The number of the last operation.
    pub(super) const fn max_op(&self) -> u64 {
        self.start_op + self.ops as u64 - 1
    }

    /// The id of the operation at a place.
    pub(super) const fn op_id(&self, at: usize) -> OpId {
        OpId { counter: self.start_op + at as u64, actor: self.actor }
    }

    /// Reads the operations.
    pub(super) fn read_ops(&self) -> Result<Vec<Op<'a>>, DecodeError> {
        let mut cells = Cells::new(&self.columns);
        let mut ops = Vec::with_capacity(self.ops);
        for _ in 0..self.ops {
            ops.push(self.read_op(&mut cells)?);
        }
        cells.finish()?;
        Ok(ops)
    }

    fn read_op(&self, cells: &mut Cells<'a>) -> Result<Op<'a>, DecodeError> {
        const INVALID: DecodeError = DecodeError::Invalid { what: "operation" };
        let object = self.op_ref(cells.obj_actor.next()?, cells.obj_counter.next()?)?;
        let key_actor = cells.key_actor.next()?;
        let key_counter = cells.key_counter.next()?;
        let key = cells.key_text.next()?;
        let inserts = cells.insert.next()?;
        let action = cells.action.next()?.and_then(Action::from_number).ok_or(INVALID)?;
        let value = cells.value()?;
        let replaces = self.replaced(cells)?;
        if object.actor != genesis(self.kind).actor() {
            return Err(INVALID);
        }
        if let Some(key) = key {
            let container = Container::from_object(object.counter).ok_or(INVALID)?;
            let value = match (action, value) {
                (Action::Put, Some(value)) => Some(value),
                (Action::Delete, None) if !replaces.is_empty() => None,
                _ => return Err(INVALID),
            };
            let plain = key_actor.is_none() && key_counter.is_none() && !inserts;
            return if plain {
                Ok(Op::Put { container, key, value, replaces })
            } else {
                Err(INVALID)
            };
        }
        if object.counter != DESCRIPTION {
            return Err(INVALID);
        }
        let element = match (key_actor, key_counter) {
            (None, Some(0)) => None,
            (actor, Some(counter)) => {
                Some(self.op_ref(actor, Some(u64::try_from(counter).map_err(|_| INVALID)?))?)
            }
            _ => return Err(INVALID),
        };
        match (action, inserts, value, element) {
            (Action::Put, true, Some(Value::Text(text)), after)
                if replaces.is_empty() && !text.is_empty() =>
            {
                Ok(Op::Insert { after, text })
            }
            (Action::Delete, false, None, Some(element)) if replaces == [element] => {
                Ok(Op::Delete { element })
            }
            _ => Err(INVALID),
        }
    }

    fn replaced(&self, cells: &mut Cells<'a>) -> Result<Vec<OpId>, DecodeError> {
        const INVALID: DecodeError = DecodeError::Invalid { what: "replaced operations" };
        let count = cells.pred_count.next()?.ok_or(INVALID)?;
        let mut replaced = Vec::new();
        for _ in 0..count {
            // Each takes at least its place in the limit, so a count that lies ends here.
            cells.preds_left = cells.preds_left.checked_sub(1).ok_or(INVALID)?;
            let counter =
                cells.pred_counter.next()?.and_then(|counter| u64::try_from(counter).ok());
            replaced.push(self.op_ref(cells.pred_actor.next()?, counter)?);
        }
        if replaced.is_sorted_by(|a, b| a < b) { Ok(replaced) } else { Err(INVALID) }
    }

    fn op_ref(&self, actor: Option<u64>, counter: Option<u64>) -> Result<OpId, DecodeError> {
        let actor = actor.and_then(|at| usize::try_from(at).ok()).and_then(|at| match at {
            0 => Some(self.actor),
            at => self.others.get(at - 1).copied(),
        });
        match (actor, counter) {
            (Some(actor), Some(counter @ 1..)) => Ok(OpId { counter, actor }),
            _ => Err(DecodeError::Invalid { what: "operation id" }),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Put,
    Delete,
}

impl Action {
    const fn from_number(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::Put),
            3 => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The bytes of each column; those that a change leaves out are empty.
#[derive(Debug, Clone, Default)]
struct Columns<'a> {
    obj_actor: &'a [u8],
    obj_counter: &'a [u8],
    key_actor: &'a [u8],
    key_counter: &'a [u8],
    key_text: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_meta: &'a [u8],
    value: &'a [u8],
    pred_count: &'a [u8],
    pred_actor: &'a [u8],
    pred_counter: &'a [u8],
}

impl<'a> Columns<'a> {
    const COUNT: usize = 12;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut lengths = Vec::with_capacity(Self::COUNT);
        for _ in 0..reader.length(Self::COUNT, "columns")? {
            let column = reader.varint("column")?;
            lengths.push((column, reader.length(MAX_CONTENT_BYTES, "column")?));
        }
        if !lengths.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(DecodeError::Invalid { what: "column order" });
        }
        let mut columns = Self::default();
        for (column, length) in lengths {
            let place = match column {
                0x01 => &mut columns.obj_actor,
                0x02 => &mut columns.obj_counter,
                0x11 => &mut columns.key_actor,
                0x13 => &mut columns.key_counter,
                0x15 => &mut columns.key_text,
                0x34 => &mut columns.insert,
                0x42 => &mut columns.action,
                0x56 => &mut columns.value_meta,
                0x57 => &mut columns.value,
                0x70 => &mut columns.pred_count,
                0x71 => &mut columns.pred_actor,
                0x73 => &mut columns.pred_counter,
                _ => return Err(DecodeError::Invalid { what: "column" }),
            };
            *place = reader.take(length, "column")?;
        }
        Ok(columns)
    }
}

/// Reads the columns row by row.
struct Cells<'a> {
    obj_actor: Runs<'a, u64>,
    obj_counter: Runs<'a, u64>,
    key_actor: Runs<'a, u64>,
    key_counter: Deltas<'a>,
    key_text: Runs<'a, &'a str>,
    insert: Booleans<'a>,
    action: Runs<'a, u64>,
    value_meta: Runs<'a, u64>,
    value: Reader<'a>,
    pred_count: Runs<'a, u64>,
    pred_actor: Runs<'a, u64>,
    pred_counter: Deltas<'a>,
    preds_left: usize,
}

impl<'a> Cells<'a> {
    fn new(columns: &Columns<'a>) -> Self {
        Self {
            obj_actor: Runs::numbers(columns.obj_actor),
            obj_counter: Runs::numbers(columns.obj_counter),
            key_actor: Runs::numbers(columns.key_actor),
            key_counter: Deltas::new(columns.key_counter),
            key_text: Runs::texts(columns.key_text),
            insert: Booleans::new(columns.insert),
            action: Runs::numbers(columns.action),
            value_meta: Runs::numbers(columns.value_meta),
            value: Reader::new(columns.value),
            pred_count: Runs::numbers(columns.pred_count),
            pred_actor: Runs::numbers(columns.pred_actor),
            pred_counter: Deltas::new(columns.pred_counter),
            preds_left: MAX_CHANGE_OPS,
        }
    }

    fn value(&mut self) -> Result<Option<Value<'a>>, DecodeError> {
        const NULL: u64 = 0;
        const INTEGER: u64 = 4;
        const TEXT: u64 = 6;
        const INVALID: DecodeError = DecodeError::Invalid { what: "value" };
        let meta = self.value_meta.next()?.ok_or(INVALID)?;
        let length = usize::try_from(meta >> 4).map_err(|_| INVALID)?;
        let mut reader = Reader::new(self.value.take(length, "value")?);
        match meta & 0xf {
            NULL if length == 0 => Ok(None),
            INTEGER => {
                let integer = read_signed(&mut reader, "integer")?;
                reader.finish("integer")?;
                Ok(Some(Value::Integer(integer)))
            }
            TEXT => {
                let text = std::str::from_utf8(reader.rest()).map_err(|_| INVALID)?;
                Ok(Some(Value::Text(text)))
            }
            _ => Err(INVALID),
        }
    }

    fn finish(self) -> Result<(), DecodeError> {
        self.obj_actor.finish()?;
        self.obj_counter.finish()?;
        self.key_actor.finish()?;
        self.key_counter.finish()?;
        self.key_text.finish()?;
        self.insert.finish()?;
        self.action.finish()?;
        self.value_meta.finish()?;
        self.value.finish("values")?;
        self.pred_count.finish()?;
        self.pred_actor.finish()?;
        self.pred_counter.finish()
    }
}

fn read_actor(reader: &mut Reader<'_>) -> Result<ActorId, DecodeError> {
    if reader.length(ActorId::LEN, "actor")? != ActorId::LEN {
        return Err(DecodeError::Invalid { what: "actor" });
    }
    reader.array("actor").map(ActorId::new)
}
