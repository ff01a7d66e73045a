//! `refwarden audit --follow`: prints events as they happen, and comes again where the stream broke off.
//!
//! An event is taken when it is whole, and counts as had once it is printed: what was cut off in the
//! middle comes again, and nothing comes twice.

use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::Duration;

use chrono::SecondsFormat;
use refwarden_wire::api::EventOut;
use reqwest::blocking::Response;
use serde::Serialize;

use crate::api::Api;
use crate::args::AuditList;
use crate::failure::{Context as _, Failure, Outcome};
use crate::output::{self, printable};

/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Prints events until it is stopped, or as many as were asked for.
pub fn run(args: &AuditList) -> Outcome {
    let after = args.after.as_deref().map(|leaf| {
        leaf.parse().map_err(|_| {
            Failure::new(format!("--after {}: this is no leaf", printable(leaf)))
                .next("give the `leaf` of the last line that --follow --json has printed")
        })
    });
    let mut following = Following {
        args,
        last: after.transpose()?,
        left: args.limit.unwrap_or(usize::MAX),
    };
    // What is wrong at the beginning is said at once.
    let mut answer = Some(following.open()?);
    eprintln!("Following; Ctrl-C ends it.");
    let mut wait = Duration::from_secs(1);
    while following.left > 0 {
        if let Some(answer) = answer.take() {
            if following.print(answer)? {
                wait = Duration::from_secs(1);
            }
            continue;
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
        match following.open() {
            Ok(found) => answer = Some(found),
            // A refusal stays one; a service that is away or full comes back.
            Err(failure) if failure.is_refusal() => return Err(failure),
            Err(_) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Following<'a> {
    args: &'a AuditList,
    /// The leaf of the last event, or of what else was looked at last.
    last: Option<u64>,
    left: usize,
}

impl Following<'_> {
    /// Opens the stream, with a fresh token where one can be made.
    fn open(&self) -> Outcome<Response> {
        let api = Api::connect(&self.args.service)?;
        let mut query = vec![("q", self.args.query.clone().unwrap_or_default())];
        query.extend(self.last.map(|last| ("after", last.to_string())));
        api.fetch_stream("/api/v1/events/stream", &query)
    }

    /// Prints what comes until the stream ends; says whether anything did.
    fn print(&mut self, answer: Response) -> Outcome<bool> {
        let mut has_come = false;
        let mut reader = BufReader::new(answer);
        while let Some(message) = next(&mut reader) {
            has_come = true;
            if let Some((leaf, data)) = message.id.zip(message.data) {
                let event: EventOut = serde_json::from_str(&data)
                    .context(|| "an event of the stream is not understood".to_owned())?;
                self.show(leaf, &event)?;
                self.left -= 1;
            }
            self.last = message.id.or(self.last);
            if self.left == 0 {
                break;
            }
        }
        Ok(has_come)
    }

    fn show(&self, leaf: u64, event: &EventOut) -> Outcome<()> {
        if self.args.json {
            return output::json(&Line { leaf, event });
        }
        let at = event
            .recorded_at
            .to_rfc3339_opts(SecondsFormat::Millis, true);
        let ref_name = event.ref_name.as_deref().unwrap_or("-");
        output::line(&format!(
            "{at}  {}/{}  {}  {}  {}  {}",
            printable(&event.repository),
            event.seq,
            printable(&event.kind),
            printable(&event.actor),
            printable(ref_name),
            printable(&event.summary),
        ))
    }
}

/// An event, and where to go on behind it.
#[derive(Serialize)]
struct Line<'a> {
    leaf: u64,
    #[serde(flatten)]
    event: &'a EventOut,
}

/// What stands between two empty lines of a stream (WHATWG HTML, "Interpreting an event stream").
#[derive(Debug, Default, PartialEq, Eq)]
struct Message {
    id: Option<u64>,
    data: Option<String>,
}

/// The next message that is whole; none where the stream ends, is broken off or silent for too long.
fn next(reader: &mut impl BufRead) -> Option<Message> {
    let mut message = Message::default();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        let line = line.strip_suffix(b"\n")?;
        if line.is_empty() {
            return Some(message);
        }
        let line = String::from_utf8_lossy(line);
        if let Some(id) = line.strip_prefix("id: ") {
            message.id = id.parse().ok();
        } else if let Some(data) = line.strip_prefix("data: ") {
            message.data = Some(data.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 3000\nid: 7\n\n:\n\nid: 12\ndata: {\"a\": 1}\n\nid: 13\n\n";

    fn all(stream: &str) -> Vec<(Option<u64>, Option<String>)> {
        let mut reader = stream.as_bytes();
        std::iter::from_fn(|| next(&mut reader).map(|it| (it.id, it.data))).collect()
    }

    #[test]
    fn what_is_cut_off_anywhere_was_not_had() {
        let data = Some("{\"a\": 1}".to_owned());
        let whole = [
            (Some(7), None),
            (None, None),
            (Some(12), data),
            (Some(13), None),
        ];
        assert_eq!(all(STREAM), whole);
        for cut in 0..STREAM.len() {
            let had = all(&STREAM[..cut]);
            assert!(whole.starts_with(&had), "{cut}: {had:?}");
            let ends = STREAM[..cut].matches("\n\n").count();
            assert_eq!(had.len(), ends, "{cut}");
        }
    }
}
