//! Names of things: devices, workspaces, journals, documents, runs, blobs.
//!
//! Every id is a fixed number of bytes and is written in lowercase hex. None of them is ever
//! reused, and an id says nothing about where a thing is stored.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An id that is not the hex form of the right number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not {expected_chars} hexadecimal digits: {text:?}")]
pub struct ParseIdError {
    expected_chars: usize,
    text: String,
}

fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseIdError> {
    let error = || ParseIdError { expected_chars: N * 2, text: text.chars().take(128).collect() };
    let bytes = HEXLOWER.decode(text.to_ascii_lowercase().as_bytes()).map_err(|_| error())?;
    bytes.try_into().map_err(|_| error())
}

/// A fixed number of bytes that name a thing of kind `K`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<K, const N: usize>([u8; N], PhantomData<K>);

impl<K, const N: usize> Id<K, N> {
    /// The id's length in bytes.
    pub const LEN: usize = N;

    /// The id with these bytes.
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes, PhantomData)
    }

    /// The id's bytes.
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The first ten hex digits: enough for a person to tell two apart.
    pub fn short(&self) -> String {
        HEXLOWER.encode(&self.0[..5])
    }
}

impl<K, const N: usize> fmt::Display for Id<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl<K, const N: usize> fmt::Debug for Id<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl<K, const N: usize> FromStr for Id<K, N> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text).map(Self::new)
    }
}

impl<K, const N: usize> Serialize for Id<K, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            byte_array::serialize(&self.0, serializer)
        }
    }
}

impl<'de, K, const N: usize> Deserialize<'de> for Id<K, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            byte_array::deserialize(deserializer).map(Self::new)
        }
    }
}

#[cfg(feature = "openapi")]
impl<K, const N: usize> utoipa::PartialSchema for Id<K, N> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        let digits = format!("^[0-9a-f]{{{}}}$", 2 * N);
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(digits)).into()
    }
}

#[cfg(feature = "openapi")]
impl<K, const N: usize> utoipa::ToSchema for Id<K, N> {
    fn name() -> std::borrow::Cow<'static, str> {
        let kind = std::any::type_name::<K>();
        format!("{}Id", kind.rsplit("::").next().unwrap_or(kind)).into()
    }
}

/// What an [`Id`] can name. These types have no values; they keep ids of different kinds apart.
pub mod kind {
    /// See [`DeviceId`](super::DeviceId).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Device {}
    /// See [`WorkspaceId`](super::WorkspaceId).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Workspace {}
    /// See [`Incarnation`](super::Incarnation).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Restart {}
    /// See [`EntryHash`](super::EntryHash).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Entry {}
    /// See [`BlobHash`](super::BlobHash).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Blob {}
    /// See [`RunId`](super::RunId).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Run {}
    /// See [`ChangeHash`](super::ChangeHash).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Change {}
    /// See [`ActorId`](super::ActorId).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Actor {}
}

/// One installation, named by its Ed25519 public key, which is also its iroh endpoint id.
pub type DeviceId = Id<kind::Device, 32>;
/// The unit of sharing. Derived from its founder and a nonce, so it cannot be claimed by others.
pub type WorkspaceId = Id<kind::Workspace, 32>;
/// One (re)start of a device's history: 16 random bytes.
pub type Incarnation = Id<kind::Restart, 16>;
/// The hash of an entry's signed header.
pub type EntryHash = Id<kind::Entry, 32>;
/// The BLAKE3 hash of a blob's bytes.
pub type BlobHash = Id<kind::Blob, 32>;
/// A run: 16 random bytes, which clients see as 32 hex digits.
pub type RunId = Id<kind::Run, 16>;
/// The hash by which Automerge names a change of a document.
pub type ChangeHash = Id<kind::Change, 32>;
/// Whom Automerge takes for the author of a change: derived from a device and a nonce.
pub type ActorId = Id<kind::Actor, 16>;

/// Byte arrays of any length in serde's tuple form: no length prefix, no copy on the heap.
mod byte_array {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::ser::SerializeTuple;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(N)?;
        for byte in bytes {
            tuple.serialize_element(byte)?;
        }
        tuple.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        struct Bytes<const N: usize>;
        impl<'de, const N: usize> Visitor<'de> for Bytes<N> {
            type Value = [u8; N];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{N} bytes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<[u8; N], A::Error> {
                let mut bytes = [0; N];
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte =
                        seq.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &self))?;
                }
                Ok(bytes)
            }
        }
        deserializer.deserialize_tuple(N, Bytes::<N>)
    }
}

/// One device's append-only list of entries since one (re)start of its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JournalId {
    /// Whose journal it is.
    pub device: DeviceId,
    /// Which (re)start of the device's history.
    pub incarnation: Incarnation,
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device.short(), self.incarnation.short())
    }
}

