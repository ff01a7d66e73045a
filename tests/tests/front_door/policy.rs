//! `refwarden policy`: what is said of policy files, of updates, and of recorded pushes.

use std::path::{Path, PathBuf};

use refwarden_testkit::{Outcome, Repository, Stack, Via};
use serde_json::Value;

use crate::shared::stack;

/// A directory of policy files.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.display().to_string()
    }
}

#[track_caller]
fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.text()).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

/// Runs and requires an exit code.
#[track_caller]
fn ends(arguments: &[&str], code: i32) -> Outcome {
    let outcome = stack().refwarden(arguments);
    assert_eq!(outcome.code, Some(code), "{outcome}");
    outcome
}

const GOOD: &str = "version = 1\n[[rule]]\nid = \"main\"\nrefs = [\"refs/heads/main\"]\n\
                    effect = \"require_approval\"\napprovers = [\"group:maintainers\"]\n";

#[test]
fn check_tells_good_from_doubtful_from_broken() {
    let files = Files::new(&[
        ("good.toml", GOOD),
        (
            "idle.toml",
            "version = 1\n[[rule]]\nid = \"i\"\nrefs = [\"refs/heads/\"]\neffect = \"deny\"\n",
        ),
        ("broken.toml", &GOOD.replace("effect", "efect")),
        ("short.toml", &GOOD.replace("refs/heads/main", "main")),
        (
            "owned.toml",
            &GOOD.replace("approvers", "owners = \"OWNERS\"\napprovers"),
        ),
        ("OWNERS", "* @acme/all\n/src/ nobody\n"),
    ]);
    let check = |name: &str, code| ends(&["policy", "check", &files.path(name)], code);
    check("good.toml", 0).says(&["1 rules, no warnings; hash "]);
    check("idle.toml", 1).says(&["idle.toml:3: rule 'i'", "no name that a ref can have"]);
    check("broken.toml", 2).says(&["broken.toml:5", "unknown field", "efect"]);
    check("short.toml", 2).says(&["short.toml:4", "write refs/heads/main"]);
    check("owned.toml", 2).says(&["OWNERS:2", "expected @org/team"]);
    check("none.toml", 2).says(&["none.toml cannot be read"]);
    let good = ends(&["policy", "check", "--json", &files.path("good.toml")], 0);
    assert_eq!(json(&good)["warnings"], Value::Array(vec![]));
    let both = [&files.path("good.toml"), &files.path("idle.toml")];
    let both = ends(&["policy", "check", "--json", both[0], both[1]], 1);
    assert_eq!(json(&both)["rules"], 2);
    assert_eq!(json(&both)["warnings"][0]["line"], 3);
}

#[test]
fn explain_says_why() {
    let more = "[[rule]]\nid = \"freeze\"\nrefs = [\"refs/heads/**\"]\nactors = [\"kind:agent\"]\n\
                effect = \"deny\"\nbypass = [\"group:oncall\"]\nwhen = { weekdays = [\"sat\"] }\n";
    let files = Files::new(&[("p.toml", &format!("{GOOD}{more}"))]);
    let policy = files.path("p.toml");
    // A Saturday and a Monday.
    let explain = |name: &str, more: &[&str], code| {
        let start = [
            "policy",
            "explain",
            "--policy",
            &policy,
            "--repository",
            "app",
        ];
        let of = ["--ref", name, "--actor", "bot"];
        ends(&[&start, &of[..], more].concat(), code)
    };
    let saturday = ["--at", "2026-12-26T12:00:00Z", "--actor-kind", "agent"];
    let monday = ["--at", "2026-12-28T12:00:00Z", "--actor-kind", "agent"];
    explain("refs/heads/main", &monday, 1).says(&[
        "refs/heads/main: require_approval",
        "needs 1 of group:maintainers",
        "because fast-forward of refs/heads/main matches refs/heads/main",
    ]);
    explain("refs/heads/x", &monday, 0).says(&["refs/heads/x: allow", "no rule speaks of it"]);
    explain("refs/heads/x", &[&monday[..], &["--all"]].concat(), 0).says(&[
        "rule main is silent: it is about other refs",
        "rule freeze is silent: it does not speak at this time",
    ]);
    explain("refs/heads/x", &saturday, 1).says(&[
        "denied: RW203",
        "because bot is kind:agent",
        "because Sat 2026-12-26 12:00 in UTC is within the rule's times",
    ]);
    let oncall = ["--group", "oncall", "--push-option", "reason=it burns"];
    explain("refs/heads/x", &[&saturday[..], &oncall].concat(), 0)
        .says(&["passed by group:oncall: it burns"]);
    explain("refs/heads/M\u{430}in", &monday, 1).says(&["RW204", "rule main protects"]);
    explain("main", &monday, 2).says(&["write the full name"]);
    let facts = files.path("none.json");
    ends(
        &[
            "policy",
            "explain",
            "--policy",
            &policy,
            "--repository",
            "a",
            "--facts",
            &facts,
        ],
        2,
    );
}

