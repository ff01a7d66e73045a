//! Types for what must not be seen: the secret, the key that names it, and its name.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a secret. They cannot be printed or serialised, and are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(Box::from(bytes)))
    }

    /// Hands out the bytes. Each call is a place to review: never store, log or send them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Key of an installation, with which fingerprints are made. Wiped when dropped.
///
/// Without it a fingerprint of a short secret could be guessed offline.
#[derive(Clone)]
pub struct FingerprintKey(Zeroizing<[u8; 32]>);

impl FingerprintKey {
    /// Takes 32 random bytes.
    pub fn new(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// HMAC-SHA256 (RFC 2104) of the secret's bytes.
    pub fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        // A key shorter than a block is padded with zeros (RFC 2104, section 2), so padding
        // here changes nothing and makes the constructor infallible.
        let mut block = [0u8; 64];
        for (to, from) in block.iter_mut().zip(self.0.iter()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        block.zeroize();
        mac.update(secret);
        Fingerprint(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[fingerprint key]")
    }
}

/// Names a secret without telling it: HMAC-SHA256 under the installation's key.
///
/// Equal secrets of one installation have equal fingerprints, whatever rule or place found them.
/// Displayed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits")]
pub struct ParseFingerprintError;

impl std::str::FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseFingerprintError)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_bytes() {
        let secret = Secret::new(b"hunter2");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(
            format!("{:?}", FingerprintKey::new([65; 32])),
            "[fingerprint key]"
        );
    }

    /// RFC 4231 has no 32-byte key; its test case 1 key (20 bytes of 0x0b) zero-padded is one.
    #[test]
    fn matches_rfc_4231_case_1() {
        let mut key = [0u8; 32];
        key[..20].fill(0x0b);
        let text = FingerprintKey::new(key)
            .fingerprint(b"Hi There")
            .to_string();
        assert!(text.starts_with("b0344c61d8db3853"), "{text}");
        assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
    }
}
