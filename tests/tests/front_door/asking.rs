//! Questions in the grammar, by command line and API.

use refwarden_testkit::{Outcome, Repository, Via};
use refwarden_wire::api::EventsOut;
use serde_json::Value;

use crate::shared::{secret, stack};

/// A repository with a refused push (a secret in `deploy/key.tf`) and one that was let through.
fn asked(name: &str) -> Repository<'static> {
    let repository = Repository::guarded(stack(), name);
    let work = repository.work();
    work.commit(&[(b"docs/a.md", b"a\n")], "A");
    work.push(Via::Local, &["HEAD:refs/heads/topic/one"])
        .passes();
    work.commit(&[(b"key.tf", format!("{}\n", secret(7)).as_bytes())], "Key");
    work.push(Via::Local, &["HEAD:refs/heads/topic/two"])
        .fails(&["RW301"]);
    repository
}

fn ask(query: &str) -> Outcome {
    stack().refwarden(&["audit", "--json", "-q", query])
}

#[track_caller]
fn kinds(query: &str) -> Vec<String> {
    let said = ask(query).passes().text();
    let events = said.lines().filter(|line| !line.is_empty());
    events
        .map(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["kind"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn each_term_finds_what_it_says_and_its_negation_the_rest() {
    let repository = asked("asked-terms");
    let name = &repository.name;
    let all = kinds(&format!("repo:{name}"));
    assert!(all.len() >= 6, "{all:?}");
    for (term, kind) in [
        ("ref:refs/heads/topic/one", "ref.committed"),
        ("ref:refs/heads/topic/*", "ref.committed"),
        ("ref:**/one", "ref.committed"),
        ("actor:kind=agent", "push.denied"),
        ("actor:agent", "push.denied"),
        ("on-behalf-of:ada", "push.released"),
        ("state:refused", "push.denied"),
        ("state:committed", "ref.committed"),
        ("rule:secret.github*", "push.denied"),
        ("path:**/*.tf", "push.denied"),
        ("path:docs/a.md", "push.released"),
        ("kind:push", "push.denied"),
        ("code:rw301", "push.denied"),
        ("event:1", "repository.adopted"),
        ("since:1h", "repository.adopted"),
        ("state:waiting,refused", "push.denied"),
        ("kind:push.refused,ref", "ref.committed"),
        ("actor:nobody,kind=agent", "push.denied"),
    ] {
        let found = kinds(&format!("repo:{name} {term}"));
        assert!(found.iter().any(|it| it == kind), "{term}: {found:?}");
        let others = kinds(&format!("repo:{name} -{term}"));
        assert_eq!(found.len() + others.len(), all.len(), "{term}");
    }
    for nothing in [
        "ref:refs/heads/*",
        "actor:ada",
        "on-behalf-of:agent",
        "state:waiting",
        "until:1h",
        "path:*.md",
        "kind:pus",
        "\"100%\"",
        "\"'; DROP TABLE events; --\"",
        "push:018f0000-0000-7000-8000-000000000001",
        "state:waiting,cancelled",
    ] {
        let found = kinds(&format!("repo:{name} {nothing}"));
        assert!(found.is_empty(), "{nothing}: {found:?}");
    }
}

#[test]
fn a_query_that_is_not_understood_says_where() {
    let refused = ask("repo:x state:lost");
    assert_eq!(refused.code, Some(1), "{refused}");
    refused.says(&["character 14", "refused, waiting", "lost"]);
    ask("who:ada").fails(&["character 1", "one of repo, ref", "on-behalf-of"]);
    ask("acter:ada").fails(&["character 1", "the nearest is actor:"]);
    ask("\"open").fails(&["quotation mark"]);
    ask("(").fails(&["character 1", "side by side"]);
    ask("actor=ada").fails(&["character 6", "a colon stands behind a key"]);
    ask("since:7d since:1d").fails(&["character 10", "one time after one since:"]);
    ask("since:1d until:7d").fails(&["character 16", "after that of since:"]);
}

#[test]
fn a_short_name_of_a_ref_is_met_with_its_full_one() {
    let repository = asked("asked-short");
    let name = &repository.name;
    let hint = "there are events of refs/heads/topic/one";
    for arguments in [
        &["--ref", "topic/one"][..],
        &["-q", "ref:topic/one"],
        &["-q", "ref:topic/one,nothing kind:ref"],
    ] {
        let whole = [&["audit", "--repository", name], arguments].concat();
        let found = stack().refwarden(&whole).passes();
        found.says(&["No events.", "full names", hint]);
    }
    let none = ["audit", "--repository", name, "--ref", "nothing"];
    let found = stack().refwarden(&none).passes();
    assert!(!found.everything().contains("full names"), "{found}");
    // Of another repository there is no such ref.
    let other = Repository::guarded(stack(), "asked-short-other");
    let asked = format!("repo:{} ref:topic/one", other.name);
    let found = stack().refwarden(&["audit", "-q", &asked]).passes();
    assert!(!found.everything().contains("full names"), "{found}");
    let asked = format!("repo:{name} ref:topic/one");
    let found = stack()
        .refwarden(&["audit", "--json", "-q", &asked])
        .passes();
    assert!(found.text().is_empty(), "{found}");
    found.says(&[hint]);
    let url = format!("{}/audit?q={asked}", stack().started().service_url);
    let page = stack().browser("audrey").open(&url.replace(' ', "+"));
    assert!(page.body.contains(hint), "{}", page.body);
}

#[test]
fn pages_follow_each_other_and_totals_are_said_when_asked_for() {
    let repository = asked("asked-pages");
    let api = stack().api("audrey");
    let whole: EventsOut = api.read(&format!("/events?q=repo:{}&total=true", repository.name));
    let all = whole.events.len();
    assert_eq!(whole.total, Some(i64::try_from(all).unwrap()));
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/events?q=repo:{}&limit=2{after}", repository.name);
        let page: EventsOut = api.read(&path);
        assert_eq!(page.total, None);
        seen.extend(page.events.into_iter().map(|event| event.seq));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    let expected: Vec<i64> = whole.events.iter().map(|event| event.seq).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_run_with_a_limit_says_where_to_go_on() {
    let repository = asked("asked-on");
    let query = format!("repo:{}", repository.name);
    let all = ask(&query).passes().text();
    let first = stack().refwarden(&["audit", "--json", "-q", &query, "--limit", "2"]);
    let said = first.said();
    let cursor = said.split("--after ").nth(1).unwrap().trim();
    let rest = stack().refwarden(&["audit", "--json", "-q", &query, "--after", cursor]);
    let both = [first.text(), rest.passes().text()];
    assert_eq!(both.join("\n"), all);
}

fn export(format: &str, query: &str) -> Outcome {
    stack().refwarden(&["audit", "export", "--format", format, "-q", query])
}

#[test]
fn exports_hold_the_same_events() {
    let repository = asked("asked-exports");
    let query = format!("repo:{}", repository.name);
    let count = kinds(&query).len();
    for (format, more) in [("jsonl", 0), ("cef", 0), ("ocsf", 0), ("csv", 1)] {
        let text = export(format, &query).passes().text();
        assert_eq!(text.lines().count(), count + more, "{format}: {text}");
        assert!(!text.contains(&secret(7)), "{format}");
    }
    let sarif = crate::scan::valid_sarif(&export("sarif", &query).passes().text());
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["ruleId"], "github-pat");
    crate::scan::valid_sarif(&export("sarif", "repo:nobody").passes().text());
    let wrong = export("csv", "repo:x state:lost");
    assert_eq!(wrong.code, Some(1), "{wrong}");
    wrong.says(&["character 14"]);
    export("leaves", &query).fails(&["all together"]);
}

#[test]
fn an_export_to_a_file_is_whole_or_not_there() {
    let repository = asked("asked-file");
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("o.csv").display().to_string();
    let query = format!("repo:{}", repository.name);
    let arguments = |query| {
        [
            "audit", "export", "--format", "csv", "--out", &out, "-q", query,
        ]
    };
    stack().refwarden(&arguments(&query)).passes();
    let whole = std::fs::read(&out).unwrap();
    assert!(whole.starts_with(b"\"time\","));
    stack().refwarden(&arguments("state:lost")).fails(&[]);
    assert_eq!(std::fs::read(&out).unwrap(), whole);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn the_page_is_for_auditors_and_leads_on() {
    let repository = asked("asked-page");
    let url = format!("{}/audit", stack().started().service_url);
    let refused = stack().browser("ada").open(&url);
    assert_eq!(refused.status, 403, "{}", refused.body);
    let mut audrey = stack().browser("audrey");
    let page = audrey.open(&format!("{url}?q=repo:{}", repository.name));
    assert_eq!(page.status, 200, "{}", page.body);
    for part in [
        "push.denied",
        "asked-page",
        "/audit?q=push:",
        "refs/heads/topic/one",
    ] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let wrong = audrey.open(&format!("{url}?q=%22%3E%3Cscript%3E"));
    assert!(!wrong.body.contains("<script>"), "{}", wrong.body);
    assert!(wrong.body.contains("character 1"), "{}", wrong.body);
    // Over all repositories there are more pages than one.
    let inbox = audrey.open(&stack().started().service_url);
    assert!(inbox.body.contains("href=\"/audit\""), "{}", inbox.body);
}
