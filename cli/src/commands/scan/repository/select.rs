//! What in a repository is to be scanned.

use std::path::Path;

use refwarden_gitio::introduced::{self, Introduced};
use refwarden_gitio::{Checkout, GitError};
use refwarden_model::{Oid, bytes};

use crate::args::Scan;
use crate::commands::scan::What;
use crate::failure::{Context as _, Failure, Outcome};
use crate::progress;

/// Finds the repository, and in it what the arguments select. `matters`: the paths that are to be
/// known wherever they hold the same as others.
pub fn select(
    args: &Scan,
    what: What,
    matters: &dyn Fn(&[u8]) -> bool,
) -> Outcome<(Checkout, Introduced)> {
    let checkout = match &args.repo {
        Some(path) => Checkout::find(path),
        None => Checkout::current(),
    };
    let checkout = checkout.map_err(|error| {
        Failure::new("there is no repository to scan")
            .why(error)
            .next("name one with --repo DIR")
    })?;
    if what != What::Staged && checkout.is_shallow() {
        let text = "note: this clone is shallow; earlier commits are not here and not scanned";
        progress::note(false, text);
    }
    let bar = progress::count("reading commits", 0);
    let mut progress = |commits| bar.set_position(commits);
    let found = match what {
        What::Staged => introduced::staged(&checkout),
        What::Range => {
            let text = args.range.as_deref().unwrap_or_default();
            let (from, to) = range(&checkout, text)?;
            introduced::range(&checkout.repository, from, to, &mut progress)
        }
        What::History | What::Files => {
            introduced::everything(&checkout.repository, matters, &mut progress)
        }
    };
    bar.finish_and_clear();
    let found = found.map_err(|error| {
        let path = checkout.repository.gitdir.display();
        Failure::new(format!("{path} cannot be read"))
            .why(error)
            .next("git fsck --full says what is broken")
    })?;
    Ok((checkout, found))
}

/// Every object of a repository, whether something reaches it or not.
pub fn whole(path: &Path, matters: &dyn Fn(&[u8]) -> bool) -> Outcome<(Checkout, Introduced)> {
    let shown = path.display();
    let checkout = Checkout::find(path).context(|| format!("{shown} cannot be scanned"))?;
    let bar = progress::count("reading commits", 0);
    let found = introduced::everything(&checkout.repository, matters, &mut |done| {
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let mut found = found.context(|| format!("{shown} cannot be read"))?;
    introduced::add_unreached(&checkout.repository, &mut found)
        .context(|| format!("{shown} cannot be read"))?;
    Ok((checkout, found))
}

/// `A..B`: a side that is left out is HEAD, as git has it; an A of zeros is nothing, as hooks
/// say of a new branch.
fn range(checkout: &Checkout, text: &str) -> Outcome<(Option<Oid>, Oid)> {
    let expected = || {
        let shown = bytes::escape(text.as_bytes());
        Failure::new(format!("'{shown}' is no range")).next("write A..B, as in origin/main..HEAD")
    };
    let (from, to) = text.split_once("..").ok_or_else(expected)?;
    if to.starts_with('.') {
        return Err(expected());
    }
    let name = |side: &str| if side.is_empty() { "HEAD" } else { side }.to_owned();
    let (from, to) = (name(from), name(to));
    let is_zero = Oid::parse(from.as_bytes()).is_ok_and(|oid| oid == oid.format().zero());
    let from = if is_zero {
        None
    } else {
        Some(resolve(checkout, &from)?)
    };
    Ok((from, resolve(checkout, &to)?))
}

fn resolve(checkout: &Checkout, name: &str) -> Outcome<Oid> {
    let shown = || bytes::escape(name.as_bytes());
    match introduced::resolve(checkout, name) {
        Ok(oid) => Ok(oid),
        Err(GitError::Failed { .. }) => Err(Failure::new(format!(
            "'{}' names nothing in the repository",
            shown()
        ))),
        Err(error) => Err(error).context(|| format!("'{}' cannot be looked up", shown())),
    }
}
