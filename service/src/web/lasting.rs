//! What the pages of grants and exceptions share: who asked, who has approved, until when it holds,
//! and the form that takes it back.

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use chrono::{DateTime, Utc};
use diesel::PgConnection;
use refwarden_model::RequestId;
use refwarden_policy::is_listed;
use serde::Deserialize;

use super::error::PageError;
use super::request::needs;
use super::session::SignedIn;
use super::text::{distance, visible, visible_line};
use super::views::{Comment, Decision, Need, Person};
use crate::api::{is_auditor, may_see};
use crate::approval::{self, Bound};
use crate::db::comments;
use crate::db::requests::{self, Request, state};
use crate::error::AppError;
use crate::state::AppState;

/// What both show.
pub struct Lasting {
    pub id: String,
    pub digest: String,
    pub state: String,
    pub repository: String,
    pub pusher: Person,
    pub on_behalf_of: Vec<Person>,
    pub created: String,
    pub age: String,
    pub until: String,
    pub left: String,
    pub needs: Vec<Need>,
    pub decisions: Vec<Decision>,
    pub ended: Option<(String, String)>,
    pub comments: Vec<Comment>,
    pub may_decide: bool,
    pub may_revoke: bool,
    pub why_not: String,
}

impl Lasting {
    /// Collects it. `ended` says who took it back and why, where somebody did.
    pub fn of(
        conn: &mut PgConnection,
        request: &Request,
        signed_in: &SignedIn,
        ended: Option<(String, String)>,
        is_admin: bool,
        now: DateTime<Utc>,
    ) -> Result<Self, AppError> {
        let bound = Bound::of(request)?;
        let decisions = requests::decisions(conn, &request.id)?;
        let tally = approval::progress(&bound.requirements, &decisions)?;
        let mine = decisions.iter().any(|made| {
            made.approver_issuer == signed_in.actor.issuer
                && made.approver_subject == signed_in.actor.subject
        });
        let waits = request.state == state::WAITING;
        let barred = approval::may_decide(conn, request, &signed_in.actor)?;
        let why_not = match &barred {
            _ if !waits => String::new(),
            Err(why) => why.to_string(),
            Ok(()) if mine => "you have decided already".to_owned(),
            Ok(()) => String::new(),
        };
        let may_decide = waits && barred.is_ok() && !mine;
        // Who is asked to approve it rejects it instead.
        let stands = (waits && !may_decide) || request.state == state::APPROVED;
        let until = request.expires_at.format("%Y-%m-%d %H:%M:%S UTC");
        let said = comments::of(conn, &request.id)?;
        Ok(Self {
            id: request.id.clone(),
            digest: request.digest.clone(),
            state: request.state.clone(),
            repository: visible_line(approval::repository_name(conn, request)?.as_bytes()),
            pusher: Person::of(&bound.chain.pusher),
            on_behalf_of: bound.chain.on_behalf_of.iter().map(Person::of).collect(),
            created: request.created_at.format("%Y-%m-%d %H:%M UTC").to_string(),
            age: distance(request.created_at, now),
            until: until.to_string(),
            left: distance(now, request.expires_at),
            needs: needs(&bound, &tally.counted),
            decisions: decisions
                .iter()
                .map(|made| Decision::of(made, now))
                .collect(),
            ended: ended
                .map(|(by, reason)| (visible_line(by.as_bytes()), visible(reason.as_bytes()))),
            comments: said.iter().map(|said| Comment::of(said, now)).collect(),
            may_decide,
            may_revoke: stands
                && approval::lasting::may_revoke(&bound, &signed_in.chain(), is_admin),
            why_not,
        })
    }
}

/// Whether somebody is an administrator.
pub fn is_admin(state: &AppState, signed_in: &SignedIn) -> bool {
    is_listed(&state.config.access.admins, &signed_in.actor)
}

/// What the form that takes it back posts.
#[derive(Deserialize)]
pub struct Revoke {
    csrf: String,
    reason: String,
}

/// Takes a grant or an exception back and goes back to its page.
pub async fn revoke(
    signed_in: SignedIn,
    state: Data<AppState>,
    id: Path<String>,
    form: Form<Revoke>,
) -> Result<HttpResponse, PageError> {
    let id: RequestId = id.parse().map_err(|_| AppError::not_found())?;
    signed_in.check_form(&form.csrf)?;
    let back = format!("/r/{id}");
    let chain = signed_in.chain();
    let auditor = is_auditor(&state, &chain);
    let admin = is_admin(&state, &signed_in);
    let ended = state
        .db(move |conn| {
            let request = requests::find(conn, id.as_str())?.ok_or_else(AppError::not_found)?;
            if !may_see(&request, &chain, auditor)? {
                return Err(AppError::not_found());
            }
            let (id, kind, why) = (id.as_str(), &request.kind, &form.reason);
            approval::lasting::revoke(conn, id, kind, &chain, admin, why, Utc::now())
        })
        .await;
    if let Err(error) = ended {
        return Err(PageError::Decision(error, back));
    }
    state.announce();
    Ok(HttpResponse::SeeOther()
        .insert_header((LOCATION, back))
        .finish())
}
