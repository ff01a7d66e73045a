//! Who was sent a secret, for auditors: one question, one table.
//!
//! Whoever asks is recorded as a reader, as through the API. It changes nothing else.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use askama::Template;
use chrono::{DateTime, Utc};
use diesel::Connection as _;
use refwarden_wire::exposure::{ExposureOut, Holding};
use serde::Deserialize;

use super::error::PageError;
use super::html;
use super::session::SignedIn;
use super::text::visible_line;
use crate::api::{exposure as api, find_repository, is_auditor};
use crate::db::events;
use crate::error::AppError;
use crate::exposure;
use crate::state::AppState;

/// Rows of the page; the command line and the API tell the rest.
const ROWS_MAX: usize = 1000;

/// What the page is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// A fingerprint, or the id of a rule.
    #[serde(default)]
    secret: String,
    #[serde(default)]
    repository: String,
}

#[derive(Template)]
#[template(path = "exposure.html")]
struct Exposure {
    who: Option<String>,
    csrf: String,
    secret: String,
    repository: String,
    wrong: Option<String>,
    answer: Option<Answer>,
}

struct Answer {
    /// Places that hold it.
    objects: usize,
    rows: Vec<Row>,
    notes: Vec<String>,
    cut: bool,
}

struct Row {
    at: DateTime<Utc>,
    time: String,
    how: String,
    /// The class of the tag.
    tone: &'static str,
    who: String,
    from: String,
    repository: String,
    view: String,
    places: String,
}

/// Shows the question, and the answer where one was asked.
pub async fn exposure(
    signed_in: SignedIn,
    state: Data<AppState>,
    asked: Query<Asked>,
) -> Result<HttpResponse, PageError> {
    let chain = signed_in.chain();
    if !is_auditor(&state, &chain) {
        let why = "Only auditors read the records; see [access].";
        return Err(AppError::forbidden(why).into());
    }
    let asked = asked.into_inner();
    let mut page = Exposure {
        who: Some(visible_line(signed_in.actor.subject.as_bytes())),
        csrf: signed_in.csrf.clone(),
        secret: asked.secret.clone(),
        repository: asked.repository.clone(),
        wrong: None,
        answer: None,
    };
    if asked.secret.is_empty() {
        return Ok(html(&page)?);
    }
    let secret = asked.secret.trim().to_owned();
    let digits = secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (fingerprint, rule) = if digits {
        (Some(&*secret), None)
    } else {
        (None, Some(&*secret))
    };
    let sought = match api::sought(fingerprint, rule) {
        Ok(sought) => sought,
        Err(error) => {
            page.wrong = Some(visible_line(error.title().as_bytes()));
            return Ok(html(&page)?);
        }
    };
    let reader = chain.describe();
    let what = format!("page /audit/exposure {asked:?}");
    let found = state
        .db(move |conn| {
            events::record_reading(conn, Utc::now(), &reader, &what)?;
            let repository = match asked.repository.trim() {
                "" => None,
                name => Some(find_repository(conn, name)?.id),
            };
            conn.transaction(|conn| exposure::of_findings(conn, &sought, repository))
        })
        .await;
    match found {
        Ok(found) => page.answer = Some(answer(found)),
        Err(AppError::NoSuch(_)) => page.wrong = Some("There is no such repository.".to_owned()),
        Err(AppError::BadRequest(why)) => page.wrong = Some(visible_line(why.as_bytes())),
        Err(error) => return Err(error.into()),
    }
    Ok(html(&page)?)
}

