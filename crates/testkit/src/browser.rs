//! An approver's browser: cookies, forms, redirects, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use reqwest::blocking::Client;
use url::Url;

use crate::planted;

/// Signs in, reads pages, submits their forms.
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

/// A page as it came.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address, after redirects.
    pub url: Url,
    /// The status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its HTML.
    pub body: String,
}

/// A form of a page.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where it goes.
    pub action: String,
    /// Its hidden and other fields with their values.
    pub fields: BTreeMap<String, String>,
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A browser without cookies.
    pub fn new() -> Self {
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            client,
            cookies: BTreeMap::new(),
        }
    }

    /// The cookies, by name.
    pub fn cookies(&self) -> &BTreeMap<String, String> {
        &self.cookies
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&mut self, url: &str) -> Page {
        self.follow(Method::GET, Url::parse(url).unwrap(), None, None)
    }

    /// Submits a form of `page`, with some fields set.
    #[track_caller]
    pub fn submit(&mut self, page: &Page, form: &Form, set: &[(&str, &str)]) -> Page {
        let mut fields = form.fields.clone();
        for (name, value) in set {
            fields.insert((*name).to_owned(), (*value).to_owned());
        }
        let url = page.url.join(&form.action).unwrap();
        let origin = page.url.origin().ascii_serialization();
        self.follow(Method::POST, url, Some(fields), Some(origin))
    }

    /// Posts fields from a page of another origin, or none.
    #[track_caller]
    pub fn post(&mut self, url: &str, fields: &[(&str, &str)], origin: Option<&str>) -> Page {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let origin = origin.map(ToOwned::to_owned);
        self.follow(
            Method::POST,
            Url::parse(url).unwrap(),
            Some(fields.collect()),
            origin,
        )
    }

    /// Signs in at the service with the quick start's identity provider.
    #[track_caller]
    pub fn sign_in(&mut self, service_url: &str, user: &str, password: &str) {
        let page = self.open(&format!("{service_url}/sign-in"));
        let form = page.form_with("password");
        let name = ["username", "user", "name", "login"]
            .into_iter()
            .find(|name| form.fields.contains_key(*name))
            .unwrap_or_else(|| panic!("a form without a name: {form:?}"));
        let page = self.submit(&page, &form, &[(name, user), ("password", password)]);
        assert_eq!(page.status, 200, "sign-in of {user} failed: {}", page.body);
        assert!(page.url.as_str().starts_with(service_url), "{}", page.url);
        assert!(
            !page.url.path().starts_with("/idp"),
            "sign-in of {user} failed: {}",
            page.body
        );
    }

    /// Decides a request on its page: opens it, fills the form in, submits it.
    #[track_caller]
    pub fn decide(&mut self, request_url: &str, decision: &str, reason: &str) -> Page {
        let page = self.open(request_url);
        assert_eq!(page.status, 200, "{}", page.body);
        let form = page.form_with("digest");
        self.submit(&page, &form, &[("decision", decision), ("reason", reason)])
    }

    fn follow(
        &mut self,
        method: Method,
        url: Url,
        fields: Option<BTreeMap<String, String>>,
        origin: Option<String>,
    ) -> Page {
        let (mut method, mut url, mut fields, mut origin) = (method, url, fields, origin);
        for _ in 0..10 {
            let page = self.request(method, &url, fields.as_ref(), origin.as_deref());
            let location = page.header("location");
            match (page.status, location) {
                (301..=303 | 307, Some(location)) => url = url.join(location).unwrap(),
                _ => return page,
            }
            (method, fields, origin) = (Method::GET, None, None);
        }
        panic!("too many redirects at {url}");
    }

    fn request(
        &mut self,
        method: Method,
        url: &Url,
        fields: Option<&BTreeMap<String, String>>,
        origin: Option<&str>,
    ) -> Page {
        let mut request = self.client.request(method, url.clone());
        if !self.cookies.is_empty() {
            let cookies = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"));
            request = request.header("cookie", cookies.collect::<Vec<_>>().join("; "));
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if let Some(fields) = fields {
            request = request.form(fields);
        }
        let response = request.send().unwrap();
        let status = response.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect();
        for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                if value.is_empty() || cookie.contains("Max-Age=0") {
                    self.cookies.remove(name);
                } else {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        let body = response.text().unwrap();
        planted::look(url.as_str(), body.as_bytes());
        Page {
            url: url.clone(),
            status,
            headers,
            body,
        }
    }
}

impl Page {
    /// A header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Its forms.
    pub fn forms(&self) -> Vec<Form> {
        let mut forms: Vec<Form> = Vec::new();
        for tag in tags(&self.body) {
            let attributes = attributes(tag);
            let attribute = |name: &str| attributes.get(name).cloned().unwrap_or_default();
            let element = tag.split_whitespace().next().unwrap_or_default();
            match (element.to_ascii_lowercase().as_str(), forms.last_mut()) {
                ("form", _) => forms.push(Form {
                    action: attribute("action"),
                    fields: BTreeMap::new(),
                }),
                ("input" | "textarea", Some(form)) if attributes.contains_key("name") => {
                    form.fields.insert(attribute("name"), attribute("value"));
                }
                _ => {}
            }
        }
        forms
    }

    /// The form that has a field.
    #[track_caller]
    pub fn form_with(&self, field: &str) -> Form {
        let found = self
            .forms()
            .into_iter()
            .find(|form| form.fields.contains_key(field));
        found.unwrap_or_else(|| {
            panic!(
                "{} ({}) has no form with {field}:\n{}",
                self.url, self.status, self.body
            )
        })
    }
}

fn tags(html: &str) -> impl Iterator<Item = &str> {
    html.split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
}

fn attributes(tag: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("=\"") {
        let name = before
            .split_whitespace()
            .last()
            .unwrap_or_default()
            .to_owned();
        let Some((value, next)) = after.split_once('"') else {
            break;
        };
        found.insert(name, unescape(value));
        rest = next;
    }
    found
}

fn unescape(text: &str) -> String {
    text.replace("&#x2f;", "/")
        .replace("&#x2F;", "/")
        .replace("&#34;", "\"")
        .replace("&#38;", "&")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read() {
        let page = Page {
            url: Url::parse("http://x/").unwrap(),
            status: 200,
            headers: vec![],
            body: r#"<form method="post" action="/a?b=1&amp;c"><input type="hidden" name="csrf"
                value="x&#39;y"><textarea name="reason"></textarea></form>"#
                .into(),
        };
        let form = page.form_with("csrf");
        assert_eq!(form.action, "/a?b=1&c");
        assert_eq!(form.fields["csrf"], "x'y");
        assert!(form.fields.contains_key("reason"));
    }
}
