//! Tokens of Refwarden's own: what an identity provider's token is traded for, how narrow they
//! are, and that they are gone when they are revoked.

use refwarden_testkit::{Repository, Stack, Via, with_token, within};
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::shared::{approve, kinds, request_of, stack};
use crate::waiting::{SOON, hold};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const TOPIC: &str = "HEAD:refs/heads/topic";

/// Trades a token, with more fields; returns status and answer.
#[track_caller]
pub fn trade(stack: &Stack, subject: &str, more: &[(&str, &str)]) -> (u16, Value) {
    let mut form = vec![
        ("grant_type", GRANT),
        ("subject_token", subject),
        ("subject_token_type", JWT),
    ];
    form.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    form.extend(more);
    let url = format!("{}/oauth/token", stack.started().service_url);
    let response = Client::new().post(url).form(&form).send().unwrap();
    let status = response.status().as_u16();
    (status, response.json().unwrap())
}

/// Trades a token for one with that scope.
#[track_caller]
fn narrowed(subject: &str, scope: &str) -> String {
    let (status, answer) = trade(stack(), subject, &[("scope", scope)]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["scope"], scope, "{answer}");
    answer["access_token"].as_str().unwrap().to_owned()
}

#[track_caller]
fn revoke(stack: &Stack, token: &str) {
    let url = format!("{}/oauth/revoke", stack.started().service_url);
    let response = Client::new().post(url).form(&[("token", token)]).send();
    assert_eq!(response.unwrap().status().as_u16(), 200);
}

#[test]
fn a_traded_token_names_the_same_people_and_no_more_than_they_may() {
    let repository = Repository::guarded(stack(), "traded");
    let work = repository.work();
    let new = work.commit(&[(b"a", b"a\n")], "A");

    // A person's token and an agent's become one of the agent for the person.
    let ada = stack().token_as("operator", "ada", "10m");
    let arguments = ["token", "--as", "agent", "--ttl", "10m"];
    let agent = stack().refwarden(&arguments).passes().text();
    let more = [("actor_token", agent.as_str()), ("actor_token_type", JWT)];
    let (status, answer) = trade(stack(), &ada, &more);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 900);
    let both = answer["access_token"].as_str().unwrap();
    work.push_with(both, Via::Http, &[TOPIC]).passes();
    assert_eq!(repository.value("refs/heads/topic"), Some(new));
    let events = stack().api("audrey").events(&repository.name);
    let released = events.iter().find(|event| event.kind == "push.released");
    assert_eq!(released.unwrap().actor, "agent for ada");

    // Ada is barred from approving what the agent does for her; a second push needs a new token.
    work.push_with(both, Via::Http, &["HEAD:refs/heads/other"])
        .fails(&["RW105"]);
    let again = trade(stack(), &ada, &more).1["access_token"].clone();
    let refused = work
        .push_with(
            again.as_str().unwrap(),
            Via::Local,
            &["HEAD:refs/heads/main"],
        )
        .fails(&["RW201"]);
    let request = request_of(&refused);
    let (status, body) = stack().api("ada").decide(&request, "approve", "Mine.");
    assert_eq!(status, 403, "{body}");
    approve(stack(), &request);
    let last = trade(stack(), &ada, &more).1["access_token"].clone();
    work.push_with(
        last.as_str().unwrap(),
        Via::Local,
        &["HEAD:refs/heads/main"],
    )
    .passes();
}

#[test]
fn what_is_no_good_token_is_traded_for_nothing() {
    let ada = stack().token_as("operator", "ada", "10m");
    let agent_for_ada = stack().token("ada");
    let arguments = ["token", "--as", "agent", "--ttl", "10m"];
    let agent = stack().refwarden(&arguments).passes().text();
    let forged = format!("{}x", &ada[..ada.len() - 1]);
    for (subject, more, error) in [
        (
            ada.as_str(),
            vec![("grant_type", "password")],
            "unsupported_grant_type",
        ),
        (&ada, vec![("subject_token_type", "jwt")], "invalid_request"),
        (&ada, vec![("subject_token_type", "")], "invalid_request"),
        (&ada, vec![("audience", "elsewhere")], "invalid_target"),
        (
            &ada,
            vec![("requested_token_type", "saml")],
            "invalid_request",
        ),
        (&ada, vec![("scope", "admin")], "invalid_scope"),
        (&ada, vec![("scope", "verb:everything")], "invalid_scope"),
        (&ada, vec![("expires_in", "0")], "invalid_request"),
        (&ada, vec![("expires_in", "-5")], "invalid_request"),
        (&ada, vec![("expires_in", "1e3")], "invalid_request"),
        (&forged, vec![], "invalid_request"),
        ("", vec![], "invalid_request"),
        ("a.b.c", vec![], "invalid_request"),
        // An actor has to be an agent, and its human a human.
        (
            &ada,
            vec![("actor_token", &ada), ("actor_token_type", JWT)],
            "invalid_request",
        ),
        (
            &ada,
            vec![("actor_token", &agent_for_ada), ("actor_token_type", JWT)],
            "invalid_request",
        ),
        (
            &agent_for_ada,
            vec![("actor_token", &agent), ("actor_token_type", JWT)],
            "invalid_request",
        ),
        (
            &agent,
            vec![("actor_token", &agent), ("actor_token_type", JWT)],
            "invalid_request",
        ),
        (&ada, vec![("actor_token", &agent)], "invalid_request"),
    ] {
        let (status, answer) = trade(stack(), subject, &more);
        assert_eq!(
            (status, &answer["error"]),
            (400, &json!(error)),
            "{more:?} {answer}"
        );
        assert!(!answer.to_string().contains(&ada[20..60]), "{answer}");
    }
}

