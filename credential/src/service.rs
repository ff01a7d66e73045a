//! Asks Refwarden for a token: where, by what it says of itself; with what, by who the user is.

use std::time::Duration;

use chrono::Utc;
use reqwest::blocking::{Client, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::{Failure, subject};

/// Longest answer that is read, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// Any signed token (RFC 8693, section 3).
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Username that goes with the token; the proxy reads the password only.
const USERNAME: &str = "token";

/// What a service says of itself at `/.well-known/refwarden`.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// Where tokens are traded.
    pub token_endpoint: String,
    /// What a traded token has to be made out to.
    pub refwarden_audience: String,
    /// Where people sign in by device flow.
    pub refwarden_sign_in_issuer: Option<String>,
    /// As which client.
    pub refwarden_sign_in_client: Option<String>,
}

/// A token for git.
pub struct Answer {
    token: SecretString,
    expires: i64,
}

impl Answer {
    /// As git reads it. `ephemeral` keeps other helpers from storing it.
    pub fn render(&self) -> String {
        format!(
            "username={USERNAME}\npassword={}\npassword_expiry_utc={}\nephemeral=1\n",
            self.token.expose_secret(),
            self.expires
        )
    }
}

#[derive(Deserialize)]
struct Given {
    access_token: SecretString,
    expires_in: i64,
}

/// An error of the token endpoint (RFC 6749, section 5.2).
#[derive(Deserialize)]
pub struct Refusal {
    /// The code.
    pub error: String,
    /// One sentence.
    pub error_description: Option<String>,
}

/// Gets a token for the repositories at `base`, or for the one at `path`.
pub fn token(base: &Url, path: Option<&str>) -> Result<Answer, Failure> {
    let http = client()?;
    let service = describe(&http, base)?;
    let subject = subject::find(&http, base, &service)?;
    let mut scope = std::env::var("REFWARDEN_SCOPE").unwrap_or_default();
    if let Some(path) = path {
        let name = path.trim_matches('/');
        let name = name.strip_suffix(".git").unwrap_or(name);
        scope = format!("{scope} repo:{name}");
    }
    let mut form = vec![
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("subject_token", subject.token.expose_secret()),
        ("subject_token_type", JWT),
    ];
    let scope = scope.trim();
    if !scope.is_empty() {
        form.push(("scope", scope));
    }
    let actor = subject::actor()?;
    if let Some(actor) = &actor {
        form.push(("actor_token", actor.expose_secret()));
        form.push(("actor_token_type", JWT));
    }
    let asked = http.post(&service.token_endpoint).form(&form);
    let response = asked.send().map_err(|_| away("the approval service"))?;
    if !response.status().is_success() {
        crate::cache::forget(base);
        let why = read::<Refusal>(response).ok();
        let why = why.map(|why| why.error_description.unwrap_or(why.error));
        let why = why.unwrap_or_else(|| "it does not say why".to_owned());
        return Err(Failure::new(format!("the service gives no token: {why}")));
    }
    let given: Given = read(response)?;
    Ok(Answer {
        token: given.access_token,
        expires: Utc::now().timestamp() + given.expires_in,
    })
}

fn client() -> Result<Client, Failure> {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(15))
        // Between two questions a server may close a connection that is kept.
        .pool_max_idle_per_host(0)
        .user_agent(concat!(
            "git-credential-refwarden/",
            env!("CARGO_PKG_VERSION")
        ))
        .build()
        .map_err(|_| Failure::new("the HTTP client cannot be started"))
}

fn describe(http: &Client, base: &Url) -> Result<Service, Failure> {
    let none = || {
        Failure::new(format!("{base} is no Refwarden, or gives no tokens"))
            .next("take the helper out of credential.<URL>.helper for this host")
    };
    let url = base.join(".well-known/refwarden").map_err(|_| none())?;
    let response = http.get(url).send().map_err(|_| away("the Git server"))?;
    if !response.status().is_success() {
        return Err(none());
    }
    read(response).map_err(|_| none())
}

fn away(who: &str) -> Failure {
    Failure::new(format!("{who} cannot be reached")).next("try again later")
}

/// Reads a bounded JSON answer.
pub fn read<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    use std::io::Read as _;
    let mut body = Vec::new();
    let read = response.take(ANSWER_MAX).read_to_end(&mut body);
    let parsed = read.ok().and_then(|_| serde_json::from_slice(&body).ok());
    parsed.ok_or_else(|| Failure::new("an answer is not what was expected"))
}
