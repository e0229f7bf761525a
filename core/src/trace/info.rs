//! What a client says of a whole trace, when it starts and when it has ended.

use serde::{Deserialize, Serialize};

use super::{MAX_TEXT_BYTES, put_pairs, read_pairs};
use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint, unzigzag, zigzag};
use crate::rows::KeyValue;

/// How far a trace has come. The numbers are part of the signed format, and the order is of how
/// much each says: of two infos the one that says more counts.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum TraceStatus {
    /// Nobody said.
    #[default]
    Unknown = 0,
    /// It goes on.
    InProgress = 1,
    /// It ended well.
    Ok = 2,
    /// It failed.
    Error = 3,
}

impl TraceStatus {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::InProgress, Self::Ok, Self::Error];

    /// The word that clients use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "STATE_UNSPECIFIED",
            Self::InProgress => "IN_PROGRESS",
            Self::Ok => "OK",
            Self::Error => "ERROR",
        }
    }

    /// The status of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether it has ended.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Ok | Self::Error)
    }

    /// An ended trace is not a going one again, but how it ended may be said anew.
    const fn rank(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::InProgress => 1,
            Self::Ok | Self::Error => 2,
        }
    }
}

/// What a client says of a whole trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceInfo {
    /// When it was said, by the hybrid clock of the device that heard it.
    pub said: Clock,
    /// How far the trace has come.
    pub status: TraceStatus,
    /// Its start, in milliseconds since 1970.
    pub start_ms: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// What the client calls the request.
    pub client_request_id: Option<String>,
    /// What went in, cut short.
    pub request_preview: Option<String>,
    /// What came out, cut short.
    pub response_preview: Option<String>,
    /// Facts that do not change, sorted by key.
    pub metadata: Vec<KeyValue>,
    /// Its first tags, sorted by key.
    pub tags: Vec<KeyValue>,
    /// Its first assessments by id, as JSON, sorted by id.
    pub assessments: Vec<KeyValue>,
}

const DURATION: u8 = 1;
const CLIENT_REQUEST_ID: u8 = 2;
const REQUEST_PREVIEW: u8 = 4;
const RESPONSE_PREVIEW: u8 = 8;

impl TraceInfo {
    /// The order in which infos count, the last most.
    pub(super) fn weight(&self) -> (u8, Clock, Vec<u8>) {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        (self.status.rank(), self.said, bytes)
    }

    /// Whether it says the same, whenever it was said.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.said == other.said || *self == Self { said: self.said, ..other.clone() }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.said.0.to_le_bytes());
        out.push(self.status as u8);
        put_varint(out, zigzag(self.start_ms));
        let texts = [
            (CLIENT_REQUEST_ID, &self.client_request_id),
            (REQUEST_PREVIEW, &self.request_preview),
            (RESPONSE_PREVIEW, &self.response_preview),
        ];
        let mut flags = if self.duration_ms.is_some() { DURATION } else { 0 };
        for (flag, text) in texts {
            flags |= if text.is_some() { flag } else { 0 };
        }
        out.push(flags);
        if let Some(duration) = self.duration_ms {
            put_varint(out, zigzag(duration));
        }
        for text in texts.iter().filter_map(|(_, text)| text.as_ref()) {
            put_bytes(out, text.as_bytes());
        }
        put_pairs(out, &self.metadata);
        put_pairs(out, &self.tags);
        put_pairs(out, &self.assessments);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        const WHAT: &str = "trace info";
        let invalid = DecodeError::Invalid { what: WHAT };
        let said = Clock(reader.u64(WHAT)?);
        let status = usize::from(reader.u8(WHAT)?);
        let status = *TraceStatus::ALL.get(status).ok_or_else(|| invalid.clone())?;
        let start_ms = unzigzag(reader.varint(WHAT)?);
        let flags = reader.u8(WHAT)?;
        if flags > DURATION | CLIENT_REQUEST_ID | REQUEST_PREVIEW | RESPONSE_PREVIEW {
            return Err(invalid);
        }
        let duration_ms = match flags & DURATION {
            0 => None,
            _ => Some(unzigzag(reader.varint(WHAT)?)),
        };
        let mut text = |flag: u8| match flags & flag {
            0 => Ok(None),
            _ => reader.text(MAX_TEXT_BYTES, WHAT).map(|text| Some(text.to_owned())),
        };
        let client_request_id = text(CLIENT_REQUEST_ID)?;
        let request_preview = text(REQUEST_PREVIEW)?;
        let response_preview = text(RESPONSE_PREVIEW)?;
        Ok(Self {
            said,
            status,
            start_ms,
            duration_ms,
            client_request_id,
            request_preview,
            response_preview,
            metadata: read_pairs(reader, "trace metadata")?,
            tags: read_pairs(reader, "trace tags")?,
            assessments: read_pairs(reader, "trace assessments")?,
        })
    }
}