/// What kind of thing a document describes. The numbers are part of the signed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DocumentKind {
    /// The workspace's settings; also owns artifacts that belong to no run. There is one.
    Workspace = 0,
    /// An experiment, named by its name.
    Experiment = 1,
    /// A run, named at random.
    Run = 2,
    /// A registered model, named by its name.
    RegisteredModel = 3,
    /// A version of a registered model, named at random: its number is only a claim.
    ModelVersion = 4,
    /// A model that a run produced or that was logged without one, named at random.
    LoggedModel = 5,
    /// What is said of a trace after it was written, named by the trace.
    Trace = 6,
    /// A dataset for evaluation, named at random.
    EvaluationDataset = 7,
    /// A scorer of an experiment, named by both.
    Scorer = 8,
}

impl DocumentKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Workspace,
        Self::Experiment,
        Self::Run,
        Self::RegisteredModel,
        Self::ModelVersion,
        Self::LoggedModel,
        Self::Trace,
        Self::EvaluationDataset,
        Self::Scorer,
    ];

    /// The kind with this number in the signed format, if this version knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "workspace",
            Self::Experiment => "experiment",
            Self::Run => "run",
            Self::RegisteredModel => "registered model",
            Self::ModelVersion => "model version",
            Self::LoggedModel => "logged model",
            Self::Trace => "trace",
            Self::EvaluationDataset => "evaluation dataset",
            Self::Scorer => "scorer",
        }
    }
}

/// What the name of a logged model starts with.
const LOGGED_MODEL: &str = "m-";

/// Names a document: its kind's number and 16 bytes. Unknown kinds are kept and forwarded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentId {
    kind: u8,
    id: [u8; 16],
}

impl DocumentId {
    /// Length of the signed form: the kind's number and the id.
    pub const LEN: usize = 17;

    /// The workspace's settings.
    pub const WORKSPACE: Self = Self { kind: DocumentKind::Workspace as u8, id: [0; 16] };

    /// The document of a run.
    pub const fn run(run: RunId) -> Self {
        Self { kind: DocumentKind::Run as u8, id: *run.as_bytes() }
    }

    /// The document of the experiment that is the `generation`th to be created under `name`.
    ///
    /// Two devices that create one name while apart mean one experiment, and get one. The name
    /// "Default" has the id zero because MLflow's clients expect experiment "0" to exist.
    pub fn experiment(name: &str, generation: u32) -> Self {
        let kind = DocumentKind::Experiment as u8;
        if name == DEFAULT_EXPERIMENT && generation == 0 {
            return Self { kind, id: [0; 16] };
        }
        Self { kind, id: derive(b"runmesh/experiment/1", generation, name) }
    }

    /// The document of the registered model that is the `generation`th to be created under `name`.
    ///
    /// As with experiments, one name is one model, whoever creates it.
    pub fn registered_model(name: &str, generation: u32) -> Self {
        let id = derive(b"runmesh/registered-model/1", generation, name);
        Self { kind: DocumentKind::RegisteredModel as u8, id }
    }

    /// The document of an experiment's scorer of this name.
    ///
    /// As with experiments, one name is one scorer, whoever registers a version of it.
    pub fn scorer(experiment: &Self, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"runmesh/scorer/1").update(&experiment.to_bytes()).update(name.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self::new(DocumentKind::Scorer, id)
    }

    /// The document about a trace, whose id the client chose.
    pub fn trace(id: &str) -> Self {
        Self::new(DocumentKind::Trace, derive(b"runmesh/trace/1", 0, id))
    }

    /// A document whose id is random, or derived by whoever defines the kind.
    pub const fn new(kind: DocumentKind, id: [u8; 16]) -> Self {
        Self { kind: kind as u8, id }
    }

    /// The lowest and the highest id of a kind.
    pub const fn all_of(kind: DocumentKind) -> [Self; 2] {
        [Self::new(kind, [0; 16]), Self::new(kind, [u8::MAX; 16])]
    }

    /// The id without the kind.
    pub const fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// The text by which another document names this one: the signed form in hex.
    pub fn reference(&self) -> String {
        HEXLOWER.encode(&self.to_bytes())
    }

