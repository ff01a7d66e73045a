//! `refwarden policy backtest`.

use std::collections::BTreeSet;
use std::process::ExitCode;

use chrono::SecondsFormat;
use refwarden_model::Code;
use refwarden_policy::{Policy, Push, RefOutcome, Requirement, Verdict, evaluate};
use refwarden_wire::api::{EventsOut, PushRecordOut};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{circumstances, files, show};
use crate::api::Api;
use crate::args::PolicyBacktest;
use crate::failure::{Context as _, Outcome};
use crate::output::{self, Table};

/// Events asked for at once.
const PAGE: usize = 500;

/// An update that another policy judges otherwise.
#[derive(Serialize)]
struct Change {
    push: Uuid,
    received_at: String,
    repository: String,
    actor: String,
    #[serde(rename = "ref")]
    ref_name: String,
    was: String,
    becomes: String,
    because: Vec<String>,
}

/// Judges recorded pushes again.
pub fn run(args: &PolicyBacktest) -> Outcome {
    let policy = files::policy(&args.policy.files)?;
    let api = Api::connect(&args.service)?;
    let (mut judged, mut unknown) = (0_u64, 0_u64);
    let mut changes = Vec::new();
    for id in pushes(&api, args)? {
        let record: PushRecordOut = api.get(&format!("/api/v1/pushes/{id}"), &[])?;
        match again(&policy, &record)? {
            None => unknown += 1,
            Some(found) => {
                judged += 1;
                changes.extend(found);
            }
        }
    }
    let code = ExitCode::from(u8::from(!changes.is_empty()));
    if args.json {
        output::json(&json!({
            "policy_hash": policy.hash(),
            "judged": judged,
            "not_judged": unknown,
            "changes": changes,
        }))?;
        return Ok(code);
    }
    let mut table = Table::new(["TIME", "REPOSITORY", "BY", "REF", "WAS", "BECOMES", "WHY"]);
    let total = changes.len();
    for one in changes {
        table.row(&[
            one.received_at,
            one.repository,
            one.actor,
            one.ref_name,
            one.was,
            one.becomes,
            one.because.join("; "),
        ]);
    }
    if total > 0 {
        table.print()?;
    }
    output::line(&format!(
        "{judged} pushes judged, {total} updates change; {unknown} pushes have no facts to judge"
    ))?;
    Ok(code)
}

/// The pushes in question, oldest first.
fn pushes(api: &Api, args: &PolicyBacktest) -> Outcome<Vec<Uuid>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE.to_string()), ("kind", "push".to_owned())];
        query.extend(args.repository.clone().map(|name| ("repository", name)));
        let since = args
            .since
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Micros, true));
        query.extend(since.map(|since| ("since", since)));
        query.extend(after.take().map(|after| ("after", after)));
        let page: EventsOut = api.get("/api/v1/events", &query)?;
        let ids = page.events.iter().filter_map(|event| event.push_id);
        found.extend(ids.filter(|id| seen.insert(*id)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// What changes for a push; none where it cannot be judged.
fn again(policy: &Policy, record: &PushRecordOut) -> Outcome<Option<Vec<Change>>> {
    let (Some(chain), Some(facts)) = (&record.chain, &record.facts) else {
        return Ok(None);
    };
    let was: Verdict = serde_json::from_value(record.verdict.clone())
        .context(|| format!("the verdict on push {} is not understood", record.id))?;
    let push = Push {
        repository: &record.repository,
        chain,
        facts,
        now: record.received_at,
        recent: record.recent.map(circumstances::recent),
    };
    let becomes = evaluate(policy, &push);
    let mut changes = Vec::new();
    for (index, update) in becomes.updates.iter().enumerate() {
        let before = told(&was, index);
        let after = told(&becomes, index);
        if before == after {
            continue;
        }
        let because = update.spoke.iter().filter(|spoken| spoken.acted());
        changes.push(Change {
            push: record.id,
            received_at: record
                .received_at
                .to_rfc3339_opts(SecondsFormat::Secs, true),
            repository: record.repository.clone(),
            actor: chain.describe(),
            ref_name: update.ref_name.to_string(),
            was: before,
            becomes: after,
            because: because
                .map(|spoken| format!("{}: {}", spoken.rule, spoken.because.join(", ")))
                .collect(),
        });
    }
    Ok(Some(changes))
}

/// The outcome for one update in a few words, what stands against the whole push included.
fn told(verdict: &Verdict, index: usize) -> String {
    // That the token had released a push already is not policy's word.
    let denied = verdict
        .denials
        .iter()
        .any(|denial| denial.code != Code::UsedToken);
    match verdict.updates.get(index).map(|update| &update.outcome) {
        None => "not judged".to_owned(),
        Some(_) if denied => "deny".to_owned(),
        Some(outcome @ RefOutcome::RequireApproval { requirements }) => {
            let asked: Vec<String> = requirements.iter().map(asked).collect();
            format!("{} ({})", show::word(outcome), asked.join(" and "))
        }
        Some(outcome) => show::word(outcome).to_owned(),
    }
}

fn asked(needed: &Requirement) -> String {
    format!("{} of {}", needed.quorum, needed.approvers.join(", "))
}
