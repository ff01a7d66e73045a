//! Where, who, when; what people are asked; who passes by.

use refwarden_model::facts::Mode;

use super::*;
use crate::verdict::{Bind, Requirement};

fn push(edit: impl FnOnce(&mut PushFacts)) -> PushFacts {
    let mut facts = facts("refs/heads/main", UpdateKind::FastForward);
    facts.updates[0].gained = 1;
    facts.commits = vec![commit(oid(b'1'), &[], &["src/a", "docs/b"])];
    facts.commits_total = 1;
    edit(&mut facts);
    facts
}

fn behind(kind: ActorKind) -> ActorChain {
    let mut chain = chain(kind);
    let mut ada = chain.pusher.clone();
    ada.subject = "ada".into();
    ada.kind = ActorKind::Human;
    ada.groups = vec!["staff".into()];
    chain.on_behalf_of.push(ada);
    chain
}

fn spoke(keys: &str, effect: &str, facts: &PushFacts) -> Option<String> {
    let rule = format!("id = \"t\"\nrefs = [\"refs/**\"]\n{keys}\neffect = \"{effect}\"\n");
    let verdict = judge(&policy(&[&rule]), &behind(ActorKind::Agent), facts);
    let spoken = verdict.updates[0].spoke.first()?;
    Some(spoken.because.join("; "))
}

#[test]
fn where_and_who() {
    let unknown = push(|_| {});
    let tier = |tier: &str| {
        let properties = [("tier".to_owned(), tier.to_owned())];
        push(|facts| facts.properties = Some(properties.into()))
    };
    let default = |is| push(|facts| facts.updates[0].default_branch = Some(is));
    for (keys, facts, expected) in [
        ("repositories = [\"team/*\"]", &unknown, "matches refs/**"),
        ("repositories = [\"other/*\"]", &unknown, ""),
        ("exclude_repositories = [\"team/*\"]", &unknown, ""),
        ("exclude = [\"refs/heads/m*\"]", &unknown, ""),
        (
            "properties = { tier = [\"prod*\"] }",
            &tier("production"),
            "tier is production",
        ),
        ("properties = { tier = [\"prod*\"] }", &tier("test"), ""),
        ("properties = { team = [\"*\"] }", &tier("test"), ""),
        ("properties = { tier = [\"prod*\"] }", &unknown, "not known"),
        (
            "default_branch = true",
            &default(true),
            "it is the default branch",
        ),
        ("default_branch = true", &default(false), ""),
        (
            "default_branch = false",
            &default(false),
            "it is not the default branch",
        ),
        ("default_branch = true", &unknown, "not known"),
        ("default_branch = false", &unknown, "not known"),
        ("issuers = [\"https://id.example\"]", &unknown, "matches"),
        ("issuers = [\"https://id.example/\"]", &unknown, ""),
        ("actors = [\"group:bots\"]", &unknown, "agent is group:bots"),
        (
            "actors = [\"email:AGENT@example.org\"]",
            &unknown,
            "agent is email:AGENT",
        ),
        ("actors = [\"kind:human\"]", &unknown, ""),
        ("exclude_actors = [\"kind:agent\"]", &unknown, ""),
        (
            "behalf_of = [\"group:staff\"]",
            &unknown,
            "for ada, who is group:staff",
        ),
        ("behalf_of = [\"user:eve\"]", &unknown, ""),
        (
            "claims = { environment = [\"prod*\"] }",
            &unknown,
            "claim environment is production",
        ),
        ("claims = { environment = [\"test\"] }", &unknown, ""),
        ("claims = { workflow = [\"*\"] }", &unknown, ""),
        (
            "exclude_claims = { environment = [\"prod*\"] }",
            &unknown,
            "",
        ),
        (
            "exclude_claims = { environment = [\"test\"] }",
            &unknown,
            "matches",
        ),
        (
            "exclude_claims = { environment = [\"prod*\"], workflow = [\"*\"] }",
            &unknown,
            "matches",
        ),
        (
            "when = { weekdays = [\"sat\"] }",
            &unknown,
            "Sat 2026-12-26 12:00 in UTC is within",
        ),
        (
            "when = { weekdays = [\"sat\"], outside = true }",
            &unknown,
            "",
        ),
        (
            "when = { hours = [\"13:00-14:00\"], time_zone = \"Europe/Berlin\" }",
            &unknown,
            "13:00",
        ),
    ] {
        match spoke(keys, "deny", facts) {
            None => assert!(expected.is_empty(), "{keys}: silent"),
            Some(text) => assert!(
                !expected.is_empty() && text.contains(expected),
                "{keys}: {text}"
            ),
        }
    }
    // To a rule that allows, what is not known does not fit.
    assert_eq!(spoke("default_branch = true", "allow", &unknown), None);
    assert_eq!(
        spoke("properties = { tier = [\"*\"] }", "allow", &unknown),
        None
    );
}

