//! Whoever has to know is told: by webhook, mail, Slack and Teams, at least once, and never by
//! way of an address that nobody allowed.

mod mail;
mod receiver;

use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use refwarden_testkit::{Repository, Stack, Via, Work, program, run, until};
use refwarden_wire::notify::{ChannelOut, NotificationsOut};
use serde_json::Value;
use sha2::Sha256;

use crate::shared::{approve, request_of};
use mail::{Certificate, MailServer};
use receiver::{Answer, Receiver, Sent};

/// Longer than any lease and any wait that a test lets come about.
const PATIENCE: Duration = Duration::from_mins(3);
const OK: Answer = Answer::Status("204 No Content");
const SMTP_USER: &str = "refwarden";

/// A Refwarden with a channel of every kind, shared by the tests that leave it running.
struct Told {
    stack: Stack,
    audit: Receiver,
    secrets: [Vec<u8>; 2],
    slow: Receiver,
    moved: Receiver,
    gone: Receiver,
    slack_like: Receiver,
    teams: Receiver,
    inside: TcpListener,
    mail: MailServer,
    guarded_mail: MailServer,
}

fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(Told::start)
}

/// Bytes that nobody knows.
fn random(length: usize) -> Vec<u8> {
    use std::io::Read as _;
    let mut bytes = vec![0; length];
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(&mut bytes).unwrap();
    bytes
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Writes a webhook's secret and returns it.
fn secret(directory: &Path, name: &str) -> Vec<u8> {
    let secret = random(32);
    write(
        &directory.join(name),
        &format!("whsec_{}\n", STANDARD.encode(&secret)),
    );
    secret
}

fn webhook(config: &mut String, name: &str, url: &str, more: &str) {
    let _ = write!(
        config,
        "\n[[notify.webhook]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_files = [\"audit.key\"]\n{more}\n"
    );
}

fn configure(stack: &mut Stack, more: &str) {
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, &format!("{text}\n{more}"));
    stack.restart();
}

const PRIVATE: &str = "allow_private = true";

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
fn ask(work: &Work<'_>, ref_name: &str) -> String {
    let refused = work.push(Via::Local, &[&format!("HEAD:{ref_name}")]);
    request_of(&refused.fails(&["RW201"]))
}

/// The first message of a kind about a request.
#[track_caller]
fn message(receiver: &Receiver, request: &str, kind: &str) -> Sent {
    let what = format!("{kind} of {request}");
    let is_it = |sent: &Sent| {
        let body = sent.json();
        body["type"] == kind && body["data"]["request"]["id"] == request
    };
    until(&what, PATIENCE, || receiver.sent().into_iter().find(is_it))
}

/// The first message that holds a text.
#[track_caller]
fn holding(receiver: &Receiver, text: &str) -> Sent {
    let find = || {
        receiver
            .sent()
            .into_iter()
            .find(|it| it.body.contains(text))
    };
    until(&format!("a message with {text}"), PATIENCE, find)
}

fn channel(stack: &Stack, name: &str) -> ChannelOut {
    let all: NotificationsOut = stack.api("audrey").read("/notifications");
    let found = all.channels.into_iter().find(|it| it.channel == name);
    found.unwrap_or_else(|| panic!("no channel {name}"))
}

/// Waits for the last problem of a channel, and requires that it holds `words`.
#[track_caller]
fn problem(stack: &Stack, name: &str, words: &str) {
    let what = format!("a problem of {name} with {words:?}");
    until(&what, PATIENCE, || {
        let problem = channel(stack, name).last_problem?;
        problem.contains(words).then_some(())
    });
}

