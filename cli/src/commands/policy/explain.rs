//! `refwarden policy explain`.

use refwarden_model::facts::{PushFacts, RefFacts, UpdateKind};
use refwarden_model::{ObjectFormat, Oid, RefName};
use refwarden_policy::Push;
use refwarden_wire::api::PushRecordOut;
use serde::Deserialize;

use super::show::{self, How};
use super::{circumstances, files};
use crate::api::Api;
use crate::args::{PolicyExplain, UpdateKindArg};
use crate::failure::{Context as _, Failure, Outcome};

/// Facts from a file: alone, or within the record of a push.
#[derive(Deserialize)]
#[serde(untagged)]
enum FactsIn {
    Record { facts: Box<PushFacts> },
    Facts(Box<PushFacts>),
}

/// Judges one push and says why.
pub fn run(args: &PolicyExplain) -> Outcome {
    let policy = files::policy(&args.policy.files)?;
    let how = How {
        all: args.all,
        json: args.json,
    };
    let given = &args.circumstances;
    if let Some(id) = args.push {
        let api = Api::connect(&args.service)?;
        let record: PushRecordOut = api.get(&format!("/api/v1/pushes/{id}"), &[])?;
        let mut facts = record
            .facts
            .ok_or_else(|| Failure::new(format!("the facts of push {id} were not kept")))?;
        given.add_to(&mut facts);
        let chain = match (&given.actor, record.chain) {
            (None, Some(chain)) => chain,
            _ => given.chain()?,
        };
        let push = Push {
            repository: args.repository.as_ref().unwrap_or(&record.repository),
            chain: &chain,
            facts: &facts,
            now: given.at.unwrap_or(record.received_at),
            recent: given
                .recent()
                .or_else(|| record.recent.map(circumstances::recent)),
        };
        return show::verdict(&policy, &push, how);
    }
    let mut facts = match (&args.facts, &args.ref_name) {
        (Some(file), _) => read(file)?,
        (None, Some(name)) => made_up(name, args.kind)?,
        (None, None) => return Err(Failure::new("give --ref, --facts or --push")),
    };
    given.add_to(&mut facts);
    let chain = given.chain()?;
    let push = Push {
        repository: args.repository.as_deref().unwrap_or_default(),
        chain: &chain,
        facts: &facts,
        now: given.now(),
        recent: given.recent(),
    };
    show::verdict(&policy, &push, how)
}

fn read(file: &std::path::Path) -> Outcome<PushFacts> {
    let name = file.display();
    let text = std::fs::read_to_string(file).context(|| format!("{name} cannot be read"))?;
    // Untagged, an error says nothing of the cause; facts alone are the more likely.
    if let Ok(FactsIn::Record { facts } | FactsIn::Facts(facts)) = serde_json::from_str(&text) {
        return Ok(*facts);
    }
    serde_json::from_str(&text).context(|| format!("{name} holds no facts of a push"))
}

/// An update of which no more is known than its name and kind.
fn made_up(name: &str, kind: UpdateKindArg) -> Outcome<PushFacts> {
    let ref_name = RefName::parse(name.as_bytes()).map_err(|error| {
        Failure::new(error.to_string()).next("write the full name, such as refs/heads/main")
    })?;
    let zero = ObjectFormat::Sha1.zero();
    let some = |digit: &str| Oid::parse(digit.repeat(40).as_bytes()).unwrap_or(zero);
    let (kind, old, new) = match kind {
        UpdateKindArg::Create => (UpdateKind::Create, zero, some("1")),
        UpdateKindArg::FastForward => (UpdateKind::FastForward, some("2"), some("1")),
        UpdateKindArg::NonFastForward => (UpdateKind::NonFastForward, some("2"), some("1")),
        UpdateKindArg::Delete => (UpdateKind::Delete, some("2"), zero),
    };
    Ok(PushFacts {
        object_format: ObjectFormat::Sha1,
        updates: vec![RefFacts {
            target: ref_name.clone(),
            ref_name,
            claimed_old: old,
            actual_old: old,
            new,
            kind,
            new_type: None,
            gained: 0,
            lost: 0,
            default_branch: None,
        }],
        commits: Vec::new(),
        commits_total: 0,
        known_commits: Vec::new(),
        tags: Vec::new(),
        certificate: None,
        properties: None,
        findings: Vec::new(),
        findings_total: 0,
        secret_moves: Vec::new(),
        objects_scanned: 0,
        push_options: Vec::new(),
        ruleset_id: String::new(),
        policy_rules: None,
    })
}
