//! Tables and laws of evaluation.

mod laws;
mod moves;
mod people;
mod what;

use refwarden_model::facts::{
    Allowed, ChangeFacts, CommitFacts, FindingFacts, Mode, Place, PushFacts, RefFacts, UpdateKind,
};
use refwarden_model::{Actor, ActorChain, ActorKind, ByteText, Code, ObjectFormat, Oid, RefName};

use super::*;
use crate::verdict::{RefOutcome, RefVerdict, Requirement, Verdict};

fn chain(kind: ActorKind) -> ActorChain {
    let pusher = Actor {
        issuer: "https://id.example".into(),
        subject: "agent".into(),
        kind,
        name: None,
        email: Some("agent@example.org".into()),
        groups: vec!["bots".into()],
        claims: [("environment".to_owned(), vec!["production".to_owned()])].into(),
    };
    ActorChain {
        pusher,
        on_behalf_of: vec![],
    }
}

fn oid(digit: u8) -> Oid {
    Oid::parse(&[digit; 40]).unwrap()
}

fn facts(name: &str, kind: UpdateKind) -> PushFacts {
    let ref_name = RefName::parse(name.as_bytes()).unwrap();
    let zero = ObjectFormat::Sha1.zero();
    let update = RefFacts {
        target: ref_name.clone(),
        ref_name,
        claimed_old: zero,
        actual_old: zero,
        new: oid(b'1'),
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
        secret_moves: Vec::new(),
        objects_scanned: 0,
        push_options: vec![],
        ruleset_id: String::new(),
        policy_rules: None,
    }
}

fn commit(oid: Oid, parents: &[Oid], paths: &[&str]) -> CommitFacts {
    CommitFacts {
        oid,
        parents: parents.into(),
        tree: oid,
        author: "Ada <ada@example.org> 1 +0000".into(),
        committer: "Ada <ada@example.org> 1 +0000".into(),
        message: "ABC-1: Do it\n".into(),
        message_cut: false,
        patch_id: None,
        signed: false,
        signature: None,
        changes: paths.iter().map(|path| change(path)).collect(),
        changes_total: paths.len() as u64,
    }
}

fn change(path: &str) -> ChangeFacts {
    ChangeFacts {
        path: path.into(),
        old_mode: "000000".into(),
        new_mode: "100644".into(),
        old_oid: ObjectFormat::Sha1.zero(),
        new_oid: oid(b'b'),
        status: 'A',
        added: Some(10),
        deleted: Some(1),
        patch: ByteText::default(),
        patch_cut: false,
        size: Some(100),
        binary: Some(false),
        lfs_pointer: Some(false),
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
        mode: Mode::Enforce,
        via: vec![],
        allowed: vec![],
    }
}

fn now() -> DateTime<Utc> {
    // A Saturday.
    "2026-12-26T12:00:00Z".parse().unwrap()
}

fn judge(policy: &Policy, chain: &ActorChain, facts: &PushFacts) -> Verdict {
    let push = Push {
        repository: "team/app",
        chain,
        facts,
        now: now(),
        recent: None,
    };
    evaluate(policy, &push)
}

fn policy(rules: &[&str]) -> Policy {
    let text = rules.iter().fold("version = 1\n".to_owned(), |text, rule| {
        text + "[[rule]]\n" + rule
    });
    Policy::parse(&[("test", &text)]).unwrap()
}

/// How bad a verdict is: 0 allows, 100 and more denies, between are the requirements.
fn severity(verdict: &Verdict) -> u32 {
    let of = |update: &RefVerdict| match &update.outcome {
        RefOutcome::Allow => 0,
        RefOutcome::RequireApproval { requirements } => {
            1 + u32::try_from(requirements.len()).unwrap()
        }
        RefOutcome::Deny { .. } => 100,
    };
    let denied = if verdict.denials.is_empty() { 0 } else { 100 };
    let worst = verdict.updates.iter().map(of).max();
    worst.unwrap_or(0).max(denied)
}

