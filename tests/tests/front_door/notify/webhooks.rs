//! Signed webhooks: what is told, and where it does not go.

use refwarden_testkit::{Repository, Via, until};
use serde_json::Value;

use super::mail::recipients;
use super::receiver::Sent;
use super::setup::{PATIENCE, ask, channel, message, problem, told, verify};
use crate::shared::approve;

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
