//! SQL that is put together from texts that stand in this program and from values that are bound. The
//! types see to that: [`Piece::Sql`] holds a `&'static str`.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Untyped};

/// One after the other.
#[derive(Debug, Default)]
pub struct Pieces(Vec<Piece>);

/// Text of this program, or a value.
#[derive(Debug)]
pub enum Piece {
    /// SQL.
    Sql(&'static str),
    /// A value.
    Text(String),
    /// A value.
    Texts(Vec<String>),
    /// A value.
    Uuid(uuid::Uuid),
    /// A value.
    Uuids(Vec<uuid::Uuid>),
    /// A value.
    Number(i64),
    /// A value.
    Numbers(Vec<i64>),
    /// A value.
    Time(DateTime<Utc>),
}

impl Pieces {
    /// Adds SQL.
    pub fn sql(&mut self, text: &'static str) {
        self.0.push(Piece::Sql(text));
    }

    /// Adds a value.
    pub fn bind(&mut self, value: Piece) {
        self.0.push(value);
    }
}

impl QueryFragment<Pg> for Pieces {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Planned anew for what is asked: only then an index serves a pattern.
        out.unsafe_to_cache_prepared();
        for piece in &self.0 {
            match piece {
                Piece::Sql(text) => out.push_sql(text),
                Piece::Text(text) => out.push_bind_param::<Text, _>(text)?,
                Piece::Texts(texts) => out.push_bind_param::<Array<Text>, _>(texts)?,
                Piece::Uuid(id) => out.push_bind_param::<diesel::sql_types::Uuid, _>(id)?,
                Piece::Uuids(ids) => {
                    out.push_bind_param::<Array<diesel::sql_types::Uuid>, _>(ids)?;
                }
                Piece::Number(number) => out.push_bind_param::<BigInt, _>(number)?,
                Piece::Numbers(numbers) => out.push_bind_param::<Array<BigInt>, _>(numbers)?,
                Piece::Time(at) => out.push_bind_param::<Timestamptz, _>(at)?,
            }
        }
        Ok(())
    }
}

impl QueryId for Pieces {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

/// A whole statement, whose rows are read by the names of their columns.
impl Query for Pieces {
    type SqlType = Untyped;
}
impl RunQueryDsl<PgConnection> for Pieces {}
