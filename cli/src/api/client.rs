//! The API of the service, with a reader's token.

use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use super::tokens;
use crate::args::ServiceArgs;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;
use crate::output::printable;

/// Who reads in a quick start.
const READER: &str = "audrey";

/// How long one connection of a stream without end is read.
const STREAM: Duration = Duration::from_mins(5);

/// How long a stream of records may take.
const LONG: Duration = Duration::from_hours(24);

/// A service, and the right to ask it.
pub struct Api {
    base: String,
    token: SecretString,
    http: Client,
}

impl Api {
    /// Finds the service and a token.
    pub fn connect(args: &ServiceArgs) -> Outcome<Self> {
        Self::connect_as(args, READER)
    }

    /// Speaks as who pushes: by the token in the environment or, in a quick start, as the agent on
    /// behalf of `person`.
    pub fn connect_to_push(args: &ServiceArgs, person: &str) -> Outcome<Self> {
        let Some(dir) = args
            .data_dir
            .as_ref()
            .filter(|_| args.service_url.is_none())
        else {
            return Self::connect(args);
        };
        let dir = DataDir::resolve(dir)?;
        let token = match token_from_environment() {
            Ok(token) => token,
            Err(_) => tokens::request(&dir, "agent", Some(person), 300)?,
        };
        Ok(Self {
            base: dir.config()?.service.public_url,
            token,
            http: client(Duration::from_secs(30))?,
        })
    }

    /// The same, in a quick start on behalf of `person`.
    pub fn connect_as(args: &ServiceArgs, person: &str) -> Outcome<Self> {
        let (base, token) = match (&args.data_dir, &args.service_url) {
            (_, Some(url)) => (
                url.trim_end_matches('/').to_owned(),
                token_from_environment()?,
            ),
            (Some(dir), None) => {
                let dir = DataDir::resolve(dir)?;
                let token = tokens::request(&dir, "operator", Some(person), 300)?;
                (dir.config()?.service.public_url, token)
            }
            (None, None) => {
                return Err(Failure::new("which service?")
                    .next("give --data-dir DIR, or --service-url URL with REFWARDEN_TOKEN set"));
            }
        };
        let http = client(Duration::from_secs(30))?;
        Ok(Self { base, token, http })
    }

    /// Reads JSON.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Outcome<T> {
        let answer = self.fetch(path, query)?;
        answer
            .json()
            .context(|| format!("the answer to {path} is not understood"))
    }

    /// Reads JSON; none where there is no such thing, or the caller may not know of it.
    pub fn find<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Outcome<Option<T>> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let answer = self.ask(self.http.get(url))?;
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let read = look(answer, path)?.json();
        read.map(Some)
            .context(|| format!("the answer to {path} is not understood"))
    }

    /// Posts JSON and reads what comes back.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Outcome<T> {
        let answer = self.send(self.http.post(self.url(path)?).json(body), path)?;
        answer
            .json()
            .context(|| format!("the answer to {path} is not understood"))
    }

    /// Asks for a body to be read as a stream.
    pub fn fetch(&self, path: &str, query: &[(&str, String)]) -> Outcome<Response> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.http.get(url), path)
    }

    /// Asks for a body that may take hours to read; each wait is bounded, their sum is not.
    pub fn fetch_long(&self, path: &str, query: &[(&str, String)]) -> Outcome<Response> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        self.send(self.http.get(url).timeout(LONG), path)
    }

    /// Asks for a body that goes on until somebody ends it. After some minutes the wait for it is
    /// over, so that a connection that has died unnoticed is noticed.
    pub fn fetch_stream(&self, path: &str, query: &[(&str, String)]) -> Outcome<Response> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        self.send(self.http.get(url).timeout(STREAM), path)
    }

    fn url(&self, path: &str) -> Outcome<url::Url> {
        url::Url::parse(&format!("{}{path}", self.base))
            .context(|| format!("{} is no URL of a service", self.base))
    }

    fn send(&self, request: RequestBuilder, path: &str) -> Outcome<Response> {
        look(self.ask(request)?, path)
    }

    fn ask(&self, request: RequestBuilder) -> Outcome<Response> {
        request
            .bearer_auth(self.token.expose_secret())
            .send()
            .map_err(|error| {
                Failure::new(format!("{} cannot be reached", self.base))
                    .why(error.without_url())
                    .next("see whether the service runs: refwarden status")
            })
    }
}

/// Takes an answer that is a success, and tells the others.
fn look(answer: Response, path: &str) -> Outcome<Response> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    // Others take up all there is: that is no refusal, and passes.
    let is_full = answer.status() == reqwest::StatusCode::TOO_MANY_REQUESTS;
    let failure = if answer.status().is_client_error() && !is_full {
        Failure::refused(format!("the service refuses {path}"))
    } else {
        Failure::new(format!("the service fails at {path}"))
    };
    Err(failure.why(describe(answer)))
}

/// A client without redirects; `timeout` bounds each wait, not the whole body.
pub fn client(timeout: Duration) -> Outcome<Client> {
    Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .context(|| "no HTTP client can be made".to_owned())
}

/// What an answer that is no success says, for people.
pub fn describe(answer: Response) -> String {
    let status = answer.status();
    let body = answer.text().unwrap_or_default();
    let parsed: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let field = |name: &str| {
        let text = parsed.get(name).and_then(serde_json::Value::as_str);
        text.map(printable)
    };
    // RFC 9457 from the service, RFC 6749 from an identity provider.
    let said = field("title")
        .or_else(|| field("error_description"))
        .or_else(|| field("error"));
    match (said, field("event")) {
        (Some(said), Some(event)) => format!("{status}: {said} (event {event})"),
        (Some(said), None) => format!("{status}: {said}"),
        (None, _) => status.to_string(),
    }
}

fn token_from_environment() -> Outcome<SecretString> {
    std::env::var("REFWARDEN_TOKEN")
        .ok()
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .ok_or_else(|| {
            Failure::new("there is no token").next("set REFWARDEN_TOKEN; --service-url needs it")
        })
}