/// What Standard Webhooks asks a receiver to check.
#[track_caller]
fn verify(sent: &Sent, secrets: &[&[u8]]) {
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

#[test]
fn a_webhook_tells_of_every_step_signed_with_every_secret() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "steps");
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a line that stays inside\n")], "A subject");
    let request = ask(&work, "refs/heads/main");
    let created = message(&told.audit, &request, "request.created");
    verify(&created, &[&told.secrets[0], &told.secrets[1]]);
    assert_eq!(created.header("content-type"), "application/json");
    let body = created.json();
    let data = &body["data"];
    assert_eq!(data["repository"], "steps");
    assert_eq!(data["ref"], "refs/heads/main");
    assert_eq!(data["new"], new.as_str());
    assert_eq!(data["request"]["state"], "waiting");
    assert_eq!(data["request"]["gained"], 1);
    let url = format!("{}/r/{request}", told.stack.started().service_url);
    assert_eq!(data["url"], url.as_str());
    let chain = data["request"]["chain"].as_array().unwrap();
    let kinds: Vec<&Value> = chain.iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["agent", "human"]);
    assert_eq!(chain[1]["subject"], "ada");
    for inside in ["a line that stays inside", "A subject", "example.org"] {
        assert!(!created.body.contains(inside), "{inside}: {}", created.body);
    }

    approve(&told.stack, &request);
    let approved = message(&told.audit, &request, "request.approved").json();
    assert_eq!(approved["data"]["request"]["state"], "approved");
    assert_eq!(approved["data"]["by"], "grace");
    work.push(Via::Local, &["HEAD:refs/heads/main"]).passes();
    let used = message(&told.audit, &request, "request.used");
    assert_eq!(used.json()["data"]["request"]["state"], "used");
    assert_ne!(used.header("webhook-id"), created.header("webhook-id"));
}

#[test]
fn a_rejection_and_an_overtaken_request_are_told_of() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "ends");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let rejected = ask(&work, "refs/heads/main");
    let reason = "Not for everybody to read.";
    let (status, body) = told.stack.api("grace").decide(&rejected, "reject", reason);
    assert_eq!(status, 200, "{body}");
    let sent = message(&told.audit, &rejected, "request.rejected");
    assert_eq!(sent.json()["data"]["request"]["state"], "rejected");
    assert!(!sent.body.contains(reason), "{}", sent.body);

    work.commit(&[(b"b", b"b\n")], "B");
    let first = ask(&work, "refs/heads/main");
    work.commit(&[(b"c", b"c\n")], "C");
    let second = ask(&work, "refs/heads/main");
    approve(&told.stack, &second);
    work.push(Via::Local, &["HEAD:refs/heads/main"]).passes();
    message(&told.audit, &first, "request.stale");
}

#[test]
fn a_target_that_hangs_is_in_nobodys_way() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "hanging");
    let work = repository.work();
    for round in 0..6_u8 {
        work.commit(&[(b"a", &[round])], "A");
        let request = ask(&work, "refs/heads/main");
        approve(&told.stack, &request);
        work.push(Via::Local, &["HEAD:refs/heads/main"]).passes();
        message(&told.audit, &request, "request.used");
    }
    until("it was tried", PATIENCE, || {
        (!told.slow.sent().is_empty()).then_some(())
    });
    let standing = channel(&told.stack, "slow");
    assert_eq!(standing.delivered, 0);
    assert!(standing.pending > 0, "{standing:?}");
}

#[test]
fn redirects_are_not_followed() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "moved");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    message(&told.moved, &request, "request.created");
    problem(&told.stack, "moved", "redirects are not followed");
    let sent = told.moved.sent();
    assert!(sent.iter().all(|it| it.path == "/"), "{sent:?}");
    assert_eq!(channel(&told.stack, "moved").delivered, 0);
}

#[test]
fn private_targets_are_refused_however_they_are_spelled() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "inside");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    ask(&work, "refs/heads/main");
    for name in ["by-name", "by-address", "mapped"] {
        problem(
            &told.stack,
            name,
            "which is loopback; allow_private = true would allow it",
        );
        assert_eq!(channel(&told.stack, name).delivered, 0);
    }
    let error = told.inside.accept().unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::WouldBlock,
        "somebody connected"
    );
}

#[test]
fn what_a_target_wants_no_more_is_given_up_and_seen() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "gone");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    message(&told.gone, &request, "request.created");
    problem(&told.stack, "gone", "410");
    until("it is given up", PATIENCE, || {
        (channel(&told.stack, "gone").failed > 0).then_some(())
    });
    assert!(told.stack.logs().contains("notification given up"));
    let status = told.stack.refwarden(&["notify", "status"]);
    assert_eq!(status.code, Some(1), "{status}");
    status.says(&["gone", "webhook", "410"]);
    let about = |sent: &Sent| sent.body.contains(&request);
    let times = told.gone.sent().into_iter().filter(about).count();
    assert_eq!(times, 1);
}