const RULES: [&str; 4] = [
    "id = \"a\"\nrefs = [\"refs/heads/main\"]\non = [\"create\", \"fast-forward\"]\n\
     effect = \"require_approval\"\napprovers = [\"group:m\"]\n",
    "id = \"b\"\nrefs = [\"refs/heads/**\"]\non = [\"delete\"]\neffect = \"deny\"\n",
    "id = \"c\"\nrefs = [\"refs/heads/**\"]\nactors = [\"kind:agent\"]\n\
     effect = \"require_approval\"\napprovers = [\"user:ada\"]\nquorum = 2\n",
    "id = \"d\"\nrefs = [\"**\"]\neffect = \"allow\"\n",
];

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
        ("refs/heads/a\u{200b}b", Create, ActorKind::Human, 100),
    ] {
        let verdict = judge(&policy, &chain(actor), &facts(name, kind));
        assert_eq!(severity(&verdict), expected, "{name} {kind:?} {verdict:?}");
    }
}

#[test]
fn look_alikes_of_protected_names_are_denied() {
    use UpdateKind::{Create, Delete};
    let wide = "id = \"w\"\nrefs = [\"refs/heads/v*\"]\nexclude = [\"refs/heads/V-old\"]\n\
                repositories = [\"team/*\"]\neffect = \"deny\"\n";
    let named = "id = \"n\"\nrefs = [\"refs/heads/MAIN\"]\neffect = \"allow\"\n";
    let off = "id = \"o\"\nrefs = [\"refs/heads/quiet\"]\nmode = \"evaluate\"\neffect = \"deny\"\n";
    let policy = policy(&[RULES[0], wide, named, off]);
    for (name, kind, expected) in [
        ("refs/heads/Main", Create, true),
        ("refs/heads/m\u{430}in", Create, true),
        ("refs/heads/Main", Delete, false),
        ("refs/heads/MAIN", Create, false),
        ("refs/heads/V1", Create, true),
        ("refs/heads/V-old", Create, false),
        ("refs/heads/Quiet", Create, false),
        ("refs/tags/Main", Create, false),
    ] {
        let verdict = judge(&policy, &chain(ActorKind::Human), &facts(name, kind));
        assert_eq!(severity(&verdict) == 100, expected, "{name} {verdict:?}");
    }
    let facts = facts("refs/heads/V1", Create);
    let person = chain(ActorKind::Human);
    let elsewhere = Push {
        repository: "other/app",
        chain: &person,
        facts: &facts,
        now: now(),
        recent: None,
    };
    assert_eq!(severity(&evaluate(&policy, &elsewhere)), 0);
}

#[test]
fn a_symbolic_ref_is_judged_by_its_target_too() {
    let mut facts = facts("refs/heads/alias", UpdateKind::FastForward);
    facts.updates[0].target = RefName::parse(b"refs/heads/main").unwrap();
    let verdict = judge(&policy(&RULES), &chain(ActorKind::Human), &facts);
    assert_eq!(severity(&verdict), 2);
}

#[test]
fn only_new_secrets_refuse() {
    let mut facts = facts("refs/heads/x", UpdateKind::Create);
    facts.findings.push(finding(true));
    facts.findings.push(FindingFacts {
        mode: Mode::Evaluate,
        ..finding(false)
    });
    facts.findings_total = 2;
    let policy = policy(&RULES);
    let judge = |facts: &PushFacts| judge(&policy, &chain(ActorKind::Human), facts);
    assert!(!judge(&facts).is_denied());
    facts.findings_total = 3;
    assert_eq!(judge(&facts).denials[0].code, Code::ScanFailed);
    facts.findings.push(finding(false));
    assert_eq!(judge(&facts).denials[0].text, "secret r in a:3 ****");
}

