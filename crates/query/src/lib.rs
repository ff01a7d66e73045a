//! The grammar in which people ask for events: `repo:payments/* actor:kind=agent since:7d`.
//!
//! Text in, terms out. It reads no clock (`now` is a parameter), and makes no SQL: whoever keeps
//! the events compiles the terms. docs/auditing.md describes the grammar to people.

mod error;
mod glob;
mod lex;
mod time;

pub use error::QueryError;
pub use glob::Glob;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::lex::{Value, Word, words};

/// The longest query that is read, in bytes.
pub const LONGEST: usize = 4096;
/// The most terms of a query.
pub const MOST_TERMS: usize = 32;
/// The most alternatives of all terms of a query together.
pub const MOST_ALTERNATIVES: usize = 64;
/// Keys whose values are patterns.
const PATTERNS: [&str; 6] = ["repo", "ref", "actor", "on-behalf-of", "rule", "path"];
/// Wildcards of one pattern; the database's regular expressions grow with them.
pub const MOST_WILDCARDS: usize = 16;
/// What can stand before a colon.
pub const KEYS: [&str; 14] = [
    "repo",
    "ref",
    "actor",
    "on-behalf-of",
    "state",
    "rule",
    "path",
    "kind",
    "code",
    "push",
    "request",
    "event",
    "since",
    "until",
];

/// What to look for: events for which every term holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The terms, in the order in which they were written.
    pub terms: Vec<Term>,
}

/// Things of which one must hold, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Whether none of them must hold.
    pub negated: bool,
    /// The alternatives, at least one. All of them were written after the same key.
    pub any: Vec<Field>,
}

/// What a term is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// `repo:` the repository's name.
    Repository(Glob),
    /// `ref:` the full ref name.
    Ref(Glob),
    /// `actor:` who did it.
    Actor(Glob),
    /// `actor:kind=` what kind of actor pushed.
    ActorKind(ActorKind),
    /// `on-behalf-of:` for whom it was done.
    OnBehalfOf(Glob),
    /// `state:` what became of the push or of its refs.
    State(State),
    /// `rule:` a secret of this rule was found.
    Rule(Glob),
    /// `path:` a file at this path was changed.
    Path(Glob),
    /// `kind:` the event's kind, or its first part.
    Kind(String),
    /// `code:` a code that the pusher was shown.
    Code(String),
    /// `push:` a push.
    Push(Uuid),
    /// `request:` an approval request.
    Request(String),
    /// `event:` the event's number in its repository.
    Event(i64),
    /// `since:` at or after.
    Since(DateTime<Utc>),
    /// `until:` before.
    Until(DateTime<Utc>),
    /// A word that stands in the event's sentence, in any case.
    Text(String),
}

/// A kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A person.
    Human,
    /// An agent.
    Agent,
    /// A build job.
    Ci,
}

/// What became of a push or of its refs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The push was refused.
    Refused,
    /// It waits for people.
    Waiting,
    /// It was let through.
    Released,
    /// It was given up while it waited.
    Cancelled,
    /// A ref of it has moved.
    Committed,
    /// A ref of it was about to move.
    Prepared,
    /// A ref of it was about to move and did not.
    NotMoved,
}

/// Reads a query. Spans such as `7d` go back from `now`.
///
/// # Errors
/// [`QueryError`]: where it went wrong, what was expected, and what to do.
pub fn parse(text: &str, now: DateTime<Utc>) -> Result<Query, QueryError> {
    if text.len() > LONGEST {
        return Err(QueryError::new(LONGEST, "the end", "a longer query").next("ask for less"));
    }
    let words = words(text)?;
    if let Some(word) = words.get(MOST_TERMS) {
        return Err(QueryError::new(word.at, "the end", "more than 32 terms").next("ask for less"));
    }
    let alternatives: usize = words.iter().map(|word| word.values.len()).sum();
    if alternatives > MOST_ALTERNATIVES {
        let at = words.last().map_or(0, |word| word.at);
        let error = QueryError::new(at, "the end", "more than 64 alternatives");
        return Err(error.next("ask for less"));
    }
    let terms = words.iter().map(|word| term(word, now));
    let terms: Vec<Term> = terms.collect::<Result<_, _>>()?;
    span(&words, &terms)?;
    Ok(Query { terms })
}

/// Looks whether times make a span: one beginning and one end at most, in this order. What must not
/// hold is left alone.
fn span(words: &[Word], terms: &[Term]) -> Result<(), QueryError> {
    let (mut from, mut to) = (None, None);
    for (word, term) in words.iter().zip(terms).filter(|(_, term)| !term.negated) {
        let (bound, time) = match term.any.first() {
            Some(Field::Since(time)) => (&mut from, time),
            Some(Field::Until(time)) => (&mut to, time),
            _ => continue,
        };
        let key = word.key.as_deref().unwrap_or_default();
        if bound.replace((word, *time)).is_some() || term.any.len() > 1 {
            let at = word.values.get(1).map_or(word.at, |value| value.at);
            let what = format!("one time after one {key}:");
            return Err(QueryError::new(at, &what, "another").next("leave one of them"));
        }
    }
    if let (Some((_, from)), Some((word, to))) = (from, to)
        && from >= to
    {
        let value = word.values.first();
        let (at, text) = value.map_or((word.at, ""), |value| (value.at, value.text.as_str()));
        let error = QueryError::new(at, "a time after that of since:", text);
        return Err(error.next("until: means before it; to have a day whole, name the next one"));
    }
    Ok(())
}