#[test]
fn simulate_judges_the_commits_of_a_local_repository() {
    let limits = "version = 1\n[[rule]]\nid = \"limits\"\nrefs = [\"refs/heads/**\"]\n\
                  max_changed_lines = 3\nmax_file_size = 20\nforbid = [\"binary\"]\n\
                  require = [\"sign-off\"]\nlfs = [\"*.psd\"]\neffect = \"deny\"\n\
                  [[rule]]\nid = \"docs\"\nrefs = [\"refs/heads/main\"]\npaths = [\"docs/\"]\n\
                  effect = \"require_approval\"\nowners = \"OWNERS\"\n\
                  [[rule]]\nid = \"tags\"\nrefs = [\"refs/tags/**\"]\n\
                  require = [\"annotated-tags\"]\neffect = \"deny\"\n";
    let files = Files::new(&[("p.toml", limits), ("OWNERS", "/docs/ @acme/writers\n")]);
    let policy = files.path("p.toml");
    for format in ["sha1", "sha256"] {
        let directory = tempfile::tempdir().unwrap();
        let work = directory.path();
        let git = |arguments: &[&str]| stack().git().text(work, arguments);
        let write = |name: &str, content: &[u8]| {
            std::fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
            std::fs::write(work.join(name), content).unwrap();
            git(&["add", "-A"]);
            git(&["commit", "-q", "--signoff", "-m", name]);
        };
        git(&[
            "init",
            "-q",
            "-b",
            "main",
            &format!("--object-format={format}"),
        ]);
        write("a", b"1\n");
        git(&["tag", "base"]);
        git(&["tag", "-a", "-m", "One", "v1"]);
        write("docs/b", b"1\n2\n");
        git(&["tag", "docs"]);
        write("c", b"\0binary, and longer than twenty bytes\n");
        write("d.psd", b"1\n2\n");
        git(&["tag", "all"]);
        let refs = git(&["for-each-ref"]);
        let simulate = |old: &str, new: &str, name: &str, code| {
            let repository = Path::new(work).display().to_string();
            let start = [
                "policy", "simulate", "--policy", &policy, "--actor", "ada", "--json",
            ];
            json(&ends(
                &[&start[..], &[&repository, old, new, name]].concat(),
                code,
            ))
        };
        let said = |verdict: &Value| verdict["updates"][0].to_string();
        let verdict = simulate("base", "docs", "refs/heads/main", 1);
        let needed = &verdict["updates"][0]["outcome"]["requirements"][0];
        assert_eq!(needed["approvers"][0], "group:writers", "{verdict}");
        assert_eq!(needed["paths"][0], "docs/b", "{verdict}");
        let verdict = said(&simulate("docs", "all", "refs/heads/x", 1));
        for word in [
            "c is binary",
            "c has 38 bytes",
            "d.psd is not a Git LFS pointer",
        ] {
            assert!(verdict.contains(word), "{word}: {verdict}");
        }
        assert!(!verdict.contains("signed off"), "{verdict}");
        simulate("base", "base", "refs/heads/x", 0);
        simulate("all", "base", "refs/heads/x", 0);
        simulate("docs", "-", "refs/heads/main", 0);
        simulate("-", "v1", "refs/tags/v1", 0);
        let verdict = said(&simulate("-", "base", "refs/tags/v2", 1));
        assert!(verdict.contains("the tag is not annotated"), "{verdict}");
        assert_eq!(refs, git(&["for-each-ref"]), "the repository is as it was");
    }
}

