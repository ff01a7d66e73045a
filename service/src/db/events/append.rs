//! The statement that appends events: one for numbers and rows, which each connection prepares once,
//! so that the repository's lock is held for little more than the commit.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text, Timestamptz};
use uuid::Uuid;

use super::NewEvent;
use crate::db::records::text;

/// Events of one repository; by column, since Postgres makes rows of arrays.
#[derive(Debug, Default)]
pub struct Append<'a> {
    repository: Uuid,
    now: DateTime<Utc>,
    count: i64,
    kinds: Vec<&'static str>,
    actors: Vec<&'a str>,
    pushes: Vec<Option<Uuid>>,
    requests: Vec<Option<&'a str>>,
    refs: Vec<Option<&'a [u8]>>,
    ref_texts: Vec<Option<String>>,
    olds: Vec<Option<&'a str>>,
    news: Vec<Option<&'a str>>,
    /// Joined by commas, which no code has: Postgres would make one row of an array of arrays.
    codes: Vec<String>,
    summaries: Vec<&'a str>,
}

impl<'a> Append<'a> {
    /// The statement for events in order.
    pub fn of(repository: Uuid, now: DateTime<Utc>, new: &'a [NewEvent]) -> Self {
        let mut all = Self {
            repository,
            now,
            count: i64::try_from(new.len()).unwrap_or_default(),
            ..Self::default()
        };
        for event in new {
            let ref_name = event.ref_name.as_deref();
            all.kinds.push(event.kind);
            all.actors.push(&event.actor);
            all.pushes.push(event.push_id);
            all.requests.push(event.request_id.as_deref());
            all.refs.push(ref_name);
            all.ref_texts.push(ref_name.map(text));
            all.olds.push(event.old_oid.as_deref());
            all.news.push(event.new_oid.as_deref());
            all.codes.push(event.codes.join(","));
            all.summaries.push(&event.summary);
        }
        all
    }
}

impl QueryFragment<Pg> for Append<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        type Texts = Array<Text>;
        type MaybeTexts = Array<Nullable<Text>>;
        out.push_sql("WITH numbers AS (UPDATE repositories SET next_seq = next_seq + ");
        out.push_bind_param::<BigInt, _>(&self.count)?;
        out.push_sql(" WHERE id = ");
        out.push_bind_param::<diesel::sql_types::Uuid, _>(&self.repository)?;
        out.push_sql(" RETURNING next_seq - ");
        out.push_bind_param::<BigInt, _>(&self.count)?;
        out.push_sql(
            " AS first) INSERT INTO events (repository_id, seq, recorded_at, kind, actor, \
             push_id, request_id, ref_name, ref_name_text, old_oid, new_oid, codes, summary) \
             SELECT ",
        );
        out.push_bind_param::<diesel::sql_types::Uuid, _>(&self.repository)?;
        out.push_sql(", first + place - 1, ");
        out.push_bind_param::<Timestamptz, _>(&self.now)?;
        out.push_sql(
            ", kind, actor, push_id, request_id, ref_name, ref_name_text, old_oid, new_oid, \
             string_to_array(codes, ','), summary FROM numbers, unnest(",
        );
        out.push_bind_param::<Texts, _>(&self.kinds)?;
        out.push_sql(", ");
        out.push_bind_param::<Texts, _>(&self.actors)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<diesel::sql_types::Uuid>>, _>(&self.pushes)?;
        out.push_sql(", ");
        out.push_bind_param::<MaybeTexts, _>(&self.requests)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Binary>>, _>(&self.refs)?;
        out.push_sql(", ");
        out.push_bind_param::<MaybeTexts, _>(&self.ref_texts)?;
        out.push_sql(", ");
        out.push_bind_param::<MaybeTexts, _>(&self.olds)?;
        out.push_sql(", ");
        out.push_bind_param::<MaybeTexts, _>(&self.news)?;
        out.push_sql(", ");
        out.push_bind_param::<Texts, _>(&self.codes)?;
        out.push_sql(", ");
        out.push_bind_param::<Texts, _>(&self.summaries)?;
        out.push_sql(
            ") WITH ORDINALITY AS added (kind, actor, push_id, request_id, ref_name, \
             ref_name_text, old_oid, new_oid, codes, summary, place) ORDER BY place RETURNING seq",
        );
        Ok(())
    }
}

impl QueryId for Append<'_> {
    type QueryId = Append<'static>;

    // The text is always the same.
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Append<'_> {
    type SqlType = BigInt;
}

impl RunQueryDsl<PgConnection> for Append<'_> {}
