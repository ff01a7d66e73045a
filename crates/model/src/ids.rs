//! Ids by kind, so that one cannot be passed for another.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    };
}

uuid_id!(
    /// One run of receive-pack. A `UUIDv7` (RFC 9562), so ids sort by time.
    PushId
);
uuid_id!(
    /// One pack that a fetch brought. A `UUIDv7` (RFC 9562), so ids sort by time.
    FetchId
);
uuid_id!(
    /// A repository, whatever its path. Stored in its configuration as `refwarden.repository`.
    RepositoryId
);

/// An approval request's short code: eight of Crockford's base-32 letters. A name, not a secret.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

/// What a request id must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id is eight letters and digits, as in 8FZK2M0T")]
pub struct RequestIdError;

/// Crockford's base-32 alphabet (<https://www.crockford.com/base32.html>): no I, L, O or U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RequestId {
    /// Makes an id from 40 random bits.
    pub fn from_random(bits: [u8; 5]) -> Self {
        let mut value = bits
            .iter()
            .fold(0_u64, |sum, &byte| (sum << 8) | u64::from(byte));
        let mut letters = ['0'; 8];
        for letter in letters.iter_mut().rev() {
            let index = usize::try_from(value & 31).unwrap_or_default();
            *letter = char::from(ALPHABET.get(index).copied().unwrap_or(b'0'));
            value >>= 5;
        }
        Self(letters.iter().collect())
    }

    /// The code as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RequestId {
    type Error = RequestIdError;

    fn try_from(text: String) -> Result<Self, RequestIdError> {
        let text = text.to_ascii_uppercase();
        let good = text.len() == 8 && text.bytes().all(|byte| ALPHABET.contains(&byte));
        if good {
            Ok(Self(text))
        } else {
            Err(RequestIdError)
        }
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl std::str::FromStr for RequestId {
    type Err = RequestIdError;

    fn from_str(text: &str) -> Result<Self, RequestIdError> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_round_trip_and_ignore_case() {
        let id = RequestId::from_random([0xff, 0, 1, 2, 3]);
        assert_eq!(id.as_str().len(), 8);
        assert_eq!(id.as_str().to_lowercase().parse(), Ok(id));
        for bad in ["", "8FZK2", "8FZK2M0U", "8FZK2M0T9", "8FZK2M0/"] {
            assert_eq!(bad.parse::<RequestId>(), Err(RequestIdError));
        }
    }
}
