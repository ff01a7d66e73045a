//! Who gets what, and what is no view.

use std::collections::BTreeMap;

use refwarden_model::{Actor, ActorKind};

use super::*;
use crate::PolicyError;

fn actor(kind: ActorKind, subject: &str, groups: &[&str]) -> Actor {
    Actor {
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        kind,
        name: None,
        email: None,
        groups: groups.iter().map(|&it| it.to_owned()).collect(),
        claims: BTreeMap::new(),
    }
}

fn human(subject: &str, groups: &[&str]) -> ActorChain {
    ActorChain {
        pusher: actor(ActorKind::Human, subject, groups),
        on_behalf_of: Vec::new(),
    }
}

fn agent(groups: &[&str], behind: &ActorChain) -> ActorChain {
    ActorChain {
        pusher: actor(ActorKind::Agent, "bot", groups),
        on_behalf_of: vec![behind.pusher.clone()],
    }
}

fn parse(views: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&[("p.toml", &format!("version = 1\n{views}"))])
}

const VIEWS: &str = r#"
[[view]]
id = "agents"
actors = ["kind:agent"]
see = "masked"
[[view]]
id = "people"
actors = ["kind:human", "group:staff"]
exclude_actors = ["group:guests"]
see = "whole"
[[view]]
id = "guests"
repositories = ["pub/*"]
actors = ["group:guests"]
see = "masked"
generic = true
refs = ["refs/heads/*", "refs/heads/*"]
hide = ["refs/heads/wip"]
[[view]]
id = "barred"
actors = ["user:mallory"]
see = "refused"
"#;

#[test]
fn the_strictest_view_holds_and_no_view_is_refused() {
    let policy = parse(VIEWS).unwrap();
    let plain = Reading::Masked(Masking::default());
    let guests = RefFilter {
        refs: vec!["refs/heads/*".to_owned()],
        hide: vec!["refs/heads/wip".to_owned()],
    };
    let narrow = Reading::Masked(Masking {
        generic: true,
        rules: Vec::new(),
        filters: vec![guests],
        may_move: false,
    });
    let (ada, gus) = (human("ada", &[]), human("gus", &["guests"]));
    let mallory = human("mallory", &["staff"]);
    for (repository, chain, expected) in [
        ("x", Some(&ada), Reading::Whole),
        ("x", Some(&agent(&[], &ada)), plain.clone()),
        // A group that sees everything does not lift what holds for agents.
        ("x", Some(&agent(&["staff"], &ada)), plain.clone()),
        ("x", Some(&gus), Reading::Refused),
        ("pub/x", Some(&gus), narrow.clone()),
        // Who acts for somebody sees no more than they do.
        ("pub/x", Some(&agent(&[], &gus)), narrow),
        ("x", Some(&mallory), Reading::Refused),
        ("x", Some(&agent(&[], &mallory)), Reading::Refused),
        ("x", None, Reading::Refused),
    ] {
        let name = chain.map(ActorChain::describe);
        assert_eq!(
            policy.reading(repository, chain),
            expected,
            "{repository} {name:?}"
        );
    }
}

#[test]
fn without_views_everybody_reads_everything() {
    let policy = parse("").unwrap();
    assert_eq!(policy.reading("x", None), Reading::Whole);
    assert_eq!(policy.reading("x", Some(&human("a", &[]))), Reading::Whole);
    assert!(policy.warnings().iter().all(|it| it.line == 0));
}

#[test]
fn defaults_are_for_those_whom_no_view_is_about() {
    let table = format!("{VIEWS}[views]\ndefault = \"masked\"\nanonymous = \"whole\"\n");
    let policy = parse(&table).unwrap();
    let gus = human("gus", &["guests"]);
    let masked = Reading::Masked(Masking::default());
    assert_eq!(policy.reading("x", Some(&gus)), masked);
    assert_eq!(policy.reading("x", None), Reading::Whole);
    // One of the two does not set the other.
    let only = parse("[views]\nanonymous = \"masked\"\n").unwrap();
    assert_eq!(only.reading("x", None), masked);
    assert_eq!(only.reading("x", Some(&gus)), Reading::Refused);
    // Of several files the stricter.
    let two = [
        ("a", "version = 1\n[views]\ndefault = \"whole\"\n"),
        ("b", "version = 1\n[views]\ndefault = \"masked\"\n"),
    ];
    let both = Policy::parse(&two).unwrap();
    assert_eq!(both.reading("x", Some(&gus)), masked);
}

#[test]
fn filters_of_several_views_all_hold_in_whatever_order() {
    let view = |id: &str, refs: &str| {
        format!("[[view]]\nid = \"{id}\"\nsee = \"masked\"\nrefs = [\"{refs}\"]\n")
    };
    let (one, two) = (view("a", "refs/heads/**"), view("b", "refs/heads/x*"));
    let ada = human("ada", &[]);
    let reading = |text: &str| parse(text).unwrap().reading("x", Some(&ada));
    let forth = reading(&format!("{one}{two}"));
    assert_eq!(forth, reading(&format!("{two}{one}")));
    assert!(matches!(forth, Reading::Masked(masking) if masking.filters.len() == 2));
}

