//! Windows of time: what passes within one, and what must not.

use std::time::Duration;

use refwarden_testkit::{Api, Repository, Stack, Via, Work, within};
use refwarden_wire::api::{GrantEndIn, GrantIn, GrantOut};

use super::setup::{POLICY, approve, ask, asked, push_to, set_policy, start};
use crate::shared::{count, request_of, secret};

const WINDOW: &str = "refs/heads/window/1";

/// Asks for a window as an agent for a person; returns status and body.
fn want(
    stack: &Stack,
    person: &str,
    repository: &str,
    ref_name: &str,
    seconds: u64,
) -> (u16, String) {
    let agent = Api::new(&stack.started().service_url, &stack.token(person));
    let asked = GrantIn {
        repository: repository.to_owned(),
        ref_name: ref_name.to_owned(),
        seconds,
        reason: "Release 1.2 <b>".to_owned(),
    };
    agent.post("/grants", &asked)
}

#[track_caller]
fn wanted(stack: &Stack, person: &str, repository: &str, ref_name: &str, seconds: u64) -> GrantOut {
    let (status, body) = want(stack, person, repository, ref_name, seconds);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[track_caller]
fn opened(stack: &Stack, repository: &str, ref_name: &str, seconds: u64) -> String {
    let grant = wanted(stack, "ada", repository, ref_name, seconds);
    approve(stack, "grace", &grant.id);
    grant.id
}

fn next(work: &Work<'_>, content: &str) {
    work.commit(&[(b"a", content.as_bytes())], content);
}

#[test]
fn pushes_pass_while_it_is_open_and_are_judged_all_the_same() {
    let repository = Repository::guarded(asked(), "window");
    let arguments = [
        "request", "--repo", "window", "--ref", WINDOW, "--for", "30m", "--reason", "Release",
        "--json",
    ];
    let grant = asked().refwarden(&arguments).passes().text();
    let grant: GrantOut = serde_json::from_str(&grant).unwrap();
    assert_eq!((grant.state.as_str(), grant.seconds), ("waiting", 1800));
    let work = repository.work();
    next(&work, "one");
    push_to(&work, WINDOW).fails(&["RW201"]);

    let mut browser = asked().browser("grace");
    let page = browser.open(&grant.url);
    assert!(page.body.contains("Open it"), "{}", page.body);
    let inbox = browser.open(&asked().started().service_url);
    assert!(
        inbox.body.contains("wants a window of time"),
        "{}",
        inbox.body
    );
    let page = browser.decide(&grant.url, "approve", "Go ahead.");
    assert!(
        page.body.contains("without further approval"),
        "{}",
        page.body
    );
    for content in ["one", "two", "three"] {
        next(&work, content);
        push_to(&work, WINDOW).passes();
    }
    assert_eq!(count(&repository, "grant.used", WINDOW), 3);
    let events = asked().api("audrey").events("window");
    let used = events.iter().find(|it| it.kind == "grant.used").unwrap();
    assert_eq!(used.request_id.as_ref(), Some(&grant.id));
    assert!(used.push_id.is_some());

    // Scanned, and denied by what denies.
    work.commit(&[(b"env", secret(4711).as_bytes())], "Leak");
    push_to(&work, WINDOW).fails(&["RW301"]);
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);
    work.commit(&[(b"tool.exe", b"MZ")], "Program");
    push_to(&work, WINDOW).fails(&["RW203", "no-programs"]);
    work.git(&["reset", "-q", "--hard", "HEAD~1"]);

    let listed = asked()
        .refwarden(&["grant", "list", "--state", "approved"])
        .passes();
    listed.says(&[&grant.id, "agent for ada"]);
    let revoked = ["grant", "revoke", &grant.id, "--reason", "Done"];
    asked().refwarden(&revoked).passes().says(&["revoked"]);
    assert_eq!(asked().refwarden(&revoked).code, Some(1), "twice");
    next(&work, "four");
    push_to(&work, WINDOW).fails(&["RW201"]);
    assert_eq!(count(&repository, "grant.revoked", WINDOW), 1);
    let page = browser.open(&grant.url);
    assert!(page.body.contains("taken back"), "{}", page.body);
}

