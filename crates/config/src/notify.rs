//! `[notify]`: who is told of requests, and by which way. Checked as a whole here, so that a
//! mistake has a line; secrets stand in files of their own and are read by the service.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use url::Url;

use super::channels::{Channel, Channels};

/// Hours after which a message that could not be delivered is given up, unless set.
const GIVE_UP_AFTER_HOURS: u32 = 72;
/// The longest such time: two weeks.
const MAX_GIVE_UP: u32 = 336;
/// The longest name of a channel, in bytes.
const MAX_NAME: usize = 64;

/// How people and programs are told of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// Hours after which a message that could not be delivered is given up: 1 to 336.
    pub give_up_after_hours: Hours,
    /// Signed webhooks, as Standard Webhooks describes them.
    #[serde(rename = "webhook")]
    pub webhooks: Channels<Webhook>,
    /// Incoming webhooks of Slack, or of what takes the same messages.
    pub slack: Channels<Chat>,
    /// Incoming webhooks of Microsoft Teams (the Workflows app).
    pub teams: Channels<Chat>,
    /// Mail servers.
    pub email: Channels<Email>,
    /// Collectors of syslog messages.
    pub syslog: Channels<Syslog>,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            give_up_after_hours: Hours(GIVE_UP_AFTER_HOURS),
            webhooks: Channels::default(),
            slack: Channels::default(),
            teams: Channels::default(),
            email: Channels::default(),
            syslog: Channels::default(),
        }
    }
}

/// Reads the section and checks that a name stands for one channel.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Notify, D::Error> {
    let notify = Notify::deserialize(deserializer)?;
    let mut seen = BTreeSet::new();
    for name in notify.names() {
        if !seen.insert(name) {
            let text = format!("channel `{name}` stands here twice, expected different names");
            return Err(D::Error::custom(text));
        }
    }
    Ok(notify)
}

impl Notify {
    /// The names of all channels.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        let webhooks = self.webhooks.iter().map(Channel::name);
        let chats = self.slack.iter().chain(self.teams.iter());
        let email = self.email.iter().map(Channel::name);
        let syslog = self.syslog.iter().map(Channel::name);
        let people = webhooks.chain(chats.map(Channel::name)).chain(email);
        people.chain(syslog)
    }
}

/// What people are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Told {
    /// A push waits for people.
    #[serde(rename = "request.created")]
    Created,
    /// Somebody approved; the request's state says whether it was enough.
    #[serde(rename = "request.approved")]
    Approved,
    /// Somebody rejected.
    #[serde(rename = "request.rejected")]
    Rejected,
    /// Nobody decided in time.
    #[serde(rename = "request.expired")]
    Expired,
    /// The ref has moved, so the question no longer stands.
    #[serde(rename = "request.stale")]
    Stale,
    /// A push has used the approval.
    #[serde(rename = "request.used")]
    Used,
    /// Somebody said something about a request.
    #[serde(rename = "request.commented")]
    Commented,
    /// A window of time was opened for an actor.
    #[serde(rename = "grant.opened")]
    GrantOpened,
    /// Its time is over.
    #[serde(rename = "grant.ended")]
    GrantEnded,
    /// It was taken back.
    #[serde(rename = "grant.revoked")]
    GrantRevoked,
    /// A push was let through in an emergency, without approval.
    #[serde(rename = "break_glass.used")]
    BreakGlass,
    /// Somebody has looked at it afterwards.
    #[serde(rename = "break_glass.reviewed")]
    Reviewed,
}

impl Told {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Created,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::Stale,
        Self::Used,
        Self::Commented,
        Self::GrantOpened,
        Self::GrantEnded,
        Self::GrantRevoked,
        Self::BreakGlass,
        Self::Reviewed,
    ];

    /// The name in configuration and in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "request.created",
            Self::Approved => "request.approved",
            Self::Rejected => "request.rejected",
            Self::Expired => "request.expired",
            Self::Stale => "request.stale",
            Self::Used => "request.used",
            Self::Commented => "request.commented",
            Self::GrantOpened => "grant.opened",
            Self::GrantEnded => "grant.ended",
            Self::GrantRevoked => "grant.revoked",
            Self::BreakGlass => "break_glass.used",
            Self::Reviewed => "break_glass.reviewed",
        }
    }

    /// What a name stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.name() == name)
    }
}

/// A signed webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name, as logs and commands show it.
    pub name: Name,
    /// Where messages are posted to.
    pub url: Target,
    /// Files with one secret each, `whsec_` and base64. Every message is signed with each, so
    /// that a receiver can change from one to the next.
    pub secret_files: Vec<PathBuf>,
    /// What to tell; everything, unless set.
    #[serde(default = "everything")]
    pub events: BTreeSet<Told>,
    /// Whether the target may have a private address, and be spoken to without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

