//! `refwarden audit bundle` and `refwarden audit verify-bundle`: evidence in one file.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use refwarden_merkle::PublicKey;
use refwarden_merkle::bundle::{BundleReport, check};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::sources;
use crate::api::Api;
use crate::args::{AuditBundle, AuditVerifyBundle};
use crate::failure::{Context as _, Failure, Outcome};
use crate::output;
use crate::progress;
use crate::sealed::Identities;

/// How long to wait for the log's next checkpoint. They are at most 60 seconds apart.
const PATIENCE: Duration = Duration::from_secs(70);

/// Fetches a bundle, checks it, and puts it in its place.
pub fn fetch(args: &AuditBundle) -> Outcome {
    let api = Api::connect(&args.service)?;
    let key = sources::key_or_asked(args.key.as_deref(), Some(&api))?;
    let mut query = Vec::new();
    let shown =
        |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    query.extend(args.push.map(|push| ("push", push.to_string())));
    query.extend(args.since.map(|at| ("since", shown(at))));
    query.extend(args.before.map(|at| ("before", shown(at))));
    query.extend(args.repository.clone().map(|name| ("repository", name)));
    let begun = Instant::now();
    let answer = loop {
        match api.fetch_long("/api/v1/bundle", &query) {
            Err(failure) if failure.one_line().contains("409 ") && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(500));
            }
            answer => break answer?,
        }
    };
    let mut answer = progress::bytes("bundle", None).wrap_read(answer);
    let path = &args.out;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = write(&mut answer, &part)
        .and_then(|()| {
            let report = report(&part, &key, None)?;
            if report.problems.is_empty() {
                Ok(report)
            } else {
                Err(broken(&report))
            }
        })
        .and_then(|report| {
            std::fs::rename(&part, path)
                .context(|| format!("{} cannot be written", path.display()))?;
            Ok(report)
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    let report = written?;
    output::line(&format!(
        "{}: {} events, {} packs, signed by {}.",
        output::printable(&path.display().to_string()),
        report.events,
        report.packs,
        key.name()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn write(answer: &mut impl Read, part: &Path) -> Outcome<()> {
    let mut file =
        File::create_new(part).context(|| format!("{} cannot be made", part.display()))?;
    std::io::copy(answer, &mut file)
        .and_then(|_| file.sync_all())
        .context(|| "the bundle broke off".to_owned())
}

#[derive(Serialize)]
struct Said<'a> {
    whole: bool,
    problems: &'a [String],
    events: u64,
    packs: u64,
    opened: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'a str>,
}

/// Checks a bundle.
pub fn verify(args: &AuditVerifyBundle) -> Outcome {
    let key = sources::key_or_asked(Some(&args.key), None)?;
    let identities = Identities::read(&args.identity, None)?;
    let identities = (!args.identity.is_empty()).then_some(&identities);
    let report = report(&args.file, &key, identities)?;
    let whole = report.problems.is_empty();
    if args.json {
        output::json(&Said {
            whole,
            problems: &report.problems,
            events: report.events,
            packs: report.packs,
            opened: report.opened,
            asked: report.manifest.as_ref().map(|it| it.asked.as_str()),
        })?;
        return Ok(ExitCode::from(u8::from(!whole)));
    }
    if !whole {
        return Err(broken(&report));
    }
    let asked = report.manifest.map(|it| it.asked).unwrap_or_default();
    output::line(&format!(
        "Whole: {} events of {}, each in the log, and {} packs, of which {} were opened and are what \
         was received.",
        report.events,
        output::printable(&asked),
        report.packs,
        report.opened
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn broken(report: &BundleReport) -> Failure {
    let problems: Vec<String> = report
        .problems
        .iter()
        .map(|problem| output::printable(problem))
        .collect();
    Failure::refused("the bundle is not whole").why(problems.join("\n"))
}

fn report(path: &Path, key: &PublicKey, identities: Option<&Identities>) -> Outcome<BundleReport> {
    let shown = path.display();
    let file = File::open(path).context(|| format!("{shown} cannot be read"))?;
    let mut source = BufReader::with_capacity(256 << 10, file);
    let mut opener = |digest: &str, file: &mut dyn Read| match identities {
        Some(identities) => is_what_was_received(identities, digest, file),
        None => Ok(()),
    };
    let open: Option<refwarden_merkle::bundle::Opener<'_>> = match identities {
        Some(_) => Some(&mut opener),
        None => None,
    };
    check(&mut source, key, open).context(|| format!("{shown} cannot be read"))
}

fn is_what_was_received(
    identities: &Identities,
    digest: &str,
    file: &mut dyn Read,
) -> Result<(), String> {
    let mut hasher = Sha256::new();
    identities.read_all(file, &mut |bytes| hasher.update(bytes))?;
    if hex::encode(hasher.finalize()) == digest {
        Ok(())
    } else {
        Err("it is not the pack that was received".to_owned())
    }
}
