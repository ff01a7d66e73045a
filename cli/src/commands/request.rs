//! `refwarden request`.

use std::process::ExitCode;

use refwarden_wire::api::{GrantIn, GrantOut};

use crate::api::Api;
use crate::args::Request;
use crate::failure::Outcome;
use crate::output;

/// Asks for a window of time.
pub fn run(args: &Request) -> Outcome {
    let api = Api::connect_to_push(&args.service, &args.behalf_of)?;
    let asked = GrantIn {
        repository: args.repository.clone(),
        ref_name: args.ref_name.clone(),
        seconds: args.seconds,
        reason: args.reason.clone(),
    };
    let made: GrantOut = api.post("/api/v1/grants", &asked)?;
    if args.json {
        output::json(&made)?;
    } else {
        output::line(&format!(
            "Request {}: {} seconds of pushes by {} to {} {} wait for approval.\n{}",
            made.id, made.seconds, made.actor, made.repository, made.ref_name, made.url
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
