//! Events in the formats that other tools read, one event at a time: nothing is held but the
//! writer's state, so that a stream of any length needs no more memory than one page.
//!
//! It reads nothing. Whatever a pusher chose stands in the output escaped for that format.

mod cef;
mod csv;
mod ocsf;
mod sarif;
#[cfg(test)]
mod tests;

use refwarden_model::bytes::escape;
use serde::Deserialize;

use crate::db::events::Event;
use crate::db::records::Finding;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line, as `GET /api/v1/events` gives them.
    Jsonl,
    /// Comma-separated values (RFC 4180), with cells that no spreadsheet takes for formulas.
    Csv,
    /// Open Cybersecurity Schema Framework 1.3.0, one JSON object a line.
    Ocsf,
    /// Common Event Format, version 0, one event a line.
    Cef,
    /// SARIF 2.1.0: the findings of the pushes.
    Sarif,
}

impl Format {
    /// The media type of the whole.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Cef => "text/plain; charset=utf-8",
            Self::Sarif => "application/sarif+json",
        }
    }

    /// Whether findings are written, and not the events themselves.
    pub const fn is_of_findings(self) -> bool {
        matches!(self, Self::Sarif)
    }
}

/// Writes events, one after the other.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    results: u64,
}

impl Writer {
    /// Begins.
    pub const fn new(format: Format) -> Self {
        Self { format, results: 0 }
    }

    /// What stands before everything.
    pub fn begin(&self, out: &mut String) {
        match self.format {
            Format::Csv => csv::header(out),
            Format::Sarif => sarif::begin(out),
            Format::Jsonl | Format::Ocsf | Format::Cef => {}
        }
    }

    /// One event of the repository of that name.
    pub fn event(&self, out: &mut String, event: &Event, repository: &str) {
        match self.format {
            Format::Jsonl => {
                let event = crate::api::event_out(event.clone(), repository.to_owned());
                if let Ok(line) = serde_json::to_string(&event) {
                    out.push_str(&line);
                    out.push('\n');
                }
            }
            Format::Csv => csv::row(out, event, repository),
            Format::Ocsf => ocsf::line(out, event, repository),
            Format::Cef => cef::line(out, event, repository),
            Format::Sarif => {}
        }
    }

    /// One finding of the push that `event` is about.
    pub fn finding(&mut self, out: &mut String, event: &Event, repository: &str, found: &Finding) {
        if self.results > 0 {
            out.push(',');
        }
        self.results += 1;
        sarif::result(out, event, repository, found);
    }

    /// What stands behind everything.
    pub fn end(&self, out: &mut String) {
        if self.format == Format::Sarif {
            out.push_str("]}]}\n");
        }
    }
}

/// A ref name as printable ASCII; empty where the event is about none.
fn ref_name(event: &Event) -> String {
    event.ref_name.as_deref().map(escape).unwrap_or_default()
}

/// A time, UTC, with six digits behind the second.
fn time(event: &Event) -> String {
    let format = chrono::SecondsFormat::Micros;
    event.recorded_at.to_rfc3339_opts(format, true)
}

/// What names the event for good: repository and number.
fn name(event: &Event) -> String {
    format!("{}/{}", event.repository_id, event.seq)
}

/// Whether somebody was stopped.
fn is_refusal(event: &Event) -> bool {
    let last = event.kind.rsplit('.').next();
    matches!(
        last,
        Some("denied" | "rejected" | "refused" | "not_moved" | "revoked")
    )
}

/// Whether a rule or the guard was passed by.
fn is_alarming(event: &Event) -> bool {
    matches!(
        event.kind.as_str(),
        "ref.out_of_band" | "break_glass.used" | "policy.bypassed"
    )
}
