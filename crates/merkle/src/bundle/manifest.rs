//! What a bundle says about itself, and the signature under it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Note, NoteError, PublicKey, SecretKey};

/// The first line of the note. A log's name holds no white space, so that no checkpoint begins
/// like this and no bundle is taken for one.
const TITLE: &str = "refwarden evidence bundle 1";

/// What is in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of the bundle; 1.
    pub v: u8,
    /// The log's name.
    pub origin: String,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// For whom.
    pub made_for: String,
    /// What was asked for.
    pub asked: String,
    /// Events in it.
    pub events: u64,
    /// All files before the manifest, in their order.
    pub files: Vec<File>,
    /// Packs that its events refer to.
    pub packs: Vec<Pack>,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Hexadecimal SHA-256.
    pub sha256: String,
}

/// A pack that an event of the bundle refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Hexadecimal SHA-256 of the pack as it was received.
    pub digest: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The file that holds it; none where it was dropped by retention.
    pub file: Option<String>,
    /// age recipients that it is sealed to.
    pub recipients: Vec<String>,
    /// When it was dropped.
    pub dropped_at: Option<DateTime<Utc>>,
}

/// An event with its proof: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its number in the log.
    pub index: u64,
    /// The bytes that are hashed.
    pub leaf: String,
    /// Its inclusion proof, in base64, from the leaf's sibling up.
    pub proof: Vec<String>,
}

fn text(origin: &str, manifest: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(manifest));
    format!("{TITLE}\n{origin}\n{digest}\n")
}

/// Signs a manifest's bytes.
pub(super) fn sign(manifest: &[u8], key: &SecretKey) -> String {
    let mut note = Note::new(text(key.public().name(), manifest));
    note.sign(key, 0);
    note.to_string()
}

/// Checks the signature under a manifest's bytes.
pub(super) fn verify(manifest: &[u8], note: &str, key: &PublicKey) -> Result<(), String> {
    let parsed = Note::parse(note).map_err(|error: NoteError| error.to_string())?;
    parsed.verify(key).map_err(|error| error.to_string())?;
    if parsed.text() != text(key.name(), manifest) {
        return Err("it signs another manifest".to_owned());
    }
    // Bytes that are no part of what is signed, such as a second signature.
    if parsed.signatures().len() != 1 || parsed.to_string() != note {
        return Err("there is more in it than the signature".to_owned());
    }
    Ok(())
}
