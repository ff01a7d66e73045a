//! `refwarden grant`.

use std::process::ExitCode;

use refwarden_wire::api::{GrantEndIn, GrantOut};

use crate::api::Api;
use crate::args::{Grant, GrantCommand, GrantList, GrantRevoke};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Table};

/// Lists grants, or takes one back.
pub fn run(args: &Grant) -> Outcome {
    match &args.command {
        GrantCommand::List(args) => list(args),
        GrantCommand::Revoke(args) => revoke(args),
    }
}

fn list(args: &GrantList) -> Outcome {
    let api = Api::connect(&args.service)?;
    let state = args.state.iter().map(|state| ("state", state.clone()));
    let query: Vec<(&str, String)> = state.collect();
    let found: Vec<GrantOut> = api.get("/api/v1/grants", &query)?;
    if args.json {
        found.iter().try_for_each(output::json)?;
    } else if found.is_empty() {
        output::line("No grants.")?;
    } else {
        let header = [
            "GRANT",
            "STATE",
            "REPOSITORY",
            "REF",
            "WHOSE",
            "UNTIL",
            "PUSHES",
        ];
        let mut table = Table::new(header);
        for one in found {
            let until = one.until.format("%Y-%m-%dT%H:%M:%SZ").to_string();
            let pushes = one.pushes.to_string();
            let row = [
                one.id,
                one.state,
                one.repository,
                one.ref_name,
                one.actor,
                until,
                pushes,
            ];
            table.row(&row);
        }
        table.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn revoke(args: &GrantRevoke) -> Outcome {
    let is_code = args.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_code || args.id.is_empty() {
        return Err(Failure::new("this is no code of a grant").next("see refwarden grant list"));
    }
    let api = Api::connect_as(&args.service, "adam")?;
    let path = format!("/api/v1/grants/{}/revoke", args.id);
    let reason = args.reason.clone();
    let ended: GrantOut = api.post(&path, &GrantEndIn { reason })?;
    if args.json {
        output::json(&ended)?;
    } else {
        output::line(&format!("Grant {} is {}.", ended.id, ended.state))?;
    }
    Ok(ExitCode::SUCCESS)
}
