//! Terms of the grammar as SQL conditions on events.
//!
//! SQL is made of texts that stand in this file; what somebody asks for is bound, never written
//! into it. The types see to that: [`Piece::Sql`] holds a `&'static str`.

use chrono::{DateTime, Utc};
use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz};
use refwarden_query::{ActorKind, Field, Glob, State, Term};

use super::schema::events;

/// A condition on events.
#[derive(Debug, Default)]
pub struct Condition(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Sql(&'static str),
    Text(String),
    Texts(Vec<String>),
    Uuid(uuid::Uuid),
    Number(i64),
    Time(DateTime<Utc>),
}

/// Characters that the indexes of migration 13 have of the beginning and the end of a text. Git
/// bounds neither names nor paths, and an entry of an index is at most some 2700 bytes.
const INDEXED: usize = 255;

/// A column that patterns are held against, and the expressions that indexes are on.
struct Column {
    whole: &'static str,
    begin: Option<&'static str>,
    /// Read backwards.
    end: Option<&'static str>,
}

const NAME: Column = Column {
    whole: "name",
    begin: None,
    end: None,
};
const RULE: Column = Column {
    whole: "rule_id",
    begin: None,
    end: None,
};
const REF: Column = Column {
    whole: "events.ref_name_text",
    begin: Some("left(events.ref_name_text, 255)"),
    end: Some("left(reverse(events.ref_name_text), 255)"),
};
const BEHALF: Column = Column {
    whole: "behalf_subject",
    begin: Some("left(behalf_subject, 255)"),
    end: None,
};
const PATH: Column = Column {
    whole: "path_text",
    begin: Some("left(path_text, 255)"),
    end: Some("left(reverse(path_text), 255)"),
};

impl Condition {
    /// The condition that a term is.
    pub fn new(term: &Term) -> Self {
        let mut whole = Self::default();
        // What is not known does not hold, so its negation does.
        whole.sql(if term.negated { "((" } else { "(" });
        let mut between = "";
        for (column, is_among) in [
            (
                "events.repository_id IN (",
                is_of_repository as fn(&Field) -> bool,
            ),
            ("events.push_id IN (", is_of_push),
        ] {
            // One subquery for all alternatives, so that the planner can begin with it.
            let mut begin = column;
            for field in term.any.iter().filter(|field| is_among(field)) {
                whole.sql(std::mem::take(&mut between));
                whole.sql(std::mem::replace(&mut begin, " UNION "));
                whole.subquery(field);
            }
            if begin != column {
                whole.sql(")");
                between = " OR ";
            }
        }
        for field in &term.any {
            if !is_of_push(field) && !is_of_repository(field) {
                whole.sql(between);
                whole.of_event(field);
                between = " OR ";
            }
        }
        whole.sql(if term.negated { ") IS NOT TRUE)" } else { ")" });
        whole
    }

    fn sql(&mut self, text: &'static str) {
        self.0.push(Piece::Sql(text));
    }

    fn matches(&mut self, column: &Column, glob: &Glob) {
        self.sql("(");
        self.indexed(column, glob);
        self.sql(column.whole);
        if let Some(text) = glob.exact() {
            self.sql(" = ");
            self.0.push(Piece::Text(text.to_owned()));
        } else {
            self.sql(" ~ ");
            self.0.push(Piece::Text(glob.regex()));
        }
        self.sql(")");
    }

    /// What follows from the pattern and an index can decide.
    fn indexed(&mut self, column: &Column, glob: &Glob) {
        let begin = column.begin.zip(glob.begin_regex(INDEXED));
        let end = column.end.zip(glob.end_regex(INDEXED));
        if let Some((expression, regex)) = begin.or(end) {
            self.sql(expression);
            self.sql(" ~ ");
            self.0.push(Piece::Text(regex));
            self.sql(" AND ");
        }
    }

    /// A condition on the event's own columns.
    fn of_event(&mut self, field: &Field) {
        match field {
            Field::Ref(glob) => self.matches(&REF, glob),
            // "agent for person": the first is who did it.
            Field::Actor(glob) => {
                let regex = glob.regex();
                let regex = regex.strip_suffix('$').unwrap_or_default();
                self.sql("(");
                if let Some(begin) = glob.begin_regex(INDEXED) {
                    self.sql("left(events.actor, 255) ~ ");
                    self.0.push(Piece::Text(begin));
                    self.sql(" AND ");
                }
                self.sql("events.actor ~ ");
                self.0.push(Piece::Text(format!("{regex}( for |$)")));
                self.sql(")");
            }
            Field::Kind(kind) => {
                self.sql("events.kind ~ ");
                let regex = format!("^{}(\\.|$)", kind.replace('.', "\\."));
                self.0.push(Piece::Text(regex));
            }
            Field::Code(code) => {
                self.sql("events.codes @> ");
                self.0.push(Piece::Texts(vec![code.clone()]));
            }
            Field::Push(push) => {
                self.sql("events.push_id = ");
                self.0.push(Piece::Uuid(*push));
            }
            Field::Request(request) => {
                self.sql("events.request_id = ");
                self.0.push(Piece::Text(request.clone()));
            }
            Field::Event(seq) => {
                self.sql("events.seq = ");
                self.0.push(Piece::Number(*seq));
            }
            Field::Since(at) => {
                self.sql("events.recorded_at >= ");
                self.0.push(Piece::Time(*at));
            }
            Field::Until(at) => {
                self.sql("events.recorded_at < ");
                self.0.push(Piece::Time(*at));
            }
            Field::Text(text) => {
                self.sql("events.summary ILIKE ");
                let text = super::events::escape_like(text);
                self.0.push(Piece::Text(format!("%{text}%")));
            }
            // A term that this version does not know holds for nothing.
            _ => self.sql("FALSE"),
        }
    }

    /// A query for repositories or pushes.
    fn subquery(&mut self, field: &Field) {
        match field {
            Field::Repository(glob) => {
                self.sql("SELECT id FROM repositories WHERE ");
                self.matches(&NAME, glob);
            }
            Field::OnBehalfOf(glob) => {
                self.sql("SELECT id FROM pushes WHERE ");
                self.matches(&BEHALF, glob);
            }
            Field::ActorKind(kind) => self.sql(match kind {
                ActorKind::Human => "SELECT id FROM pushes WHERE pusher_kind = 'human'",
                ActorKind::Agent => "SELECT id FROM pushes WHERE pusher_kind = 'agent'",
                ActorKind::Ci => "SELECT id FROM pushes WHERE pusher_kind = 'ci'",
            }),
            Field::State(state) => self.sql(match state {
                State::Refused => "SELECT id FROM pushes WHERE state = 'denied'",
                State::Waiting => "SELECT id FROM pushes WHERE state = 'waiting'",
                State::Released => "SELECT id FROM pushes WHERE state = 'granted'",
                State::Cancelled => "SELECT id FROM pushes WHERE state = 'cancelled'",
                State::Committed => "SELECT push_id FROM ref_updates WHERE state = 'committed'",
                State::Prepared => "SELECT push_id FROM ref_updates WHERE state = 'prepared'",
                State::NotMoved => "SELECT push_id FROM ref_updates WHERE state = 'not_moved'",
            }),
            Field::Rule(glob) => {
                self.sql("SELECT push_id FROM findings WHERE ");
                self.matches(&RULE, glob);
            }
            Field::Path(glob) => {
                self.sql("SELECT push_id FROM changes WHERE ");
                self.matches(&PATH, glob);
            }
            _ => self.sql("SELECT id FROM pushes WHERE FALSE"),
        }
    }
}

const fn is_of_repository(field: &Field) -> bool {
    matches!(field, Field::Repository(_))
}

const fn is_of_push(field: &Field) -> bool {
    matches!(
        field,
        Field::OnBehalfOf(_)
            | Field::ActorKind(_)
            | Field::State(_)
            | Field::Rule(_)
            | Field::Path(_)
    )
}

impl Expression for Condition {
    type SqlType = Bool;
}
impl AppearsOnTable<events::table> for Condition {}
impl SelectableExpression<events::table> for Condition {}
impl<G> ValidGrouping<G> for Condition {
    type IsAggregate = diesel::expression::is_aggregate::No;
}
impl QueryId for Condition {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Condition {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Planned anew for what is asked: only then an index serves a pattern.
        out.unsafe_to_cache_prepared();
        for piece in &self.0 {
            match piece {
                Piece::Sql(text) => out.push_sql(text),
                Piece::Text(text) => out.push_bind_param::<Text, _>(text)?,
                Piece::Texts(texts) => out.push_bind_param::<Array<Text>, _>(texts)?,
                Piece::Uuid(id) => out.push_bind_param::<diesel::sql_types::Uuid, _>(id)?,
                Piece::Number(number) => out.push_bind_param::<BigInt, _>(number)?,
                Piece::Time(at) => out.push_bind_param::<Timestamptz, _>(at)?,
            }
        }
        Ok(())
    }
}
