//! Genesis: the fixed first change that every document of a kind starts with.
//!
//! Invariants: its bytes are the same on every device and in every version, for two devices that
//! create one document while apart must share its containers: Automerge would otherwise keep two
//! maps of one name and show one of them. It is never carried in an operation, since the kind of
//! the document implies it. A container that a later version needs comes as a further fixed
//! change.

use std::num::NonZeroU64;
use std::sync::LazyLock;

use automerge::legacy::{Key, ObjectId, Op, OpId, OpType, SortedVec};
use automerge::{ExpandedChange, ObjType};

use super::put::Container;
use crate::ids::{ActorId, ChangeHash, DocumentKind};

/// The number of the description's object; the containers' numbers come before it.
pub(super) const DESCRIPTION: u64 = 6;

impl Container {
    /// All of them, in the order of their objects.
    pub const ALL: [Self; 5] = [Self::Info, Self::Params, Self::Tags, Self::Inputs, Self::Outputs];

    /// The key of the map at the root of a document of this kind.
    pub const fn name(self, kind: DocumentKind) -> &'static str {
        match (self, kind) {
            (Self::Info, _) => "info",
            (Self::Tags, _) => "tags",
            (Self::ALIASES, DocumentKind::RegisteredModel) => "aliases",
            (Self::METADATA, DocumentKind::Trace) => "metadata",
            (Self::EXPERIMENTS, DocumentKind::EvaluationDataset) => "experiments",
            (Self::VERSIONS, DocumentKind::Scorer) => "versions",
            (Self::Params, _) => "params",
            (Self::HISTORY, DocumentKind::RegisteredModel | DocumentKind::ModelVersion) => {
                "history"
            }
            (Self::ASSESSMENTS, DocumentKind::Trace) => "assessments",
            (Self::RECORDS, DocumentKind::EvaluationDataset) => "records",
            (Self::Inputs, _) => "inputs",
            (Self::LINKS, DocumentKind::Trace) => "links",
            (Self::Outputs, _) => "outputs",
        }
    }

    /// The number of the operation in the genesis change that creates the map.
    pub(super) const fn object(self) -> u64 {
        self as u64 + 1
    }

    /// The container with this object number.
    pub(super) fn from_object(object: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.object() == object)
    }
}

/// The first change of every document of one kind.
#[derive(Debug)]
pub struct Genesis {
    kind: DocumentKind,
    actor: ActorId,
    hash: ChangeHash,
    bytes: Vec<u8>,
}

impl Genesis {
    /// The highest operation number in it.
    pub(super) const MAX_OP: u64 = DESCRIPTION;

    fn new(kind: DocumentKind) -> Self {
        let mut actor = *b"runmesh/genesis\0";
        actor[15] = kind as u8;
        let make = |name: &str, object: ObjType| Op {
            action: OpType::Make(object),
            obj: ObjectId::Root,
            key: Key::Map(name.into()),
            pred: SortedVec::new(),
            insert: false,
        };
        let maps = Container::ALL.into_iter().map(|map| make(map.name(kind), ObjType::Map));
        let change = automerge::Change::from(ExpandedChange {
            operations: maps.chain([make("description", ObjType::Text)]).collect(),
            actor_id: automerge::ActorId::from(actor),
            hash: None,
            seq: 1,
            start_op: NonZeroU64::MIN,
            time: 0,
            message: None,
            deps: Vec::new(),
            extra_bytes: Vec::new(),
            author: None,
        });
        Self {
            kind,
            actor: ActorId::new(actor),
            hash: ChangeHash::new(change.hash().0),
            bytes: change.raw_bytes().to_vec(),
        }
    }

    /// The kind of document it starts.
    pub const fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// Its actor, which is no device's.
    pub const fn actor(&self) -> ActorId {
        self.actor
    }

    /// Its hash, on which the first change of every device depends.
    pub const fn hash(&self) -> ChangeHash {
        self.hash
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The id of one of the objects that it creates, for building a change.
    pub(super) fn object_id(&self, object: u64) -> ObjectId {
        ObjectId::Id(OpId::new(object, &automerge::ActorId::from(*self.actor.as_bytes())))
    }
}

/// The first change of every document of a kind.
pub fn genesis(kind: DocumentKind) -> &'static Genesis {
    static ALL: LazyLock<[Genesis; DocumentKind::ALL.len()]> =
        LazyLock::new(|| DocumentKind::ALL.map(Genesis::new));
    &ALL[kind as usize]
}