    /// Reads what [`Self::reference`] made.
    pub fn from_reference(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self::from_bytes(&bytes.try_into().ok()?))
    }

    /// Reads the signed form.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[1..]);
        Self { kind: bytes[0], id }
    }

    /// The signed form: the kind's number, then the id.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.kind;
        bytes[1..].copy_from_slice(&self.id);
        bytes
    }

    /// The kind, unless a newer version wrote it.
    pub fn kind(&self) -> Option<DocumentKind> {
        DocumentKind::from_number(self.kind)
    }

    /// The run that this document describes, if it is a run's.
    pub fn as_run(&self) -> Option<RunId> {
        (self.kind() == Some(DocumentKind::Run)).then(|| RunId::new(self.id))
    }

    /// What clients, points and runs name this logged model by, if it is a logged model's.
    pub fn as_logged_model(&self) -> Option<String> {
        let is_one = self.kind() == Some(DocumentKind::LoggedModel);
        is_one.then(|| format!("{LOGGED_MODEL}{}", HEXLOWER.encode(&self.id)))
    }

    /// Reads what [`Self::as_logged_model`] made.
    pub fn from_logged_model(text: &str) -> Option<Self> {
        let id = HEXLOWER.decode(text.strip_prefix(LOGGED_MODEL)?.as_bytes()).ok()?;
        Some(Self::new(DocumentKind::LoggedModel, id.try_into().ok()?))
    }

    /// The number clients know this experiment by, if it is an experiment's.
    pub fn as_experiment(&self) -> Option<ExperimentId> {
        if self.kind() != Some(DocumentKind::Experiment) {
            return None;
        }
        let mut head = [0; 8];
        head.copy_from_slice(&self.id[..8]);
        // 53 bits: what a JavaScript number holds exactly.
        Some(ExperimentId(u64::from_be_bytes(head) >> 11))
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        if kind == Some(DocumentKind::Workspace) {
            return f.write_str("workspace");
        }
        let kind = kind.map_or("document", DocumentKind::as_str);
        write!(f, "{kind}:{}", HEXLOWER.encode(&self.id))
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn derive(domain: &[u8], generation: u32, name: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(domain);
    hasher.update(&generation.to_le_bytes());
    hasher.update(name.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    id
}

/// The experiment every workspace has.
pub const DEFAULT_EXPERIMENT: &str = "Default";

/// What clients call an experiment: 53 bits of its document id, in decimal.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ExperimentId(pub u64);

impl ExperimentId {
    /// The experiment "Default".
    pub const DEFAULT: Self = Self(0);
    /// No experiment: no id of 53 bits is this large.
    pub const NONE: Self = Self(u64::MAX);
}

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let run = RunId::new([0xab; 16]);
        assert_eq!(run.to_string().parse::<RunId>(), Ok(run));
        assert!("ab".parse::<RunId>().is_err());
        assert!("zz".repeat(16).parse::<RunId>().is_err());
    }

    #[test]
    fn one_name_is_one_experiment_and_default_is_zero() {
        let ann = DocumentId::experiment("fraud", 0);
        assert_eq!(ann, DocumentId::experiment("fraud", 0));
        assert_ne!(ann, DocumentId::experiment("fraud", 1));
        let default = DocumentId::experiment(DEFAULT_EXPERIMENT, 0);
        assert_eq!(default.as_experiment(), Some(ExperimentId::DEFAULT));
        assert!(ann.as_experiment().expect("an experiment").0 < 1 << 53);
    }

    #[test]
    fn document_ids_survive_their_signed_form() {
        let id = DocumentId::run(RunId::new([7; 16]));
        assert_eq!(DocumentId::from_bytes(&id.to_bytes()), id);
        assert_eq!(id.as_run(), Some(RunId::new([7; 16])));
        assert_eq!(id.as_experiment(), None);
        assert_eq!(DocumentId::from_reference(&id.reference()), Some(id));
        assert_eq!(DocumentId::from_reference("02"), None);
    }

    #[test]
    fn one_name_is_one_scorer_of_an_experiment() {
        let fraud = DocumentId::experiment("fraud", 0);
        let scorer = DocumentId::scorer(&fraud, "safety");
        // Golden: the id is in journals.
        assert_eq!(scorer.reference(), "083fd7dc8790ecb8f80ef2362afa5f0154");
        assert_ne!(scorer, DocumentId::scorer(&fraud, "relevance"));
        assert_ne!(scorer, DocumentId::scorer(&DocumentId::experiment("fraud", 1), "safety"));
    }

    #[test]
    fn a_logged_model_is_named_in_one_way() {
        let id = DocumentId::new(DocumentKind::LoggedModel, [0xab; 16]);
        let name = id.as_logged_model().expect("a logged model");
        assert_eq!(name, format!("m-{}", "ab".repeat(16)));
        assert_eq!(DocumentId::from_logged_model(&name), Some(id));
        for other in ["m-", "m-ab", &name.to_uppercase(), &name[2..], &format!("{name}ab")] {
            assert_eq!(DocumentId::from_logged_model(other), None, "{other}");
        }
        assert_eq!(DocumentId::run(RunId::new([7; 16])).as_logged_model(), None);
    }

    #[test]
    fn kinds_survive_their_numbers() {
        for (number, kind) in DocumentKind::ALL.into_iter().enumerate() {
            assert_eq!(DocumentKind::from_number(number as u8), Some(kind));
            assert_eq!(kind as usize, number);
        }
        assert_eq!(DocumentKind::from_number(DocumentKind::ALL.len() as u8), None);
    }
}
