//! `refwarden audit verify`: names the first event that was tampered with.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;

use refwarden_merkle::{Line, READINGS, Report, Tampering, Verifier};
use refwarden_wire::api::RepositoryOut;
use serde::Serialize;

use super::sources::{self, Known};
use crate::api::Api;
use crate::args::AuditVerify;
use crate::failure::{Context as _, Failure, Outcome};
use crate::{output, progress};

/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;

#[derive(Serialize)]
struct Result<'a> {
    whole: bool,
    events: u64,
    checkpoints: usize,
    unattested: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tampering: Option<&'a Tampering>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Verifies, from files alone or from the service.
pub fn run(args: &AuditVerify) -> Outcome {
    let api = match &args.export {
        Some(_) => None,
        None => Some(Api::connect(&args.service)?),
    };
    let key = sources::key_or_asked(args.key.as_deref(), api.as_ref())?;
    let mut known = Known::read(&args.checkpoints, &key)?;
    if let Some(api) = &api {
        known.ask(api, &key)?;
    }
    for given in &args.witness_key {
        let witness = sources::key(given)?;
        let mut notes = known.checkpoints.iter().map(|it| &it.note);
        if !notes.any(|note| note.verify(&witness).is_ok()) {
            let what = format!("no checkpoint is signed by {}", witness.name());
            return Err(Failure::refused(what).next("give --checkpoints with its last one"));
        }
    }
    let names = match &api {
        Some(api) => names(api)?,
        None => HashMap::new(),
    };
    let report = match (&args.export, &api) {
        (Some(path), _) => {
            let shown = path.display();
            let file = File::open(path).context(|| format!("{shown} cannot be read"))?;
            verify(BufReader::with_capacity(BUFFER, file), &known)?
        }
        (None, Some(api)) => {
            let query = [("fresh", "true".to_owned())];
            let answer = api.fetch_long("/api/v1/log/leaves", &query)?;
            verify(BufReader::with_capacity(BUFFER, answer), &known)?
        }
        (None, None) => return Err(Failure::new("what?").next("give --export or a service")),
    };
    say(args, &report, &names)
}

fn verify(mut lines: impl BufRead, known: &Known) -> Outcome<Report> {
    let mut verifier = Verifier::new(&known.checkpoints, known.kept.as_deref());
    let bar = progress::count("verify", known.size());
    let (mut line, mut number) = (String::new(), 0_u64);
    while !verifier.is_decided() {
        line.clear();
        let read = lines
            .read_line(&mut line)
            .context(|| format!("line {} of the export cannot be read", number + 1))?;
        if read == 0 {
            break;
        }
        number += 1;
        let parsed = Line::parse(&line)
            .context(|| format!("line {number} of the export is not understood"))?;
        verifier.line(&parsed);
        if number.is_multiple_of(4096) {
            bar.set_position(number);
        }
    }
    bar.finish_and_clear();
    Ok(verifier.finish())
}

fn say(args: &AuditVerify, report: &Report, names: &HashMap<String, String>) -> Outcome {
    let text = report.tampering.as_ref().map(|it| named(it, names));
    let whole = report.tampering.is_none();
    if args.json {
        output::json(&Result {
            whole,
            events: report.events,
            checkpoints: report.checkpoints,
            unattested: report.unattested,
            tampering: report.tampering.as_ref(),
            text,
        })?;
        return Ok(ExitCode::from(u8::from(!whole)));
    }
    if let Some(text) = text {
        return Err(Failure::refused("the record was tampered with")
            .why(text)
            .next("keep export and checkpoints as they are, and compare with the second place"));
    }
    output::line(&format!(
        "Whole: {} events, {} checkpoints; {} events are not attested yet.",
        report.events, report.checkpoints, report.unattested
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The finding with repositories' names instead of their ids.
fn named(tampering: &Tampering, names: &HashMap<String, String>) -> String {
    let mut text = tampering.to_string();
    for (id, name) in names {
        text = text.replace(id, &output::printable(name));
    }
    text.replace(&READINGS.to_string(), "the readings of the records")
}

fn names(api: &Api) -> Outcome<HashMap<String, String>> {
    let found: Vec<RepositoryOut> = api.get("/api/v1/repositories", &[])?;
    let named = |it: RepositoryOut| (it.id.to_string(), it.name);
    Ok(found.into_iter().map(named).collect())
}
