//! Windows of time and emergencies are told of: to programs signed, to people by mail.

use std::fmt::Write as _;

use refwarden_testkit::{Repository, Stack, Via, until};
use refwarden_wire::api::GrantOut;
use serde_json::Value;

use super::mail::{MailServer, plain, recipients};
use super::receiver::{Receiver, Sent};
use super::setup::{OK, PATIENCE, PRIVATE, configure, message, secret, verify, webhook};
use crate::asked::setup::{POLICY, approve, push_to, start};

const WINDOW: &str = "refs/heads/window/1";
const PROD: &str = "refs/heads/prod";

struct Told {
    stack: Stack,
    audit: Receiver,
    secret: Vec<u8>,
    mail: MailServer,
}

impl Told {
    fn start() -> Self {
        let mut stack = start(POLICY);
        let directory = stack.directory().to_owned();
        let secret = secret(&directory, "audit.key");
        let audit = Receiver::start(OK);
        let mail = MailServer::plain(&directory);
        let mut config = String::new();
        webhook(&mut config, "audit", &audit.url("/"), PRIVATE);
        let _ = write!(
            config,
            "[[notify.email]]\nname = \"mail\"\nserver = \"127.0.0.1\"\nport = {}\n\
             security = \"none\"\nfrom = \"refwarden@example.org\"\n{PRIVATE}\n",
            mail.port
        );
        configure(&mut stack, &config);
        // Addresses are known from sign-ins.
        for person in ["grace", "lin", "olga", "ada", "adam", "audrey"] {
            stack.browser(person);
        }
        Self {
            stack,
            audit,
            secret,
            mail,
        }
    }

    /// The signed message of a kind about a request, whose data it answers.
    #[track_caller]
    fn message(&self, request: &str, kind: &str) -> Value {
        let sent: Sent = message(&self.audit, request, kind);
        verify(&sent, &[&self.secret]);
        sent.json()["data"].clone()
    }

    /// Mail with this subject went to these people and nobody else; its text.
    #[track_caller]
    fn mailed(&self, subject: &str, to: &[&str]) -> String {
        let to: Vec<String> = to.iter().map(|it| format!("{it}@example.org")).collect();
        until(&format!("{subject:?} to {to:?}"), PATIENCE, || {
            (recipients(&self.mail, subject) == to).then_some(())
        });
        let mails = self.mail.taken();
        let mut texts = mails.iter().map(plain);
        texts.find(|text| text.contains(subject)).unwrap()
    }

    fn window(&self, seconds: &str) -> String {
        let arguments = [
            "request",
            "--repo",
            "told-window",
            "--ref",
            WINDOW,
            "--for",
            seconds,
            "--reason",
            "Release",
            "--json",
        ];
        let grant = self.stack.refwarden(&arguments).passes().text();
        let grant: GrantOut = serde_json::from_str(&grant).unwrap();
        approve(&self.stack, "grace", &grant.id);
        grant.id
    }
}

#[test]
fn the_beginning_and_either_end_of_a_window_are_told_of() {
    let told = Told::start();
    let repository = Repository::guarded(&told.stack, "told-window");
    let id = told.window("30m");
    let data = told.message(&id, "grant.opened");
    assert_eq!(data["repository"], "told-window", "{data}");
    assert_eq!(data["ref"], WINDOW, "{data}");
    assert_eq!(data["request"]["chain"][1]["subject"], "ada", "{data}");
    let text = told.mailed(
        "Subject: Window opened: no further approval: told-window",
        &["ada"],
    );
    assert!(
        text.contains("What: agent for ada may push to it until"),
        "{text}"
    );
    assert!(text.contains("agent (agent) for ada (human)"), "{text}");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    push_to(&work, WINDOW).passes();

    let revoke = ["grant", "revoke", &id, "--reason", "Done"];
    told.stack.refwarden(&revoke).passes();
    told.message(&id, "grant.revoked");
    told.mailed("Subject: Window taken back: told-window", &["ada"]);

    let short = told.window("1s");
    told.message(&short, "grant.ended");
    told.mailed("Subject: Window over: told-window", &["ada"]);
}

#[test]
fn an_emergency_is_told_to_whoever_has_to_look_and_why() {
    let told = Told::start();
    let repository = Repository::guarded(&told.stack, "told-glass");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "Mend it");
    let token = told.stack.token_as("operator", "olga", "10m");
    let arguments = [
        "--push-option=break-glass=refs/heads/prod",
        "--push-option=reason=The shop is down",
        "HEAD:refs/heads/prod",
    ];
    work.push_with(&token, Via::Local, &arguments).passes();
    let events = told.stack.api("audrey").events("told-glass");
    let used = events.iter().find(|it| it.kind == "break_glass.used");
    let id = used.unwrap().request_id.clone().unwrap();

    let data = told.message(&id, "break_glass.used");
    assert_eq!(data["ref"], PROD, "{data}");
    assert!(data.to_string().contains("The shop is down"), "{data}");
    let subject = "Subject: EMERGENCY, released without approval, review needed: told-glass";
    let text = told.mailed(subject, &["adam", "audrey", "grace", "lin", "olga"]);
    assert!(text.contains("The shop is down"), "{text}");
    assert!(text.contains(&format!("/r/{id}")), "{text}");

    let digest = told.stack.api("audrey").request(&id).digest;
    let lin = told.stack.api("lin");
    let (status, body) = lin.decide_digest(&id, "approve", "It was right.", &digest);
    assert_eq!(status, 200, "{body}");
    told.message(&id, "break_glass.reviewed");
    let text = told.mailed("Subject: Emergency reviewed: told-glass", &["olga"]);
    assert!(text.contains("By: lin"), "{text}");
}
