//! The configured issuers and their keys, cached.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use refwarden_config::Issuer;
use serde::Deserialize;
use url::Url;

use super::TokenError;
use super::jwks::{KeySet, get_json};

/// Keys are fetched again after this long,
const FRESH: Duration = Duration::from_mins(5);
/// and for a key id that is not among them, no more often than this,
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(10);
/// and go on being used this long when the issuer does not answer.
const STALE: Duration = Duration::from_hours(1);
/// How long discovery and keys together may take: less than a hook waits for its answer.
const FETCH: Duration = Duration::from_secs(3);

/// What discovery tells (`OpenID` Connect Discovery 1.0, section 3), as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub struct Discovery {
    /// Must equal the configured URL.
    pub issuer: String,
    /// Where people sign in; issuers of build jobs have none.
    #[serde(default)]
    pub authorization_endpoint: String,
    /// Where codes are exchanged; likewise.
    #[serde(default)]
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
    /// Never held while waiting for the network: a slow issuer delays nobody whose key is known.
    cache: Mutex<Cache>,
    /// Held by the one who fetches.
    fetching: tokio::sync::Mutex<()>,
}

impl Entry {
    fn new(issuer: Issuer, fixed: Option<JwkSet>, is_own: bool) -> Self {
        Self {
            issuer,
            fixed,
            is_own,
            cache: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
                    let keys: KeySet =
                        serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
                    Some(keys.into())
                }
            };
            let entry = Entry::new(issuer.clone(), fixed, false);
            if entries.insert(issuer.url.clone(), entry).is_some() {
                return Err(format!("issuer {} is configured twice", issuer.url));
            }
        }
        if let Some((issuer, keys)) = own {
            let url = issuer.url.clone();
            let entry = Entry::new(issuer, Some(keys), true);
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
        let found = tokio::time::timeout(FETCH, self.discover(entry)).await;
        found.unwrap_or(Err(TokenError::IssuerUnavailable))
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
        let fresh = entry.cache().known(kid, FRESH);
        if let Some(key) = fresh {
            return Ok(key);
        }
        let _fetching = entry.fetching.lock().await;
        // Whoever fetched meanwhile may have brought it.
        let fresh = entry.cache().known(kid, FRESH);
        if let Some(key) = fresh {
            return Ok(key);
        }
        if entry.cache().may_try() {
            let fetched = tokio::time::timeout(FETCH, self.fetch(entry)).await;
            match fetched.unwrap_or(Err(TokenError::IssuerUnavailable)) {
                Ok(keys) => entry.cache().keep(keys),
                Err(cause) => tracing::warn!(issuer = url, ?cause, "keys cannot be fetched"),
            }
        }
        let cache = entry.cache();
        match cache.known(kid, STALE) {
            Some(key) => Ok(key),
            None if age(cache.fetched) < FRESH => Err(TokenError::BadSignature),
            None => Err(TokenError::IssuerUnavailable),
        }
    }

    async fn fetch(&self, entry: &Entry) -> Result<JwkSet, TokenError> {
        let discovery = self.discover(entry).await?;
        let keys = get_json::<KeySet>(&self.http, &discovery.jwks_uri).await;
        keys.map(Into::into).map_err(|cause| {
            tracing::warn!(
                issuer = entry.issuer.url,
                cause,
                "key set cannot be fetched"
            );
            entry.cache().discovery = None;
            TokenError::IssuerUnavailable
        })
    }

    async fn discover(&self, entry: &Entry) -> Result<Discovery, TokenError> {
        let known = entry.cache().discovery.clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let issuer = &entry.issuer;
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
        for endpoint in [&found.jwks_uri, &found.token_endpoint] {
            if !endpoint.is_empty() && !is_named(issuer, endpoint) {
                tracing::warn!(
                    issuer = issuer.url,
                    endpoint,
                    "discovery names a host that endpoint_hosts does not"
                );
                return Err(TokenError::IssuerUnavailable);
            }
        }
        entry.cache().discovery = Some(found.clone());
        Ok(found)
    }
}

impl Cache {
    /// The key of that id, where keys were fetched no longer ago than `within`.
    fn known(&self, kid: Option<&str>, within: Duration) -> Option<Jwk> {
        let keys = self.keys.as_ref().filter(|_| age(self.fetched) < within);
        keys.and_then(|keys| find_key(keys, kid))
    }

    /// Whether keys may be fetched now; from then on not for a while.
    fn may_try(&mut self) -> bool {
        let may = age(self.tried) >= UNKNOWN_KEY_PAUSE;
        if may {
            self.tried = Some(Instant::now());
        }
        may
    }

    fn keep(&mut self, keys: JwkSet) {
        self.keys = Some(keys);
        self.fetched = Some(Instant::now());
    }
}

fn age(since: Option<Instant>) -> Duration {
    since.map_or(Duration::MAX, |since| since.elapsed())
}

/// Whether the configuration names where that leads: the issuer's own origin, or one of its
/// `endpoint_hosts` over HTTPS.
fn is_named(issuer: &Issuer, endpoint: &str) -> bool {
    let (Ok(own), Ok(url)) = (Url::parse(&issuer.url), Url::parse(endpoint)) else {
        return false;
    };
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    let listed = |host: &str| issuer.endpoint_hosts.iter().any(|it| it == host);
    url.origin() == own.origin() && matches!(url.scheme(), "http" | "https")
        || url.scheme() == "https" && url.port().is_none() && url.host_str().is_some_and(listed)
}

/// The key of that id; without an id, the only key there is.
fn find_key(keys: &JwkSet, kid: Option<&str>) -> Option<Jwk> {
    match (kid, keys.keys.as_slice()) {
        (Some(kid), _) => keys.find(kid).cloned(),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
