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

/// Somebody's own sign-in, handed to another browser as a link, signs that browser in as nobody.
#[test]
fn a_sign_in_belongs_to_the_browser_that_began_it() {
    let browser = || {
        let follow = reqwest::redirect::Policy::none();
        let builder = reqwest::blocking::Client::builder().redirect(follow);
        builder.no_proxy().build().unwrap()
    };
    let location = |response: &reqwest::blocking::Response| {
        let to = response.headers()["location"].to_str().unwrap();
        response.url().join(to).unwrap()
    };
    let mine = browser();
    let begun = mine
        .get(format!("{}/sign-in", stack().started().service_url))
        .send()
        .unwrap();
    let binding = begun.headers()["set-cookie"].to_str().unwrap();
    let binding = binding.split(';').next().unwrap().to_owned();
    let provider = location(&begun);
    let mut fields: Vec<(String, String)> = provider.query_pairs().into_owned().collect();
    fields.push(("username".into(), "grace".into()));
    fields.push(("password".into(), stack().password("grace")));
    let typed = mine
        .post(provider)
        .header("origin", stack().started().service_url.as_str())
        .form(&fields)
        .send()
        .unwrap();
    assert_eq!(typed.status(), 303);
    let callback = location(&typed);

    let signs_in = |response: &reqwest::blocking::Response| {
        let mut cookies = response.headers().get_all("set-cookie").iter();
        cookies.any(|it| it.to_str().unwrap().starts_with("__Host-refwarden="))
    };
    let theirs = browser();
    for cookie in [None, Some(format!("{}x", &binding[..binding.len() - 1]))] {
        let mut request = theirs.get(callback.clone());
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let refused = request.send().unwrap();
        assert_eq!(refused.status(), 400);
        assert!(!signs_in(&refused));
    }
    // The browser that began is not hurt by the others' tries, and comes in once.
    for (status, enters) in [(303, true), (400, false)] {
        let request = mine.get(callback.clone()).header("cookie", &binding);
        let response = request.send().unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(signs_in(&response), enters);
    }
}
