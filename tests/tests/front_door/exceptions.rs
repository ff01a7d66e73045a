//! Exceptions from the scanner's rules: asked for at the link of a refused push, given by the owners of
//! the rule, for one secret in one file of one repository, for some time.

use std::sync::OnceLock;

use refwarden_testkit::{Api, Browser, Outcome, Repository, Stack, Via, Work, planted};
use refwarden_wire::api::{ExceptionEndIn, ExceptionOut, FindingOut};
use serde_json::{Value, json};

use crate::fetches::psql;
use crate::shared::{approve, for_programs, request_of, secret};
use crate::waiting::hold;

const OWNERS: &str = r#"
[[secret_owner]]
id = "owners"
description = "Developers too, so that somebody who pushes is one"
rules = ["github-*"]
approvers = ["group:maintainers", "group:developers"]
longest_exception = "7d"

[[secret_owner]]
id = "at-once"
repositories = ["exceptions-short"]
approvers = ["group:maintainers"]
longest_exception = "1m"
"#;

const TOPIC: [&str; 1] = ["HEAD:refs/heads/topic"];

fn stack() -> &'static Stack {
    static STACK: OnceLock<Stack> = OnceLock::new();
    STACK.get_or_init(|| {
        let mut stack = Stack::start();
        let policy = stack.directory().join("policy.toml");
        let text = std::fs::read_to_string(&policy).unwrap();
        std::fs::write(&policy, format!("{text}{OWNERS}")).unwrap();
        stack.restart();
        stack
    })
}

/// A commit with a secret in a file, on top of main.
fn commit(work: &Work<'_>, file: &str, seed: u64) {
    let line = format!("T={}\n", secret(seed));
    work.commit(&[(file.as_bytes(), line.as_bytes())], "Add");
}

/// The id of a push that was refused for findings, from its line for programs.
#[track_caller]
fn refused(pushed: Outcome) -> String {
    let pushed = pushed.fails(&["RW301", "Ask for an exception"]);
    let findings = for_programs(&pushed.said())["findings"].clone();
    let link = findings.as_str().unwrap().to_owned();
    let id = link.rsplit('/').nth(1).unwrap();
    pushed.says(&[&format!("/p/{id}")]);
    id.to_owned()
}

fn asking(push: &str, seconds: u64) -> Value {
    json!({
        "push": push,
        "finding": 0,
        "kind": "test-data",
        "seconds": seconds,
        "reason": "A key of the test service.",
    })
}

