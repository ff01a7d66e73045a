//! Tokens from the quick start's identity provider, by client credentials (RFC 6749, 4.4).

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::client::describe;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;
use crate::quickstart::identities::Identities;

#[derive(Deserialize)]
struct TokenOut {
    access_token: String,
}

/// Asks for a token for `client`, which acts for `user` or, being the operator, stands in for
/// them. Good for `ttl` seconds.
pub fn request(dir: &DataDir, client: &str, user: Option<&str>, ttl: u64) -> Outcome<SecretString> {
    if !(1..=3600).contains(&ttl) {
        return Err(Failure::new("a token lasts from 1s to 1h"));
    }
    let config = dir.config()?;
    let identities = Identities::read(dir)?;
    let known = identities.client(client)?;
    let mut form = vec![
        ("grant_type", "client_credentials".to_owned()),
        ("client_id", known.id.clone()),
        ("client_secret", known.secret.clone()),
        ("audience", config.service.audience.clone()),
        ("expires_in", ttl.to_string()),
    ];
    if let Some(user) = user {
        let key = if known.kind == "operator" {
            "subject"
        } else {
            "for"
        };
        form.push((key, identities.user(user)?.name.clone()));
    }
    let url = format!("{}/idp/token", config.service.public_url);
    let answer = reqwest::blocking::Client::builder()
        .timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .and_then(|http| http.post(&url).form(&form).send())
        .map_err(|error| {
            Failure::new("the identity provider cannot be reached")
                .why(error)
                .next(format!("refwarden up --data-dir {}", dir.quoted()))
        })?;
    if !answer.status().is_success() {
        return Err(Failure::new("the identity provider gives no token").why(describe(answer)));
    }
    let token: TokenOut = answer
        .json()
        .context(|| "the identity provider's answer is not understood".to_owned())?;
    Ok(token.access_token.into())
}
