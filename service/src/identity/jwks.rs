//! Fetching JSON from an identity provider: bounded in time and size, no redirects.

use std::time::Duration;

use serde::de::DeserializeOwned;

/// The largest discovery document or key set that is read, in bytes.
const MAX_BODY: usize = 256 << 10;

/// The client for calls to identity providers.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(4))
        .build()
}

/// Reads at most [`MAX_BODY`] bytes of JSON.
pub async fn read_json<T: DeserializeOwned>(mut response: reqwest::Response) -> Result<T, String> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(format!("answer is longer than {MAX_BODY} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(format!("answered {status}"));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

/// Gets a JSON document.
pub async fn get_json<T: DeserializeOwned>(http: &reqwest::Client, url: &str) -> Result<T, String> {
    let response = http
        .get(url)
        .send()
        .await
        .map_err(|error| error.to_string())?;
    read_json(response).await
}
