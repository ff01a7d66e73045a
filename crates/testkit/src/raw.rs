//! A client of receive-pack that says what git would never say.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::git::Git;
use crate::pkt::{flush, line, packets};
use crate::planted;

/// One command of a push, as the client claims it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The old oid, true or not.
    pub old: String,
    /// The new oid.
    pub new: String,
    /// The ref's name: any bytes.
    pub name: Vec<u8>,
}

/// A push.
#[derive(Clone, Debug, Default)]
pub struct RawPush {
    /// Its commands.
    pub claims: Vec<Claim>,
    /// Capabilities beside `report-status` and `side-band-64k`.
    pub capabilities: Vec<String>,
    /// Push options; sent when there are any.
    pub options: Vec<Vec<u8>>,
    /// The pack; empty to send none.
    pub pack: Vec<u8>,
}

/// What receive-pack answered.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// `ok`, or why the pack was not taken; none when receive-pack died before it said so.
    pub unpack: Option<String>,
    /// By ref: whether it was taken, or why not.
    pub refs: BTreeMap<Vec<u8>, Result<(), String>>,
    /// What hooks and git said.
    pub messages: String,
}

impl RawPush {
    /// A push of one claim and a pack.
    pub fn one(old: &str, new: &str, name: &[u8], pack: Vec<u8>) -> Self {
        Self {
            pack,
            ..Self::default()
        }
        .and(old, new, name)
    }

    /// The same push with one more claim.
    #[must_use]
    pub fn and(mut self, old: &str, new: &str, name: &[u8]) -> Self {
        self.claims.push(Claim {
            old: old.to_owned(),
            new: new.to_owned(),
            name: name.to_vec(),
        });
        self
    }

    /// The same push with a capability.
    #[must_use]
    pub fn capable(mut self, capability: &str) -> Self {
        self.capabilities.push(capability.to_owned());
        self
    }

    /// The bytes of the request (gitprotocol-pack(5), "Reference Update Request").
    pub fn bytes(&self) -> Vec<u8> {
        let mut capabilities = "report-status side-band-64k agent=raw/1".to_owned();
        for capability in &self.capabilities {
            capabilities.push(' ');
            capabilities.push_str(capability);
        }
        if !self.options.is_empty() {
            capabilities.push_str(" push-options");
        }
        let mut bytes = Vec::new();
        for (index, claim) in self.claims.iter().enumerate() {
            let mut payload = format!("{} {} ", claim.old, claim.new).into_bytes();
            payload.extend_from_slice(&claim.name);
            if index == 0 {
                payload.push(0);
                payload.extend_from_slice(capabilities.as_bytes());
            }
            bytes.extend(line(&payload));
        }
        bytes.extend_from_slice(flush());
        if !self.options.is_empty() {
            for option in &self.options {
                bytes.extend(line(option));
            }
            bytes.extend_from_slice(flush());
        }
        bytes.extend_from_slice(&self.pack);
        bytes
    }

    /// Sends the push to a `git receive-pack` of our own, as over a local path.
    #[track_caller]
    pub fn send_local(&self, git: &Git, repository: &Path) -> Report {
        let mut child = git
            .command(repository)
            .args(["receive-pack", "."])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        read_advertisement(&mut stdout);
        let bytes = self.bytes();
        let answer = std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = stdin.write_all(&bytes);
            });
            let mut answer = Vec::new();
            stdout.read_to_end(&mut answer).unwrap();
            answer
        });
        let output = child.wait_with_output().unwrap();
        let mut report = Report::parse(&answer);
        report
            .messages
            .push_str(&String::from_utf8_lossy(&output.stderr));
        report
    }

    /// Sends the push over HTTP. `url` ends in `.git`.
    #[track_caller]
    pub fn send_http(&self, url: &str, token: &str) -> Report {
        let response = reqwest::blocking::Client::builder()
            .timeout(Duration::from_mins(1))
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("{url}/git-receive-pack"))
            .basic_auth("x", Some(token))
            .header("content-type", "application/x-git-receive-pack-request")
            .body(self.bytes())
            .send()
            .unwrap();
        let status = response.status();
        let body = response.bytes().unwrap();
        assert!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Report::parse(&body)
    }
}

/// Reads the ref advertisement, up to its flush.
fn read_advertisement(stdout: &mut impl std::io::Read) {
    loop {
        let mut length = [0; 4];
        stdout
            .read_exact(&mut length)
            .expect("receive-pack died before its advertisement");
        let length = usize::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
        if length == 0 {
            return;
        }
        let mut payload = vec![0; length - 4];
        stdout.read_exact(&mut payload).unwrap();
    }
}

impl Report {
    /// Whether the pack and every ref were taken.
    pub fn all_taken(&self) -> bool {
        self.unpack.as_deref() == Some("ok")
            && !self.refs.is_empty()
            && self.refs.values().all(Result::is_ok)
    }

    /// Requires that no ref was taken, and each of `words` in what was said.
    #[track_caller]
    pub fn refuses(&self, words: &[&str]) {
        let taken = self.refs.values().any(Result::is_ok);
        assert!(!taken, "a ref was taken: {self:#?}");
        for word in words {
            let reasons = self.refs.values().filter_map(|it| it.as_ref().err());
            let said = reasons.fold(self.messages.clone(), |said, reason| said + reason);
            assert!(said.contains(word), "should have said {word:?}: {self:#?}");
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        let mut report = Self::default();
        let mut status = Vec::new();
        for packet in packets(bytes).into_iter().flatten() {
            match packet.split_first() {
                Some((1, data)) => status.extend_from_slice(data),
                Some((2 | 3, text)) => report.messages.push_str(&String::from_utf8_lossy(text)),
                _ => {}
            }
        }
        for packet in packets(&status).into_iter().flatten() {
            let packet = packet.strip_suffix(b"\n").unwrap_or(packet);
            if let Some(text) = packet.strip_prefix(b"unpack ") {
                report.unpack = Some(String::from_utf8_lossy(text).into_owned());
            } else if let Some(name) = packet.strip_prefix(b"ok ") {
                report.refs.insert(name.to_vec(), Ok(()));
            } else if let Some(rest) = packet.strip_prefix(b"ng ") {
                let at = rest
                    .iter()
                    .position(|&byte| byte == b' ')
                    .unwrap_or(rest.len());
                let reason = String::from_utf8_lossy(&rest[at..]).trim().to_owned();
                report.refs.insert(rest[..at].to_vec(), Err(reason));
            }
        }
        planted::look("the answer to a push", report.messages.as_bytes());
        report
    }
}
