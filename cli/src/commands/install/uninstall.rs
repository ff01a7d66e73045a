//! Takes the guard off: hooks first, since without configuration they would refuse everything.

use std::path::Path;

use super::{hooks, lock, settings};
use crate::args::Install;
use crate::failure::{Failure, Outcome};
use crate::{git, output};

/// Uninstalls from one repository.
pub fn run(args: &Install, repository: &Path) -> Outcome<()> {
    let shown = repository.display().to_string();
    let _lock = (!args.dry_run)
        .then(|| lock::take(repository))
        .transpose()?;
    if git::config(repository, settings::HOOK_CONFIG)?.is_none() {
        return Err(Failure::refused(format!("{shown} is not under guard"))
            .why(format!("{} is not set", settings::HOOK_CONFIG)));
    }
    let hooks = hooks::look(repository)?;
    if !args.json {
        output::line(&output::printable(&shown))?;
    }
    let mut done = serde_json::Map::new();
    // pre-receive first: while it is gone, the barrier refuses what it does not know.
    for hook in hooks.iter().rev() {
        let what = if args.dry_run {
            "would be removed, or put back as it was"
        } else {
            hook.remove(repository)?
        };
        done.insert(hook.name.to_owned(), what.into());
        if !args.json {
            output::line(&format!("  hook       {}: {what}", hook.name))?;
        }
    }
    if !args.dry_run {
        settings::restore(repository)?;
    }
    if args.json {
        let state = if args.dry_run {
            "planned"
        } else {
            "uninstalled"
        };
        let value = serde_json::json!({ "path": shown, "state": state, "hooks": done });
        return output::json(&value);
    }
    output::line(
        "  config     as it was; id, name and path (refwarden.*) stay, to continue its record",
    )
}
