//! Who the service is to an S3-compatible store, and over which connections it speaks with it.
//!
//! There is an access key in a file or in the environment, or none: machines are not asked for
//! credentials of their own.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use refwarden_config::{Bucket, Endpoint, Packs};
use url::Url;

/// The most that is read of an answer that is no file, in bytes.
const ANSWER_MAX: usize = 256 << 10;
/// How long a connection may take to come to be.
const CONNECT: Duration = Duration::from_secs(1);
/// The region that servers other than Amazon's mostly take for theirs.
const REGION: &str = "us-east-1";

/// An access key.
pub(super) struct Key {
    id: String,
    secret: String,
    token: Option<String>,
}

impl Key {
    /// Reads it from the file that `[packs]` names, or from the environment.
    ///
    /// # Errors
    /// One sentence, which repeats nothing of it.
    pub(super) fn find(config: &Packs, directory: &Path) -> Result<Self, String> {
        let found = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let Some(file) = &config.access_key_file else {
            let (id, secret) = (found("AWS_ACCESS_KEY_ID"), found("AWS_SECRET_ACCESS_KEY"));
            let (Some(id), Some(secret)) = (id, secret) else {
                return Err(
                    "packs.store: there is no access key; name packs.access_key_file, or set \
                            AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                        .to_owned(),
                );
            };
            let token = found("AWS_SESSION_TOKEN");
            return Ok(Self { id, secret, token });
        };
        let path = directory.join(file);
        let shown = path.display();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("packs.access_key_file {shown}: {error}"))?;
        Self::parse(&text).ok_or_else(|| {
            format!(
                "packs.access_key_file {shown}: expected the key's id on the first line, its secret \
                 on the second and, where there is one, the session token on the third"
            )
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_word =
            |line: &&str| !line.is_empty() && line.bytes().all(|it| it.is_ascii_graphic());
        let words = || lines.iter().all(is_word);
        let (id, secret, token) = match lines[..] {
            [id, secret] if words() => (id, secret, None),
            [id, secret, token] if words() => (id, secret, Some(token)),
            _ => return None,
        };
        Some(Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            token: token.map(str::to_owned),
        })
    }

    /// What no text may hold.
    pub(super) fn hidden(&self) -> Vec<String> {
        let parts = [Some(&self.secret), self.token.as_ref(), Some(&self.id)];
        parts.into_iter().flatten().cloned().collect()
    }
}

/// What speaks with the store. It has spoken with nobody yet.
///
/// # Errors
/// One sentence, when TLS cannot be set up or the endpoint is of no use.
pub(super) fn client(config: &Packs, bucket: &Bucket, key: &Key) -> Result<AmazonS3, String> {
    let mut http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(Duration::from_secs(10));
    if let Some(proxy) = &config.proxy {
        let proxy = reqwest::Proxy::all(proxy.0.as_str());
        http = http.proxy(proxy.map_err(|error| format!("packs.proxy: {error}"))?);
    }
    let http = http
        .build()
        .map_err(|error| format!("packs.store: cannot set up TLS: {error}"))?;
    // A certificate for all buckets covers no name with a dot.
    let fits = config.endpoint.is_none() && !bucket.name.contains('.');
    let virtual_host = config.virtual_host.unwrap_or(fits);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&bucket.name)
        .with_region(config.region.as_deref().unwrap_or(REGION))
        .with_access_key_id(&key.id)
        .with_secret_access_key(&key.secret)
        .with_virtual_hosted_style_request(virtual_host)
        // Deleting several at once is a right of its own, and not every server knows it.
        .with_disable_bulk_delete(true)
        .with_allow_http(config.endpoint.as_ref().is_some_and(Endpoint::is_clear))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_millis(500),
                base: 2.0,
            },
            max_retries: 2,
            retry_timeout: Duration::from_secs(2),
        })
        .with_http_connector(Http(http));
    if let Some(token) = &key.token {
        builder = builder.with_token(token);
    }
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(base(&endpoint.0, bucket, virtual_host)?);
    }
    builder
        .build()
        .map_err(|error| format!("packs.store {bucket}: {error}"))
}

/// What requests begin with.
fn base(endpoint: &Url, bucket: &Bucket, virtual_host: bool) -> Result<String, String> {
    let mut url = endpoint.clone();
    if virtual_host {
        let host = format!("{}.{}", bucket.name, url.host_str().unwrap_or_default());
        url.set_host(Some(&host))
            .map_err(|error| format!("packs.virtual_host: {host}: {error}"))?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Our own connections, for requests that `object_store` signs.
#[derive(Debug)]
struct Http(reqwest::Client);

impl HttpConnector for Http {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self(self.0.clone())))
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Http {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answering<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let url = Url::parse(&head.uri.to_string())
                .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            let is_get = head.method == reqwest::Method::GET;
            let mut asked = reqwest::Request::new(head.method, url);
            *asked.headers_mut() = head.headers;
            *asked.body_mut() = Some(match body.as_bytes() {
                Some(bytes) => bytes.clone().into(),
                None => reqwest::Body::wrap(body),
            });
            let answer = self.0.execute(asked).await.map_err(broken)?;
            let answer: http::Response<reqwest::Body> = answer.into();
            let (head, body) = answer.into_parts();
            let body = if is_get && head.status.is_success() {
                HttpResponseBody::new(body.map_err(broken))
            } else {
                let read = Limited::new(body, ANSWER_MAX).collect().await;
                let read =
                    read.map_err(|error| HttpError::new_boxed(HttpErrorKind::Decode, error))?;
                HttpResponseBody::from(read.to_bytes())
            };
            Ok(HttpResponse::from_parts(head, body))
        })
    }
}

fn broken(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_has_two_lines_or_three() {
        let read = |text: &str| Key::parse(text).map(|key| (key.id, key.secret, key.token));
        let words = |token: Option<&str>| {
            let token = token.map(str::to_owned);
            Some(("id".to_owned(), "secret".to_owned(), token))
        };
        assert_eq!(read("id\nsecret\n"), words(None));
        assert_eq!(read(" id \r\nsecret\r\ntoken"), words(Some("token")));
        for wrong in [
            "",
            "id",
            "id\n\nsecret",
            "id\nse cret",
            "id\nsecret\ntoken\nmore",
        ] {
            assert!(read(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_in_the_host() {
        let bucket = Bucket {
            name: "packs".to_owned(),
            prefix: String::new(),
        };
        let url = Url::parse("https://s3.example.com:9000").unwrap();
        let of = |virtual_host| base(&url, &bucket, virtual_host).unwrap();
        assert_eq!(of(false), "https://s3.example.com:9000");
        assert_eq!(of(true), "https://packs.s3.example.com:9000");
        let address = Url::parse("http://127.0.0.1:9000").unwrap();
        assert!(base(&address, &bucket, true).is_err());
    }
}
