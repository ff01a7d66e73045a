//! The approval service: checks tokens, judges pushes by policy, asks people, keeps the record.
//! It opens no repository: it decides from the facts that hooks send.

mod api;
mod approval;
mod db;
mod error;
mod export;
mod exposure;
mod hook_api;
mod identity;
mod idp;
mod ledger;
mod lifecycle;
mod methods;
mod notify;
mod packs;
mod random;
mod reconcile;
mod retention;
mod routes;
mod sign;
mod start;
mod state;
mod tokens;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// The Refwarden approval service.
#[derive(Debug, Parser)]
#[command(name = "refwarden-service", version, about)]
struct Args {
    /// The configuration file, refwarden.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Write the log as JSON lines.
    #[arg(long)]
    log_json: bool,
}

#[actix_web::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    start::log(args.log_json);
    match start::run(&args.config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::from(2)
        }
    }
}
