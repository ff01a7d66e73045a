//! `refwarden audit hold`: what retention must not drop.

use std::process::ExitCode;

use refwarden_wire::api::{HoldIn, HoldOut, HoldReleaseIn};

use crate::api::Api;
use crate::args::{AuditHold, HoldAdd, HoldCommand, HoldList, HoldRemove};
use crate::failure::Outcome;
use crate::output::{self, Table, printable};

/// Places, releases or lists holds.
pub fn run(args: &AuditHold) -> Outcome {
    match &args.command {
        HoldCommand::Add(args) => add(args),
        HoldCommand::Remove(args) => remove(args),
        HoldCommand::List(args) => list(args),
    }
}

fn add(args: &HoldAdd) -> Outcome {
    let api = Api::connect(&args.service)?;
    let asked = HoldIn {
        repository: args.repository.clone(),
        push: args.push,
        since: args.since,
        before: args.before,
        reason: args.reason.clone(),
    };
    let hold: HoldOut = api.post("/api/v1/holds", &asked)?;
    if args.json {
        output::json(&hold)?;
    } else {
        output::line(&format!("Hold {} keeps {}.", hold.id, what(&hold)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(args: &HoldRemove) -> Outcome {
    let api = Api::connect(&args.service)?;
    let reason = args.reason.clone();
    let path = format!("/api/v1/holds/{}/release", args.id);
    let hold: HoldOut = api.post(&path, &HoldReleaseIn { reason })?;
    if args.json {
        output::json(&hold)?;
    } else {
        output::line(&format!("Hold {} is released.", hold.id))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &HoldList) -> Outcome {
    let api = Api::connect(&args.service)?;
    let mut found: Vec<HoldOut> = api.get("/api/v1/holds", &[])?;
    found.retain(|hold| args.all || hold.released.is_none());
    if args.json {
        found.iter().try_for_each(output::json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        output::line("No holds.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(["HOLD", "KEEPS", "BY", "SINCE", "RELEASED", "REASON"]);
    for hold in found {
        let day = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let row = [
            hold.id.to_string(),
            what(&hold),
            printable(&hold.placed_by),
            day(hold.placed_at),
            hold.released
                .as_ref()
                .map_or_else(|| "no".to_owned(), |end| day(end.at)),
            printable(&hold.reason),
        ];
        table.row(&row);
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}

fn what(hold: &HoldOut) -> String {
    let mut text = match (&hold.push, &hold.repository) {
        (Some(push), _) => format!("the pack of push {push}"),
        (None, Some(name)) => format!("packs of {}", printable(name)),
        (None, None) => "packs of all repositories".to_owned(),
    };
    let shown =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    if let Some(since) = hold.since {
        text = format!("{text} since {}", shown(since));
    }
    if let Some(before) = hold.before {
        text = format!("{text} before {}", shown(before));
    }
    text
}
