//! Who the user is: a token of an identity provider, from the first place that has one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use reqwest::blocking::Client;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::service::{Service, read};
use crate::{Failure, cache, device};

/// Longest token file, in bytes.
const FILE_MAX: u64 = 64 << 10;

/// A token that says who somebody is.
pub struct Subject {
    /// The token.
    pub token: SecretString,
}

/// Finds one.
pub fn find(http: &Client, base: &Url, service: &Service) -> Result<Subject, Failure> {
    if let Some(token) = given("REFWARDEN_SUBJECT_TOKEN")? {
        return Ok(Subject { token });
    }
    if let Some(token) = github(http, service)? {
        return Ok(Subject { token });
    }
    if let Some(token) = cache::load(base) {
        return Ok(Subject { token });
    }
    let (Some(issuer), Some(client)) = (
        &service.refwarden_sign_in_issuer,
        &service.refwarden_sign_in_client,
    ) else {
        let next = "set REFWARDEN_SUBJECT_TOKEN to a token of your identity provider";
        return Err(Failure::new("nothing says who you are").next(next));
    };
    let token = device::sign_in(http, issuer, client)?;
    cache::store(base, &token);
    Ok(Subject { token })
}

/// The agent that acts for the user, where one does.
pub fn actor() -> Result<Option<SecretString>, Failure> {
    given("REFWARDEN_ACTOR_TOKEN")
}

/// A token in a variable, or in a file that the variable with `_FILE` names.
fn given(name: &str) -> Result<Option<SecretString>, Failure> {
    use std::io::Read as _;
    if let Some(token) = text(name) {
        return Ok(Some(SecretString::from(token)));
    }
    let Some(file) = text(&format!("{name}_FILE")) else {
        return Ok(None);
    };
    let mut token = String::new();
    let read =
        std::fs::File::open(&file).and_then(|file| file.take(FILE_MAX).read_to_string(&mut token));
    match read {
        Ok(_) => Ok(Some(SecretString::from(token.trim()))),
        Err(error) => {
            let what = format!("{name}_FILE cannot be read: {}", error.kind());
            Err(Failure::new(what))
        }
    }
}

/// GitHub Actions gives a job with `id-token: write` an address and a credential for it, where a
/// token for any audience is had (GitHub documentation, "`OpenID` Connect reference").
fn github(http: &Client, service: &Service) -> Result<Option<SecretString>, Failure> {
    #[derive(Deserialize)]
    struct Token {
        value: SecretString,
    }
    let (Some(url), Some(credential)) = (
        text("ACTIONS_ID_TOKEN_REQUEST_URL"),
        text("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
    ) else {
        return Ok(None);
    };
    let fault = || Failure::new("GitHub Actions gives no token for this job");
    let mut url = Url::parse(&url).map_err(|_| fault())?;
    url.query_pairs_mut()
        .append_pair("audience", &service.refwarden_audience);
    let response = http.get(url).bearer_auth(credential).send();
    let response = response.map_err(|_| fault())?;
    if !response.status().is_success() {
        return Err(fault().next("give the job `permissions: id-token: write`"));
    }
    Ok(Some(read::<Token>(response)?.value))
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Seconds that a token is still good for, by its own claim; none when it says nothing.
pub fn left(token: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some(claims.exp - Utc::now().timestamp())
}
