//! `refwarden replay`: a bare repository from the records alone, or a push step by step.

pub mod compare;
mod push;
mod rebuild;

use std::path::Path;
use std::process::ExitCode;

use refwarden_wire::api::{ReplayOut, RepositoryOut};
use serde::Serialize;

use self::compare::Differences;
use crate::api::Api;
use crate::args::Replay;
use crate::failure::{Context as _, Failure, Outcome};
use crate::output;
use crate::sealed::Identities;

#[derive(Serialize)]
struct Result<'a> {
    repository: &'a str,
    seq: i64,
    at: chrono::DateTime<chrono::Utc>,
    head: &'a refwarden_model::ByteText,
    refs: usize,
    packs: usize,
    into: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    equal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<&'a Differences>,
}

/// Names that are told one by one.
const NAMES: usize = 10;

/// Rebuilds, and compares where asked to.
pub fn run(args: &Replay) -> Outcome {
    let replayed = match args.push {
        Some(push) => push::run(args, push),
        None => rebuild(args),
    };
    // 1 says that it differs from LIVE, and nothing else.
    replayed.map_err(Failure::into_error)
}

fn rebuild(args: &Replay) -> Outcome {
    let (Some(repository), Some(into)) = (&args.repository, &args.into) else {
        return Err(Failure::new("give REPOSITORY and --into, or --push"));
    };
    refuse_full(into)?;
    let identities = Identities::read(&args.identity, Some(&args.service))?;
    let api = Api::connect(&args.service)?;
    let at = (args.at != "now").then(|| ("at", args.at.clone()));
    let query: Vec<(&str, String)> = at.into_iter().collect();
    let path = format!("/api/v1/repositories/{}/replay", escaped(repository));
    let state: Option<ReplayOut> = api.find(&path, &query)?;
    let state = state.ok_or_else(|| unknown(&api, repository))?;
    rebuild::rebuild(&api, &state, &identities, into)?;
    let differences = match &args.verify {
        Some(live) => Some(compare::compare(into, live)?),
        None => None,
    };
    let equal = differences.as_ref().map(Differences::is_none);
    let result = Result {
        repository: &state.repository.name,
        seq: state.seq,
        at: state.at,
        head: &state.head,
        refs: state.refs.len(),
        packs: state.packs.len(),
        into: into.to_string_lossy().into_owned(),
        equal,
        differences: differences.as_ref(),
    };
    if args.json {
        output::json(&result)?;
    } else {
        print(&result)?;
    }
    Ok(ExitCode::from(u8::from(equal == Some(false))))
}

fn print(result: &Result<'_>) -> Outcome<()> {
    output::line(&format!(
        "Rebuilt {} as it was after event {} ({}) in {}:",
        result.repository,
        result.seq,
        result
            .at
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        output::printable(&result.into)
    ))?;
    output::line(&format!(
        "{} refs, HEAD {}, from {} packs whose SHA-256 is as recorded; git fsck --full is clean.",
        result.refs, result.head, result.packs
    ))?;
    match result.differences {
        None => Ok(()),
        Some(differences) => differences.print(),
    }
}

/// A repository that is not there, and those that are.
fn unknown(api: &Api, name: &str) -> Failure {
    let failure = Failure::new(format!(
        "the service knows no repository '{}'",
        output::printable(name)
    ));
    let Ok(known) = api.get::<Vec<RepositoryOut>>("/api/v1/repositories", &[]) else {
        return failure.next("ask with the token of an auditor");
    };
    let mut names: Vec<String> = known.into_iter().map(|one| one.name).collect();
    names.sort();
    let more = names.len().saturating_sub(NAMES);
    names.truncate(NAMES);
    if names.is_empty() {
        return failure.next("refwarden install puts a repository under guard");
    }
    let names = names.join(", ");
    let listed = match more {
        0 => format!("it knows {names}"),
        more => format!("it knows {names} and {more} more"),
    };
    failure
        .why(listed)
        .next("name one of them; GET /api/v1/repositories lists all")
}

fn refuse_full(into: &Path) -> Outcome<()> {
    let shown = into.display();
    match std::fs::read_dir(into) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::new(format!("{shown} is not empty"))
                .why("a repository is rebuilt into a directory of its own")
                .next("name another directory with --into")),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(|| format!("{shown} cannot be used")),
    }
}

/// A name as part of a path; slashes stay.
fn escaped(name: &str) -> String {
    let components = name.split('/');
    let escape = |part: &str| url::form_urlencoded::byte_serialize(part.as_bytes()).collect();
    let escaped: Vec<String> = components.map(escape).collect();
    escaped.join("/")
}
