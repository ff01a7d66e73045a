//! What the tests of notifications share: a Refwarden with a channel of every kind, and waiting
//! for what arrives.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use refwarden_testkit::{Stack, Via, Work, until};
use refwarden_wire::notify::{ChannelOut, NotificationsOut};
use sha2::Sha256;

use super::mail::{Certificate, MailServer};
use super::receiver::{Answer, Receiver, Sent};
use crate::shared::request_of;

/// Longer than any lease and any wait that a test lets come about.
pub const PATIENCE: Duration = Duration::from_mins(3);
pub const OK: Answer = Answer::Status("204 No Content");
pub const SMTP_USER: &str = "refwarden";

/// A Refwarden with a channel of every kind, shared by the tests that leave it running.
pub struct Told {
    pub stack: Stack,
    pub audit: Receiver,
    pub secrets: [Vec<u8>; 2],
    pub slow: Receiver,
    pub moved: Receiver,
    pub gone: Receiver,
    pub slack_like: Receiver,
    pub teams: Receiver,
    pub inside: TcpListener,
    pub mail: MailServer,
    pub guarded_mail: MailServer,
}

pub fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(Told::start)
}

/// Bytes that nobody knows.
pub fn random(length: usize) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = vec![0; length];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(&mut bytes).unwrap();
    bytes
}

pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Writes a webhook's secret and returns it.
pub fn secret(directory: &Path, name: &str) -> Vec<u8> {
    let secret = random(32);
    write(
        &directory.join(name),
        &format!("whsec_{}\n", STANDARD.encode(&secret)),
    );
    secret
}

pub fn webhook(config: &mut String, name: &str, url: &str, more: &str) {
    let _ = write!(
        config,
        "\n[[notify.webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_files = [\"audit.key\"]\n{more}\n"
    );
}

pub fn configure(stack: &mut Stack, more: &str) {
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, &format!("{text}\n{more}"));
    stack.restart();
}

pub const PRIVATE: &str = "allow_private = true";

impl Told {
    fn start() -> Self {
        let mut stack = Stack::start();
        let directory = stack.directory().to_owned();
        let secrets = ["audit.key", "audit.next.key"].map(|name| secret(&directory, name));
        let audit = Receiver::start(OK);
        let slow = Receiver::start(Answer::Never);
        let moved = Receiver::start(Answer::Status("307 Moved\r\nLocation: /stolen"));
        let gone = Receiver::start(Answer::Status("410 Gone"));
        let slack_like = Receiver::start(Answer::Status("200 OK"));
        let teams = Receiver::start(Answer::Status("202 Accepted"));
        let inside = TcpListener::bind("127.0.0.1:0").unwrap();
        inside.set_nonblocking(true).unwrap();
        let port = inside.local_addr().unwrap().port();
        let certificate = Certificate::make(&directory);
        let password = directory.join("smtp.password");
        write(&password, &STANDARD.encode(random(12)));
        let mail = MailServer::plain(&directory);
        let guarded_mail = MailServer::guarded(&directory, &certificate, SMTP_USER, &password);
        write(
            &directory.join("slack.url"),
            &slack_like.url("/services/T0/B0/X"),
        );
        write(
            &directory.join("teams.url"),
            &teams.url("/workflows/1/invoke"),
        );

        let mut config = format!(
            "[[notify.webhook]]\nname = \"audit\"\nurl = \"{}\"\n\
             secret_files = [\"audit.key\", \"audit.next.key\"]\n{PRIVATE}\n",
            audit.url("/hook")
        );
        webhook(&mut config, "slow", &slow.url("/"), PRIVATE);
        webhook(&mut config, "moved", &moved.url("/"), PRIVATE);
        let created = format!("events = [\"request.created\"]\n{PRIVATE}");
        webhook(&mut config, "gone", &gone.url("/"), &created);
        webhook(
            &mut config,
            "by-name",
            &format!("https://localhost:{port}/"),
            "",
        );
        webhook(
            &mut config,
            "by-address",
            &format!("https://127.0.0.1:{port}/"),
            "",
        );
        webhook(
            &mut config,
            "mapped",
            &format!("https://[::ffff:127.0.0.1]:{port}/"),
            "",
        );
        let _ = write!(
            config,
            "[[notify.slack]]\nname = \"chat\"\nurl_file = \"slack.url\"\n{PRIVATE}\n\
             [[notify.teams]]\nname = \"team\"\nurl_file = \"teams.url\"\n{PRIVATE}\n\
             [[notify.email]]\nname = \"mail\"\nserver = \"127.0.0.1\"\nport = {}\n\
             security = \"none\"\nfrom = \"Refwarden <refwarden@example.org>\"\n{PRIVATE}\n\
             [[notify.email.person]]\nuser = \"lin\"\ngroups = [\"maintainers\"]\n\
             address = \"lin@example.org\"\n\
             [[notify.email.person]]\nuser = \"ada\"\ngroups = [\"maintainers\"]\n\
             address = \"ada@example.org\"\n",
            mail.port
        );
        for (name, ca) in [
            ("guarded-mail", "ca_file = \"smtp.pem\"\n"),
            ("stranger", ""),
        ] {
            let _ = write!(
                config,
                "[[notify.email]]\nname = \"{name}\"\nserver = \"localhost\"\nport = {}\n\
                 {ca}user = \"{SMTP_USER}\"\npassword_file = \"smtp.password\"\n\
                 from = \"refwarden@example.org\"\n{PRIVATE}\n\
                 [[notify.email.person]]\nuser = \"lin\"\ngroups = [\"maintainers\"]\n\
                 address = \"lin@example.org\"\n",
                guarded_mail.port
            );
        }
        configure(&mut stack, &config);
        Self {
            stack,
            audit,
            secrets,
            slow,
            moved,
            gone,
            slack_like,
            teams,
            inside,
            mail,
            guarded_mail,
        }
    }
}