#[test]
fn it_is_for_one_actor_one_ref_and_one_repository() {
    let repository = Repository::guarded(asked(), "window-narrow");
    let other = Repository::guarded(asked(), "window-other");
    opened(asked(), "window-narrow", WINDOW, 1800);
    let work = repository.work();
    next(&work, "one");
    let push = [&*format!("HEAD:{WINDOW}")];
    for (client, person) in [("agent", "lin"), ("operator", "ada"), ("robot", "ada")] {
        let token = asked().token_as(client, person, "10m");
        work.push_with(&token, Via::Local, &push).fails(&["RW201"]);
    }
    push_to(&work, "refs/heads/window/2").fails(&["RW201"]);
    push_to(&work, "refs/heads/Window/1").fails(&["RW204"]);
    let elsewhere = other.work();
    next(&elsewhere, "one");
    push_to(&elsewhere, WINDOW).fails(&["RW201"]);
    assert_eq!(count(&repository, "grant.used", WINDOW), 0);
    push_to(&work, WINDOW).passes();
}

#[test]
fn it_ends_by_itself() {
    let repository = Repository::guarded(asked(), "window-short");
    let id = opened(asked(), "window-short", WINDOW, 1);
    let audrey = asked().api("audrey");
    within("the window is over", Duration::from_secs(30), || {
        audrey.request(&id).state == "expired"
    });
    let work = repository.work();
    next(&work, "late");
    push_to(&work, WINDOW).fails(&["RW201"]);
    assert_eq!(count(&repository, "grant.ended", WINDOW), 1);
    assert_eq!(count(&repository, "grant.used", WINDOW), 0);
}

#[test]
fn policy_says_where_and_for_how_long() {
    let repository = Repository::guarded(asked(), "window-where");
    for (ref_name, seconds, expected) in [
        ("refs/heads/main", 60, 403),
        ("refs/heads/free", 60, 403),
        (WINDOW, 1801, 403),
        (WINDOW, 0, 403),
        (WINDOW, u64::MAX, 403),
        ("window/1", 60, 400),
        ("refs/heads/window/..", 60, 400),
    ] {
        let (status, body) = want(asked(), "ada", "window-where", ref_name, seconds);
        assert_eq!(status, expected, "{ref_name} {seconds}: {body}");
    }
    assert_eq!(
        want(asked(), "ada", "no-such-repository", WINDOW, 60).0,
        403
    );
    // One at a time.
    wanted(asked(), "ada", "window-where", WINDOW, 60);
    assert_eq!(want(asked(), "ada", "window-where", WINDOW, 60).0, 409);
    // A rule that names no window asks as ever, even where another one does.
    opened(asked(), "window-where", "refs/heads/window/strict", 60);
    let work = repository.work();
    next(&work, "one");
    push_to(&work, "refs/heads/window/strict").fails(&["RW201", "security"]);
}

#[test]
fn nobody_opens_their_own() {
    Repository::guarded(asked(), "window-own");
    let grant = wanted(asked(), "grace", "window-own", WINDOW, 60);
    for person in ["grace", "grace2", "ada", "olga"] {
        let digest = asked().api("audrey").request(&grant.id).digest;
        let api = asked().api(person);
        let (status, body) = api.decide_digest(&grant.id, "approve", "Mine.", &digest);
        assert!(matches!(status, 403 | 404), "{person}: {status}: {body}");
    }
    let token = asked().token("lin");
    let agent = Api::new(&asked().started().service_url, &token);
    let digest = asked().api("audrey").request(&grant.id).digest;
    let (status, body) = agent.decide_digest(&grant.id, "approve", "As an agent.", &digest);
    assert!(matches!(status, 403 | 404), "{status}: {body}");
    assert_eq!(asked().api("audrey").request(&grant.id).state, "waiting");
    // Who is not concerned takes nothing back either; whoever it is for does.
    let end = GrantEndIn {
        reason: "No".to_owned(),
    };
    let path = format!("/grants/{}/revoke", grant.id);
    for person in ["ada", "olga", "audrey"] {
        let status = asked().api(person).post(&path, &end).0;
        assert!(matches!(status, 403 | 404), "{person}: {status}");
    }
    approve(asked(), "lin", &grant.id);
    assert_eq!(asked().api("grace").post(&path, &end).0, 200);
}