#[test]
fn slack_and_teams_get_their_shapes_and_no_markup_from_outside() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "shapes");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let name = "refs/heads/release/<!channel>&_x_";
    let request = ask(&work, name);
    let url = format!("{}/r/{request}", told.stack.started().service_url);

    let slack = holding(&told.slack_like, &request);
    assert_eq!(slack.path, "/services/T0/B0/X");
    let body = slack.json();
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("release/&lt;!channel&gt;&amp;_x_"), "{text}");
    assert!(text.contains(&url), "{text}");
    for block in body["blocks"].as_array().unwrap() {
        let shown = block["text"]["text"].as_str().unwrap();
        if block["text"]["type"] == "mrkdwn" {
            assert_eq!(shown, format!("<{url}|Open the request>"));
        }
    }
    let facts = body["blocks"][1]["text"]["text"].as_str().unwrap();
    for words in [
        "Repository: shapes",
        "creates a branch",
        "agent (agent) for ada (human)",
    ] {
        assert!(facts.contains(words), "{facts}");
    }

    let teams = holding(&told.teams, &request);
    assert_eq!(teams.path, "/workflows/1/invoke");
    let body = teams.json();
    assert_eq!(body["type"], "message");
    let attachment = &body["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(card["actions"][0]["url"], url.as_str());
    for block in card["body"].as_array().unwrap() {
        assert_eq!(block["type"], "RichTextBlock");
    }
    assert!(card["body"].to_string().contains(name), "{card}");
}

/// Mail that holds a text: recipients, sorted.
fn recipients(server: &MailServer, text: &str) -> Vec<String> {
    let about = |mail: &&Value| plain(mail).contains(text);
    let to = |mail: &Value| mail["to"][0].as_str().unwrap().to_owned();
    let mut found: Vec<String> = server.taken().iter().filter(about).map(to).collect();
    found.sort();
    found
}

/// A mail's text without what quoted-printable adds.
fn plain(mail: &Value) -> String {
    let content = mail["content"].as_str().unwrap();
    content
        .replace("=\r\n", "")
        .replace("=3D", "=")
        .replace("\r\n ", " ")
}