#[test]
fn recorded_pushes_are_judged_again() {
    let repository = Repository::guarded(stack(), "judged-again");
    let work = repository.work();
    work.commit(&[(b"docs/a", b"1\n2\n3\n")], "Docs");
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    work.push(Via::Local, &["HEAD:refs/heads/main"])
        .fails(&["RW201"]);
    let events = stack().api("audrey").events("judged-again");
    let ids: Vec<_> = events
        .iter()
        .filter(|event| event.kind.starts_with("push."))
        .collect();
    let of = |name: &str| {
        let mut found = ids
            .iter()
            .filter(|event| event.ref_name.as_deref() == Some(name));
        found.next().unwrap().push_id.unwrap().to_string()
    };
    let record: Value = stack()
        .api("audrey")
        .read(&format!("/pushes/{}", of("refs/heads/topic")));
    assert_eq!(record["repository"], "judged-again");
    assert_eq!(record["chain"]["on_behalf_of"][0]["subject"], "ada");
    assert_eq!(
        record["facts"]["commits"][0]["changes"][0]["path"],
        "docs/a"
    );
    assert_eq!(record["facts"]["commits"][0]["changes"][0]["patch"], "");
    assert_eq!(
        record["verdict"]["updates"][0]["outcome"]["outcome"],
        "allow"
    );
    for (person, path) in [
        ("ada", of("refs/heads/topic")),
        ("grace", of("refs/heads/main")),
    ] {
        let status = stack().api(person).get(&format!("/pushes/{path}")).status();
        assert_eq!(status.as_u16(), 403, "{person}");
    }
    let none = stack()
        .api("audrey")
        .get("/pushes/00000000-0000-7000-8000-000000000000");
    assert_eq!(none.status().as_u16(), 404);

    let strict = "version = 1\n[[rule]]\nid = \"docs\"\nrefs = [\"refs/heads/**\"]\n\
                  paths = [\"docs/\"]\nactors = [\"kind:agent\"]\nmax_changed_lines = 2\n\
                  effect = \"deny\"\n";
    let files = Files::new(&[("strict.toml", strict)]);
    let same = stack()
        .directory()
        .join("policy.toml")
        .display()
        .to_string();
    let backtest = |policy: &str, code| {
        let start = [
            "policy",
            "backtest",
            "--policy",
            policy,
            "--repository",
            "judged-again",
        ];
        json(&ends(
            &[&start[..], &["--since", "1h", "--json"]].concat(),
            code,
        ))
    };
    let unchanged = backtest(&same, 0);
    assert_eq!(unchanged["changes"], Value::Array(vec![]));
    assert_eq!(unchanged["not_judged"], 0);
    let changed = backtest(&files.path("strict.toml"), 1);
    let mut moves: Vec<String> = changed["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", one["ref"], one["was"], one["becomes"]).replace('"', ""))
        .collect();
    moves.sort();
    assert_eq!(moves[1], "refs/heads/topic allow deny", "{changed}");
    assert!(
        moves[0].starts_with("refs/heads/main require_approval (1 of "),
        "{changed}"
    );
    let because = changed["changes"][0]["because"].to_string();
    assert!(because.contains("docs: "), "{because}");

    // How often a pusher had pushed is as it was then.
    let rate = "version = 1\n[[rule]]\nid = \"rate\"\nrefs = [\"refs/**\"]\n\
                effect = \"deny\"\n";
    let limit = |most: u64| format!("{rate}max_pushes_per_hour = {most}\n");
    let recent = record["recent"]["hour"].as_u64().unwrap();
    assert!(record["recent"]["day"].as_u64().unwrap() >= recent);
    let files = Files::new(&[
        ("strict.toml", strict),
        ("enough.toml", &limit(recent + 1)),
        ("less.toml", &limit(recent.max(1))),
    ]);
    let id = of("refs/heads/topic");
    let explain = |file: &str, code, more: &[&str]| {
        let path = files.path(file);
        let start = ["policy", "explain", "--policy", &path, "--push", &id];
        ends(&[&start[..], more].concat(), code)
    };
    explain("enough.toml", 0, &[]);
    let given = (recent + 7).to_string();
    let told = format!("it is push {} of its pusher within an hour", recent + 8);
    explain("less.toml", 1, &["--pushes-last-hour", &given]).says(&[&told]);
    if recent > 0 {
        let told = format!("it is push {} of its pusher within an hour", recent + 1);
        explain("less.toml", 1, &[]).says(&[&told]);
    }

    let strict = files.path("strict.toml");
    ends(
        &["policy", "explain", "--policy", &strict, "--push", &id],
        1,
    )
    .says(&["3 lines are changed, more than 2", "is kind:agent"]);
    ends(&["policy", "explain", "--policy", &same, "--push", &id], 0);
    let saved = files.path("push.json");
    std::fs::write(&saved, record.to_string()).unwrap();
    let start = [
        "policy",
        "explain",
        "--policy",
        &strict,
        "--repository",
        "x",
    ];
    let human = ["--facts", &saved, "--actor", "ada"];
    ends(&[&start[..], &human].concat(), 0);
    ends(
        &[&start[..], &human, &["--actor-kind", "agent"]].concat(),
        1,
    );
}

