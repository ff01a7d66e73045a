//! Names that are not what they seem: of authors, of refs, and of approvers.

use refwarden_testkit::{Api, Repository, Via};
use serde_json::{Value, json};

use crate::hostile_tokens::place;
use crate::shared::{count, request_of};

const MAIN: &str = "HEAD:refs/heads/main";

#[test]
fn whoever_a_commit_names_the_pusher_is_the_token_s() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "spoofed");
    let mut work = repository.work();
    for (name, email) in [
        ("Grace", "grace@example.org"),
        ("root", "root@localhost"),
        ("agent for grace", "grace@example.org"),
    ] {
        for role in ["AUTHOR", "COMMITTER"] {
            work.git = work.git.with(&format!("GIT_{role}_NAME"), name);
            work.git = work.git.with(&format!("GIT_{role}_EMAIL"), email);
        }
        work.commit(
            &[(b"a", name.as_bytes())],
            "A\n\nSigned-off-by: Grace <grace@example.org>",
        );
        let target = format!("HEAD:refs/heads/{}", name.replace(' ', "-"));
        work.push(Via::Local, &[&target]).passes();
    }
    let events = place.stack.api("audrey").events(&repository.name);
    for event in &events {
        let pushed = event.kind.starts_with("push.") || event.kind.starts_with("ref.");
        if pushed && event.kind != "ref.baseline" {
            assert_eq!(event.actor, "agent for ada", "{}", event.kind);
        }
    }
    let released = events.iter().filter(|event| event.kind == "push.released");
    assert_eq!(released.count(), 3);

    // Nor does another's name on the commit let the pusher approve it.
    let request = request_of(&work.push(Via::Local, &[MAIN]).fails(&["RW201"]));
    let (status, body) = place.stack.api("ada").decide(&request, "approve", "Hers.");
    assert_eq!(status, 403, "{body}");
}

#[test]
fn names_that_look_like_protected_ones_are_refused() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "look-alikes");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let before = repository.refs();
    for name in [
        "Main",
        "MAIN",
        "mAIN",
        "m\u{430}in",
        "ma\u{131}n",
        "ma\u{456}n",
        "rnain",
        "\u{ff4d}\u{ff41}\u{ff49}\u{ff4e}",
        "\u{1d5c6}ain",
        "ma\u{200b}in",
        "ma\u{200d}in",
        "main\u{feff}",
        "\u{2060}main",
        "main\u{ad}",
        "\u{202e}niam",
        "\u{2066}main\u{2069}",
        "main\u{200f}",
        "main\u{e0061}",
        "feature\u{85}x",
        "Master",
        "Release/1",
        "re1ease/1",
        "RELEASE/2",
        "cafe\u{301}",
        "CAF\u{c9}",
        "CAFE\u{301}",
        "c\u{430}f\u{e9}",
    ] {
        let target = format!("HEAD:refs/heads/{name}");
        let pushed = work.push(Via::Local, &[&target]);
        assert!(!pushed.ok(), "{name:?}: {pushed}");
        assert!(pushed.said().contains("RW204"), "{name:?}: {pushed}");
    }
    for name in [
        "refs/HEADS/main",
        "refs/Heads/main",
        "refs/h\u{435}ads/main",
    ] {
        let target = format!("HEAD:{name}");
        work.push(Via::Local, &[&target]).fails(&["RW204"]);
    }
    // Both ways of writing a name are the protected one; the one that policy writes is its own.
    work.push(Via::Local, &["HEAD:refs/heads/caf\u{e9}"])
        .fails(&["RW203", "composed"]);
    work.push(Via::Local, &["HEAD:refs/replace/1234"])
        .fails(&["RW204"]);
    assert_eq!(repository.refs(), before);
    for name in ["maintenance", "mein", "na\u{ef}ve", "domain"] {
        work.push(Via::Local, &[&format!("HEAD:refs/heads/{name}")])
            .passes();
    }
}

