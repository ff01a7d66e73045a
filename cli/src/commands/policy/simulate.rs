//! `refwarden policy simulate`.

use refwarden_model::RefName;
use refwarden_policy::Push;

use super::files;
use super::local::{self, Move};
use super::show::{self, How};
use crate::args::PolicySimulate;
use crate::failure::{Failure, Outcome};

/// Judges a move of a ref in a local repository.
pub fn run(args: &PolicySimulate) -> Outcome {
    let policy = files::policy(&args.policy.files)?;
    let how = How {
        all: args.all,
        json: args.json,
    };
    let chain = args.circumstances.chain()?;
    let ref_name = RefName::parse(args.ref_name.as_bytes()).map_err(|error| {
        Failure::new(error.to_string()).next("write the full name, such as refs/heads/main")
    })?;
    let repository = local::open(&args.path)?;
    let wanted = Move {
        old: &args.old,
        new: &args.new,
        ref_name,
    };
    let mut facts = local::facts(&repository, &wanted)?;
    args.circumstances.add_to(&mut facts);
    let named = args.repository.clone().or_else(|| repository.name.clone());
    let name = named.unwrap_or_else(|| name_of(&repository.gitdir));
    let push = Push {
        repository: &name,
        chain: &chain,
        facts: &facts,
        now: args.circumstances.now(),
        recent: args.circumstances.recent(),
    };
    show::verdict(&policy, &push, how)
}

/// A name by the directory: `app` of `…/app.git` and of `…/app/.git`.
fn name_of(gitdir: &std::path::Path) -> String {
    let last = |path: &std::path::Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".git").unwrap_or(&name).to_owned()
    };
    match (last(gitdir), gitdir.parent()) {
        (name, Some(parent)) if name.is_empty() => last(parent),
        (name, _) => name,
    }
}