#[test]
fn silence_has_a_reason() {
    let said = |keys: &str, facts: &PushFacts| {
        let rule = format!("id = \"t\"\nrefs = [\"refs/heads/*\"]\n{keys}\neffect = \"deny\"\n");
        let (policy, chain) = (policy(&[&rule]), chain(ActorKind::Agent));
        let push = Push {
            repository: "team/app",
            chain: &chain,
            facts,
            now: now(),
            recent: None,
        };
        let silent = silent(&policy, &push, &evaluate(&policy, &push));
        silent[0].first().map_or("", |silent| silent.because)
    };
    let plain = push(|facts| facts.updates[0].default_branch = Some(true));
    let same = push(|facts| facts.updates[0].kind = UpdateKind::NoOp);
    for (keys, facts, expected) in [
        ("", &plain, ""),
        ("", &same, "nothing moves"),
        ("mode = \"off\"", &plain, "it is off"),
        (
            "repositories = [\"x\"]",
            &plain,
            "it is about other repositories",
        ),
        ("actors = [\"user:x\"]", &plain, "it is about other actors"),
        (
            "when = { weekdays = [\"mon\"] }",
            &plain,
            "it does not speak at this time",
        ),
        ("exclude = [\"**\"]", &plain, "it is about other refs"),
        (
            "on = [\"delete\"]",
            &plain,
            "it is about other kinds of update",
        ),
        (
            "default_branch = false",
            &plain,
            "it is about other refs than the default branch",
        ),
        (
            "paths = [\"x\"]",
            &plain,
            "nothing changes that it is about",
        ),
        ("max_files = 9", &plain, "none of its limits is broken"),
    ] {
        assert_eq!(said(keys, facts), expected, "{keys}");
    }
}

#[test]
fn where_nothing_is_allowed_by_default_a_rule_has_to_allow() {
    let rule = |keys: &str| format!("id = \"t\"\nrefs = [\"refs/heads/*\"]\n{keys}\n");
    let judged = |keys: &str, facts: &PushFacts| {
        let text = format!(
            "version = 1\n[default]\neffect = \"deny\"\n[[rule]]\n{}",
            rule(keys)
        );
        let policy = Policy::parse(&[("t", &text)]).unwrap();
        severity(&judge(&policy, &chain(ActorKind::Agent), facts))
    };
    let plain = push(|_| {});
    let unlisted = push(|facts| facts.updates[0].gained = 2);
    let same = push(|facts| facts.updates[0].kind = UpdateKind::NoOp);
    for (keys, facts, expected) in [
        ("effect = \"allow\"", &plain, 0),
        ("effect = \"allow\"\nmode = \"evaluate\"", &plain, 100),
        ("effect = \"allow\"\nactors = [\"kind:human\"]", &plain, 100),
        (
            "effect = \"allow\"\npaths = [\"src/\", \"docs/\"]",
            &plain,
            0,
        ),
        ("effect = \"allow\"\npaths = [\"src/\"]", &plain, 100),
        (
            "effect = \"allow\"\npaths = [\"src/\", \"docs/\"]",
            &unlisted,
            100,
        ),
        (
            "effect = \"require_approval\"\napprovers = [\"group:m\"]",
            &plain,
            100,
        ),
        ("effect = \"deny\"", &same, 0),
    ] {
        assert_eq!(judged(keys, facts), expected, "{keys}");
    }
}

#[test]
fn a_bypass_needs_the_right_and_a_reason() {
    let rule = "id = \"t\"\nrefs = [\"refs/**\"]\nbypass = [\"group:bots\"]\neffect = \"deny\"\n";
    let policy = policy(&[rule]);
    let with = |option: &[u8]| push(|facts| facts.push_options = vec![ByteText::new(option)]);
    let judge = |facts: &PushFacts, chain: &ActorChain| {
        let verdict = judge(&policy, chain, facts);
        let update = verdict.updates.into_iter().next().unwrap();
        (update.outcome == RefOutcome::Allow, update.spoke[0].clone())
    };
    let agent = chain(ActorKind::Agent);
    let (allowed, spoken) = judge(&with(b"reason= fix the fire "), &agent);
    let bypass = spoken.bypass.unwrap();
    assert!(allowed);
    assert_eq!(
        (bypass.by.as_str(), bypass.reason),
        ("group:bots", "fix the fire".into())
    );
    for option in [&b"reason="[..], b"reason=  ", b"Reason=x", b"ticket=1"] {
        let (allowed, spoken) = judge(&with(option), &agent);
        assert!(!allowed && spoken.bypass.is_none());
        assert!(
            spoken
                .because
                .iter()
                .any(|text| text.contains("push option reason="))
        );
    }
    let mut stranger = agent;
    stranger.pusher.groups.clear();
    let (allowed, spoken) = judge(&with(b"reason=x"), &stranger);
    assert!(!allowed && spoken.bypass.is_none());
}