#[test]
fn an_approval_for_a_branch_opens_no_name_that_ends_like_it() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "same-ending");
    let work = repository.work();
    let old = repository.value("refs/heads/main");
    let new = work.commit(&[(b"a", b"a\n")], "A");
    let request = request_of(&work.push(Via::Local, &[MAIN]).fails(&["RW201"]));
    let api = place.stack.api("grace");
    let (status, body) = api.decide(&request, "approve", "Looked at it.");
    assert_eq!(status, 200, "{body}");
    for name in [
        "refs/tags/main",
        "refs/tags/refs/heads/main",
        "refs/heads/heads/main",
        "refs/heads/refs/heads/main",
        "refs/heads/tags/main",
        "refs/notes/heads/main",
        "refs/remotes/origin/main",
    ] {
        let pushed = work.push(Via::Local, &[&format!("HEAD:{name}")]);
        let moved = usize::from(pushed.ok());
        assert_eq!(count(&repository, "ref.committed", name), moved, "{pushed}");
        assert_eq!(repository.value("refs/heads/main"), old, "{name}");
        assert_eq!(
            place.stack.api("audrey").request(&request).state,
            "approved"
        );
    }
    // A tag is judged as a tag, whatever branch has its name: it does not move any more.
    work.commit(&[(b"b", b"b\n")], "B");
    work.push(Via::Local, &["--force", "HEAD:refs/tags/main"])
        .fails(&["RW203", "refs/tags/main"]);
    work.push(Via::Local, &[&format!("{new}:refs/heads/main")])
        .passes();
    assert_eq!(repository.value("refs/heads/main"), Some(new));
}

/// Somebody whom the trusted issuer vouches for.
fn person(subject: &str, email: &str, groups: &[&str], more: &Value) -> String {
    let issuer = &place().good;
    let mut claims = issuer.claims();
    claims["sub"] = json!(subject);
    claims["email"] = json!(email);
    claims["email_verified"] = json!(true);
    claims["groups"] = json!(groups);
    let claims_map = claims.as_object_mut().unwrap();
    claims_map.extend(more.as_object().unwrap().clone());
    issuer.token(&claims)
}

#[test]
fn nobody_approves_their_own_under_another_hat() {
    let place = place();
    let repository = Repository::guarded(&place.stack, "other-hats");
    let mut work = repository.work();
    for role in ["AUTHOR", "COMMITTER"] {
        work.git = work
            .git
            .with(&format!("GIT_{role}_EMAIL"), "nobody@example.org");
    }
    let old = repository.value("refs/heads/main");
    work.commit(&[(b"a", b"a\n")], "A");
    let none = json!({});
    let eve = person("eve", "eve@example.org", &["developers"], &none);
    let request = request_of(&work.push_with(&eve, Via::Local, &[MAIN]).fails(&["RW201"]));
    let maintainers = ["maintainers"];
    let by_agent = json!({"act": {"sub": "agent"}});
    for (what, token) in [
        (
            "as herself",
            person("eve", "eve@example.org", &["developers"], &none),
        ),
        (
            "in the group since",
            person("eve", "eve@example.org", &maintainers, &none),
        ),
        (
            "as an administrator",
            person(
                "eve",
                "eve@example.org",
                &["admins", "maintainers", "auditors"],
                &none,
            ),
        ),
        (
            "without an address",
            person("eve", "other@example.org", &maintainers, &none),
        ),
        (
            "by a second account",
            person("eve-2", "eve@example.org", &maintainers, &none),
        ),
        (
            "in capitals",
            person("eve-3", "EVE@Example.ORG", &maintainers, &none),
        ),
        (
            "through an agent",
            person("mallory", "m@example.org", &maintainers, &by_agent),
        ),
        (
            "outside the group",
            person("mallory", "m@example.org", &["developers"], &none),
        ),
        (
            "as an administrator only",
            person("mallory", "m@example.org", &["admins"], &none),
        ),
    ] {
        let api = Api::new(&place.stack.started().service_url, &token);
        // The digest is the auditor's, so that whoever may not see the request may still try.
        let digest = place.stack.api("audrey").request(&request).digest;
        let (status, body) = api.decide_digest(&request, "approve", "Fine.", &digest);
        assert!(matches!(status, 403 | 404), "{what}: {status} {body}");
        let state = place.stack.api("audrey").request(&request).state;
        assert_eq!(state, "waiting", "{what}");
    }
    let eve = person("eve", "eve@example.org", &maintainers, &none);
    work.push_with(&eve, Via::Local, &[MAIN]).fails(&["RW201"]);
    assert_eq!(repository.value("refs/heads/main"), old);
    // Somebody else of the group may.
    let mallory = person("mallory", "m@example.org", &maintainers, &none);
    let api = Api::new(&place.stack.started().service_url, &mallory);
    let (status, body) = api.decide(&request, "approve", "Looked at it.");
    assert_eq!(status, 200, "{body}");
    let eve = person("eve", "eve@example.org", &["developers"], &none);
    work.push_with(&eve, Via::Local, &[MAIN]).passes();
}
