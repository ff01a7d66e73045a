//! `refwarden requests`.

use std::process::ExitCode;

use refwarden_wire::api::RequestOut;

use crate::api::Api;
use crate::args::Requests;
use crate::failure::Outcome;
use crate::output::{self, Table};

/// Lists approval requests.
pub fn run(args: &Requests) -> Outcome {
    let api = Api::connect(&args.service)?;
    let state = args.state.iter();
    let state = state.map(|state| ("state", state.word().to_owned()));
    let query: Vec<(&str, String)> = state.collect();
    let found: Vec<RequestOut> = api.get("/api/v1/requests", &query)?;
    if args.json {
        found.iter().try_for_each(output::json)?;
    } else if found.is_empty() {
        output::line("No requests.")?;
    } else {
        let mut table = Table::new([
            "REQUEST",
            "STATE",
            "REPOSITORY",
            "REF",
            "KIND",
            "BY",
            "LINK",
        ]);
        for one in found {
            table.row(&[
                one.id,
                one.state,
                one.repository,
                one.ref_name,
                one.kind,
                one.actor,
                one.url,
            ]);
        }
        table.print()?;
    }
    Ok(ExitCode::SUCCESS)
}
