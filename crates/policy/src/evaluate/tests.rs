//! Tables and laws of evaluation.

use proptest::prelude::*;
use refwarden_model::facts::{FindingFacts, Place};
use refwarden_model::{Actor, ActorKind, ObjectFormat, Oid};

use super::*;

fn chain(kind: ActorKind) -> ActorChain {
    let pusher = Actor {
        issuer: "https://id.example".into(),
        subject: "agent".into(),
        kind,
        name: None,
        email: None,
        groups: vec!["bots".into()],
        claims: Default::default(),
    };
    ActorChain {
        pusher,
        on_behalf_of: vec![],
    }
}

fn facts(name: &str, kind: UpdateKind) -> PushFacts {
    let ref_name = RefName::parse(name.as_bytes()).unwrap();
    let zero = ObjectFormat::Sha1.zero();
    let update = RefFacts {
        target: ref_name.clone(),
        ref_name,
        claimed_old: zero,
        actual_old: zero,
        new: Oid::parse(&[b'1'; 40]).unwrap(),
        kind,
        new_type: None,
        gained: 0,
        lost: 0,
        default_branch: None,
    };
    PushFacts {
        object_format: ObjectFormat::Sha1,
        updates: vec![update],
        commits: vec![],
        commits_total: 0,
        known_commits: vec![],
        tags: vec![],
        certificate: None,
        properties: None,
        findings: vec![],
        findings_total: 0,
        objects_scanned: 0,
        push_options: vec![],
        ruleset_id: String::new(),
    }
}

fn finding(pre_existing: bool) -> FindingFacts {
    FindingFacts {
        rule_id: "r".into(),
        fingerprint: String::new(),
        place: Place::Blob,
        object: None,
        path: Some("a".into()),
        commit: None,
        line: 3,
        column: 1,
        redacted: "****".into(),
        pre_existing,
        checksum: None,
        confidence: None,
        mode: Default::default(),
    }
}

const RULES: [&str; 4] = [
    "id = \"a\"\nrefs = [\"refs/heads/main\"]\non = [\"create\", \"fast-forward\"]\n\
     effect = \"require_approval\"\napprovers = [\"group:m\"]\n",
    "id = \"b\"\nrefs = [\"refs/heads/**\"]\non = [\"delete\"]\neffect = \"deny\"\n",
    "id = \"c\"\nrefs = [\"refs/heads/**\"]\nactors = [\"kind:agent\"]\n\
     effect = \"require_approval\"\napprovers = [\"user:ada\"]\nquorum = 2\n",
    "id = \"d\"\nrefs = [\"**\"]\neffect = \"allow\"\n",
];

fn policy(rules: &[&str]) -> Policy {
    let text = rules.iter().fold("version = 1\n".to_owned(), |text, rule| {
        text + "[[rule]]\n" + rule
    });
    Policy::parse(&[("test", &text)]).unwrap()
}

fn severity(verdict: &Verdict) -> u32 {
    let of = |update: &RefVerdict| match &update.outcome {
        RefOutcome::Allow => 0,
        RefOutcome::RequireApproval { requirements } => {
            1 + u32::try_from(requirements.len()).unwrap()
        }
        RefOutcome::Deny { .. } => 100,
    };
    let denied = if verdict.denials.is_empty() { 0 } else { 100 };
    verdict
        .updates
        .iter()
        .map(of)
        .max()
        .unwrap_or(0)
        .max(denied)
}

#[test]
fn the_most_restrictive_rule_wins() {
    use UpdateKind::{Create, Delete, FastForward, NoOp};
    let policy = policy(&RULES);
    for (name, kind, actor, expected) in [
        ("refs/heads/main", FastForward, ActorKind::Human, 2),
        ("refs/heads/main", FastForward, ActorKind::Agent, 3),
        ("refs/heads/main", Delete, ActorKind::Human, 100),
        ("refs/heads/main", NoOp, ActorKind::Agent, 0),
        ("refs/heads/x", Create, ActorKind::Human, 0),
        ("refs/heads/x", Create, ActorKind::Agent, 2),
        ("refs/tags/x", Delete, ActorKind::Agent, 0),
        ("refs/replace/x", Create, ActorKind::Human, 100),
        ("refs/heads/a\u{202e}b", Create, ActorKind::Human, 100),
        ("refs/heads/a\u{9b}b", Create, ActorKind::Human, 100),
    ] {
        let verdict = evaluate(&policy, "repo", &chain(actor), &facts(name, kind));
        assert_eq!(severity(&verdict), expected, "{name} {kind:?} {verdict:?}");
    }
}

#[test]
fn a_symbolic_ref_is_judged_by_its_target_too() {
    let mut facts = facts("refs/heads/alias", UpdateKind::FastForward);
    facts.updates[0].target = RefName::parse(b"refs/heads/main").unwrap();
    let verdict = evaluate(&policy(&RULES), "repo", &chain(ActorKind::Human), &facts);
    assert_eq!(severity(&verdict), 2);
}

#[test]
fn only_new_secrets_refuse() {
    let mut facts = facts("refs/heads/x", UpdateKind::Create);
    facts.findings.push(finding(true));
    let policy = policy(&RULES);
    let judge = |facts: &PushFacts| evaluate(&policy, "r", &chain(ActorKind::Human), facts);
    assert!(!judge(&facts).is_denied());
    facts.findings_total = 2;
    assert_eq!(judge(&facts).denials[0].code, Code::ScanFailed);
    facts.findings.push(finding(false));
    assert_eq!(judge(&facts).denials[0].text, "secret r in a:3 ****");
}

proptest! {
    #[test]
    fn order_never_matters_and_more_rules_never_soften(
        order in Just([0, 1, 2, 3]).prop_shuffle(),
        taken in 0_usize..4,
        kind in 0_usize..4,
        with_finding: bool,
    ) {
        let kinds = ["create", "fast-forward", "non-fast-forward", "delete"];
        let kind = UpdateKind::from_name(kinds[kind]).unwrap();
        let mut facts = facts("refs/heads/main", kind);
        let actor = chain(ActorKind::Agent);
        let shuffled: Vec<_> = order.iter().map(|&index| RULES[index]).collect();
        let all = evaluate(&policy(&shuffled), "r", &actor, &facts);
        prop_assert_eq!(&all, &evaluate(&policy(&RULES), "r", &actor, &facts));
        let some = evaluate(&policy(&shuffled[..taken]), "r", &actor, &facts);
        prop_assert!(severity(&some) <= severity(&all));
        if with_finding {
            facts.findings.push(finding(false));
            let more = evaluate(&policy(&shuffled), "r", &actor, &facts);
            prop_assert!(severity(&all) <= severity(&more));
        }
    }
}