fn answer(out: ExposureOut) -> Answer {
    let shown = |text: &str| visible_line(text.as_bytes());
    let places = places(&out.objects);
    let named = |objects: &[String]| {
        let all = objects.iter().filter_map(|oid| places.get(oid.as_str()));
        let all: BTreeSet<&String> = all.flatten().collect();
        let all: Vec<&str> = all.into_iter().take(5).map(String::as_str).collect();
        shown(&all.join(", "))
    };
    let mut rows = Vec::new();
    for fetch in out.fetches {
        let is_sure = fetch.certainty.as_deref() == Some("exact");
        rows.push(Row {
            at: fetch.at,
            time: shown_time(fetch.at),
            how: if is_sure { "fetch" } else { "fetch, stopped" }.to_owned(),
            tone: if is_sure { "rejected" } else { "waiting" },
            who: shown(&fetch.reader),
            from: shown(fetch.address.as_deref().unwrap_or("unknown")),
            repository: shown(&fetch.repository),
            view: fetch.view.unwrap_or_else(|| "whole".to_owned()),
            places: named(&fetch.objects),
        });
    }
    for push in out.pushes {
        rows.push(Row {
            at: push.at,
            time: shown_time(push.at),
            how: format!("push, {}", push.state),
            tone: "",
            who: shown(&push.pusher),
            from: shown(push.address.as_deref().unwrap_or(&push.transport)),
            repository: shown(&push.repository),
            view: String::new(),
            places: named(&push.objects),
        });
    }
    rows.sort_by_key(|row| row.at);
    let cut = out.cut || rows.len() > ROWS_MAX;
    rows.truncate(ROWS_MAX);
    let mut notes = Vec::new();
    if !out.unknown.is_empty() {
        notes.push(format!(
            "Of {} fetches of the same repositories it is not known what they carried.",
            out.unknown.len()
        ));
    }
    for masked in out.masked {
        let readers = shown(&masked.readers.join(", "));
        let (count, repository) = (masked.fetches, shown(&masked.repository));
        notes.push(if masked.knew {
            format!("{count} masked fetches of {repository} were sent a placeholder: {readers}.")
        } else {
            format!(
                "{count} masked fetches of {repository} are not shown to be clean, since the rules of \
                 their view are not known to find it: {readers}."
            )
        });
    }
    Answer {
        objects: out.objects.len(),
        rows,
        notes,
        cut,
    }
}

fn shown_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn places(objects: &[Holding]) -> BTreeMap<&str, BTreeSet<String>> {
    let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for holding in objects {
        if let Some(oid) = &holding.oid {
            let place = holding
                .path
                .clone()
                .unwrap_or_else(|| format!("{} {}", holding.place, oid.get(..12).unwrap_or(oid)));
            places.entry(oid).or_default().insert(place);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pusher_or_a_client_chose_is_text() {
        let typed = "\"><script>alert(1)</script>".to_owned();
        let hostile = format!("{typed}\u{202e}");
        let out = ExposureOut {
            objects: vec![Holding {
                oid: Some("1".repeat(40)),
                place: "blob".into(),
                path: Some(hostile.clone()),
                commit: None,
                rule: hostile.clone(),
                fingerprint: "f".into(),
            }],
            fetches: vec![refwarden_wire::exposure::ExposedFetchOut {
                id: uuid::Uuid::nil(),
                repository: hostile.clone(),
                seq: 1,
                at: Utc::now(),
                reader: hostile.clone(),
                actor_chain: None,
                token_sha256: None,
                address: Some(hostile.clone()),
                agent: Some(hostile.clone()),
                transport: "http".into(),
                view: None,
                ended: "complete".into(),
                certainty: Some("exact".into()),
                objects: vec!["1".repeat(40)],
                pack_digest: None,
            }],
            ..ExposureOut::default()
        };
        let page = Exposure {
            who: None,
            csrf: String::new(),
            // What somebody typed stands in the form again as it was.
            secret: typed.clone(),
            repository: typed,
            wrong: Some(visible_line(hostile.as_bytes())),
            answer: Some(answer(out)),
        };
        let html = page.render().unwrap();
        // The base template has a script element of its own, with a source and without a text.
        assert!(
            !html.contains("<script>") && !html.contains('\u{202e}'),
            "{html}"
        );
        assert!(html.contains("&#60;script&#62;alert(1)"), "{html}");
    }
}