#[test]
fn forged_forms_take_nothing_back() {
    Repository::guarded(asked(), "window-forged");
    let id = opened(asked(), "window-forged", WINDOW, 1800);
    let url = format!("{}/r/{id}", asked().started().service_url);
    let mut browser = asked().browser("grace");
    let page = browser.open(&url);
    let forms = page.forms();
    let form = forms
        .iter()
        .find(|it| it.action.ends_with("/revoke"))
        .unwrap();
    let csrf = form.fields["csrf"].clone();
    let target = format!("{url}/revoke");
    let here = asked().started().service_url.clone();
    for (token, origin) in [(csrf.as_str(), "https://evil.example"), ("", here.as_str())] {
        let fields = [("csrf", token), ("reason", "x")];
        assert_eq!(browser.post(&target, &fields, Some(origin)).status, 403);
    }
    assert_eq!(
        browser
            .open(&format!("{target}?csrf={csrf}&reason=x"))
            .status,
        405
    );
    assert_eq!(asked().api("audrey").request(&id).state, "approved");
    let page = browser.submit(&page, form, &[("reason", "Enough.")]);
    assert!(page.body.contains("Enough."), "{}", page.body);
    assert_eq!(asked().api("audrey").request(&id).state, "revoked");
}

#[test]
fn what_was_approved_is_worth_nothing_under_another_policy_or_in_another_repository() {
    let mut stack = start(POLICY);
    let (grant, exact, kept);
    {
        let repository = Repository::guarded(&stack, "edited");
        grant = opened(&stack, "edited", WINDOW, 1800);
        let work = repository.work();
        next(&work, "one");
        exact = ask(&work, "refs/heads/prod");
        approve(&stack, "grace", &exact);
        kept = ask(&work, super::setup::MAIN);
        approve(&stack, "grace", &kept);
        // The same place under guard anew is another repository.
        let path = repository.path.display().to_string();
        stack.refwarden(&["install", &path, "--uninstall"]).passes();
        repository.git(&["config", "--unset-all", "refwarden.repository"]);
        stack
            .refwarden(&["install", &path, "--name", "recreated"])
            .passes();
        for ref_name in [WINDOW, "refs/heads/prod", super::setup::MAIN] {
            let fresh = request_of(&push_to(&work, ref_name).fails(&["RW201"]));
            assert!(![&grant, &exact, &kept].contains(&&fresh), "{ref_name}");
        }
    }
    let repository = Repository::guarded(&stack, "edited-again");
    opened(&stack, "edited-again", WINDOW, 1800);
    let work = repository.work();
    next(&work, "one");
    for ref_name in ["refs/heads/prod", super::setup::MAIN] {
        let id = ask(&work, ref_name);
        approve(&stack, "grace", &id);
    }
    let refs = [WINDOW, "refs/heads/prod", super::setup::MAIN];
    let (name, path) = (repository.name.clone(), repository.path.clone());
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().display().to_string();
    let url = path.display().to_string();
    stack
        .git()
        .run(directory.path(), &["clone", "-q", &url, &copy])
        .passes();
    drop(work);
    // The same people, and one more of them.
    set_policy(
        &mut stack,
        &POLICY
            .replace(
                "approvers = [\"group:maintainers\"]",
                "approvers = [\"group:maintainers\"]\nquorum = 2",
            )
            .replace("quorum = 2\nquorum = 2", "quorum = 2"),
    );
    let repository = Repository {
        stack: &stack,
        name,
        path,
        format: "sha1".to_owned(),
    };
    let work = repository.work();
    next(&work, "one");
    for ref_name in refs {
        push_to(&work, ref_name).fails(&["RW201", "2 of maintainers"]);
    }
}

#[test]
fn an_agent_for_somebody_else_neither_sees_nor_ends_it() {
    Repository::guarded(asked(), "window-agent");
    let id = opened(asked(), "window-agent", WINDOW, 1800);
    let url = &asked().started().service_url;
    let end = GrantEndIn {
        reason: "Mine".to_owned(),
    };
    let path = format!("/grants/{id}/revoke");
    let other = Api::new(url, &asked().token("lin"));
    assert_eq!(other.post(&path, &end).0, 404);
    assert_eq!(other.get(&format!("/requests/{id}")).status().as_u16(), 404);
    let listed: Vec<GrantOut> = other.read("/grants");
    assert!(listed.iter().all(|it| it.id != id));
    let own = Api::new(url, &asked().token("ada"));
    assert_eq!(own.post(&path, &end).0, 200);
}
