//! `refwarden install`: puts repositories under guard and takes the guard off again.
//!
//! Order matters. The configuration alone does nothing; then the service records the baseline;
//! the hooks come last, each renamed into place; then the refs are compared with the baseline,
//! since a push may have come in between. Whatever fails, what was done is undone.

mod baseline;
mod hooks;
mod identity;
mod lock;
mod plan;
mod settings;
mod uninstall;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use refwarden_config::HookConfig;

use self::plan::Plan;
use crate::args::Install;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::DataDir;
use crate::{git, output};

/// A host: the file that its hooks read, and what it says.
pub struct Host {
    /// Absolute path of `hook.toml`.
    pub file: PathBuf,
    /// Its content.
    pub config: HookConfig,
}

/// Installs in, or uninstalls from, each repository.
pub fn run(args: &Install) -> Outcome {
    if args.name.is_some() && args.repositories.len() > 1 {
        return Err(Failure::new("--name goes with one repository only"));
    }
    let host = if args.uninstall {
        None
    } else {
        Some(host(args)?)
    };
    for path in &args.repositories {
        let repository = locate(path)?;
        match &host {
            Some(host) => install(args, host, &repository)?,
            None => uninstall::run(args, &repository)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn install(args: &Install, host: &Host, repository: &Path) -> Outcome<()> {
    // A look changes nothing, and waits for nobody.
    let _lock = (!args.dry_run)
        .then(|| lock::take(repository))
        .transpose()?;
    let plan = Plan::make(args, host, repository)?;
    if !args.json {
        plan.print()?;
    }
    if args.dry_run {
        if args.json {
            output::json(&plan.describe("planned", None))?;
        } else {
            output::line("  Nothing was changed (--dry-run).")?;
        }
        return Ok(());
    }
    let adopted = plan.carry_out(host)?;
    if args.json {
        return output::json(&plan.describe("installed", adopted.as_ref()));
    }
    match &adopted {
        Some(adopted) => output::line(&format!(
            "  Under guard since now (epoch {}).",
            adopted.epoch
        )),
        None => output::line("  It was under guard already; hooks and configuration are current."),
    }
}

fn host(args: &Install) -> Outcome<Host> {
    let file = match (&args.hook_config, &args.data_dir) {
        (Some(file), _) => file.clone(),
        (None, Some(dir)) => DataDir::resolve(dir)?.hook_file(),
        (None, None) => {
            return Err(Failure::new("which service do the hooks belong to?")
                .next("give --data-dir DIR of refwarden up, or --hook-config FILE"));
        }
    };
    let named = file.display().to_string();
    let file = file.canonicalize().map_err(|error| {
        Failure::new(format!("{named} cannot be found"))
            .why(error)
            .next("refwarden up makes it in its data directory; --hook-config FILE names another")
    })?;
    let text = std::fs::read_to_string(&file).context(|| format!("{named} cannot be read"))?;
    let config = refwarden_config::parse(&named, &text)
        .context(|| "the configuration of the hooks is not accepted".to_owned())?;
    Ok(Host { file, config })
}

/// The repository's absolute path. Only bare repositories are served, so only those are guarded.
fn locate(path: &Path) -> Outcome<PathBuf> {
    let shown = path.display().to_string();
    let path = path
        .canonicalize()
        .context(|| format!("{shown} cannot be found"))?;
    let ask = |question: &str| -> Outcome<Vec<u8>> {
        let mut command = git::within(&path, "rev-parse");
        command.args([question]);
        git::output(command).map(git::trimmed)
    };
    let bare = ask("--is-bare-repository").map_err(|failure| {
        Failure::refused(format!("{shown} is not a bare Git repository"))
            .why(failure.one_line())
            .next("name the directory that holds HEAD, objects and refs")
    })?;
    if bare != b"true" {
        return Err(
            Failure::refused(format!("{shown} is not a bare repository"))
                .why("a repository with a working tree is not served to others")
                .next("git clone --bare makes a bare one"),
        );
    }
    if ask("--is-shallow-repository")? == b"true" {
        return Err(Failure::refused(format!("{shown} is shallow"))
            .why("part of its history is elsewhere, so that it could not be rebuilt from records")
            .next("git fetch --unshallow completes it"));
    }
    Ok(path)
}