#[test]
fn what_acquits_a_finding_is_for_policy_to_say() {
    let print = "0".repeat(64);
    let base = "version = 1\n[secrets]\n";
    let allow = format!(
        "[[secret_allow]]\nrule = \"r\"\nfingerprint = \"{print}\"\npaths = [\"a\"]\n\
         repositories = [\"app\"]\n"
    );
    let exception = Allowed::Exception {
        id: "8FZK2M0T".into(),
    };
    let ignored = Allowed::RepositoryIgnore {
        entry: "a:r:3".into(),
    };
    for (text, allowed, mode, denied) in [
        ("", vec![], Mode::Enforce, true),
        ("", vec![Allowed::Comment], Mode::Enforce, true),
        (
            "allow_comments = true",
            vec![Allowed::Comment],
            Mode::Enforce,
            false,
        ),
        ("", vec![ignored.clone()], Mode::Enforce, true),
        (
            "repository_ignore = true",
            vec![ignored],
            Mode::Enforce,
            false,
        ),
        ("", vec![exception], Mode::Enforce, false),
        (&*allow, vec![], Mode::Enforce, false),
        (
            &allow.replace("\"r\"", "\"s\""),
            vec![],
            Mode::Enforce,
            true,
        ),
        (
            &allow.replace("[\"a\"]", "[\"b\"]"),
            vec![],
            Mode::Enforce,
            true,
        ),
        (
            &allow.replace("\"app\"", "\"other\""),
            vec![],
            Mode::Enforce,
            true,
        ),
        (
            &allow.replace("0\"\npaths", "1\"\npaths"),
            vec![],
            Mode::Enforce,
            true,
        ),
        ("evaluate = [\"r\"]", vec![], Mode::Enforce, false),
        ("off = [\"*\"]", vec![], Mode::Enforce, false),
        (
            "enforce = [\"r\"]\nevaluate = [\"r\"]",
            vec![],
            Mode::Evaluate,
            true,
        ),
    ] {
        let policy = Policy::parse(&[("p", &format!("{base}{text}\n"))]).unwrap();
        let mut facts = facts("refs/heads/x", UpdateKind::Create);
        facts.findings.push(FindingFacts {
            allowed,
            mode,
            fingerprint: print.clone(),
            ..finding(false)
        });
        facts.findings_total = 1;
        let push = Push {
            repository: "app",
            chain: &chain(ActorKind::Human),
            facts: &facts,
            now: now(),
            recent: None,
        };
        assert_eq!(evaluate(&policy, &push).is_denied(), denied, "{text}");
        let acquitted = crate::acquittal(&policy, "app", &facts.findings[0]).is_some();
        assert!(denied || acquitted || text.contains('['), "{text}");
    }
}

#[test]
fn exceptions_are_for_the_owners_of_the_rule() {
    let text = "version = 1\n[[secret_owner]]\nid = \"b\"\nrules = [\"aws-*\"]\n\
        approvers = [\"group:cloud\"]\nquorum = 2\nlongest_exception = \"7d\"\n\
        [[secret_owner]]\nid = \"a\"\nrepositories = [\"app\"]\napprovers = [\"user:ada\"]\n";
    let policy = Policy::parse(&[("p", text)]).unwrap();
    let asked = |repository: &str, rule: &str| {
        let asked = crate::owners_of(&policy, repository, rule);
        let one =
            |it: &Requirement| format!("{}:{}:{}", it.rule, it.quorum, it.approvers.join(","));
        asked.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(asked("x", "github-pat"), "");
    assert_eq!(asked("x", "aws-key"), "b:2:group:cloud");
    assert_eq!(asked("app", "aws-key"), "a:1:user:ada b:2:group:cloud");
    let longest = |repository, rule| crate::longest_exception(&policy, repository, rule);
    assert_eq!(longest("x", "github-pat"), None);
    assert_eq!(longest("app", "github-pat"), Some(90 * 86_400));
    assert_eq!(longest("app", "aws-key"), Some(7 * 86_400));
}