#[test]
fn of_several_views_all_that_any_of_them_masks_is_masked() {
    let view =
        |id: &str, rules: &str| format!("[[view]]\nid = \"{id}\"\nsee = \"masked\"\n{rules}");
    let one = view("a", "rules = [\"private-key\", \"github-*\"]\n");
    let two = view("b", "rules = [\"aws-*\", \"github-*\"]\n");
    let all = view("c", "");
    let ada = human("ada", &[]);
    let rules = |texts: &[&String]| {
        let text: String = texts.iter().map(|it| it.as_str()).collect();
        match parse(&text).unwrap().reading("x", Some(&ada)) {
            Reading::Masked(masking) => masking.rules,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(rules(&[&one]), ["github-*", "private-key"]);
    assert_eq!(rules(&[&two, &one]), ["aws-*", "github-*", "private-key"]);
    assert!(rules(&[&one, &all]).is_empty());
    assert!(rules(&[&all]).is_empty());
}

#[test]
fn what_is_no_view_is_named_with_its_line() {
    for (text, line, problem) in [
        (
            "[[view]]\nid = \"A\"\nsee = \"whole\"",
            3,
            "view id: expected",
        ),
        ("[[view]]\nid = \"a\"", 2, "missing field `see`"),
        ("[[view]]\nid = \"a\"\nsee = \"half\"", 4, "unknown variant"),
        (
            "[[view]]\nid = \"a\"\nsee = \"whole\"\nhide = [\"refs/**\"]",
            3,
            "hide goes with",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"refused\"\ngeneric = false",
            3,
            "generic goes with",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"masked\"\nrefs = []",
            3,
            "at least one",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"masked\"\nrefs = [\"main\"]",
            5,
            "refs/heads/main",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"masked\"\nactors = [\"bots\"]",
            5,
            "expected one of",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"masked\"\nrule = 1",
            5,
            "unknown field",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"masked\"\nplaceholder_move = \"ask\"",
            5,
            "unknown variant",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"whole\"\nplaceholder_move = \"approve\"",
            3,
            "placeholder_move goes with",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"masked\"\nrules = []",
            3,
            "at least one",
        ),
        (
            "[[view]]\nid = \"a\"\nsee = \"refused\"\nrules = [\"a\"]",
            3,
            "rules goes with",
        ),
        ("[views]\ndefault = \"some\"", 3, "unknown variant"),
        ("[views]\nfallback = \"whole\"", 3, "unknown field"),
        (
            "[[view]]\nid = \"a\"\nsee = \"whole\"\n[[view]]\nid = \"a\"\nsee = \"whole\"",
            5,
            "used twice",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line, line, "{text}: {error}");
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
}

#[test]
fn views_are_part_of_the_hash_and_a_policy_without_them_keeps_its_own() {
    let none = parse("").unwrap();
    let masked = "[[view]]\nid = \"a\"\nsee = \"masked\"\n";
    let mut seen = vec![none.hash().to_owned()];
    for text in [
        masked.to_owned(),
        format!("{masked}generic = true\n"),
        format!("{masked}hide = [\"refs/x\"]\n"),
        format!("{masked}actors = [\"user:a\"]\n"),
        format!("{masked}placeholder_move = \"approve\"\n"),
        format!("{masked}rules = [\"github-*\"]\n"),
        format!("{masked}[views]\ndefault = \"whole\"\n"),
        format!("{masked}[views]\nanonymous = \"whole\"\n"),
    ] {
        let policy = parse(&text).unwrap();
        assert!(!seen.contains(&policy.hash().to_owned()), "{text}");
        seen.push(policy.hash().to_owned());
    }
}

#[test]
fn views_that_show_nothing_are_warned_of() {
    for (added, warning) in [
        ("hide = [\"refs/**\"]", "shows no ref"),
        (
            "refs = [\"refs/heads/a\"]\nhide = [\"refs/heads/*\"]",
            "shows no ref",
        ),
        ("hide = [\"refs/heads/a..b\"]", "matches no name"),
        (
            "actors = [\"user:a\"]\nexclude_actors = [\"user:a\"]",
            "nobody has it",
        ),
        ("exclude_repositories = [\"**\"]", "nobody has it"),
        ("placeholder_move = \"approve\"", "no [[secret_owner]]"),
    ] {
        let text = format!("[[view]]\nid = \"v\"\nsee = \"masked\"\n{added}\n");
        let warnings = parse(&text).unwrap().warnings();
        let found = warnings.iter().find(|it| it.line == 3);
        let shown = found.map(ToString::to_string).unwrap_or_default();
        assert!(
            shown.starts_with("p.toml:3: view 'v': "),
            "{added}: {shown}"
        );
        assert!(shown.contains(warning), "{added}: {shown}");
    }
}
