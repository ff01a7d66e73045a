//! The key under which fingerprints are made.

use std::path::Path;

use aws_lc_rs::rand;
use refwarden_scan::FingerprintKey;
use sha2::{Digest as _, Sha256};

use super::baseline::Baseline;
use crate::args::Scan;
use crate::failure::{Context as _, Failure, Outcome};

/// What the fixed key is the SHA-256 of. Whoever knows a fingerprint under it can try out
/// guesses, so nothing that is meant to be published is made with it.
const FIXED: &[u8] = b"refwarden scan: fingerprints without a key";

/// What tells keys apart without telling them: the beginning of this text's fingerprint.
const NAMED: &[u8] = b"refwarden scan: the name of this key";

/// A key, and where it came from.
pub struct Key {
    /// The key itself.
    pub bytes: FingerprintKey,
    /// Its bytes in hexadecimal, where they belong into the baseline.
    pub stored: Option<String>,
    /// Whether it is not the fixed one.
    pub is_secret: bool,
}

/// The key that a person names, else the baseline's own, else a random one for a new baseline,
/// else the fixed one.
pub fn choose(args: &Scan, baseline: Option<&Baseline>) -> Outcome<Key> {
    let own = baseline.and_then(Baseline::key);
    let key = match (&args.fingerprint_key, own) {
        (Some(_), Some(_)) => {
            return Err(Failure::new("the baseline has a key of its own")
                .next("leave out --fingerprint-key"));
        }
        (Some(path), None) => Key {
            bytes: read(path)?,
            stored: None,
            is_secret: true,
        },
        (None, Some(text)) => Key {
            bytes: parse(text).ok_or_else(|| Failure::new("the baseline's key is broken"))?,
            stored: Some(text.to_owned()),
            is_secret: true,
        },
        (None, None) if baseline.is_some() => {
            return Err(
                Failure::new("the baseline was made with a key that it does not hold")
                    .next("name the file of that key with --fingerprint-key FILE"),
            );
        }
        (None, None) if args.write_baseline.is_some() => {
            let mut bytes = [0; 32];
            rand::fill(&mut bytes)
                .map_err(|_| Failure::new("the system's random generator does not answer"))?;
            Key {
                bytes: FingerprintKey::new(bytes),
                stored: Some(hex::encode(bytes)),
                is_secret: true,
            }
        }
        (None, None) => Key {
            bytes: FingerprintKey::new(Sha256::digest(FIXED).into()),
            stored: None,
            is_secret: false,
        },
    };
    match baseline.filter(|baseline| baseline.key_name() != name(&key.bytes)) {
        None => Ok(key),
        Some(_) => Err(Failure::new("the baseline was made with another key")
            .next("name the file of that key with --fingerprint-key FILE")),
    }
}

/// Sixteen digits that tell keys apart.
pub fn name(key: &FingerprintKey) -> String {
    let mut name = key.fingerprint(NAMED).to_string();
    name.truncate(16);
    name
}

fn read(path: &Path) -> Outcome<FingerprintKey> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).context(|| format!("{shown} cannot be read"))?;
    parse(&text).ok_or_else(|| {
        Failure::new(format!("{shown} holds no key"))
            .why("it must hold 64 hexadecimal digits")
            .next(format!("openssl rand -hex 32 > {shown}"))
    })
}

fn parse(text: &str) -> Option<FingerprintKey> {
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).ok()?;
    Some(FingerprintKey::new(key))
}