#[test]
fn a_scope_narrows_and_is_not_widened_again() {
    let repository = Repository::guarded(stack(), "scoped");
    let work = repository.work();
    work.commit(&[(b"src/a", b"a\n"), (b"docs/b", b"b\n")], "A");
    let ada = stack().token_as("operator", "ada", "10m");
    for (scope, via) in [
        ("repo:other", Via::Local),
        ("repo:other", Via::Http),
        ("ref:refs/heads/feature/**", Via::Local),
        ("ref:refs/heads/feature/**", Via::Http),
        ("verb:fetch", Via::Http),
        ("verb:update verb:delete", Via::Local),
        ("path:src/**", Via::Http),
    ] {
        let token = narrowed(&ada, scope);
        work.push_with(&token, via, &[TOPIC]).fails(&["RW106"]);
        assert_eq!(repository.value("refs/heads/topic"), None, "{scope}");
        // Traded again for everything, it is for the same and lasts no longer.
        let (status, answer) = trade(stack(), &token, &[("expires_in", "3600")]);
        assert_eq!(status, 200, "{answer}");
        assert!(answer["expires_in"].as_i64().unwrap() <= 900, "{answer}");
        let again = answer["access_token"].as_str().unwrap();
        work.push_with(again, via, &[TOPIC]).fails(&["RW106"]);
    }
    // Reading is one of the verbs.
    for (scope, may) in [
        ("verb:fetch", true),
        ("verb:create", false),
        ("repo:other", false),
    ] {
        let git = with_token(&work.git, &narrowed(&ada, scope), Via::Http);
        let listed = git.run(work.path(), &["ls-remote", &repository.http_url()]);
        assert_eq!(listed.ok(), may, "{scope}: {listed}");
    }
    let events = stack().api("audrey").events(&repository.name);
    let denied = events.iter().filter(|event| event.codes == ["RW106"]);
    assert!(denied.count() >= 7, "{events:#?}");

    // What fits passes.
    let fits = "repo:scoped ref:refs/heads/* verb:create path:src/** path:docs/**";
    work.push_with(&narrowed(&ada, fits), Via::Http, &[TOPIC])
        .passes();
    // A token for git decides nothing and opens no records, whoever holds it.
    let grace = narrowed(&stack().token_as("operator", "grace", "10m"), "repo:scoped");
    let refused = work
        .push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let url = &stack().started().service_url;
    let api = refwarden_testkit::Api::new(url, &grace);
    let (status, body) = api.decide(&request_of(&refused), "approve", "Yes.");
    assert_eq!(status, 403, "{body}");
    let audrey = narrowed(
        &stack().token_as("operator", "audrey", "10m"),
        "repo:scoped",
    );
    let api = refwarden_testkit::Api::new(url, &audrey);
    assert_eq!(api.get("/events").status().as_u16(), 403);
}

#[test]
fn a_revoked_token_is_refused_from_the_next_request_on() {
    let repository = Repository::guarded(stack(), "revoked");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let ada = stack().token_as("operator", "ada", "10m");
    let own = narrowed(&ada, "repo:revoked");
    let theirs = stack().token("ada");
    for token in [&own, &theirs] {
        let git = with_token(&work.git, token, Via::Http);
        let read = ["ls-remote", &repository.http_url()];
        git.run(work.path(), &read).passes();
        revoke(stack(), token);
        git.run(work.path(), &read).fails(&["RW107"]);
        for via in [Via::Local, Via::Http] {
            work.push_with(token, via, &[TOPIC]).fails(&["RW107"]);
        }
        let (status, answer) = trade(stack(), token, &[]);
        assert_eq!(status, 400, "{answer}");
    }
    assert_eq!(repository.value("refs/heads/topic"), None);
    // A token that is none is given back like any other.
    revoke(stack(), "nonsense");
}

#[test]
fn revoking_ends_a_push_that_is_held() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "revoked-held");
    let work = repository.work();
    let old = repository.value("refs/heads/main");
    work.commit(&[(b"a", b"a\n")], "A");
    let held = hold(&repository, &work, Via::Http, &["--push-option=wait=10m"]);
    let issuer = format!("{}/idp", stack.started().service_url);
    let arguments = [
        "revoke",
        "--subject",
        "ada",
        "--issuer",
        &issuer,
        "--reason",
        "left",
    ];
    stack.refwarden(&arguments).passes();
    held.ends().fails(&["RW107"]);
    assert_eq!(repository.value("refs/heads/main"), old);
    within("the refusal is recorded", SOON, || {
        kinds(&repository)
            .iter()
            .any(|(kind, _)| kind == "push.denied")
    });
    let listed = stack.refwarden(&["revoke", "--list"]).passes().text();
    assert!(
        listed.contains("all of ada") && listed.contains("left"),
        "{listed}"
    );
    // Others may go on, and nobody but an administrator revokes.
    let grace = stack.token_as("operator", "grace", "10m");
    work.push_with(&grace, Via::Http, &[TOPIC]).passes();
    let url = format!("{}/api/v1/revocations", stack.started().service_url);
    let body = json!({"issuer": issuer, "subject": "adam", "reason": "x"});
    let asked = Client::new().post(url).bearer_auth(&grace).json(&body);
    assert_eq!(asked.send().unwrap().status().as_u16(), 403);
}
