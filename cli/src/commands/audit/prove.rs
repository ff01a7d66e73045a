//! `refwarden audit prove`: one event's place in the log.

use std::process::ExitCode;

use refwarden_merkle::{Hash, verify_inclusion};
use refwarden_wire::log::InclusionOut;

use super::sources;
use crate::api::Api;
use crate::args::AuditProve;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Asks for a proof and checks it.
pub fn run(args: &AuditProve) -> Outcome {
    let api = Api::connect(&args.service)?;
    let key = sources::key_or_asked(args.key.as_deref(), Some(&api))?;
    let query = [
        ("repository", args.repository.clone()),
        ("seq", args.seq.to_string()),
    ];
    let found: InclusionOut = api.get("/api/v1/log/inclusion", &query)?;
    let checkpoint = sources::checkpoint(&found.checkpoint, &key, "the checkpoint")?;
    let leaf = Hash::of_leaf(found.leaf.as_bytes());
    let proof = sources::hashes(&found.proof)?;
    if !verify_inclusion(leaf, found.index, checkpoint.size, &proof, checkpoint.root) {
        return Err(Failure::refused("the proof does not hold")
            .why("event and path do not lead to the checkpoint's root")
            .next("run refwarden audit verify"));
    }
    if args.json {
        output::json(&found)?;
    } else {
        output::line(&format!(
            "Event {} of the log, of {} that the checkpoint attests:\n{}",
            found.index,
            checkpoint.size,
            output::printable(&found.leaf)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