/// An incoming webhook of Slack or Teams. Its URL is a secret: it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Its name, as logs and commands show it.
    pub name: Name,
    /// File with the URL, one line.
    pub url_file: PathBuf,
    /// What to tell; everything, unless set.
    #[serde(default = "everything")]
    pub events: BTreeSet<Told>,
    /// Whether the target may have a private address, and be spoken to without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

/// A mail server, and people whose addresses are known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// Its name, as logs and commands show it.
    pub name: Name,
    /// Host name or address of the server.
    pub server: String,
    /// Its port; 587 with STARTTLS, 465 with TLS and 25 without, unless set.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: Security,
    /// PEM file with the authority that the server's certificate is from, instead of the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// Account at the server, where it asks for one.
    pub user: Option<String>,
    /// File with the account's password, one line.
    pub password_file: Option<PathBuf>,
    /// The sender: `Refwarden <refwarden@example.org>`.
    pub from: String,
    /// What to tell; everything, unless set.
    #[serde(default = "everything")]
    pub events: BTreeSet<Told>,
    /// Whether the server may have a private address.
    #[serde(default)]
    pub allow_private: bool,
    /// People whose addresses are known without their having signed in.
    #[serde(default, rename = "person")]
    pub people: Vec<Person>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Plain at first, then TLS or nothing (RFC 3207).
    #[default]
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// None: to a server on this machine only.
    None,
}

/// Somebody whose address is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The subject under which they sign in.
    pub user: String,
    /// The groups that policy may name them by.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Where mail goes.
    pub address: String,
}

/// A collector of syslog messages (RFC 5424).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// Its name, as logs and commands show it.
    pub name: Name,
    /// Where messages go.
    pub target: Collector,
    /// PEM file with the authority that the collector's certificate is from, instead of the
    /// system's.
    pub ca_file: Option<PathBuf>,
    /// The facility, 0 to 23; 13, "log audit", unless set.
    #[serde(default = "log_audit")]
    pub facility: u8,
    /// What to tell; everything, unless set.
    #[serde(default = "everything")]
    pub events: BTreeSet<Told>,
    /// Whether the collector may have a private address, and be spoken to without TLS.
    #[serde(default)]
    pub allow_private: bool,
}

/// RFC 5424, table 1.
const fn log_audit() -> u8 {
    13
}

/// Where syslog messages go: `tls://host:6514`, `tcp://host:601`, `udp://host:514` or
/// `unix:///dev/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Collector {
    /// A host and its port, over TLS.
    Tls(String, u16),
    /// A host and its port, over TCP.
    Tcp(String, u16),
    /// A host and its port, over UDP.
    Udp(String, u16),
    /// A datagram socket of this machine.
    Socket(PathBuf),
}

impl TryFrom<String> for Collector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || {
            format!(
                "bad target `{text}`, expected tls://host:port, tcp://host:port, udp://host:port \
                 or unix:///path"
            )
        };
        if let Some(path) = text.strip_prefix("unix://") {
            let is_path = path.starts_with('/') && path.len() > 1;
            return is_path.then(|| Self::Socket(path.into())).ok_or_else(bad);
        }
        let (scheme, place) = text.split_once("://").ok_or_else(bad)?;
        let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |it| it.strip_suffix(']'));
        let host = host.filter(|it| !it.is_empty() && !it.contains(['/', '@', ' ', '?', '#']));
        let port = port.parse().ok().filter(|port| *port > 0);
        let (host, port) = host.zip(port).ok_or_else(bad)?;
        match scheme {
            "tls" => Ok(Self::Tls(host.to_owned(), port)),
            "tcp" => Ok(Self::Tcp(host.to_owned(), port)),
            "udp" => Ok(Self::Udp(host.to_owned(), port)),
            _ => Err(bad()),
        }
    }
}

impl From<Collector> for String {
    fn from(collector: Collector) -> Self {
        let at = |scheme: &str, host: &str, port: u16| {
            if host.contains(':') {
                format!("{scheme}://[{host}]:{port}")
            } else {
                format!("{scheme}://{host}:{port}")
            }
        };
        match &collector {
            Collector::Tls(host, port) => at("tls", host, *port),
            Collector::Tcp(host, port) => at("tcp", host, *port),
            Collector::Udp(host, port) => at("udp", host, *port),
            Collector::Socket(path) => format!("unix://{}", path.display()),
        }
    }
}

