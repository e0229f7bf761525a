//! Bundles that only members can read, in the format of `age`.
//!
//! A device's key for reading is made from its Ed25519 key, as age makes one from an SSH key: so
//! that members need to publish nothing but their ids. Why: `docs/decisions/0005-bundle-keys.md`.

use std::io::{BufRead, BufReader, Read, Write};

use age::x25519::{Identity, Recipient};
use bech32::{ToBase32, Variant};
use ed25519_dalek::{SigningKey, VerifyingKey};
use runmesh_core::ids::DeviceId;

/// What every file of age starts with.
const AGE_MAGIC: &[u8] = b"age-encryption.org/";

/// Why a bundle cannot be encrypted or decrypted.
#[derive(Debug, thiserror::Error)]
pub enum SealedError {
    /// It was encrypted to others.
    #[error("the bundle is encrypted, and not to this device")]
    NotForUs,
    /// The encryption is damaged.
    #[error("the bundle's encryption cannot be read")]
    Decrypt(#[source] age::DecryptError),
    /// It cannot be encrypted.
    #[error("the bundle cannot be encrypted")]
    Encrypt(#[source] age::EncryptError),
    /// The bytes stopped coming.
    #[error("the bundle cannot be read")]
    Io(#[from] std::io::Error),
}

/// What a device's bundles are encrypted to; none if its id is no key.
pub(super) fn recipient(device: &DeviceId) -> Option<Recipient> {
    let key = VerifyingKey::from_bytes(device.as_bytes()).ok()?.to_montgomery();
    let text = bech32::encode("age", key.as_bytes().to_base32(), Variant::Bech32).ok()?;
    text.parse().ok()
}

/// What this device decrypts bundles with.
fn identity(key: &SigningKey) -> Identity {
    let scalar = key.to_scalar_bytes();
    let text = bech32::encode("age-secret-key-", scalar.to_base32(), Variant::Bech32);
    let text = text.expect("the prefix is valid").to_uppercase();
    text.parse().expect("any 32 bytes are a secret key of X25519")
}

/// Encrypts what is written to it, until it is finished.
pub(super) fn seal<W: Write>(
    out: W,
    to: &[Recipient],
) -> Result<age::stream::StreamWriter<W>, SealedError> {
    let recipients = to.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(SealedError::Encrypt)?;
    Ok(encryptor.wrap_output(out)?)
}

/// The plain bytes of what may be encrypted to this device.
pub(super) fn open<'a>(
    input: impl Read + Send + 'a,
    key: &SigningKey,
) -> Result<Box<dyn Read + Send + 'a>, SealedError> {
    let mut input = BufReader::with_capacity(64 << 10, input);
    if !input.fill_buf()?.starts_with(AGE_MAGIC) {
        return Ok(Box::new(input));
    }
    let decryptor = age::Decryptor::new_buffered(input).map_err(SealedError::Decrypt)?;
    let identity = identity(key);
    match decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)) {
        Ok(plain) => Ok(Box::new(plain)),
        Err(age::DecryptError::NoMatchingKeys) => Err(SealedError::NotForUs),
        Err(error) => Err(SealedError::Decrypt(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whom_it_is_sealed_to_can_open_it() {
        let [ann, bob] = [[1; 32], [2; 32]].map(|secret| SigningKey::from_bytes(&secret));
        let to_ann = recipient(&DeviceId::new(ann.verifying_key().to_bytes())).expect("a key");
        let mut writer = seal(Vec::new(), &[to_ann]).expect("it seals");
        writer.write_all(b"secret").expect("memory");
        let sealed = writer.finish().expect("memory");
        let mut plain = Vec::new();
        open(&sealed[..], &ann).expect("opens").read_to_end(&mut plain).expect("memory");
        assert_eq!(plain, b"secret");
        assert!(matches!(open(&sealed[..], &bob).err(), Some(SealedError::NotForUs)));
    }

    #[test]
    fn a_devices_recipient_stays_the_same() {
        let device = DeviceId::new(SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes());
        // Made by another program, from the secret key.
        let expected = "age1rvd43h2sag2tvrdp0duse5p82nvhpjd6hpjwhv7q7vqklega8atsjue2se";
        assert_eq!(recipient(&device).expect("a key").to_string(), expected);
    }
}
