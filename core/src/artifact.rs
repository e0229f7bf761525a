//! The content of an artifact operation: a blob put under a path, or taken away from it.

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::BlobHash;

/// The longest path of an artifact, in bytes.
pub const MAX_PATH_BYTES: usize = 4096;

const REMOVED: u8 = 0;
const PUT: u8 = 1;

/// What an artifact operation says; its document is the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactContent {
    /// The path, with `/` between parts and none at either end.
    pub path: String,
    /// The blob and its size in bytes; none removes.
    pub content: Option<(BlobHash, u64)>,
}

impl ArtifactContent {
    /// The signed form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, self.path.as_bytes());
        match &self.content {
            None => out.push(REMOVED),
            Some((blob, size)) => {
                out.push(PUT);
                out.extend_from_slice(blob.as_bytes());
                put_varint(&mut out, *size);
            }
        }
        out
    }

    /// Reads the signed form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let path = reader.text(MAX_PATH_BYTES, "artifact path")?.to_owned();
        if !is_path(&path) {
            return Err(DecodeError::Invalid { what: "artifact path" });
        }
        let content = match reader.u8("artifact content")? {
            REMOVED => None,
            PUT => Some((BlobHash::new(reader.array("blob")?), reader.varint("blob size")?)),
            _ => return Err(DecodeError::Invalid { what: "artifact content" }),
        };
        reader.finish("artifact")?;
        Ok(Self { path, content })
    }
}

/// Whether a text is a path that artifacts may have: relative, without empty parts, `.`, `..` and
/// NUL, and within [`MAX_PATH_BYTES`].
pub fn is_path(path: &str) -> bool {
    path.len() <= MAX_PATH_BYTES
        && !path.contains('\0')
        && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The signed format may never change silently: people have journals in it.
    #[test]
    fn the_signed_bytes_are_golden() {
        let content = Some((BlobHash::new([7; 32]), 300));
        let bytes = ArtifactContent { path: "a/b".into(), content }.encode();
        let hex = format!("03612f6201{}ac02", "07".repeat(32));
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), hex);
    }

    #[test]
    fn a_path_that_leaves_its_folder_is_refused() {
        for path in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\0"] {
            let bytes = ArtifactContent { path: path.into(), content: None }.encode();
            assert!(ArtifactContent::decode(&bytes).is_err(), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_artifact_or_an_error(bytes: Vec<u8>) {
            if let Ok(artifact) = ArtifactContent::decode(&bytes) {
                prop_assert_eq!(artifact.encode(), bytes);
            }
        }
    }
}