#[track_caller]
fn ask(api: &Api, push: &str) -> ExceptionOut {
    let (status, body) = api.post("/exceptions", &asking(push, 60));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// A repository, its working copy's refused push of a secret, and an exception that holds for it.
#[track_caller]
fn granted(repository: &Repository<'_>, work: &Work<'_>, seed: u64) -> ExceptionOut {
    let stack = repository.stack;
    commit(work, "a.env", seed);
    let push = refused(work.push(Via::Local, &TOPIC));
    let asked = ask(&stack.api("ada"), &push);
    approve(stack, &asked.id);
    asked
}

fn state(id: &str) -> String {
    let all: Vec<ExceptionOut> = stack().api("audrey").read("/exceptions");
    let found = all.into_iter().find(|it| it.id == id);
    found.unwrap_or_else(|| panic!("no {id}")).state
}

#[test]
fn an_owner_lets_exactly_one_finding_pass() {
    let stack = stack();
    let repository = Repository::guarded(stack, "exceptions");
    let work = repository.work();
    commit(&work, "a.env", 101);
    let push = refused(work.push(Via::Local, &TOPIC));
    let page_of = format!("{}/p/{push}", stack.started().service_url);
    // Ada, for whom the agent pushed, asks on the page of the push.
    let mut ada = stack.browser("ada");
    let page = ada.open(&page_of);
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("a.env:1"), "{}", page.body);
    let arrow = "<code>000000000000</code> → <code>";
    assert!(page.body.contains(arrow), "{}", page.body);
    let form = page.form_with("finding");
    let wrong = [("kind", "because"), ("days", "3"), ("reason", "x")];
    assert_eq!(ada.submit(&page, &form, &wrong).status, 400);
    let long = [("kind", "test-data"), ("days", "8"), ("reason", "x")];
    assert_eq!(ada.submit(&page, &form, &long).status, 403);
    let none = [("kind", "test-data"), ("days", "3"), ("reason", " ")];
    assert_eq!(ada.submit(&page, &form, &none).status, 400);
    let good = [
        ("kind", "test-data"),
        ("days", "3"),
        ("reason", "<b>Test</b> key."),
    ];
    let asked = ada.submit(&page, &form, &good);
    assert_eq!(asked.status, 200, "{}", asked.body);
    let id = asked.url.path().strip_prefix("/r/").unwrap().to_owned();
    assert!(asked.body.contains("&#60;b&#62;Test"), "{}", asked.body);
    // She owns the rule, too, but lets nothing of her own pass; nor does the agent, nor a stranger.
    let has_digest = asked
        .forms()
        .iter()
        .any(|form| form.fields.contains_key("digest"));
    assert!(
        !has_digest && asked.body.contains("whoever pushed"),
        "{}",
        asked.body
    );
    let (status, body) = stack.api("ada").decide(&id, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");
    let agent = Api::new(&stack.started().service_url, &stack.token("ada"));
    assert_eq!(agent.decide(&id, "approve", "Mine.").0, 403);
    for stranger in ["audrey", "adam"] {
        let (status, body) = stack.api(stranger).decide(&id, "approve", "Why not.");
        assert!(
            status == 403 || status == 404,
            "{stranger}: {status} {body}"
        );
    }
    // It is asked for once, and the push says where.
    let (status, body) = stack.api("ada").post("/exceptions", &asking(&push, 60));
    assert_eq!(status, 409, "{body}");
    let again = work.push(Via::Local, &TOPIC).fails(&["RW301"]);
    assert_eq!(request_of(&again), id);
    approve(stack, &id);
    let (status, body) = stack.api("grace").decide(&id, "approve", "Twice.");
    assert_eq!(status, 409, "{body}");
    // The same push passes, and the record says by what.
    work.push(Via::Local, &TOPIC).passes();
    let head = work.git(&["rev-parse", "HEAD"]);
    assert_eq!(repository.value("refs/heads/topic"), Some(head));
    let events = stack.api("audrey").events("exceptions");
    for kind in [
        "request.created",
        "request.approved",
        "exception.granted",
        "exception.used",
    ] {
        let found = events.iter().filter(|it| it.kind == kind);
        assert_eq!(found.count(), 1, "{kind}: {events:?}");
    }
    let listed = stack.refwarden(&["audit", "-q", "repo:exceptions kind:exception"]);
    listed
        .passes()
        .says(&["exception.granted", "exception.used", "github-pat in a.env"]);
    // What rules ask of a ref is asked all the same.
    let main = work.push(Via::Local, &["HEAD:refs/heads/main"]);
    main.fails(&["RW201"]);
    // Another file, another secret and another repository are others.
    commit(&work, "b.env", 101);
    work.push(Via::Local, &TOPIC).fails(&["RW301", "b.env:1"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    commit(&work, "a.env", 102);
    work.push(Via::Local, &TOPIC).fails(&["RW301", "a.env:1"]);
    let other = Repository::guarded(stack, "exceptions-other");
    let elsewhere = other.work();
    commit(&elsewhere, "a.env", 101);
    elsewhere
        .push(Via::Local, &TOPIC)
        .fails(&["RW301", "a.env:1"]);
    assert_eq!(other.value("refs/heads/topic"), None);
    // The secret is in no record and on no page.
    let tables =
        "events requests exceptions exception_uses decisions findings comments outbox pushes";
    for table in tables.split(' ') {
        let rows = psql(
            stack,
            &format!("SELECT query_to_xml('TABLE {table}', true, false, '')"),
        );
        assert!(rows.contains('<'), "{table}: {rows}");
        assert!(!rows.contains(&secret(101)), "{table}: {rows}");
    }
    for url in [page_of, format!("{}/r/{id}", stack.started().service_url)] {
        assert!(!ada.open(&url).body.contains(&secret(101)), "{url}");
    }
}

#[test]
fn one_for_a_glob_lets_the_same_secret_pass_in_other_files() {
    let stack = stack();
    let repository = Repository::guarded(stack, "exceptions-glob");
    let work = repository.work();
    commit(&work, "tests/a.env", 141);
    let push = refused(work.push(Via::Local, &TOPIC));
    let api = stack.api("ada");
    let asking = |paths: &str| {
        let mut asked = asking(&push, 600);
        asked["paths"] = paths.into();
        asked
    };
    for (paths, why) in [
        ("src/**", "does not match tests/a.env"),
        ("tests/\u{0}", "NUL"),
        (&"a".repeat(1025), "not a glob"),
    ] {
        let (status, body) = api.post("/exceptions", &asking(paths));
        assert_eq!(status, 400, "{paths}: {body}");
        assert!(body.contains(why), "{paths}: {body}");
    }
    let (status, body) = api.post("/exceptions", &asking(" tests/** "));
    assert_eq!(status, 200, "{body}");
    let asked: ExceptionOut = serde_json::from_str(&body).unwrap();
    assert_eq!(asked.paths.as_deref(), Some("tests/**"));
    let id = asked.id.as_str();
    let page = stack
        .browser("grace")
        .open(&format!("{}/r/{id}", stack.started().service_url));
    assert!(
        page.body.contains("files that match <code>tests/**</code>"),
        "{}",
        page.body
    );
    approve(stack, id);
    commit(&work, "tests/deep/b.env", 141);
    work.push(Via::Local, &TOPIC).passes();
    // Another secret there, and the same elsewhere, are others.
    commit(&work, "tests/c.env", 142);
    work.push(Via::Local, &TOPIC)
        .fails(&["RW301", "tests/c.env:1"]);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    commit(&work, "src/tests/a.env", 141);
    work.push(Via::Local, &TOPIC)
        .fails(&["RW301", "src/tests/a.env:1"]);
    // Nor does the same file at a path that it is for let it pass elsewhere, in whichever order.
    for (one, other) in [("tests/e.env", "z/e.env"), ("a/f.env", "tests/f.env")] {
        work.git(&["reset", "-q", "--hard", "HEAD^"]);
        commit(&work, one, 141);
        commit(&work, other, 141);
        let elsewhere = if one.starts_with("tests") { other } else { one };
        let refused = work.push(Via::Local, &TOPIC);
        refused.fails(&["RW301", &format!("{elsewhere}:1")]);
        work.git(&["reset", "-q", "--soft", "HEAD~2"]);
        work.git(&["commit", "-q", "-m", "Both at once"]);
        let refused = work.push(Via::Local, &TOPIC);
        refused.fails(&["RW301", &format!("{elsewhere}:1")]);
    }
}

#[test]
fn whoever_lets_a_secret_pass_does_not_push_it() {
    let stack = stack();
    let repository = Repository::guarded(stack, "exceptions-own");
    let work = repository.work();
    let exception = granted(&repository, &work, 111);
    let of_grace = stack.token("grace");
    work.push_with(&of_grace, Via::Local, &TOPIC)
        .fails(&["RW301", "a.env:1"]);
    assert_eq!(repository.value("refs/heads/topic"), None);
    assert_eq!(state(&exception.id), "approved");
    work.push(Via::Local, &TOPIC).passes();
}

#[test]
fn one_that_is_rejected_taken_back_or_over_lets_nothing_pass() {
    let stack = stack();
    let repository = Repository::guarded(stack, "exceptions-ended");
    let work = repository.work();
    commit(&work, "a.env", 121);
    let push = refused(work.push(Via::Local, &TOPIC));
    let rejected = ask(&stack.api("ada"), &push);
    assert_eq!(
        stack.api("grace").decide(&rejected.id, "reject", "No.").0,
        200
    );
    work.push(Via::Local, &TOPIC).fails(&["RW301"]);
    // It can be asked for anew, taken back by who may, and is over for good.
    let exception = ask(&stack.api("ada"), &push);
    approve(stack, &exception.id);
    let end = |who: &str| {
        let path = format!("/exceptions/{}/revoke", exception.id);
        let reason = "It was one.".to_owned();
        stack.api(who).post(&path, &ExceptionEndIn { reason })
    };
    let (status, body) = end("audrey");
    assert_eq!(status, 403, "{body}");
    let (status, body) = end("grace");
    assert_eq!(status, 200, "{body}");
    assert_eq!(end("grace").0, 409);
    work.push(Via::Local, &TOPIC).fails(&["RW301"]);
    let events = stack.api("audrey").events("exceptions-ended");
    assert!(events.iter().any(|it| it.kind == "exception.revoked"));
    assert_eq!(repository.value("refs/heads/topic"), None);
    // Time ends one by itself.
    let short = Repository::guarded(stack, "exceptions-short");
    let work = short.work();
    commit(&work, "a.env", 122);
    let push = refused(work.push(Via::Local, &TOPIC));
    let (status, body) = stack.api("ada").post("/exceptions", &asking(&push, 61));
    assert_eq!(status, 403, "{body}");
    let exception = ask(&stack.api("ada"), &push);
    assert_eq!(
        stack
            .api("grace")
            .decide(&exception.id, "approve", "Quick.")
            .0,
        200
    );
    assert_eq!(state(&exception.id), "approved");
    psql(
        stack,
        &format!(
            "UPDATE requests SET expires_at = now() - interval '1 second' WHERE id = '{}'",
            exception.id
        ),
    );
    work.push(Via::Local, &TOPIC).fails(&["RW301"]);
    assert_eq!(state(&exception.id), "expired");
    let events = stack.api("audrey").events("exceptions-short");
    assert!(events.iter().any(|it| it.kind == "exception.ended"));
}

#[test]
fn one_that_is_taken_back_while_a_push_is_held_stops_it() {
    let stack = stack();
    let repository = Repository::guarded(stack, "exceptions-held");
    let work = repository.work();
    let exception = granted(&repository, &work, 131);
    let held = hold(&repository, &work, Via::Local, &["--push-option=wait=2m"]);
    let path = format!("/exceptions/{}/revoke", exception.id);
    let end = ExceptionEndIn {
        reason: "It was one.".to_owned(),
    };
    assert_eq!(stack.api("grace").post(&path, &end).0, 200);
    let before = repository.value("refs/heads/main");
    approve(stack, &held.request);
    held.ends().fails(&[]);
    assert_eq!(repository.value("refs/heads/main"), before);
    // The approval is not used up, and without the secret's exception not enough.
    work.push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW301"]);
}

#[test]
fn who_has_nothing_to_do_with_a_push_learns_nothing_of_it() {
    let stack = stack();
    let repository = Repository::guarded(stack, "exceptions-seen");
    let work = repository.work();
    commit(&work, "a.env", 141);
    let push = refused(work.push(Via::Local, &TOPIC));
    let path = format!("/pushes/{push}/findings");
    let found: Vec<FindingOut> = stack.api("grace").read(&path);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].may_be_asked && found[0].rule == "github-pat",
        "{found:?}"
    );
    assert_eq!(stack.api("adam").get(&path).status().as_u16(), 200);
    let url = format!("{}/p/{push}", stack.started().service_url);
    let nobody = Browser::new().open(&url);
    assert!(!nobody.body.contains("a.env"), "{}", nobody.body);
    // A finding of a rule that nobody owns, one that is not there, and a push that is not.
    let (status, _) = stack.api("audrey").post("/exceptions", &asking(&push, 60));
    assert_eq!(status, 404);
    let agent = Api::new(&stack.started().service_url, &stack.token("adam"));
    assert_eq!(agent.post("/exceptions", &asking(&push, 60)).0, 404);
    let mut no_finding = asking(&push, 60);
    no_finding["finding"] = json!(7);
    assert_eq!(stack.api("ada").post("/exceptions", &no_finding).0, 400);
    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        stack.api("ada").post("/exceptions", &asking(nil, 60)).0,
        404
    );
    // A form from elsewhere asks for nothing.
    let fields = [
        ("csrf", "x"),
        ("finding", "0"),
        ("kind", "test-data"),
        ("days", "1"),
        ("reason", "x"),
    ];
    let from = Some("http://127.0.0.1:1");
    let forged = stack
        .browser("ada")
        .post(&format!("{url}/exception"), &fields, from);
    assert_eq!(forged.status, 403);
    // Nobody owns other rules, so there is nothing to ask, and the refusal does not speak of it.
    let token = planted::plant("glpat-{base64url:20}", 142);
    work.git(&["reset", "-q", "--hard", "HEAD^"]);
    work.commit(&[(b"b.env", format!("T={token}\n").as_bytes())], "Other");
    let pushed = work
        .push(Via::Local, &TOPIC)
        .fails(&["RW301", "gitlab-pat"]);
    assert!(!pushed.said().contains("Ask for"), "{pushed}");
    let events = stack.api("audrey").events("exceptions-seen");
    let denied = events.iter().rfind(|it| it.kind == "push.denied").unwrap();
    let push = denied.push_id.unwrap().to_string();
    let (status, body) = stack.api("ada").post("/exceptions", &asking(&push, 60));
    assert!(
        status == 403 && body.contains("Nobody owns"),
        "{status} {body}"
    );
}