fn term(word: &Word, now: DateTime<Utc>) -> Result<Term, QueryError> {
    let fields = word.values.iter().map(|value| match &word.key {
        None => Ok(Field::Text(value.text.clone())),
        Some(key) => field(key, word.at, value, now),
    });
    Ok(Term {
        negated: word.negated,
        any: fields.collect::<Result<_, _>>()?,
    })
}

fn field(key: &str, key_at: usize, value: &Value, now: DateTime<Utc>) -> Result<Field, QueryError> {
    let at = value.at;
    let value = value.text.as_str();
    let expected = |what: &str| QueryError::new(at, what, value);
    if !KEYS.contains(&key) {
        return Err(unknown(key, key_at));
    }
    if value.is_empty() {
        let what = format!("a value after {key}:");
        return Err(expected(&what).next("leave no space behind a colon or a comma"));
    }
    let wildcards = value.bytes().filter(|byte| matches!(byte, b'*' | b'?'));
    if wildcards.count() > MOST_WILDCARDS && PATTERNS.contains(&key) {
        return Err(expected("a pattern with 16 wildcards at most").next("ask for less"));
    }
    let glob = || Glob::new(value);
    Ok(match key {
        "repo" => Field::Repository(glob()),
        "ref" => Field::Ref(glob()),
        "actor" => match value.strip_prefix("kind=") {
            None => Field::Actor(glob()),
            Some(kind) => Field::ActorKind(match kind {
                "human" => ActorKind::Human,
                "agent" => ActorKind::Agent,
                "ci" => ActorKind::Ci,
                _ => return Err(expected("kind=human, kind=agent or kind=ci")),
            }),
        },
        "on-behalf-of" => Field::OnBehalfOf(glob()),
        "state" => Field::State(match value {
            "refused" | "denied" => State::Refused,
            "waiting" => State::Waiting,
            "released" => State::Released,
            "cancelled" => State::Cancelled,
            "committed" => State::Committed,
            "prepared" => State::Prepared,
            "not-moved" => State::NotMoved,
            _ => {
                return Err(expected(
                    "refused, waiting, released, cancelled, committed, prepared or not-moved",
                ));
            }
        }),
        // Secrets' rules may be written as policy names them.
        "rule" => match value.strip_prefix("secret.").unwrap_or(value) {
            "" => return Err(expected("a rule, such as secret.github-pat or secret.*")),
            rule => Field::Rule(Glob::new(rule)),
        },
        "path" => Field::Path(glob()),
        "kind" => {
            let is_kind = |c: char| c.is_ascii_lowercase() || c == '_';
            let is_part = |part: &str| !part.is_empty() && part.chars().all(is_kind);
            let kind = value.strip_suffix(".*").unwrap_or(value);
            if !kind.split('.').all(is_part) {
                return Err(expected("a kind such as push.denied, or push"));
            }
            // The page and the command line say "refused" of what the record calls denied.
            Field::Kind(
                if kind == "push.refused" {
                    "push.denied"
                } else {
                    kind
                }
                .to_owned(),
            )
        }
        "code" => {
            let code = value.to_ascii_uppercase();
            let number = code.strip_prefix("RW").unwrap_or_default();
            if number.len() != 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(expected("a code such as RW301"));
            }
            Field::Code(code)
        }
        "push" => Field::Push(
            value
                .parse()
                .map_err(|_| expected("a push's id (a UUID)"))?,
        ),
        "request" if !value.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            return Err(expected("a request, such as 8FZK2M0T"));
        }
        "request" => Field::Request(value.to_ascii_uppercase()),
        "event" => match value.parse() {
            Ok(seq) if seq >= 1 => Field::Event(seq),
            _ => return Err(expected("an event's number, from 1")),
        },
        "since" => Field::Since(time::read(value, now).ok_or_else(|| expected(time::EXPECTED))?),
        "until" => Field::Until(time::read(value, now).ok_or_else(|| expected(time::EXPECTED))?),
        _ => return Err(unknown(key, key_at)),
    })
}

fn unknown(key: &str, at: usize) -> QueryError {
    // Of those that are equally near, the one that it is the beginning of.
    let nearest = KEYS
        .iter()
        .map(|known| (distance(key, known), !known.starts_with(key), known));
    let next = match nearest.min() {
        Some((distance, _, known)) if distance <= 2 && distance < known.len() => {
            format!("the nearest is {known}:")
        }
        _ => "to look for the text itself, put it in double quotes".to_owned(),
    };
    QueryError::new(at, &format!("one of {}", KEYS.join(", ")), key).next(&next)
}

/// How many characters have to be added, taken away or exchanged (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for (above, b) in row.windows(2).zip(to.chars()) {
            let &[diagonal, above] = above else { continue };
            left = (diagonal + usize::from(a != b))
                .min(above + 1)
                .min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
