//! What a browser does when a person signs in and submits a form: cookies, redirects, Origin.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use url::Url;

use super::page::Form;
use crate::api::client;
use crate::failure::{Context as _, Failure, Outcome};

/// Redirects followed in a row.
const REDIRECTS: usize = 10;

/// A browser with its cookies. They are kept by hand: the session cookie is `Secure`, which
/// browsers send to loopback addresses without TLS too, and HTTP libraries do not.
pub struct Browser {
    http: Client,
    cookies: BTreeMap<String, String>,
}

/// The fields of a form, and the origin of its page.
type Post = (Vec<(String, String)>, String);

/// A page as it came.
pub struct Page {
    /// Its address, after redirects.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// Its HTML.
    pub html: String,
}

impl Browser {
    /// A browser that was never used.
    pub fn new() -> Outcome<Self> {
        Ok(Self {
            http: client::client(Duration::from_secs(20))?,
            cookies: BTreeMap::new(),
        })
    }

    /// Opens an address.
    pub fn open(&mut self, url: &str) -> Outcome<Page> {
        let url = Url::parse(url).context(|| format!("{url} is no URL"))?;
        self.follow(url, None)
    }

    /// Submits the form of a page that has a field of that name.
    pub fn submit(&mut self, page: &Page, has: &str, filled: &[(&str, &str)]) -> Outcome<Page> {
        let form = Form::with_field(&page.html, has).ok_or_else(|| {
            Failure::refused(format!("{} has no form with '{has}'", page.url.path()))
                .why(format!("it answered {}", page.status))
        })?;
        let url = page
            .url
            .join(&form.action)
            .context(|| format!("{} is no address", form.action))?;
        let origin = page.url.origin().ascii_serialization();
        self.follow(url, Some((form.filled(filled), origin)))
    }

    fn follow(&mut self, url: Url, post: Option<Post>) -> Outcome<Page> {
        let mut url = url;
        let mut post = post;
        for _ in 0..REDIRECTS {
            let answer = self.send(&url, post.take().as_ref())?;
            self.keep_cookies(&answer);
            let target = answer.headers().get(LOCATION);
            let target = target.and_then(|target| target.to_str().ok());
            match target.filter(|_| answer.status().is_redirection()) {
                Some(target) => {
                    url = url
                        .join(target)
                        .context(|| format!("{target} is no address"))?;
                }
                None => {
                    return Ok(Page {
                        status: answer.status().as_u16(),
                        html: answer.text().context(|| format!("{url} broke off"))?,
                        url,
                    });
                }
            }
        }
        Err(Failure::new(format!("{url} leads nowhere")).why("too many redirects"))
    }

    fn send(&self, url: &Url, post: Option<&Post>) -> Outcome<Response> {
        let request = match post {
            None => self.http.get(url.clone()),
            Some((fields, origin)) => self
                .http
                .post(url.clone())
                .header(ORIGIN, origin)
                .form(fields),
        };
        let cookies = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<String> = cookies.collect();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies.join("; "))
        };
        request
            .send()
            .context(|| format!("{} cannot be reached", url.origin().ascii_serialization()))
    }

    fn keep_cookies(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let text = cookie.to_str().unwrap_or_default();
            let pair = text.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies
                    .insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}