#[track_caller]
pub fn ask(work: &Work<'_>, ref_name: &str) -> String {
    let refused = work.push(Via::Local, &[&format!("HEAD:{ref_name}")]);
    request_of(&refused.fails(&["RW201"]))
}

/// The first message of a kind about a request.
#[track_caller]
pub fn message(receiver: &Receiver, request: &str, kind: &str) -> Sent {
    let what = format!("{kind} of {request}");
    let is_it = |sent: &Sent| {
        let body = sent.json();
        body["type"] == kind && body["data"]["request"]["id"] == request
    };
    until(&what, PATIENCE, || receiver.sent().into_iter().find(is_it))
}

/// The first message that holds a text.
#[track_caller]
pub fn holding(receiver: &Receiver, text: &str) -> Sent {
    let find = || {
        receiver
            .sent()
            .into_iter()
            .find(|it| it.body.contains(text))
    };
    until(&format!("a message with {text}"), PATIENCE, find)
}

pub fn channel(stack: &Stack, name: &str) -> ChannelOut {
    let all: NotificationsOut = stack.api("audrey").read("/notifications");
    let found = all.channels.into_iter().find(|it| it.channel == name);
    found.unwrap_or_else(|| panic!("no channel {name}"))
}

/// Waits for the last problem of a channel, and requires that it holds `words`.
#[track_caller]
pub fn problem(stack: &Stack, name: &str, words: &str) {
    let what = format!("a problem of {name} with {words:?}");
    until(&what, PATIENCE, || {
        let problem = channel(stack, name).last_problem?;
        problem.contains(words).then_some(())
    });
}

/// What Standard Webhooks asks a receiver to check.
#[track_caller]
pub fn verify(sent: &Sent, secrets: &[&[u8]]) {
    let (id, timestamp) = (sent.header("webhook-id"), sent.header("webhook-timestamp"));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(
        timestamp.parse::<u64>().unwrap().abs_diff(now) < 300,
        "{timestamp}"
    );
    let signatures: Vec<&str> = sent.header("webhook-signature").split(' ').collect();
    assert_eq!(signatures.len(), secrets.len(), "{signatures:?}");
    for (signature, secret) in signatures.into_iter().zip(secrets) {
        let tag = STANDARD
            .decode(signature.strip_prefix("v1,").unwrap())
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{id}.{timestamp}.{}", sent.body).as_bytes());
        mac.verify_slice(&tag).unwrap();
    }
}
