//! Bytes from outside that are usually text: paths, ref names, messages, author lines.
//!
//! Git promises no encoding, so they are kept as bytes. In JSON they are a string where they
//! are UTF-8 without NUL, else `{"base64": "…"}`, so nothing is lost and nothing is ambiguous.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string that is shown to people escaped and carried through JSON whole.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteText(Vec<u8>);

impl ByteText {
    /// Wraps bytes as they are.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the bytes out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Text for search and display: invalid UTF-8 and NUL become U+FFFD.
    pub fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).replace('\0', "\u{fffd}")
    }
}

/// Writes attacker-chosen bytes as printable ASCII; everything else as `\xNN`.
///
/// For terminals: no escape sequence, no bidirectional control and no line feed survives.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                text.push_str("\\x");
                text.push_str(&hex::encode([byte]));
            }
        }
    }
    text
}

impl fmt::Display for ByteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.0))
    }
}

impl fmt::Debug for ByteText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escape(&self.0))
    }
}

impl From<&str> for ByteText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for ByteText {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Text(std::borrow::Cow<'a, str>),
    Binary { base64: std::borrow::Cow<'a, str> },
}

impl Serialize for ByteText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if !text.contains('\0') => Form::Text(text.into()).serialize(serializer),
            _ => Form::Binary {
                base64: STANDARD.encode(&self.0).into(),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ByteText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            Form::Binary { base64 } => STANDARD
                .decode(base64.as_bytes())
                .map(Self)
                .map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_every_byte() {
        for bytes in [
            &b"plain"[..],
            b"\xff\xfe",
            b"nul\0",
            "naïve".as_bytes(),
            b"",
        ] {
            let text = serde_json::to_string(&ByteText::new(bytes)).unwrap();
            let back: ByteText = serde_json::from_str(&text).unwrap();
            assert_eq!(back.as_bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn escaping_leaves_only_printable_ascii() {
        assert_eq!(escape(b"a b\\\x1b[31m\n\xff"), "a b\\\\\\x1b[31m\\x0a\\xff");
        assert_eq!(escape("\u{202e}".as_bytes()), "\\xe2\\x80\\xae");
    }
}
