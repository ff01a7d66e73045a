//! The section `[packs]` of `refwarden.toml`: to whom packs are sealed, and where they are kept.
//!
//! Credentials are never in here: they are read from a file or the environment by whoever uses them.

use std::path::PathBuf;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use url::{Host, Url};

/// How packs are kept. Without recipients they are kept in the clear.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Packs {
    /// age recipients (`age1…`), each of whose identities opens every pack.
    pub recipients: Vec<String>,
    /// A file with further recipients, one a line; empty lines and lines that begin with `#` are
    /// skipped.
    pub recipients_file: Option<PathBuf>,
    /// `s3://bucket/prefix`: new packs go there, sealed, by way of `pack_dir`. Without it they stay in
    /// `pack_dir`.
    pub store: Option<Bucket>,
    /// The S3-compatible server; Amazon's of the region if not given.
    pub endpoint: Option<Endpoint>,
    /// The region that requests are signed for; `us-east-1` if not given.
    pub region: Option<String>,
    /// File with the access key: its id on the first line, the secret on the second, on a third the
    /// session token where there is one. Without it, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and
    /// `AWS_SESSION_TOKEN` of the environment.
    pub access_key_file: Option<PathBuf>,
    /// Whether an endpoint that is not on this machine may be spoken to without TLS.
    pub allow_http: bool,
    /// `https://bucket.host/` instead of `https://host/bucket/`; the former where no endpoint is given.
    pub virtual_host: Option<bool>,
    /// The proxy to go through, `http://host:port`. Those in the environment are not used.
    pub proxy: Option<Endpoint>,
}

/// A bucket, and what names in it begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The bucket.
    pub name: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

/// Where a server is: a URL with a host and no credentials, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(pub Url);

/// Reads the section, so that what does not fit together has a line.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Packs, D::Error> {
    let packs = Packs::deserialize(deserializer)?;
    packs.check().map_err(D::Error::custom)?;
    Ok(packs)
}

impl Packs {
    /// What does not fit together, in one sentence.
    ///
    /// # Errors
    /// When a setting of the store has no store, or the endpoint wants TLS.
    fn check(&self) -> Result<(), String> {
        let settings = [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("access_key_file", self.access_key_file.is_some()),
            ("allow_http", self.allow_http),
            ("virtual_host", self.virtual_host.is_some()),
            ("proxy", self.proxy.is_some()),
        ];
        if self.store.is_none() {
            return match settings.iter().find(|(_, is_given)| *is_given) {
                None => Ok(()),
                Some((name, _)) => Err(format!(
                    "packs.{name} is of no use without packs.store, such as s3://bucket/prefix"
                )),
            };
        }
        if self.recipients.is_empty() && self.recipients_file.is_none() {
            return Err(
                "packs.store: packs leave this machine only sealed; name an auditor's age recipient \
                 in packs.recipients"
                    .to_owned(),
            );
        }
        match &self.endpoint {
            Some(endpoint) if endpoint.is_clear() && !endpoint.is_local() && !self.allow_http => {
                Err(format!(
                    "packs.endpoint {}: expected https; allow_http = true allows http",
                    endpoint.0
                ))
            }
            _ => Ok(()),
        }
    }
}

impl Endpoint {
    /// Whether there is no TLS.
    pub fn is_clear(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        match self.0.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &*self.prefix {
            "" => write!(f, "s3://{}", self.name),
            prefix => write!(f, "s3://{}/{prefix}", self.name),
        }
    }
}

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bucket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let whole = text.strip_prefix("s3://").map(|rest| {
            let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            (name, prefix.trim_end_matches('/'))
        });
        // Names of general purpose buckets, and of others in use; of prefixes, what is the same in
        // a URL and out of it.
        let is_name = |name: &str| {
            (3..=63).contains(&name.len())
                && name.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)
                })
        };
        let is_prefix = |prefix: &str| {
            prefix.is_empty()
                || prefix.split('/').all(|part| {
                    !matches!(part, "" | "." | "..")
                        && part
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                })
        };
        match whole {
            Some((name, prefix)) if is_name(name) && is_prefix(prefix) => Ok(Self {
                name: name.to_owned(),
                prefix: prefix.to_owned(),
            }),
            _ => Err(D::Error::custom(format!(
                "'{text}': expected s3://bucket or s3://bucket/prefix, of letters, digits, '-', '.' \
                 and, in the prefix, '_'"
            ))),
        }
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let url = Url::parse(&text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.path() == "/"
        });
        // It may hold a password: it is not repeated.
        let wrong = || {
            D::Error::custom(
                "expected a URL of scheme, host and port alone, such as https://s3.example.com",
            )
        };
        url.map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPIENT: &str = "recipients = [\"age1x\"]\n";

    fn read(text: &str) -> Result<Packs, String> {
        crate::parse::<Packs>("f", text).map_err(|error| error.to_string())
    }

    #[test]
    fn buckets_and_endpoints_are_read_strictly() {
        for (given, expected) in [
            ("s3://packs", "s3://packs"),
            ("s3://packs/", "s3://packs"),
            ("s3://a.b-c/team_1/x/", "s3://a.b-c/team_1/x"),
        ] {
            let packs = read(&format!("store = \"{given}\"")).unwrap();
            assert_eq!(packs.store.unwrap().to_string(), expected);
        }
        for wrong in [
            "packs",
            "s3://",
            "s3:///x",
            "s3://UPPER",
            "s3://packs//x",
            "s3://packs/../x",
            "s3://packs/a b",
            "s3://packs?x=y",
            "https://packs",
        ] {
            let error = read(&format!("store = \"{wrong}\"")).unwrap_err();
            assert!(error.starts_with("f:1: "), "{error}");
            assert!(error.contains("expected s3://bucket"), "{error}");
        }
        for wrong in [
            "s3.example.com",
            "ftp://s3.example.com",
            "https://s3.example.com/path",
            "https://user:word@s3.example.com",
            "https://s3.example.com?a",
        ] {
            let error = read(&format!("\nendpoint = \"{wrong}\"")).unwrap_err();
            assert!(error.starts_with("f:2: expected a URL"), "{error}");
            assert!(!error.contains("word"), "{error}");
        }
        let error = read("secret_access_key = \"x\"").unwrap_err();
        assert!(error.contains("unknown field"), "{error}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let check = |text: &str| read(&format!("{RECIPIENT}{text}")).unwrap().check();
        check("").unwrap();
        let store = "store = \"s3://packs\"\n";
        check(store).unwrap();
        for local in ["127.0.0.1:9000", "[::1]:9000", "localhost"] {
            check(&format!("{store}endpoint = \"http://{local}\"")).unwrap();
        }
        let clear = format!("{store}endpoint = \"http://s3.example.com\"\n");
        assert!(check(&clear).unwrap_err().contains("expected https"));
        check(&format!("{clear}allow_http = true")).unwrap();
        assert!(
            check("region = \"x\"")
                .unwrap_err()
                .contains("packs.region")
        );
        let unsealed = read(store).unwrap().check().unwrap_err();
        assert!(unsealed.contains("only sealed"), "{unsealed}");
    }
}
