//! Fetching JSON from an identity provider: bounded in time and size, no redirects.

use std::time::Duration;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The largest discovery document or key set that is read, in bytes.
const MAX_BODY: usize = 256 << 10;

/// The most keys that a set may hold.
const MAX_KEYS: usize = 100;

/// A key set as it is published. Keys that cannot be read do not spoil the others (RFC 7517,
/// section 5).
#[derive(Deserialize)]
#[serde(try_from = "RawKeySet")]
pub(super) struct KeySet(Vec<Jwk>);

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<serde_json::Value>,
}

impl TryFrom<RawKeySet> for KeySet {
    type Error = String;

    fn try_from(raw: RawKeySet) -> Result<Self, Self::Error> {
        if raw.keys.len() > MAX_KEYS {
            return Err(format!("more than {MAX_KEYS} keys"));
        }
        let keys = raw.keys.into_iter();
        let known = keys.filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self(known.collect()))
    }
}

impl From<KeySet> for JwkSet {
    fn from(set: KeySet) -> Self {
        Self { keys: set.0 }
    }
}

/// The client for calls to identity providers.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(4))
        .build()
}

/// Reads at most [`MAX_BODY`] bytes of JSON.
pub async fn read_json<T: DeserializeOwned>(mut response: reqwest::Response) -> Result<T, String> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(format!("answer is longer than {MAX_BODY} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(format!("answered {status}"));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// Gets a JSON document.
pub async fn get_json<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> Result<T, String> {
    let response = http
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    read_json(response).await
}
