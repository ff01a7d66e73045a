//! Tokens that must not open anything.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refwarden_testkit::{Repository, Via, Work, until};
use serde_json::{Value, json};

use crate::shared::{sshd, stack};

fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    std::array::from_fn(|_| parts.next().unwrap())
}

fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(parts(token)[1]).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Every way in refuses the token, and nothing moves.
#[track_caller]
fn refused(repository: &Repository<'_>, work: &Work<'_>, token: &str, code: &str) {
    let sshd = sshd();
    for via in [Via::Local, Via::Http, Via::Ssh(&sshd)] {
        work.push_with(token, via, &["HEAD:refs/heads/topic"])
            .fails(&[code]);
        assert_eq!(repository.value("refs/heads/topic"), None);
    }
}

#[test]
fn an_expired_token_is_refused() {
    let repository = Repository::guarded(stack(), "expired");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let token = stack().token_as("agent", "ada", "1s");
    let expiry = Duration::from_secs(claims(&token)["exp"].as_u64().unwrap());
    until("the token has expired", Duration::from_secs(10), || {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        (now > expiry + Duration::from_millis(100)).then_some(())
    });
    refused(&repository, &work, &token, "RW103");
}

#[test]
fn forged_tokens_are_refused() {
    let repository = Repository::guarded(stack(), "forged");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let token = stack().token("ada");
    let [header, payload, signature] = parts(&token);

    let mut raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    raw[5] ^= 1;
    let flipped = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(raw));
    refused(&repository, &work, &flipped, "RW102");

    let mut other = claims(&token);
    other["sub"] = json!("grace");
    let swapped = format!("{header}.{}.{signature}", encode(&other));
    refused(&repository, &work, &swapped, "RW102");

    for algorithm in ["none", "None", "HS256"] {
        let unsigned = encode(&json!({"alg": algorithm, "typ": "JWT"}));
        for signature in ["", signature] {
            let unsigned = format!("{unsigned}.{payload}.{signature}");
            refused(&repository, &work, &unsigned, "RW102");
        }
    }
    refused(&repository, &work, "no-token-at-all", "RW102");
}

#[test]
fn a_push_without_a_token_is_refused() {
    let repository = Repository::guarded(stack(), "tokenless");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let path = repository.path.display().to_string();
    let push = ["push", &path, "HEAD:refs/heads/topic"];
    work.git.run(work.path(), &push).fails(&["RW101"]);
    let push = ["push", &repository.http_url(), "HEAD:refs/heads/topic"];
    work.git
        .run(work.path(), &push)
        .fails(&["could not read Username"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn a_token_releases_one_push_only() {
    let repository = Repository::guarded(stack(), "one-push");
    let work = repository.work();
    let first = work.commit(&[(b"a", b"a\n")], "A");
    let token = stack().token("ada");
    work.push_with(&token, Via::Local, &["HEAD:refs/heads/one"])
        .passes();
    work.push_with(&token, Via::Local, &["HEAD:refs/heads/two"])
        .fails(&["RW105"]);
    assert_eq!(repository.value("refs/heads/one"), Some(first));
    assert_eq!(repository.value("refs/heads/two"), None);
}

#[test]
fn a_token_as_push_option_works_and_is_not_recorded() {
    let repository = Repository::guarded(stack(), "option");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let token = stack().token("ada");
    let option = format!("--push-option=token={token}");
    let path = repository.path.display().to_string();
    let push = ["push", &option, &path, "HEAD:refs/heads/topic"];
    work.git.run(work.path(), &push).passes();
    let events = stack()
        .api("audrey")
        .get("/events?repository=option")
        .text()
        .unwrap();
    assert!(!events.contains(&token));
    assert!(!stack().logs().contains(&token));
}
