//! The report that people read.

use indicatif::{DecimalBytes, HumanCount};
use refwarden_scan::Checksum;

use super::found::{Found, Place, Status, short};
use super::tally::Fault;
use super::{Result, What};
use crate::failure::Outcome;
use crate::output::{self, Lines, Stream, Style};

/// Prints findings, what to do about them, what could not be read, and a summary.
pub fn print(result: &Result) -> Outcome<()> {
    let style = output::style(Stream::Output);
    let mut out = Lines::new();
    let new = |found: &&Found| found.status == Status::New;
    for found in result.tally.found.iter().filter(new) {
        out.line(&format!(
            "{}{}{}: {}{}{}: {}",
            style.bold,
            found.location(),
            style.reset,
            style.red,
            found.rule,
            style.reset,
            output::printable(&found.description)
        ))?;
        out.line(&format!("    {}", details(found, style)))?;
    }
    not_searched(result, &mut out)?;
    if result.new_findings() > 0 {
        out.line("")?;
        for step in what_to_do(result) {
            out.line(&step)?;
        }
        out.line("")?;
    }
    out.line(&summary(result, style))?;
    out.finish()?;
    faults(&result.tally.faults);
    Ok(())
}

/// Parts that could not be searched and are told one by one.
const NOTED_MAX: usize = 20;

/// Says what nobody has looked into.
fn not_searched(result: &Result, out: &mut Lines) -> Outcome<()> {
    let noted = |found: &&Found| found.status == Status::Noted;
    for found in result.tally.found.iter().filter(noted).take(NOTED_MAX) {
        out.line(&format!(
            "note: {}: {}",
            found.name(),
            output::printable(&found.description)
        ))?;
    }
    let count = result.tally.count(Status::Noted);
    if count > NOTED_MAX as u64 {
        let more = HumanCount(count - NOTED_MAX as u64);
        out.line(&format!("note: so it is with {more} more"))?;
    }
    Ok(())
}

/// Errors that are told one by one.
const FAULTS_MAX: usize = 100;

/// Says on standard error what could not be read.
pub fn faults(faults: &[Fault]) {
    let style = output::style(Stream::Error);
    for fault in faults.iter().take(FAULTS_MAX) {
        let (name, problem) = (fault.spot.name(), output::printable(&fault.problem));
        let from = fault
            .spot
            .commit
            .filter(|_| fault.spot.place == Place::Blob);
        let from = from.map_or(String::new(), |it| format!(" of commit {}", short(it)));
        eprintln!(
            "{}error{}: {name}{from} could not be scanned: {problem}",
            style.red, style.reset
        );
    }
    if let Some(more) = faults
        .len()
        .checked_sub(FAULTS_MAX)
        .filter(|more| *more > 0)
    {
        eprintln!(
            "{}error{}: so it is with {more} more",
            style.red, style.reset
        );
    }
}

fn details(found: &Found, style: Style) -> String {
    let mut parts = Vec::new();
    if !found.is_unread {
        parts.push(found.preview.clone());
    }
    let layers = found.via.iter().filter(|step| !step.starts_with('!'));
    let layers: Vec<&str> = layers.map(String::as_str).collect();
    if !layers.is_empty() {
        parts.push(format!("through {}", layers.join(", ")));
    }
    parts.push(format!("{} severity", found.severity));
    parts.push(format!("{} confidence", found.confidence));
    match found.checksum {
        Checksum::Valid => parts.push("checksum valid".to_owned()),
        Checksum::Invalid => parts.push("checksum wrong".to_owned()),
        Checksum::NotApplicable => {}
    }
    if let Some(commit) = found
        .spot
        .commit
        .filter(|_| found.spot.place != Place::Commit)
    {
        parts.push(format!("came in with commit {}", short(commit)));
    }
    match found.versions {
        0 => {}
        1 => parts.push("stands in one later version too".to_owned()),
        more => parts.push(format!("stands in {more} later versions too")),
    }
    format!("{}{}{}", style.dim, parts.join(", "), style.reset)
}

fn what_to_do(result: &Result) -> Vec<String> {
    let away = match result.what {
        What::Files => {
            "take it out of the file, and read it from the environment or a secret store"
        }
        What::Staged => "take it out of the file and stage that (git add), before it is committed",
        What::Range => {
            "rewrite the commit that brought it in (git rebase -i): a later commit does not \
             take it out of history"
        }
        What::History => {
            "it stays in history even where a later commit removed it; if others may fetch it, \
             only revoking helps"
        }
    };
    let mut steps = vec![
        "What to do about each:".to_owned(),
        "  - if anybody else may have seen it: revoke it where it was issued, issue a new one"
            .to_owned(),
        format!("  - {away}"),
        "  - if it is no secret: --write-baseline FILE once, --baseline FILE from then on"
            .to_owned(),
    ];
    if result.tally.cut > 0 {
        steps.push(format!(
            "{} more findings are not listed.",
            HumanCount(result.tally.cut)
        ));
    }
    steps
}

fn summary(result: &Result, style: Style) -> String {
    let tally = &result.tally;
    let new = result.new_findings();
    let colour = if new > 0 { style.red } else { style.green };
    let mut not_counted = Vec::new();
    for (status, words) in [
        (Status::Known, "in the baseline"),
        (Status::PreExisting, "there before"),
        (Status::Ignored, "ignored"),
        (Status::Noted, "not searched"),
    ] {
        match tally.count(status) {
            0 => {}
            count => not_counted.push(format!("{} {words}", HumanCount(count))),
        }
    }
    let mut findings = format!("{colour}{}{}", counted(new, "finding"), style.reset);
    if !not_counted.is_empty() {
        findings = format!("{findings} ({})", not_counted.join(", "));
    }
    let mut scanned = vec![counted(tally.files, "file")];
    if result.what != What::Files {
        scanned.push(counted(tally.commits, "commit"));
    }
    if tally.tags > 0 {
        scanned.push(counted(tally.tags, "tag"));
    }
    scanned.push(DecimalBytes(tally.bytes).to_string());
    scanned.push(format!("{:.2} s", result.seconds));
    let mut text = vec![format!("{findings} in {}", scanned.join(", "))];
    if tally.skipped > 0 {
        let skipped = HumanCount(tally.skipped);
        text.push(format!("{skipped} skipped that are no files"));
    }
    match tally.faults.len() {
        0 => {}
        count => text.push(counted(count as u64, "error")),
    }
    if let Some(path) = &result.written {
        let path = output::printable(&path.to_string_lossy());
        text.push(format!("baseline written to {path}"));
    }
    text.join("; ")
}

fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {what}{s}", HumanCount(count))
}
