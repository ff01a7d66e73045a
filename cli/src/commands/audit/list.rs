//! `refwarden audit`: lists events.

use std::process::ExitCode;

use chrono::SecondsFormat;
use refwarden_wire::api::{EventOut, EventsOut};

use crate::api::Api;
use crate::args::AuditList;
use crate::failure::Outcome;
use crate::output::{self, Table};

/// Events asked for at once; the service gives no more than 1000.
const PAGE: usize = 500;

/// Lists events.
pub fn run(args: &AuditList) -> Outcome {
    let api = Api::connect(&args.service)?;
    let mut table = Table::new(["TIME", "SEQ", "REPOSITORY", "EVENT", "BY", "REF", "WHAT"]);
    let mut listed = 0;
    let (next, hint) = each(&api, args, |event| {
        listed += 1;
        if args.json {
            return output::json(&event);
        }
        table.row(&[
            event
                .recorded_at
                .to_rfc3339_opts(SecondsFormat::Millis, true),
            event.seq.to_string(),
            event.repository,
            event.kind,
            event.actor,
            event.ref_name.unwrap_or_default(),
            event.summary,
        ]);
        Ok(())
    })?;
    if !args.json {
        if listed == 0 {
            output::line("No events.")?;
        } else {
            table.print()?;
        }
    }
    // Not among the events: whoever reads those as JSON lines gets nothing else.
    if let Some(hint) = hint {
        eprintln!("{}", output::printable(&hint));
    }
    if let Some(next) = next {
        eprintln!("There may be more: --after {next}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes through the events page by page, oldest first, up to the limit. Returns where to go on, and
/// what was probably meant where there are none.
fn each(
    api: &Api,
    args: &AuditList,
    mut see: impl FnMut(EventOut) -> Outcome<()>,
) -> Outcome<(Option<String>, Option<String>)> {
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut after = args.after.clone();
    while left > 0 {
        let mut query = filters(args);
        query.push(("limit", left.min(PAGE).to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let page: EventsOut = api.get("/api/v1/events", &query)?;
        for event in page.events.into_iter().take(left) {
            left -= 1;
            see(event)?;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((None, page.hint)),
        }
    }
    Ok((after, None))
}

fn filters(args: &AuditList) -> Vec<(&'static str, String)> {
    [
        ("q", args.query.clone()),
        ("repository", args.repository.clone()),
        ("ref", args.ref_name.clone()),
        ("kind", args.kind.clone()),
        ("actor", args.actor.clone()),
        ("push", args.push.map(|push| push.to_string())),
        (
            "since",
            args.since
                .map(|since| since.to_rfc3339_opts(SecondsFormat::Micros, true)),
        ),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}
