//! RFC 4180: all cells quoted, lines end with CR LF.
//!
//! Spreadsheets run cells that begin with certain characters as formulas (OWASP, "CSV
//! Injection"). Such a cell gets an apostrophe in front, which spreadsheets do not show.

use super::{name, ref_name, time};
use crate::db::events::Event;

const HEADER: [&str; 13] = [
    "time",
    "repository",
    "event",
    "kind",
    "actor",
    "ref",
    "old",
    "new",
    "push",
    "request",
    "codes",
    "summary",
    "id",
];

pub fn header(out: &mut String) {
    line(out, &HEADER.map(ToOwned::to_owned));
}

pub fn row(out: &mut String, event: &Event, repository: &str) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let cells = [
        time(event),
        repository.to_owned(),
        event.seq.to_string(),
        event.kind.clone(),
        event.actor.clone(),
        ref_name(event),
        text(&event.old_oid),
        text(&event.new_oid),
        event.push_id.map(|id| id.to_string()).unwrap_or_default(),
        text(&event.request_id),
        event.codes.join(" "),
        event.summary.clone(),
        name(event),
    ];
    line(out, &cells);
}

fn line(out: &mut String, cells: &[String]) {
    for (index, cell) in cells.iter().enumerate() {
        out.push_str(if index == 0 { "\"" } else { ",\"" });
        if is_formula(cell) {
            out.push('\'');
        }
        out.push_str(&cell.replace('"', "\"\""));
        out.push('"');
    }
    out.push_str("\r\n");
}

/// Full-width forms count too: some spreadsheets fold them.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'])
}
