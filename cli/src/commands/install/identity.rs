//! Who a repository is to the service: its id and its name. Both are for good, so that neither is
//! taken from another repository and neither is said to have changed when it has not.

use std::path::{Path, PathBuf};

use refwarden_gitio::Repository;
use refwarden_model::RepositoryId;
use refwarden_wire::api::RepositoryOut;
use uuid::Uuid;

use crate::api::Api;
use crate::args::{Install, ServiceArgs};
use crate::failure::{Context as _, Failure, Outcome};
use crate::output::printable;

/// What a name is, in words.
const NAMES: &str = "a name is letters, digits, - _ . and / between components";

/// Who it is.
pub struct Identity {
    /// Its id.
    pub id: RepositoryId,
    /// Its name.
    pub name: String,
    /// Whether the service is known to have no record of it.
    pub is_unknown: bool,
    /// Where it stood when it was put under guard, if that was elsewhere.
    pub moved_from: Option<PathBuf>,
}

/// Decides it, and refuses a copy and another name.
pub fn of(args: &Install, repository: &Path) -> Outcome<Identity> {
    let shown = printable(&repository.display().to_string());
    if let Some(name) = args.name.as_ref().filter(|name| !is_name(name)) {
        let what = format!("'{}' is no name", printable(name));
        return Err(Failure::refused(what)
            .why(NAMES)
            .next("give another one: --name team/app"));
    }
    let opened = Repository::open(repository).context(|| format!("{shown} cannot be looked at"))?;
    let chosen = || args.name.clone().map_or_else(|| name_of(repository), Ok);
    if args.as_new {
        return Ok(Identity {
            id: RepositoryId(Uuid::now_v7()),
            name: chosen()?,
            is_unknown: true,
            moved_from: None,
        });
    }
    if let Some(original) = opened.original() {
        return Err(copy(&shown, &original));
    }
    let moved_from = opened.path.clone().filter(|path| path != repository);
    let Some(id) = opened.id else {
        return Ok(Identity {
            id: RepositoryId(Uuid::now_v7()),
            name: args.name.clone().or(opened.name).map_or_else(chosen, Ok)?,
            is_unknown: true,
            moved_from,
        });
    };
    let known = known(args, id);
    let is_unknown = matches!(known, Known::Nothing);
    let kept = match known {
        Known::As(name) => Some(name),
        Known::Nothing => None,
        // What an earlier installation wrote down is believed.
        Known::NotAsked => opened.name,
    };
    let name = match (&args.name, kept) {
        (Some(asked), Some(kept)) if *asked != kept => return Err(other_name(&shown, &kept)),
        (_, Some(kept)) => kept,
        (_, None) => chosen()?,
    };
    Ok(Identity {
        id,
        name,
        is_unknown,
        moved_from,
    })
}

/// Why a copy is not taken, and what helps.
fn copy(shown: &str, original: &Path) -> Failure {
    let original = printable(&original.display().to_string());
    Failure::refused(format!("{shown} is a copy of {original}"))
        .why("it has the id of that one, so that an approval for one would release the other")
        .next("the same command with --as-new gives it an id and a record of its own")
}

fn other_name(shown: &str, kept: &str) -> Failure {
    let kept = printable(kept);
    Failure::refused(format!("{shown} is called {kept}"))
        .why("a repository keeps its name: policy, requests and the record know it by that one")
        .next(format!(
            "leave --name out to go on as {kept};\n\
             or --as-new makes it another repository, whose record begins now"
        ))
}

/// What the service has under an id.
enum Known {
    /// A repository of this name.
    As(String),
    /// Nothing.
    Nothing,
    /// It cannot be asked: a host credential does not, the operator of a quick start does.
    NotAsked,
}

fn known(args: &Install, id: RepositoryId) -> Known {
    let asked = || -> Option<Vec<RepositoryOut>> {
        let data_dir = args.data_dir.clone().filter(|_| args.hook_config.is_none());
        let service = ServiceArgs {
            data_dir: Some(data_dir?),
            service_url: None,
        };
        let api = Api::connect(&service).ok()?;
        api.get("/api/v1/repositories", &[]).ok()
    };
    let Some(all) = asked() else {
        return Known::NotAsked;
    };
    let found = all.into_iter().find(|one| one.id == id);
    found.map_or(Known::Nothing, |one| Known::As(one.name))
}

fn name_of(repository: &Path) -> Outcome<String> {
    let file = repository.file_name().unwrap_or_default().to_string_lossy();
    let name = file.strip_suffix(".git").unwrap_or(&file).to_owned();
    if is_name(&name) {
        return Ok(name);
    }
    Err(
        Failure::refused(format!("'{}' makes no name", printable(&name)))
            .why(NAMES)
            .next("give one: --name team/app"),
    )
}

/// As the service has it, which has the last word.
fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let component = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && part.chars().all(good)
    };
    name.len() <= 200 && name.split('/').all(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_components_of_plain_letters() {
        for (name, expected) in [
            ("app", true),
            ("team/app.v2", true),
            ("", false),
            ("/app", false),
            ("team//app", false),
            (".app", false),
            ("app.", false),
            ("an app", false),
            ("äpp", false),
        ] {
            assert_eq!(is_name(name), expected, "{name}");
        }
    }
}
