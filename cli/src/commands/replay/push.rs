//! `refwarden replay --push`: plays a push as a session, at any speed.

use std::process::ExitCode;
use std::time::Duration;

use chrono::SecondsFormat;
use refwarden_session::{Before, Session, Step, steps};
use refwarden_wire::api::{EventOut, EventsOut, PushRecordOut, ReplayOut, RequestOut};
use serde::Serialize;
use uuid::Uuid;

use super::escaped;
use crate::api::Api;
use crate::args::Replay;
use crate::failure::Outcome;
use crate::output;

/// The longest wait between two steps: people took their time to decide.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Result<'a> {
    push: Uuid,
    repository: &'a str,
    received_at: chrono::DateTime<chrono::Utc>,
    state: &'a str,
    steps: &'a [Step],
}

/// Plays the push.
pub fn run(args: &Replay, push: Uuid) -> Outcome {
    let session = fetch(&Api::connect(&args.service)?, push)?;
    let steps = steps(&session, &output::printable);
    let record = &session.record;
    if args.json {
        output::json(&Result {
            push,
            repository: &record.repository,
            received_at: record.received_at,
            state: &record.state,
            steps: &steps,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let at = record
        .received_at
        .to_rfc3339_opts(SecondsFormat::Millis, true);
    let repository = output::printable(&record.repository);
    output::line(&format!("Push {push} to {repository}, {at}"))?;
    play(&steps, args.speed, std::thread::sleep)?;
    output::line(&format!("It is {} now.", output::printable(&record.state)))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints step by step; at a speed, with as much time between them as there was, divided by it.
fn play(steps: &[Step], speed: Option<f64>, mut wait: impl FnMut(Duration)) -> Outcome<()> {
    let mut before = steps.first().map_or(0, |step| step.after_ms);
    for step in steps {
        let gap = u64::try_from(step.after_ms - before).unwrap_or(0);
        before = step.after_ms;
        if let Some(speed) = speed
            && gap > 0
        {
            let gap = Duration::from_millis(gap).as_secs_f64() / speed;
            let gap = Duration::try_from_secs_f64(gap).unwrap_or(LONGEST);
            wait(gap.min(LONGEST));
        }
        output::line(&format!("{:>12}  {}", step.offset(), step.what))?;
        for line in &step.lines {
            output::line(&format!("{:14}{line}", ""))?;
        }
    }
    Ok(())
}

fn fetch(api: &Api, push: Uuid) -> Outcome<Session> {
    let record: PushRecordOut = api.get(&format!("/api/v1/pushes/{push}"), &[])?;
    let mut events = events(api, "push", &push.to_string())?;
    let mut ids: Vec<String> = Vec::new();
    for event in &events {
        ids.extend(event.request_id.clone().filter(|id| !ids.contains(id)));
    }
    let mut requests: Vec<RequestOut> = Vec::new();
    for id in ids {
        // What other pushes did with the request is theirs.
        let of_it = self::events(api, "q", &format!("request:{id} kind:request"))?;
        let known: Vec<i64> = events.iter().map(|event| event.seq).collect();
        events.extend(of_it.into_iter().filter(|it| !known.contains(&it.seq)));
        requests.push(api.get(&format!("/api/v1/requests/{}", escaped(&id)), &[])?);
    }
    events.sort_by_key(|event| event.seq);
    let first = events.first().map_or(0, |event| event.seq);
    let before = if first > 1 {
        let path = format!(
            "/api/v1/repositories/{}/replay",
            escaped(&record.repository)
        );
        let before: ReplayOut = api.get(&path, &[("at", format!("seq:{}", first - 1))])?;
        Some(Before {
            refs: before.refs.len(),
            head: before.head.to_string(),
        })
    } else {
        None
    };
    Ok(Session {
        record,
        events,
        requests,
        before,
    })
}

/// All pages.
fn events(api: &Api, key: &'static str, value: &str) -> Outcome<Vec<EventOut>> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let mut query = vec![(key, value.to_owned()), ("limit", "1000".to_owned())];
        query.extend(after.take().map(|after| ("after", after)));
        let page: EventsOut = api.get("/api/v1/events", &query)?;
        all.extend(page.events);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(after_ms: i64) -> Step {
        Step {
            at: chrono::DateTime::UNIX_EPOCH,
            after_ms,
            what: "asked".to_owned(),
            lines: Vec::new(),
        }
    }

    #[test]
    fn waits_are_divided_by_the_speed_and_bounded() {
        let steps = [0, 0, 250, 90_000, 90_001].map(step);
        let waits = |speed| {
            let mut all = Vec::new();
            play(&steps, speed, |wait| all.push(wait.as_micros())).unwrap();
            all
        };
        assert_eq!(waits(None), [0; 0]);
        assert_eq!(waits(Some(1.0)), [250_000, 5_000_000, 1000]);
        assert_eq!(waits(Some(100.0)), [2500, 897_500, 10]);
        assert_eq!(waits(Some(0.5)), [500_000, 5_000_000, 2000]);
        // So slow that no duration could hold it.
        assert_eq!(waits(Some(1e-300)), [5_000_000; 3]);
    }
}