#[test]
fn a_push_is_held_to_the_policy_and_told_why() {
    let mut stack = Stack::start();
    let file = stack.directory().join("policy.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    let more = "\n[[rule]]\nid = \"small\"\nrefs = [\"refs/heads/**\"]\nactors = [\"kind:agent\"]\n\
                max_changed_lines = 3\nbypass = [\"kind:agent\"]\neffect = \"deny\"\n\
                [[rule]]\nid = \"words\"\nrefs = [\"refs/heads/**\"]\n\
                message_must_not_match = [\"(?i)wip\"]\neffect = \"deny\"\n\
                [[rule]]\nid = \"docs\"\nrefs = [\"refs/heads/topic/**\"]\npaths = [\"docs/\"]\n\
                effect = \"require_approval\"\nowners = \"OWNERS\"\n\
                [[rule]]\nid = \"later\"\nrefs = [\"refs/heads/**\"]\nmode = \"evaluate\"\n\
                effect = \"deny\"\n";
    std::fs::write(&file, format!("{written}{more}")).unwrap();
    let owners = stack.directory().join("OWNERS");
    std::fs::write(&owners, "/docs/ grace@example.org @acme/maintainers\n").unwrap();
    stack.restart();
    let repository = Repository::guarded(&stack, "held");
    let work = repository.work();
    let reset = || work.git(&["reset", "-q", "--hard", "origin/main"]);
    work.git(&["fetch", "-q", "origin"]);

    work.commit(&[(b"a", b"1\n2\n")], "Small");
    work.push(Via::Local, &["HEAD:refs/heads/small"]).passes();
    work.push(Via::Local, &["HEAD:refs/heads/M\u{430}in"])
        .fails(&["RW204", "looks like one that rule no-rewrite protects"]);
    reset();
    work.commit(&[(b"b", b"1\n2\n3\n4\n")], "Large");
    work.push(Via::Local, &["HEAD:refs/heads/large"]).fails(&[
        "RW203",
        "denied by rule small",
        "4 lines are changed, more than 3",
    ]);
    let reason = [
        "--push-option=reason=generated code",
        "HEAD:refs/heads/large",
    ];
    work.push(Via::Local, &reason).passes();
    reset();
    work.commit(&[(b"c", b"1\n")], "WIP");
    work.push(Via::Local, &["HEAD:refs/heads/wip"])
        .fails(&["RW203", "the message matches (?i)wip"]);
    reset();
    work.commit(&[(b"docs/d", b"1\n")], "Docs");
    work.push(Via::Local, &["HEAD:refs/heads/topic/d"])
        .fails(&["RW201", "maintainers"]);

    let events = stack.api("audrey").events("held");
    let mut pushes = events.iter().filter(|event| {
        event.kind == "push.released" && event.ref_name.as_deref() == Some("refs/heads/large")
    });
    let id = pushes.next().unwrap().push_id.unwrap();
    let record: Value = stack.api("audrey").read(&format!("/pushes/{id}"));
    let spoke = record["verdict"]["updates"][0]["spoke"].as_array().unwrap();
    let of = |rule: &str| spoke.iter().find(|spoken| spoken["rule"] == rule).unwrap();
    assert_eq!(
        of("small")["bypass"]["reason"],
        "generated code",
        "{record}"
    );
    assert_eq!(of("later")["mode"], "evaluate", "{record}");

    std::fs::write(&owners, "/docs/ grace\n").unwrap();
    stack.refwarden(&["down"]).passes();
    stack
        .refwarden(&["up", "--detach"])
        .fails(&["OWNERS:1", "expected @org/team"]);
}
