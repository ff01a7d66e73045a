//! `refwarden audit`: lists, exports, verifies, proves and witnesses the record.

mod bundle;
mod export;
mod exposure;
mod follow;
mod hold;
mod list;
mod prove;
mod sources;
mod verify;
mod witness;

use std::io::Read as _;
use std::process::ExitCode;

use crate::api::Api;
use crate::args::{Audit, AuditCommand};
use crate::failure::{Context as _, Outcome};
use crate::output;

/// Runs it.
pub fn run(args: &Audit) -> Outcome {
    match &args.command {
        None if args.list.follow => follow::run(&args.list),
        None => list::run(&args.list),
        Some(AuditCommand::Export(args)) => export::run(args),
        Some(AuditCommand::Verify(args)) => verify::run(args),
        Some(AuditCommand::Prove(args)) => prove::run(args),
        Some(AuditCommand::Witness(args)) => witness::run(args),
        Some(AuditCommand::Bundle(args)) => bundle::fetch(args),
        Some(AuditCommand::VerifyBundle(args)) => bundle::verify(args),
        Some(AuditCommand::Exposure(args)) => exposure::run(args),
        Some(AuditCommand::Hold(args)) => hold::run(args),
        Some(AuditCommand::Key(args)) => {
            let api = Api::connect(&args.service)?;
            output::line(&text(&api, "/api/v1/log/key")?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A short text of the service, without white space around it.
fn text(api: &Api, path: &str) -> Outcome<String> {
    let mut body = String::new();
    api.fetch(path, &[])?
        .read_to_string(&mut body)
        .context(|| format!("the answer to {path} is not understood"))?;
    Ok(body.trim_end().to_owned())
}
