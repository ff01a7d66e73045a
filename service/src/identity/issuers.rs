//! The configured issuers and their keys, cached.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use refwarden_config::Issuer;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::TokenError;
use super::jwks::get_json;

/// Keys are fetched again after this long,
const FRESH: Duration = Duration::from_mins(5);
/// and for a key id that is not among them, no more often than this,
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// and go on being used this long when the issuer does not answer.
const STALE: Duration = Duration::from_hours(1);

/// What discovery tells (`OpenID` Connect Discovery 1.0, section 3), as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub struct Discovery {
    /// Must equal the configured URL.
    pub issuer: String,
    /// Where people sign in.
    pub authorization_endpoint: String,
    /// Where codes are exchanged.
    pub token_endpoint: String,
    /// Where the keys are.
    pub jwks_uri: String,
}

/// All issuers.
pub struct Issuers {
    http: reqwest::Client,
    entries: HashMap<String, Entry>,
}

struct Entry {
    issuer: Issuer,
    fixed: Option<JwkSet>,
    is_own: bool,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: Option<JwkSet>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    discovery: Option<Discovery>,
}

impl Issuers {
    /// Takes the configured issuers and, where there are tokens of our own, ourselves; key files are read at once, the network is not touched.
    ///
    /// # Errors
    /// One sentence that names the issuer and what is wrong with it.
    pub fn new(
        issuers: &[Issuer],
        own: Option<(Issuer, JwkSet)>,
        directory: &Path,
        http: reqwest::Client,
    ) -> Result<Self, String> {
        let mut entries = HashMap::new();
        for issuer in issuers {
            super::verify::check_algorithms(issuer)?;
            let fixed = match &issuer.jwks_file {
                None => None,
                Some(file) => {
                    let file = directory.join(file);
                    let fail = |error: String| {
                        format!("issuer {}: {}: {error}", issuer.url, file.display())
                    };
                    let text = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
                    Some(serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?)
                }
            };
            let entry = Entry {
                issuer: issuer.clone(),
                fixed,
                is_own: false,
                cache: Mutex::default(),
            };
            if entries.insert(issuer.url.clone(), entry).is_some() {
                return Err(format!("issuer {} is configured twice", issuer.url));
            }
        }
        if let Some((issuer, keys)) = own {
            let url = issuer.url.clone();
            let entry = Entry {
                issuer,
                fixed: Some(keys),
                is_own: true,
                cache: Mutex::default(),
            };
            if entries.insert(url.clone(), entry).is_some() {
                return Err(format!(
                    "issuer {url} is the service itself, which vouches for its own tokens only"
                ));
            }
        }
        Ok(Self { http, entries })
    }

    /// Whether that is the service itself.
    pub(super) fn is_own(&self, url: &str) -> bool {
        self.entries.get(url).is_some_and(|entry| entry.is_own)
    }

    /// The configuration of an issuer, by its exact URL.
    pub fn find(&self, url: &str) -> Option<&Issuer> {
        self.entries.get(url).map(|entry| &entry.issuer)
    }

    /// The issuer's discovery document.
    ///
    /// # Errors
    /// [`TokenError::IssuerUnavailable`] when it cannot be had or names another issuer.
    pub async fn discovery(&self, url: &str) -> Result<Discovery, TokenError> {
        let entry = self
            .entries
            .get(url)
            .ok_or(TokenError::Foreign("unknown issuer"))?;
        let mut cache = entry.cache.lock().await;
        self.discover(&entry.issuer, &mut cache).await
    }

    /// The key of that id. Unknown ids cause at most one fetch in ten seconds.
    pub(super) async fn key(&self, url: &str, kid: Option<&str>) -> Result<Jwk, TokenError> {
        let entry = self
            .entries
            .get(url)
            .ok_or(TokenError::Foreign("unknown issuer"))?;
        if let Some(fixed) = &entry.fixed {
            return find_key(fixed, kid).ok_or(TokenError::BadSignature);
        }
        let mut cache = entry.cache.lock().await;
        let age = |since: Option<Instant>| since.map_or(Duration::MAX, |since| since.elapsed());
        let known = cache.keys.as_ref().and_then(|keys| find_key(keys, kid));
        if let Some(key) = &known
            && age(cache.fetched) < FRESH
        {
            return Ok(key.clone());
        }
        if age(cache.tried) >= UNKNOWN_KEY_PAUSE {
            cache.tried = Some(Instant::now());
            match self.fetch(&entry.issuer, &mut cache).await {
                Ok(keys) => {
                    cache.fetched = Some(Instant::now());
                    let key = find_key(&keys, kid);
                    cache.keys = Some(keys);
                    return key.ok_or(TokenError::BadSignature);
                }
                Err(cause) => {
                    tracing::warn!(issuer = url, ?cause, "keys cannot be fetched");
                }
            }
        }
        match known {
            Some(key) if age(cache.fetched) < STALE => Ok(key),
            _ if age(cache.fetched) < FRESH => Err(TokenError::BadSignature),
            _ => Err(TokenError::IssuerUnavailable),
        }
    }

    async fn fetch(&self, issuer: &Issuer, cache: &mut Cache) -> Result<JwkSet, TokenError> {
        let discovery = self.discover(issuer, cache).await?;
        get_json(&self.http, &discovery.jwks_uri)
            .await
            .map_err(|cause| {
                tracing::warn!(issuer = issuer.url, cause, "key set cannot be fetched");
                cache.discovery = None;
                TokenError::IssuerUnavailable
            })
    }

    async fn discover(&self, issuer: &Issuer, cache: &mut Cache) -> Result<Discovery, TokenError> {
        if let Some(known) = &cache.discovery {
            return Ok(known.clone());
        }
        let url = format!(
            "{}/.well-known/openid-configuration",
            issuer.url.trim_end_matches('/')
        );
        let found: Discovery = get_json(&self.http, &url).await.map_err(|cause| {
            tracing::warn!(issuer = issuer.url, cause, "discovery failed");
            TokenError::IssuerUnavailable
        })?;
        if found.issuer != issuer.url {
            tracing::warn!(
                issuer = issuer.url,
                found = found.issuer,
                "discovery names another"
            );
            return Err(TokenError::IssuerUnavailable);
        }
        cache.discovery = Some(found.clone());
        Ok(found)
    }
}

/// The key of that id; without an id, the only key there is.
fn find_key(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys.keys.as_slice()) {
        (Some(kid), _) => keys.find(kid).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
