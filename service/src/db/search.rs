//! Terms of the grammar as SQL conditions on events.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Bool;
use refwarden_query::{ActorKind, Field, Glob, State, Term};

use super::events::Place;
use super::pieces::{Piece, Pieces};
use super::schema::events;

/// A condition on events.
#[derive(Debug, Default)]
pub struct Condition(Pieces);

/// How a condition is put to Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// So that it can begin with the pushes or repositories that are meant.
    Among,
    /// So that it looks at one event after the other, and whatever it estimates gathers nothing.
    Each,
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
    pub fn new(term: &Term, way: Way) -> Self {
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
            if way == Way::Each && column.starts_with("events.push_id") {
                continue;
            }
            // One subquery for all alternatives, so that the planner can begin with it.
            let mut begin = column;
            for field in term.any.iter().filter(|field| is_among(field)) {
                whole.sql(std::mem::take(&mut between));
                whole.sql(std::mem::replace(&mut begin, " UNION "));
                whole.subquery(field, way);
            }
            if begin != column {
                whole.sql(")");
                between = " OR ";
            }
        }
        for field in &term.any {
            if is_of_push(field) && way == Way::Each {
                whole.sql(between);
                // An offset keeps it from becoming a join.
                whole.sql("EXISTS (");
                whole.subquery(field, way);
                whole.sql(" OFFSET 0)");
                between = " OR ";
            } else if !is_of_push(field) && !is_of_repository(field) {
                whole.sql(between);
                whole.of_event(field);
                between = " OR ";
            }
        }
        whole.sql(if term.negated { ") IS NOT TRUE)" } else { ")" });
        whole
    }

    /// That it is one of these events.
    pub fn one_of(places: &[Place]) -> Self {
        let mut whole = Self::default();
        whole.sql("(events.repository_id, events.seq) IN (SELECT * FROM unnest(");
        whole.bind(Piece::Uuids(places.iter().map(|place| place.1).collect()));
        whole.sql(", ");
        whole.bind(Piece::Numbers(places.iter().map(|place| place.2).collect()));
        whole.sql("))");
        whole
    }

    fn sql(&mut self, text: &'static str) {
        self.0.sql(text);
    }

    fn bind(&mut self, value: Piece) {
        self.0.bind(value);
    }

    fn matches(&mut self, column: &Column, glob: &Glob) {
        self.sql("(");
        self.indexed(column, glob);
        self.sql(column.whole);
        if let Some(text) = glob.exact() {
            self.sql(" = ");
            self.bind(Piece::Text(text.to_owned()));
        } else {
            self.sql(" ~ ");
            self.bind(Piece::Text(glob.regex()));
        }
        self.sql(")");
    }

    /// What follows from the pattern and an index can decide.
    fn indexed(&mut self, column: &Column, glob: &Glob) {
        if let Some((expression, text)) = column.begin.zip(glob.exact()) {
            self.sql(expression);
            self.sql(" = ");
            self.bind(Piece::Text(text.chars().take(INDEXED).collect()));
            self.sql(" AND ");
            return;
        }
        let begin = column.begin.zip(glob.begin_regex(INDEXED));
        let end = column.end.zip(glob.end_regex(INDEXED));
        if let Some((expression, regex)) = begin.or(end) {
            self.sql(expression);
            self.sql(" ~ ");
            self.bind(Piece::Text(regex));
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
                    self.bind(Piece::Text(begin));
                    self.sql(" AND ");
                }
                self.sql("events.actor ~ ");
                self.bind(Piece::Text(format!("{regex}( for |$)")));
                self.sql(")");
            }
            Field::Kind(kind) => {
                self.sql("events.kind ~ ");
                let regex = format!("^{}(\\.|$)", kind.replace('.', "\\."));
                self.bind(Piece::Text(regex));
            }
            Field::Code(code) => {
                self.sql("events.codes @> ");
                self.bind(Piece::Texts(vec![code.clone()]));
            }
            Field::Push(push) => {
                self.sql("events.push_id = ");
                self.bind(Piece::Uuid(*push));
            }
            Field::Request(request) => {
                self.sql("events.request_id = ");
                self.bind(Piece::Text(request.clone()));
            }
            Field::Event(seq) => {
                self.sql("events.seq = ");
                self.bind(Piece::Number(*seq));
            }
            Field::Since(at) => {
                self.sql("events.recorded_at >= ");
                self.bind(Piece::Time(*at));
            }
            Field::Until(at) => {
                self.sql("events.recorded_at < ");
                self.bind(Piece::Time(*at));
            }
            Field::Text(text) => {
                self.sql("events.summary ILIKE ");
                let text = super::events::escape_like(text);
                self.bind(Piece::Text(format!("%{text}%")));
            }
            // A term that this version does not know holds for nothing.
            _ => self.sql("FALSE"),
        }
    }

    /// A query for repositories or pushes; for whether there is one of an event's push.
    fn subquery(&mut self, field: &Field, way: Way) {
        if let Field::Repository(glob) = field {
            self.sql("SELECT id FROM repositories WHERE ");
            return self.matches(&NAME, glob);
        }
        let of_push = "SELECT id FROM pushes WHERE ";
        let of_part = match field {
            Field::Rule(_) => "SELECT push_id FROM findings WHERE ",
            Field::Path(_) => "SELECT push_id FROM changes WHERE ",
            Field::State(State::Committed | State::Prepared | State::NotMoved) => {
                "SELECT push_id FROM ref_updates WHERE "
            }
            _ => of_push,
        };
        self.sql(of_part);
        match (way, of_part == of_push) {
            (Way::Among, _) => {}
            (Way::Each, true) => self.sql("id = events.push_id AND "),
            (Way::Each, false) => self.sql("push_id = events.push_id AND "),
        }
        match field {
            Field::OnBehalfOf(glob) => self.matches(&BEHALF, glob),
            Field::Rule(glob) => self.matches(&RULE, glob),
            Field::Path(glob) => self.matches(&PATH, glob),
            Field::ActorKind(kind) => self.sql(match kind {
                ActorKind::Human => "pusher_kind = 'human'",
                ActorKind::Agent => "pusher_kind = 'agent'",
                ActorKind::Ci => "pusher_kind = 'ci'",
            }),
            Field::State(state) => self.sql(match state {
                State::Refused => "state = 'denied'",
                State::Waiting => "state = 'waiting'",
                State::Released => "state = 'granted'",
                State::Cancelled => "state = 'cancelled'",
                State::Committed => "state = 'committed'",
                State::Prepared => "state = 'prepared'",
                State::NotMoved => "state = 'not_moved'",
            }),
            _ => self.sql("FALSE"),
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
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}