#[test]
fn mail_asks_whoever_can_decide_and_nobody_else() {
    let told = told();
    for person in ["grace", "adam"] {
        told.stack.browser(person);
    }
    let repository = Repository::guarded(&told.stack, "mailed");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    let link = format!("{}/r/{request}", told.stack.started().service_url);
    // Ada is listed as a maintainer too, but the agent acts for her.
    let expected = ["grace@example.org", "lin@example.org"];
    until("both have mail", PATIENCE, || {
        (recipients(&told.mail, &link) == expected).then_some(())
    });
    let mails = told.mail.taken();
    let mail = mails.iter().find(|it| plain(it).contains(&link)).unwrap();
    let text = plain(mail);
    for words in [
        "Subject: Approval wanted: mailed refs/heads/main",
        "Auto-Submitted: auto-generated",
        "Message-ID: <msg_",
        "Pushed by: agent (agent) for ada (human)",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    // An author does not decide, so she is not asked.
    let author = "--author=Grace <Grace@Example.org>";
    work.git(&["commit", "-q", "--amend", "--no-edit", author]);
    let hers = ask(&work, "refs/heads/main");
    let link = format!("{}/r/{hers}", told.stack.started().service_url);
    until("lin has mail", PATIENCE, || {
        (recipients(&told.mail, &link) == ["lin@example.org"]).then_some(())
    });

    // How it ended is told to the person who is acted for.
    approve(&told.stack, &request);
    until("ada has mail", PATIENCE, || {
        let about = |mail: &&Value| {
            let text = plain(mail);
            text.contains(&request) && text.contains("Subject: Approved: mailed")
        };
        let to: Vec<Value> = told
            .mail
            .taken()
            .iter()
            .filter(about)
            .map(|it| it["to"][0].clone())
            .collect();
        (to == ["ada@example.org"]).then_some(())
    });
}

#[test]
fn mail_goes_by_tls_to_a_server_that_is_known_and_to_no_other() {
    let told = told();
    let repository = Repository::guarded(&told.stack, "sealed");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    let taken = until("mail by TLS", PATIENCE, || {
        let taken = told.guarded_mail.taken();
        taken.into_iter().find(|it| plain(it).contains(&request))
    });
    assert_eq!(taken["tls"], true);
    assert_eq!(taken["login"], true);
    problem(&told.stack, "stranger", "certificate");
    assert_eq!(channel(&told.stack, "stranger").delivered, 0);
}

#[test]
fn a_test_message_says_what_happened() {
    let told = told();
    let test = |name: &str| told.stack.refwarden(&["notify", "test", "--channel", name]);
    test("audit").passes().says(&["delivered: answered 204"]);
    let sent = told.audit.sent();
    let sent = sent
        .iter()
        .find(|it| it.json()["type"] == "notification.test")
        .unwrap();
    verify(sent, &[&told.secrets[0], &told.secrets[1]]);
    test("mail").passes().says(&["delivered: taken with 250"]);
    assert_eq!(
        recipients(&told.mail, "a test of this channel"),
        ["adam@example.org"]
    );
    let refused = test("by-name");
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.says(&["not delivered: ", "loopback"]);
    test("nowhere").fails(&["404"]);
    let auditor = told.stack.token_as("operator", "audrey", "10m");
    let response = reqwest::blocking::Client::new()
        .post(format!(
            "{}/api/v1/notifications/test",
            told.stack.started().service_url
        ))
        .bearer_auth(auditor)
        .json(&serde_json::json!({"channel": "audit"}))
        .send()
        .unwrap();
    assert_eq!(response.status(), 403);
}

/// A Refwarden of its own, with one webhook to `port`.
fn single(port: u16) -> Stack {
    let mut stack = Stack::start();
    secret(stack.directory(), "audit.key");
    let mut config = String::new();
    webhook(
        &mut config,
        "audit",
        &format!("http://127.0.0.1:{port}/"),
        PRIVATE,
    );
    configure(&mut stack, &config);
    stack
}

#[test]
fn nothing_is_lost_while_the_target_is_down_and_the_service_dies() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut stack = single(port);
    let request = {
        let repository = Repository::guarded(&stack, "app");
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        ask(&work, "refs/heads/main")
    };
    stack.kill("service");
    stack.restart();
    until("an attempt", PATIENCE, || {
        channel(&stack, "audit").last_problem
    });
    let receiver = Receiver::at(port, OK);
    message(&receiver, &request, "request.created");
    until("it is delivered", PATIENCE, || {
        (channel(&stack, "audit").delivered == 1).then_some(())
    });
    assert_eq!(receiver.sent().len(), 1);
}

#[test]
fn a_message_that_was_sent_when_the_service_died_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start(OK);
    receiver.next(&[
        Answer::Never,
        Answer::Status("503 Unavailable\r\nRetry-After: 1"),
    ]);
    let mut stack = single(receiver.port);
    {
        let repository = Repository::guarded(&stack, "app");
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        ask(&work, "refs/heads/main");
    }
    let sent = until("the first attempt", PATIENCE, || {
        receiver.sent().first().cloned()
    });
    stack.kill("service");
    stack.restart();
    until("it is delivered", PATIENCE, || {
        (channel(&stack, "audit").delivered == 1).then_some(())
    });
    let all = receiver.sent();
    assert_eq!(all.len(), 3, "{all:?}");
    for again in &all {
        assert_eq!(again.header("webhook-id"), sent.header("webhook-id"));
        assert_eq!(again.body, sent.body);
    }
}

/// A second service on the database of the first. Killed when it is dropped.
struct Second(std::process::Child);

