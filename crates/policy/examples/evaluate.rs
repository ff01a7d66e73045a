//! Prints how long evaluation takes for growing policies and pushes:
//! `cargo run --release -p refwarden-policy --example evaluate`.
//!
//! Every team has its own branches and rules; a few rules are about everything, and some speak
//! of commits. The time for one update should not grow with the policy. Times are those on a
//! processor (`/proc/self/schedstat`, first field), so that a busy machine does not matter much.
#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement, whose input is its own"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use refwarden_model::facts::{CommitFacts, PushFacts, RefFacts, UpdateKind};
use refwarden_model::{Actor, ActorChain, ActorKind, ObjectFormat, Oid, RefName};
use refwarden_policy::{Policy, Push, evaluate};

/// Measured for at least this long.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn main() {
    println!(
        "{:>6} {:>8} {:>12} {:>14}",
        "rules", "updates", "us/push", "us/update"
    );
    for (rules, updates) in [
        (10, 1),
        (1000, 1),
        (10, 1000),
        (100, 1000),
        (1000, 10),
        (1000, 100),
        (1000, 1000),
        (2000, 1000),
        (1000, 2000),
    ] {
        let (policy, facts) = (policy(rules), facts(updates));
        let chain = chain();
        let push = Push {
            repository: "team/app",
            chain: &chain,
            facts: &facts,
            now: "2026-06-01T12:00:00Z".parse().unwrap(),
            recent: None,
        };
        let mut runs = 0_u32;
        let (start, before) = (Instant::now(), on_processor());
        while start.elapsed() < LONG_ENOUGH {
            black_box(evaluate(black_box(&policy), black_box(&push)));
            runs += 1;
        }
        let push = on_processor().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(runs);
        println!(
            "{rules:>6} {updates:>8} {push:>12.1} {:>14.2}",
            push / updates as f64
        );
    }
}

/// The time that this process has run.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    let nanoseconds = text.split(' ').next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

fn policy(rules: usize) -> Policy {
    let mut text = String::from("version = 1\n");
    for rule in 0..rules {
        let more = match rule % 10 {
            0 => "require = [\"linear-history\"]\neffect = \"deny\"",
            1 => "max_changed_lines = 5000\nactors = [\"kind:agent\"]\neffect = \"deny\"",
            2 => "on = [\"delete\"]\nexclude = [\"refs/heads/**/old\"]\neffect = \"deny\"",
            _ => "effect = \"require_approval\"\napprovers = [\"group:leads\"]",
        };
        writeln!(
            text,
            "[[rule]]\nid = \"r{rule}\"\nrefs = [\"refs/heads/team-{rule:04}/**\"]\n{more}"
        )
        .unwrap();
    }
    text.push_str("[[rule]]\nid = \"all\"\nrefs = [\"refs/heads/**\"]\non = [\"delete\"]\neffect = \"deny\"\n");
    Policy::parse(&[("bench", &text)]).unwrap()
}

fn chain() -> ActorChain {
    let pusher = Actor {
        issuer: "https://id.example".into(),
        subject: "bot".into(),
        kind: ActorKind::Agent,
        name: None,
        email: None,
        groups: vec!["bots".into()],
        claims: std::collections::BTreeMap::new(),
    };
    ActorChain {
        pusher,
        on_behalf_of: vec![],
    }
}

fn facts(updates: usize) -> PushFacts {
    let format = ObjectFormat::Sha1;
    let oid = |number: usize| Oid::parse(format!("{number:040x}").as_bytes()).unwrap();
    let update = |number: usize| {
        let name = format!("refs/heads/team-{:04}/topic-{number}", number % 1000);
        let ref_name = RefName::parse(name.as_bytes()).unwrap();
        RefFacts {
            target: ref_name.clone(),
            ref_name,
            claimed_old: format.zero(),
            actual_old: format.zero(),
            new: oid(number + 1),
            kind: UpdateKind::Create,
            new_type: Some("commit".into()),
            gained: 1,
            lost: 0,
            default_branch: Some(false),
        }
    };
    let commit = |number: usize| CommitFacts {
        oid: oid(number + 1),
        parents: vec![oid(1 << 20)],
        tree: oid(1 << 21),
        author: "A <a@example.org> 1 +0000".into(),
        committer: "A <a@example.org> 1 +0000".into(),
        message: "Do it\n".into(),
        message_cut: false,
        patch_id: None,
        signed: false,
        signature: None,
        changes: vec![],
        changes_total: 0,
    };
    PushFacts {
        object_format: format,
        updates: (0..updates).map(update).collect(),
        commits: (0..updates).map(commit).collect(),
        commits_total: updates as u64,
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
