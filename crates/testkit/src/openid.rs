//! A certified `OpenID` provider (npm `oidc-provider`), on loopback.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use reqwest::blocking::Client;
use serde_json::Value;

use crate::browser::{Browser, Page};

/// The secret of the programs among the clients in `provider.mjs`.
const SECRET: &str = "for-tests-on-loopback-only";

/// Its files.
const FILES: [(&str, &str); 3] = [
    (
        "package.json",
        include_str!("../../../tests/oidc-provider/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../../tests/oidc-provider/package-lock.json"),
    ),
    (
        "provider.mjs",
        include_str!("../../../tests/oidc-provider/provider.mjs"),
    ),
];

/// A running provider. Ends when it is dropped, and with this process.
pub struct OpenId {
    /// Its issuer URL.
    pub url: String,
    child: Child,
    /// Kept open: it dies when it prints and nobody can read.
    _output: BufReader<ChildStdout>,
}

impl OpenId {
    /// Starts one whose client `pages` comes back to `redirect_uri`, and whose access tokens are
    /// for `audience`.
    #[track_caller]
    pub fn start(redirect_uri: &str, audience: &str) -> Self {
        let directory = installed();
        let mut child = Command::new("node")
            .current_dir(directory)
            .args(["provider.mjs", redirect_uri, audience])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("node: {error}; see install/bootstrap.sh"));
        let mut url = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{url:?}");
        Self {
            url,
            child,
            _output: output,
        }
    }

    /// A token of the client `robot`, for itself.
    #[track_caller]
    pub fn robot(&self) -> String {
        self.program("robot")
    }

    /// A token of a build job: of `github-job` or `gitlab-job`, with `claims` over those that such
    /// a job's token has.
    #[track_caller]
    pub fn job(&self, client: &str, claims: &Value) -> String {
        let posted = Client::new()
            .post(format!("{}/test/job", self.url))
            .json(&serde_json::json!({ client: claims }));
        assert!(posted.send().unwrap().status().is_success());
        self.program(client)
    }

    #[track_caller]
    fn program(&self, client: &str) -> String {
        let asked = Client::new()
            .post(format!("{}/token", self.url))
            .basic_auth(client, Some(SECRET))
            .form(&[("grant_type", "client_credentials")]);
        let answer: Value = asked.send().unwrap().json().unwrap();
        let token = answer["access_token"].as_str();
        token
            .unwrap_or_else(|| panic!("no token: {answer}"))
            .to_owned()
    }

    /// Makes a new signing key; the old one stays published.
    #[track_caller]
    pub fn rotate(&self) {
        let asked = Client::new().post(format!("{}/test/rotate", self.url));
        assert!(asked.send().unwrap().status().is_success());
    }

    /// Signs somebody in with a browser, from a page of the provider's on: name, any password,
    /// consent. Returns the first page that is not the provider's, or its last.
    #[track_caller]
    pub fn sign_in(&self, browser: &mut Browser, page: Page, name: &str) -> Page {
        let mut page = page;
        for _ in 0..8 {
            let mut forms = page.forms();
            if !page.url.as_str().starts_with(&self.url) || forms.is_empty() {
                return page;
            }
            let form = forms.remove(0);
            let fields: Vec<(&str, &str)> = if form.fields.contains_key("login") {
                vec![("login", name), ("password", "any")]
            } else if page.body.contains("name=\"confirm\"") {
                vec![("confirm", "yes")]
            } else {
                Vec::new()
            };
            page = browser.submit(&page, &form, &fields);
        }
        panic!("no end of pages: {}", page.body);
    }
}

impl Drop for OpenId {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs it beside the tests, once.
#[track_caller]
fn installed() -> PathBuf {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let here = std::env::current_exe().unwrap();
    let release = here.ancestors().find(|it| it.join("refwarden").is_file());
    let directory = release.unwrap().join("oidc-provider");
    let is_there = |(name, text): &(&str, &str)| {
        std::fs::read_to_string(directory.join(name)).is_ok_and(|found| found == *text)
    };
    if FILES.iter().all(is_there) && directory.join("node_modules/.done").exists() {
        return directory;
    }
    std::fs::create_dir_all(&directory).unwrap();
    for (name, text) in FILES {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let installed = Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&directory)
        .output()
        .unwrap_or_else(|error| panic!("npm: {error}; see install/bootstrap.sh"));
    assert!(installed.status.success(), "npm ci: {installed:?}");
    done(&directory);
    directory
}

fn done(directory: &Path) {
    std::fs::write(directory.join("node_modules/.done"), "").unwrap();
}
