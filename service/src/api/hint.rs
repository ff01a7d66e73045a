//! What to say where nothing was found: refs are asked for by their full names, and people think of
//! branches and tags by their short ones. It looks for nothing else, and changes no answer: what takes
//! too long is left out.

use std::time::{Duration, Instant};

use diesel::PgConnection;
use refwarden_query::{Field, Glob, Term};

use crate::db::events::{self, Filter};
use crate::error::AppError;

/// Where branches and tags stand.
const FOLDERS: [&str; 2] = ["refs/heads/", "refs/tags/"];

/// The most short names that are looked for.
const MOST: usize = 8;

/// After this time nothing more is looked for, and nothing is said: what was found would not be all.
const TIME: Duration = Duration::from_secs(2);

/// A hint, or none where the database took too long over it: the answer is right without.
///
/// # Errors
/// Any other that is given.
pub fn if_in_time(hint: Result<Option<String>, AppError>) -> Result<Option<String>, AppError> {
    match hint {
        Err(AppError::Database(error)) if events::is_out_of_time(&error) => Ok(None),
        other => other,
    }
}

/// Names the refs that were probably meant, where the filter asks for short names.
///
/// # Errors
/// What diesel says.
pub fn of_short_names(
    conn: &mut PgConnection,
    filter: &Filter,
) -> Result<Option<String>, AppError> {
    let begun = Instant::now();
    let mut hints = Vec::new();
    for short in short_names(filter).into_iter().take(MOST) {
        for folder in FOLDERS {
            if begun.elapsed() > TIME {
                return Ok(None);
            }
            let full = format!("{folder}{short}");
            if is_known(conn, filter, &full)? {
                hints.push(format!("there are events of {full}"));
            }
        }
    }
    let names = (!hints.is_empty()).then(|| hints.join(", and "));
    Ok(names.map(|names| format!("Refs are asked for by their full names: {names}.")))
}

fn short_names(filter: &Filter) -> Vec<&str> {
    let terms = filter.query.terms.iter().filter(|term| !term.negated);
    let asked = terms.flat_map(|term| &term.any);
    let names = asked.filter_map(|field| match field {
        Field::Ref(glob) => glob.exact(),
        _ => None,
    });
    let names = names.chain(filter.ref_name.as_deref());
    names.filter(|name| !name.starts_with("refs/")).collect()
}

/// Whether an event of the repositories that are asked for is about the ref.
fn is_known(conn: &mut PgConnection, filter: &Filter, full: &str) -> Result<bool, AppError> {
    let of_repository = |term: &&Term| matches!(term.any.first(), Some(Field::Repository(_)));
    let mut terms: Vec<Term> = filter
        .query
        .terms
        .iter()
        .filter(of_repository)
        .cloned()
        .collect();
    terms.push(Term {
        negated: false,
        any: vec![Field::Ref(Glob::new(full))],
    });
    let known = Filter {
        repository: filter.repository,
        query: refwarden_query::Query { terms },
        limit: 1,
        ..Filter::default()
    };
    Ok(!events::list(conn, &known)?.is_empty())
}

#[cfg(test)]
mod tests {
    use diesel::result::{DatabaseErrorKind, Error};

    use super::*;

    fn failing(said: &str) -> Result<Option<String>, AppError> {
        let error = Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(said.to_owned()));
        if_in_time(Err(AppError::Database(error)))
    }

    #[test]
    fn a_hint_that_takes_too_long_is_left_out() {
        let stopped = failing("canceling statement due to statement timeout");
        assert_eq!(stopped.unwrap(), None);
        assert!(failing("out of shared memory").is_err());
        let hint = Some("there are events of it".to_owned());
        assert_eq!(if_in_time(Ok(hint.clone())).unwrap(), hint);
    }
}
