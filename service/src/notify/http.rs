//! Posting to a target: to addresses that passed only, no redirects, bounded in time and size.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use url::{Host, Url};

use super::Failure;
use super::guard::{self, Guarded};
use crate::web::visible_line;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the answer is there.
pub const TOTAL: Duration = Duration::from_secs(10);
/// What is read of an answer that is no success, in bytes. The rest is not taken.
const MAX_ANSWER: usize = 256;

/// What posts to targets.
#[derive(Clone, Debug)]
pub struct Poster {
    client: Client,
    allow_private: bool,
}

impl Poster {
    /// Makes one.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(allow_private: bool) -> Result<Self, String> {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(15))
            .user_agent(concat!("refwarden/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Guarded { allow_private }))
            .build()
            .map_err(|error| format!("cannot set up TLS: {}", in_full(&error)))?;
        Ok(Self {
            client,
            allow_private,
        })
    }

    /// Posts JSON. Returns what the target answered.
    ///
    /// # Errors
    /// Anything but an answer of 200 to 299. 410 says that the target wants no more.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: String,
    ) -> Result<String, Failure> {
        self.check_literal(url)?;
        let sent = self
            .client
            .post(url.clone())
            .headers(headers)
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await;
        let response = sent.map_err(|error| Failure::for_now(in_full(&error.without_url())))?;
        let status = response.status();
        if status.is_success() {
            return Ok(format!("answered {status}"));
        }
        let wait = wait(&response);
        let answer = answer(response).await;
        Err(match status {
            StatusCode::GONE => Failure::ForGood {
                said: format!("answered {status}: it wants no more"),
            },
            _ if status.is_redirection() => {
                Failure::for_now(format!("answered {status}; redirects are not followed"))
            }
            _ => Failure::ForNow {
                said: format!("answered {status}{answer}"),
                wait,
            },
        })
    }

    /// A host that is an address is not resolved, so the resolver does not see it.
    fn check_literal(&self, url: &Url) -> Result<(), Failure> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.allow_private {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        guard::check(host, address).map_err(Failure::for_now)
    }
}

/// Seconds that the target asks to wait (RFC 9110, section 10.2.3); its form as a date is not
/// read.
fn wait(response: &Response) -> Option<u64> {
    let value = response.headers().get(RETRY_AFTER)?;
    value.to_str().ok()?.trim().parse().ok()
}

/// How the answer begins, made visible.
async fn answer(mut response: Response) -> String {
    let mut begin = Vec::new();
    while begin.len() < MAX_ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => begin.extend(chunk.iter().take(MAX_ANSWER - begin.len())),
            Ok(None) | Err(_) => break,
        }
    }
    match visible_line(begin.trim_ascii()) {
        text if text.is_empty() => text,
        text => format!(": {text}"),
    }
}

/// An error with all of its causes, on one line.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    visible_line(text.as_bytes())
}