#[test]
fn a_mode_says_whether_a_rule_acts() {
    for (mode, expected, spoken) in [("enforce", 100, 1), ("evaluate", 0, 1), ("off", 0, 0)] {
        let rule =
            format!("id = \"t\"\nrefs = [\"refs/**\"]\nmode = \"{mode}\"\neffect = \"deny\"\n");
        let verdict = judge(&policy(&[&rule]), &chain(ActorKind::Agent), &push(|_| {}));
        assert_eq!(severity(&verdict), expected, "{mode}");
        assert_eq!(verdict.updates[0].spoke.len(), spoken, "{mode}");
        if mode == "evaluate" {
            let spoken = &verdict.updates[0].spoke[0];
            assert_eq!((spoken.effect, spoken.mode), (Effect::Deny, Mode::Evaluate));
        }
    }
}

fn requirements(keys: &str, facts: &PushFacts) -> Vec<Requirement> {
    let text = format!(
        "version = 1\n[[rule]]\nid = \"t\"\nrefs = [\"refs/**\"]\neffect = \"require_approval\"\n{keys}\n"
    );
    let owners = "/src/ @acme/rust\n/docs/ @ada grace@example.org\n[Law][2]\n/docs/ @acme/law\n";
    let policy = Policy::parse_with(&[("t", &text)], &|_, _| Ok(owners.to_owned())).unwrap();
    match judge(&policy, &chain(ActorKind::Agent), facts).updates[0]
        .outcome
        .clone()
    {
        RefOutcome::RequireApproval { requirements } => requirements,
        RefOutcome::Allow => Vec::new(),
        RefOutcome::Deny { denials } => panic!("{denials:?}"),
    }
}

#[test]
fn what_is_asked_of_people_is_carried_over() {
    let keys = "approvers = [\"group:m\"]\nquorum = 2\nexpires = \"2d\"\nbind = \"patch\"\n\
                questions = [\"Ran it?\"]\nbreak_glass = [\"group:b\"]\ngrants = [\"user:g\"]\n\
                longest_grant = \"1h\"\n\
                authors_may_approve = true\nall_of = [{ approvers = [\"group:s\"] }]";
    let found = requirements(keys, &push(|_| {}));
    let expected = |quorum, approver: &str| Requirement {
        expires: Some(172_800),
        bind: Bind::Patch,
        questions: vec!["Ran it?".into()],
        break_glass: vec!["group:b".into()],
        grants: vec!["user:g".into()],
        authors_may_approve: true,
        ..Requirement::new("t", quorum, vec![approver.into()])
    };
    assert_eq!(found, [expected(2, "group:m"), expected(1, "group:s")]);
    let plain = requirements("approvers = [\"group:m\"]", &push(|_| {}));
    let json = serde_json::to_string(&plain).unwrap();
    assert_eq!(json, r#"[{"rule":"t","quorum":1,"approvers":["group:m"]}]"#);
    assert_eq!(
        serde_json::from_str::<Vec<Requirement>>(&json).unwrap(),
        plain
    );
}

#[test]
fn owners_of_changed_paths_have_to_approve() {
    let owners = |keys: &str, facts: &PushFacts| -> Vec<String> {
        let shown = |needed: &Requirement| {
            let paths: Vec<String> = needed.paths.iter().map(ToString::to_string).collect();
            format!(
                "{} of {} [{}]",
                needed.quorum,
                needed.approvers.join(","),
                paths.join(",")
            )
        };
        requirements(&format!("owners = \"O\"\n{keys}"), facts)
            .iter()
            .map(shown)
            .collect()
    };
    let ada = "1 of email:grace@example.org,user:ada [docs/b]";
    let law = "2 of group:law [docs/b]";
    let rust = "1 of group:rust [src/a]";
    let plain = push(|_| {});
    assert_eq!(owners("", &plain), [ada, law, rust]);
    assert_eq!(owners("paths = [\"src/\"]", &plain), [rust]);
    assert_eq!(
        owners("approvers = [\"group:m\"]", &plain),
        [ada, law, rust]
    );
    let unowned = push(|facts| facts.commits[0].changes[1].path = "Makefile".into());
    assert_eq!(owners("", &unowned), [rust]);
    assert_eq!(
        owners("approvers = [\"group:m\"]", &unowned),
        [rust, "1 of group:m []"]
    );
    // Whoever may own what is not listed is asked.
    let cut = push(|facts| facts.commits[0].changes_total = 9);
    assert_eq!(owners("approvers = [\"group:m\"]", &cut).len(), 4);
    let deleted = push(|facts| facts.updates[0].kind = UpdateKind::Delete);
    assert_eq!(
        owners("approvers = [\"group:m\"]", &deleted),
        ["1 of group:m []"]
    );
}