/// A channel's name: 1 to 64 of `a-z`, `0-9`, `-`, `_`, `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let good =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(good) {
            return Err(format!(
                "bad channel name `{text}`, expected 1 to {MAX_NAME} of a-z, 0-9, '-', '_', '.'"
            ));
        }
        Ok(Self(text))
    }
}

/// Where messages are posted to: an `https` URL, or an `http` one where the channel allows a
/// private target.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(Url);

impl Target {
    /// The URL.
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// Whether the connection is protected.
    pub fn is_protected(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Debug for Target {
    /// The path of such a URL may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}/...",
            self.0.scheme(),
            self.0.host_str().unwrap_or_default()
        )
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.0.into()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected = "expected https://host/path, without user, password or fragment";
        let url = Url::parse(&text).map_err(|error| format!("bad URL: {error}, {expected}"))?;
        let plain = url.username().is_empty() && url.password().is_none();
        let named = url.host_str().is_some_and(|host| !host.is_empty());
        let known = matches!(url.scheme(), "https" | "http");
        if plain && named && known && url.fragment().is_none() {
            Ok(Self(url))
        } else {
            Err(format!("bad URL, {expected}"))
        }
    }
}

/// Hours, 1 to 336.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Hours(u32);

impl From<Hours> for u32 {
    fn from(hours: Hours) -> Self {
        hours.0
    }
}

impl TryFrom<u32> for Hours {
    type Error = String;

    fn try_from(hours: u32) -> Result<Self, String> {
        if (1..=MAX_GIVE_UP).contains(&hours) {
            Ok(Self(hours))
        } else {
            Err(format!("{hours} hours, expected 1 to {MAX_GIVE_UP}"))
        }
    }
}

fn everything() -> BTreeSet<Told> {
    Told::ALL.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, line: usize, words: &str) {
        let error = crate::parse::<Whole>("refwarden.toml", text).unwrap_err();
        assert!(error.problem.contains(words), "{error}");
        assert_eq!(error.line, line, "{error}");
    }

    #[derive(Debug, Deserialize)]
    struct Whole {
        #[serde(default, deserialize_with = "read")]
        notify: Notify,
    }

    const WEBHOOK: &str = "\n[[notify.webhook]]\nname = \"a\"\nurl = \"https://a.example/x\"\nsecret_files = [\"k\"]\n";

    #[test]
    fn mistakes_are_told_with_their_line() {
        let parsed: Whole = crate::parse("x", WEBHOOK).unwrap();
        assert_eq!(parsed.notify.webhooks.len(), 1);
        assert_eq!(parsed.notify.webhooks[0].events.len(), Told::ALL.len());
        for (find, put, line, words) in [
            ("name = \"a\"", "name = \"A b\"", 3, "a-z"),
            (
                "https://a.example/x",
                "http://a.example/x",
                2,
                "expected https",
            ),
            (
                "https://a.example/x",
                "https://u:p@a.example/x",
                4,
                "expected https://host",
            ),
            (
                "https://a.example/x",
                "ftp://a.example/x",
                4,
                "expected https://host",
            ),
            ("[\"k\"]", "[]", 2, "expected 1 to 8"),
            (
                "[\"k\"]",
                "[\"k\"]\nevents = []",
                2,
                "expected one at least",
            ),
            (
                "[\"k\"]",
                "[\"k\"]\nevents = [\"request.lost\"]",
                6,
                "expected one of",
            ),
            (
                "[\"k\"]",
                "[\"k\"]\nretries = 3",
                6,
                "unknown field `retries`",
            ),
        ] {
            check(&WEBHOOK.replace(find, put), line, words);
        }
        check(
            "[notify]\ngive_up_after_hours = 0\n",
            2,
            "expected 1 to 336",
        );
    }

    #[test]
    fn a_name_stands_once() {
        let slack = "[[notify.slack]]\nname = \"a\"\nurl_file = \"u\"\n";
        check(&format!("{WEBHOOK}{slack}"), 2, "twice");
    }

    #[test]
    fn mail_without_tls_stays_on_the_machine() {
        let mail =
            "[[notify.email]]\nname = \"m\"\nserver = \"127.0.0.1\"\nfrom = \"r@x.example\"\n";
        for (more, words) in [
            ("security = \"none\"\n", "allow_private"),
            ("user = \"u\"\n", "both or neither"),
            (
                "security = \"none\"\nallow_private = true\nuser = \"u\"\npassword_file = \"p\"\n",
                "a password without TLS",
            ),
        ] {
            check(&format!("{mail}{more}"), 1, words);
        }
    }
}
