//! The report for programs: one object a line, each with its `type`.

use refwarden_model::ByteText;
use refwarden_scan::Checksum;
use serde::Serialize;

use super::Result;
use super::engine::Engine;
use super::found::{Found, Spot, Status};
use crate::failure::Outcome;
use crate::output::Lines;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'l> {
    Finding {
        status: &'static str,
        rule: &'l str,
        description: &'l str,
        severity: String,
        confidence: String,
        #[serde(flatten)]
        spot: Where,
        line: u64,
        column: u64,
        span: Span,
        preview: &'l str,
        fingerprint: String,
        checksum: Option<&'static str>,
        entropy: f32,
        via: &'l [String],
        later_versions: u64,
    },
    Error {
        #[serde(flatten)]
        spot: Where,
        problem: &'l str,
    },
    Summary {
        exit_code: u8,
        findings: u64,
        known: u64,
        pre_existing: u64,
        ignored: u64,
        not_searched: u64,
        not_listed: u64,
        errors: usize,
        files: u64,
        commits: u64,
        tags: u64,
        skipped: u64,
        bytes: u64,
        seconds: f64,
        rules: usize,
        ruleset: &'l str,
        version: &'static str,
    },
}

#[derive(Serialize)]
struct Where {
    place: &'static str,
    path: Option<ByteText>,
    object: Option<String>,
    commit: Option<String>,
}

#[derive(Serialize)]
struct Span {
    start: u64,
    end: u64,
}

/// Prints findings, known ones too, then errors, then a summary.
pub fn print(result: &Result, engine: &Engine) -> Outcome<()> {
    let tally = &result.tally;
    let mut out = Lines::new();
    for found in &tally.found {
        out.json(&finding(found))?;
    }
    for fault in &tally.faults {
        out.json(&Line::Error {
            spot: place(&fault.spot),
            problem: &fault.problem,
        })?;
    }
    out.json(&Line::Summary {
        exit_code: result.code(),
        findings: result.new_findings(),
        known: tally.count(Status::Known),
        pre_existing: tally.count(Status::PreExisting),
        ignored: tally.count(Status::Ignored),
        not_searched: tally.count(Status::Noted),
        not_listed: tally.cut,
        errors: tally.faults.len(),
        files: tally.files,
        commits: tally.commits,
        tags: tally.tags,
        skipped: tally.skipped,
        bytes: tally.bytes,
        seconds: result.seconds,
        rules: engine.ruleset().rules().count(),
        ruleset: engine.ruleset().id().as_str(),
        version: env!("CARGO_PKG_VERSION"),
    })?;
    out.finish()
}

fn finding(found: &Found) -> Line<'_> {
    Line::Finding {
        status: found.status.name(),
        rule: &found.rule,
        description: &found.description,
        severity: found.severity.to_string(),
        confidence: found.confidence.to_string(),
        spot: place(&found.spot),
        line: found.line,
        column: found.column,
        span: Span {
            start: found.span.start,
            end: found.span.end,
        },
        preview: &found.preview,
        fingerprint: found.fingerprint.to_string(),
        checksum: checksum(found.checksum),
        entropy: found.entropy,
        via: &found.via,
        later_versions: found.versions,
    }
}

/// The word for what a checksum says; none where a format has none.
pub fn checksum(checksum: Checksum) -> Option<&'static str> {
    match checksum {
        Checksum::NotApplicable => None,
        Checksum::Valid => Some("valid"),
        Checksum::Invalid => Some("invalid"),
    }
}

fn place(spot: &Spot) -> Where {
    Where {
        place: spot.place.name(),
        path: spot.path.as_deref().map(ByteText::new),
        object: spot.object.map(|oid| oid.to_string()),
        commit: spot.commit.map(|oid| oid.to_string()),
    }
}
