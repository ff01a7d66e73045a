//! `/.well-known/refwarden`: what a credential helper has to know, as the service says it. Git
//! clients know the proxy's address only.

use std::time::Duration;

use actix_web::{HttpResponse, web};

use crate::refusal::Refusal;
use crate::serve::Proxy;

/// Longest answer that is passed on, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// Where it is asked for, here and at the service.
pub const PATH: &str = "/.well-known/refwarden";

/// Passes the service's answer on.
pub async fn handle(proxy: web::Data<Proxy>) -> HttpResponse {
    match ask(&proxy.service).await {
        Ok(body) => HttpResponse::Ok()
            .content_type("application/json")
            .body(body),
        Err(refusal) => refusal.response(),
    }
}

async fn ask(service: &Service) -> Result<Vec<u8>, Refusal> {
    let mut answer = service
        .client
        .get(&service.url)
        .send()
        .await
        .map_err(|error| {
            tracing::warn!(%error, "the approval service does not answer");
            Refusal::ServiceDown
        })?;
    if answer.status() == reqwest::StatusCode::NOT_FOUND {
        return Err(Refusal::NotFound);
    }
    if !answer.status().is_success() {
        return Err(Refusal::ServiceFault);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| Refusal::ServiceDown)? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(Refusal::ServiceFault);
        }
    }
    Ok(body)
}

/// The service's own page of that name.
pub struct Service {
    client: reqwest::Client,
    url: String,
}

impl Service {
    /// For the service at `service_url`.
    pub fn new(service_url: &str) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(4))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        let url = format!("{}{PATH}", service_url.trim_end_matches('/'));
        Ok(Self { client, url })
    }
}
