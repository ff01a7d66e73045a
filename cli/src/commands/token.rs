//! `refwarden token`.

use std::process::ExitCode;

use secrecy::ExposeSecret as _;

use crate::api::tokens;
use crate::args::Token;
use crate::failure::Outcome;
use crate::layout::DataDir;
use crate::output;

/// Prints a token.
pub fn run(args: &Token) -> Outcome {
    let dir = DataDir::resolve(&args.dir.data_dir)?;
    let token = tokens::request(&dir, &args.client, args.user.as_deref(), args.ttl)?;
    if args.json {
        output::json(&serde_json::json!({
            "token": token.expose_secret(),
            "client": args.client,
            "for": args.user,
            "expires_in": args.ttl,
        }))?;
    } else {
        output::line(token.expose_secret())?;
    }
    Ok(ExitCode::SUCCESS)
}
