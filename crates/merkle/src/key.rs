//! Keys that sign checkpoints, as C2SP signed-note writes them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Ed25519 over the note's text (C2SP signed-note, "Signatures").
pub(crate) const LOG: u8 = 0x01;
/// Timestamped Ed25519 witness cosignature (C2SP tlog-cosignature).
pub(crate) const WITNESS: u8 = 0x04;

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not PKCS#8 with an Ed25519 key.
    #[error("expected an Ed25519 key in PKCS#8")]
    Secret,
    /// It is not `name+hash+key`.
    #[error("expected a verifier key: name+8 hexadecimal digits+base64")]
    Public,
    /// Its hash is that of another name or key.
    #[error("the verifier key's hash does not fit its name and key")]
    Hash,
    /// Names hold no plus sign, no white space, and are not empty.
    #[error("a key's name must not be empty or hold a plus sign or white space")]
    Name,
}

/// The key of a log or of a witness, for checking.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    kind: u8,
    raw: [u8; 32],
}

impl PublicKey {
    /// Its name, which stands on each signature line.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a witness's, and not a log's.
    pub const fn is_witness(&self) -> bool {
        self.kind == WITNESS
    }

    /// The first four bytes of SHA-256 over name, line feed, kind and key (C2SP signed-note).
    pub(crate) fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update([b'\n', self.kind]);
        hasher.update(self.raw);
        let digest: [u8; 32] = hasher.finalize().into();
        let [a, b, c, d, ..] = digest;
        [a, b, c, d]
    }

    pub(crate) const fn kind(&self) -> u8 {
        self.kind
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.raw);
        key.verify(message, signature).is_ok()
    }
}

/// As C2SP signed-note writes verifier keys.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind];
        key.extend_from_slice(&self.raw);
        let (id, key) = (hex::encode(self.id()), STANDARD.encode(key));
        write!(f, "{}+{id}+{key}", self.name)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        // The name holds no plus sign; base64 may.
        let mut parts = text.trim().splitn(3, '+');
        let mut part = || parts.next().ok_or(KeyError::Public);
        let (name, hash, key) = (part()?, part()?, part()?);
        check_name(name)?;
        let key = STANDARD.decode(key).map_err(|_| KeyError::Public)?;
        let (kind, raw) = key.split_first().ok_or(KeyError::Public)?;
        if ![LOG, WITNESS].contains(kind) {
            return Err(KeyError::Public);
        }
        let key = Self {
            name: name.to_owned(),
            kind: *kind,
            raw: raw.try_into().map_err(|_| KeyError::Public)?,
        };
        (hex::encode(key.id()) == hash)
            .then_some(key)
            .ok_or(KeyError::Hash)
    }
}

/// The key of a log or of a witness, for signing. It does not print.
pub struct SecretKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SecretKey {
    /// Makes a key; the bytes are PKCS#8, DER, for [`SecretKey::of_log`] or
    /// [`SecretKey::of_witness`].
    ///
    /// # Errors
    /// [`KeyError::Secret`] when the system gives no randomness.
    pub fn generate() -> Result<Vec<u8>, KeyError> {
        let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
        made.map(|der| der.as_ref().to_vec())
            .map_err(|_| KeyError::Secret)
    }

    /// Reads a log's key.
    ///
    /// # Errors
    /// [`KeyError::Name`] and [`KeyError::Secret`].
    pub fn of_log(name: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        Self::read(name, LOG, pkcs8)
    }

    /// Reads a witness's key.
    ///
    /// # Errors
    /// [`KeyError::Name`] and [`KeyError::Secret`].
    pub fn of_witness(name: &str, pkcs8: &[u8]) -> Result<Self, KeyError> {
        Self::read(name, WITNESS, pkcs8)
    }

    fn read(name: &str, kind: u8, pkcs8: &[u8]) -> Result<Self, KeyError> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::Secret)?;
        let raw = pair.public_key().as_ref().try_into();
        let public = PublicKey {
            name: name.to_owned(),
            kind,
            raw: raw.map_err(|_| KeyError::Secret)?,
        };
        Ok(Self { pair, public })
    }

    /// The key that checks what this one signs.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public)
    }
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let is_bad = name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace());
    if is_bad { Err(KeyError::Name) } else { Ok(()) }
}
