//! Signed webhooks as Standard Webhooks 1.0 describes them
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>):
//! the receiver proves with a shared secret that a message is ours, whole and recent.

use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{HeaderMap, HeaderValue};

use super::Failure;

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// How long a secret is, in bytes: the specification says 24 to 64.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// The secrets that messages of one webhook are signed with.
pub struct Signer(Vec<hmac::Key>);

impl Signer {
    /// Reads the secrets' files.
    ///
    /// # Errors
    /// Which file is wrong, and what was expected; never what stands in it.
    pub fn read<'a>(files: impl Iterator<Item = &'a Path>) -> Result<Self, String> {
        files
            .map(|file| {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("{}: {error}", file.display()))?;
                key(text.trim()).ok_or_else(|| {
                    format!(
                        "{}:1: expected {PREFIX} and {} to {} bytes in base64",
                        file.display(),
                        LENGTH.start(),
                        LENGTH.end()
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The three headers. `id` stays the same when a message is sent again; `timestamp` is of
    /// the attempt, in seconds.
    ///
    /// # Errors
    /// None in practice: all values are ASCII.
    pub fn headers(&self, id: &str, timestamp: i64, body: &str) -> Result<HeaderMap, Failure> {
        let signed = format!("{id}.{timestamp}.{body}");
        let sign = |key: &hmac::Key| {
            let tag = hmac::sign(key, signed.as_bytes());
            format!("v1,{}", STANDARD.encode(tag.as_ref()))
        };
        let signatures: Vec<String> = self.0.iter().map(sign).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", &timestamp.to_string()),
            ("webhook-signature", &signatures.join(" ")),
        ] {
            let value = HeaderValue::from_str(value);
            headers.insert(
                name,
                value.map_err(|error| Failure::for_now(error.to_string()))?,
            );
        }
        Ok(headers)
    }
}

fn key(text: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    LENGTH
        .contains(&bytes.len())
        .then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_of_the_standard_are_taken() {
        let of = |length: usize| format!("{PREFIX}{}", STANDARD.encode(vec![7; length]));
        for (text, good) in [
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            (STANDARD.encode([7; 32]), false),
            (format!("{PREFIX}!"), false),
        ] {
            assert_eq!(key(&text).is_some(), good, "{} bytes", text.len());
        }
    }

    #[test]
    fn each_secret_signs_id_time_and_body() {
        let keys: Vec<hmac::Key> = [[1; 32], [2; 32]]
            .map(|it| hmac::Key::new(hmac::HMAC_SHA256, &it))
            .into();
        let headers = Signer(keys.clone()).headers("msg_1", 12, "{}").unwrap();
        assert_eq!(headers["webhook-id"], "msg_1");
        assert_eq!(headers["webhook-timestamp"], "12");
        let all = headers["webhook-signature"].to_str().unwrap();
        for (key, signature) in keys.iter().zip(all.split(' ')) {
            let tag = STANDARD
                .decode(signature.strip_prefix("v1,").unwrap())
                .unwrap();
            hmac::verify(key, b"msg_1.12.{}", &tag).unwrap();
            assert!(hmac::verify(key, b"msg_2.12.{}", &tag).is_err());
        }
    }
}