impl Second {
    #[track_caller]
    fn start(stack: &Stack) -> Self {
        let file = stack.directory().join("refwarden.toml");
        let text = std::fs::read_to_string(file).unwrap();
        let listen = text.lines().find(|it| it.starts_with("listen")).unwrap();
        let second = stack.directory().join("second.toml");
        write(
            &second,
            &text.replacen(listen, "listen = \"127.0.0.1:0\"", 1),
        );
        let log = stack.directory().join("second.log");
        let child = Command::new(program("refwarden-service"))
            .arg("--config")
            .arg(second)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let second = Self(child);
        until("the second service is ready", PATIENCE, || {
            let said = std::fs::read_to_string(&log).unwrap();
            said.contains("is ready").then_some(())
        });
        second
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_services_share_the_work_and_one_goes_on_alone() {
    let receiver = Receiver::start(OK);
    let stack = single(receiver.port);
    let _second = Second::start(&stack);
    let repository = Repository::guarded(&stack, "app");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let refs: Vec<String> = (0..20)
        .map(|it| format!("HEAD:refs/heads/release/{it}"))
        .collect();
    let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
    work.push(Via::Local, &refs).fails(&["RW201"]);
    until("everything is delivered", PATIENCE, || {
        (channel(&stack, "audit").delivered == 20).then_some(())
    });
    let all = receiver.sent();
    let mut ids: Vec<&str> = all.iter().map(|it| it.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), all.len()), (20, 20), "each once");

    // The first dies with a message on its way, or before: the second sends it.
    receiver.next(&[Answer::Never]);
    let request = ask(&work, "refs/heads/main");
    stack.kill("service");
    let about = |sent: &Sent| sent.body.contains(&request);
    until("the message is there twice", PATIENCE, || {
        (receiver.sent().into_iter().filter(about).count() >= 2).then_some(())
    });
}

#[test]
fn a_request_whose_time_is_over_is_told_of_without_anybody_looking() {
    let receiver = Receiver::start(OK);
    let mut stack = single(receiver.port);
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, &text.replace("request_days = 7", "request_days = 0"));
    stack.restart();
    let repository = Repository::guarded(&stack, "app");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    message(&receiver, &request, "request.expired");
}

#[test]
fn mistakes_in_the_configuration_have_a_line_and_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let stack = &told().stack;
    let good = std::fs::read_to_string(stack.directory().join("refwarden.toml")).unwrap();
    let begin = good
        .lines()
        .take_while(|line| !line.starts_with("[[notify"))
        .count();
    let before: String = good
        .lines()
        .take(begin)
        .fold(String::new(), |text, line| text + line + "\n");
    let short = STANDARD.encode([1; 8]);
    write(
        &directory.path().join("short.key"),
        &format!("whsec_{short}\n"),
    );
    write(
        &directory.path().join("plain.url"),
        "http://hooks.example/x\n",
    );
    let hook = "[[notify.webhook]]\nname = \"a\"\nurl = \"https://a.example/\"\nsecret_files = [\"short.key\"]\n";
    for (text, line, words) in [
        (hook.replace("url", "uri"), Some(3), "unknown field `uri`"),
        (
            hook.replace("https:", "ftp:"),
            Some(3),
            "expected https://host/path",
        ),
        (
            hook.replace("https:", "http:"),
            Some(1),
            "expected https, or allow_private",
        ),
        (
            hook.replace("[\"short.key\"]", "[]"),
            Some(1),
            "expected 1 to 8",
        ),
        (
            format!("{hook}events = [\"request.lost\"]\n"),
            Some(5),
            "expected one of",
        ),
        (format!("{hook}{hook}"), Some(1), "twice"),
        (
            "[notify]\ngive_up_after_hours = 9999\n".to_owned(),
            Some(2),
            "expected 1 to 336",
        ),
        (hook.to_owned(), None, "short.key:1: expected whsec_"),
        (
            hook.replace("short.key", "none.key"),
            None,
            "none.key: No such file",
        ),
        (
            "[[notify.slack]]\nname = \"s\"\nurl_file = \"plain.url\"\n".to_owned(),
            None,
            "plain.url:1: the URL is http",
        ),
        (
            "[[notify.email]]\nname = \"m\"\nserver = \"mx.example\"\nfrom = \"nobody\"\n"
                .to_owned(),
            None,
            "expected `Name <user@host>`",
        ),
    ] {
        let file = directory.path().join("refwarden.toml");
        write(&file, &format!("{before}{text}"));
        let mut command = Command::new(program("refwarden-service"));
        command.arg("--config").arg(&file);
        let outcome = run(command, b"").fails(&["refwarden.toml", words]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        if let Some(line) = line {
            outcome.says(&[&format!("refwarden.toml:{}: ", begin + line)]);
        }
        assert!(!text.contains(&short));
    }
}
