//! A verdict, for people and for programs.

use std::process::ExitCode;

use refwarden_policy::{
    Denial, Policy, Push, Reading, RefOutcome, RefVerdict, Requirement, See, Spoken, evaluate,
    silent,
};
use serde_json::json;

use crate::failure::Outcome;
use crate::output::{self, printable};

/// How to write it.
#[derive(Clone, Copy)]
pub struct How {
    /// Whether rules that do not speak are told too.
    pub all: bool,
    /// Whether as JSON.
    pub json: bool,
}

/// Judges a push and writes what the policy makes of it; exit code 1 where it does not simply
/// pass.
pub fn verdict(policy: &Policy, push: &Push<'_>, how: How) -> Outcome {
    let verdict = evaluate(policy, push);
    let silence = if how.all {
        silent(policy, push, &verdict)
    } else {
        Vec::new()
    };
    let passes = verdict.denials.is_empty()
        && verdict
            .updates
            .iter()
            .all(|update| update.outcome == RefOutcome::Allow);
    let code = ExitCode::from(u8::from(!passes));
    if how.json {
        output::json(&json!({
            "policy_hash": policy.hash(),
            "repository": push.repository,
            "actor": push.chain.describe(),
            "at": push.now,
            "updates": verdict.updates,
            "denials": verdict.denials,
            "silent": how.all.then_some(silence),
            "reads": reads(policy, push),
        }))?;
        return Ok(code);
    }
    if !policy.views.is_empty() {
        output::line(&format!("reads: {}", printable(&reads(policy, push))))?;
    }
    for denial in &verdict.denials {
        output::line(&denied("the push is denied", denial))?;
    }
    for (index, update) in verdict.updates.iter().enumerate() {
        show_update(update)?;
        for one in silence.get(index).into_iter().flatten() {
            output::line(&format!("  rule {} is silent: {}", one.rule, one.because))?;
        }
    }
    Ok(code)
}

/// What the pusher sees of the repository, and by which views.
fn reads(policy: &Policy, push: &Push<'_>) -> String {
    let chain = Some(push.chain);
    let reading = match policy.reading(push.repository, chain) {
        Reading::Whole => See::Whole,
        Reading::Masked(_) => See::Masked,
        Reading::Refused => See::Refused,
    };
    let views = policy.views_for(push.repository, chain);
    let by: Vec<&str> = views
        .iter()
        .filter(|view| view.see == reading)
        .map(|view| view.id.as_str())
        .collect();
    match (by.is_empty(), policy.views.is_empty()) {
        (false, _) => format!("{} (view {})", reading.name(), by.join(", ")),
        (true, false) => format!("{} (no view is about them)", reading.name()),
        (true, true) => reading.name().to_owned(),
    }
}

fn show_update(update: &RefVerdict) -> Outcome<()> {
    output::line(&format!("{}: {}", update.ref_name, word(&update.outcome)))?;
    match &update.outcome {
        RefOutcome::Allow => {}
        RefOutcome::RequireApproval { requirements } => {
            for needed in requirements {
                output::line(&format!("  needs {}", printable(&asked(needed))))?;
            }
        }
        RefOutcome::Deny { denials } => {
            for denial in denials {
                output::line(&denied("  denied", denial))?;
            }
        }
    }
    if update.spoke.is_empty() {
        return output::line("  no rule speaks of it");
    }
    for spoken in &update.spoke {
        output::line(&format!("  rule {}", printable(&said(spoken))))?;
        for because in &spoken.because {
            output::line(&format!("    because {}", printable(because)))?;
        }
    }
    Ok(())
}

fn denied(what: &str, denial: &Denial) -> String {
    format!("{what}: {} {}", denial.code, printable(&denial.text))
}

fn said(spoken: &Spoken) -> String {
    let mode = if spoken.mode.is_enforce() {
        String::new()
    } else {
        format!(" ({} only: it does not act)", spoken.mode.name())
    };
    let bypass = spoken.bypass.as_ref();
    let bypass = bypass.map(|bypass| format!(" (passed by {}: {})", bypass.by, bypass.reason));
    let (effect, bypass) = (spoken.effect.name(), bypass.unwrap_or_default());
    format!("{}: {effect}{mode}{bypass}", spoken.rule)
}

/// The outcome in one word, as policy files write it.
pub fn word(outcome: &RefOutcome) -> &'static str {
    match outcome {
        RefOutcome::Allow => "allow",
        RefOutcome::RequireApproval { .. } => "require_approval",
        RefOutcome::Deny { .. } => "deny",
    }
}

/// A requirement in a few words.
pub fn asked(needed: &Requirement) -> String {
    let of = match (needed.paths.first(), needed.paths.len()) {
        (None, _) => String::new(),
        (Some(path), 1) => format!(" (owners of {path})"),
        (Some(path), count) => format!(" (owners of {path} and {} more)", count - 1),
    };
    format!("{} of {}{of}", needed.quorum, needed.approvers.join(", "))
}
