//! Values that are looked at while the file is parsed, so that a mistake in one has a line.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use url::Url;

/// The most connections to the database: each may have a thread that makes it.
const MOST_CONNECTIONS: u32 = 1000;

/// What an entry that names actors begins with, as in policy.
const ACTORS: [&str; 4] = ["group:", "user:", "email:", "kind:"];

/// Signature algorithms that are on offer: asymmetric only, never `none`, never HMAC.
const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

/// How many connections there may be.
pub fn connections<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let good = u32::try_from(number).ok();
    let good = good.filter(|number| (1..=MOST_CONNECTIONS).contains(number));
    good.ok_or_else(|| {
        D::Error::custom(format!(
            "{number} connections: expected 1 to {MOST_CONNECTIONS}"
        ))
    })
}

/// Entries that name actors. One of another form would name nobody, and nobody would notice.
pub fn actors<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let entries = Vec::<String>::deserialize(deserializer)?;
    let good = |entry: &String| {
        ACTORS.iter().any(|prefix| {
            entry
                .strip_prefix(prefix)
                .is_some_and(|name| !name.is_empty() && (*prefix != "kind:" || is_kind(name)))
        })
    };
    match entries.iter().find(|entry| !good(entry)) {
        None => Ok(entries),
        Some(entry) => {
            let expected = ACTORS.join("NAME, ");
            Err(D::Error::custom(format!(
                "'{entry}': expected one of {expected}NAME"
            )))
        }
    }
}

fn is_kind(name: &str) -> bool {
    ["human", "agent", "ci"].contains(&name)
}

/// An address or a host's name, and a port.
pub fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && is_whole && port.parse::<u16>().is_ok()
    });
    good.then_some(()).ok_or_else(|| {
        D::Error::custom(format!(
            "'{text}': expected an address and a port, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })?;
    Ok(text)
}

/// A URL that links and requests begin with.
pub fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = Url::parse(&text).ok();
    let good = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    good.then_some(()).ok_or_else(|| {
        D::Error::custom(format!(
            "'{text}': expected a URL, such as https://refwarden.example.com"
        ))
    })?;
    Ok(text)
}

/// Signature algorithms, at least one.
pub fn algorithms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let expected = "expected RS256, PS256, ES256, ES384 or EdDSA";
    if names.is_empty() {
        return Err(D::Error::custom(format!(
            "no algorithm: {expected}, one at least"
        )));
    }
    match names.iter().find(|name| !ALGORITHMS.contains(&&***name)) {
        None => Ok(names),
        Some(name) => Err(D::Error::custom(format!("algorithm '{name}': {expected}"))),
    }
}

/// A SHA-256 in hexadecimal.
pub fn sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 64 && text.bytes().all(digit) {
        return Ok(text);
    }
    Err(D::Error::custom(
        "a SHA-256: expected 64 lower-case hexadecimal digits",
    ))
}
