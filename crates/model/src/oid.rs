//! Object ids, parsed strictly.
//!
//! `git2::Oid::from_str("abc")` succeeds by padding with zeros, which would let a short string
//! name an object it does not. Here an id is 40 or 64 lower-case hexadecimal digits or nothing.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The hash function of a repository (`extensions.objectFormat`, gitrepository-layout(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// 20-byte ids.
    Sha1,
    /// 32-byte ids.
    Sha256,
}

impl ObjectFormat {
    /// Length of a binary id in bytes.
    pub const fn raw_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The zero oid, which stands for "no object" in a ref update.
    pub const fn zero(self) -> Oid {
        Oid {
            format: self,
            raw: [0; 32],
        }
    }

    /// Git's name for the format, as in `git init --object-format=`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// An object id, or the zero oid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Oid {
    format: ObjectFormat,
    raw: [u8; 32],
}

impl PartialOrd for ObjectFormat {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectFormat {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.raw_len().cmp(&other.raw_len())
    }
}

/// What an object id must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object id is 40 or 64 lower-case hexadecimal digits")]
pub struct OidError;

impl Oid {
    /// Parses exactly 40 or 64 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Result<Self, OidError> {
        let format = match text.len() {
            40 => ObjectFormat::Sha1,
            64 => ObjectFormat::Sha256,
            _ => return Err(OidError),
        };
        if text.iter().any(u8::is_ascii_uppercase) {
            return Err(OidError);
        }
        let mut raw = [0; 32];
        let bytes = raw.get_mut(..format.raw_len()).ok_or(OidError)?;
        hex::decode_to_slice(text, bytes).map_err(|_| OidError)?;
        Ok(Self { format, raw })
    }

    /// Takes a binary id of 20 or 32 bytes.
    pub fn from_raw(bytes: &[u8]) -> Result<Self, OidError> {
        let format = match bytes.len() {
            20 => ObjectFormat::Sha1,
            32 => ObjectFormat::Sha256,
            _ => return Err(OidError),
        };
        let mut raw = [0; 32];
        raw.get_mut(..bytes.len())
            .ok_or(OidError)?
            .copy_from_slice(bytes);
        Ok(Self { format, raw })
    }

    /// The binary id, 20 or 32 bytes.
    pub fn raw(&self) -> &[u8] {
        self.raw.get(..self.format.raw_len()).unwrap_or_default()
    }

    /// The hash function the id belongs to.
    pub const fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Whether this is the zero oid ("no object").
    pub fn is_zero(&self) -> bool {
        self.raw == [0; 32]
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(10);
        text
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.raw()))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        Self::parse(text.as_bytes())
    }
}

impl Serialize for Oid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Oid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lower_case_ids_parse() {
        let sha1 = "0123456789abcdef0123456789abcdef01234567";
        let sha256 = format!("{sha1}{}", "0".repeat(24));
        for good in [sha1, &sha256] {
            assert_eq!(Oid::parse(good.as_bytes()).unwrap().to_string(), good);
        }
        let upper = sha1.to_uppercase();
        for bad in [
            "",
            "abc",
            &sha1[1..],
            &upper,
            &format!("{sha1} "),
            &sha1.replace('0', "g"),
        ] {
            assert!(Oid::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn zero_ids_of_both_formats_are_zero_and_differ() {
        assert!(ObjectFormat::Sha1.zero().is_zero() && ObjectFormat::Sha256.zero().is_zero());
        assert_ne!(ObjectFormat::Sha1.zero(), ObjectFormat::Sha256.zero());
        assert_eq!(ObjectFormat::Sha256.zero().to_string(), "0".repeat(64));
    }
}
