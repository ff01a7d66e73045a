//! What an installation would do, worked out before anything is changed.

use std::path::{Path, PathBuf};

use refwarden_model::{ObjectFormat, RepositoryId};
use refwarden_wire::hook::AdoptOut;
use uuid::Uuid;

use super::hooks::{Found, Hook};
use super::{Host, baseline, hooks, settings};
use crate::args::Install;
use crate::failure::{Context as _, Failure, Outcome};
use crate::git::{self, Refs};
use crate::output::{self, printable};

/// The plan for one repository.
pub struct Plan {
    repository: PathBuf,
    id: RepositoryId,
    name: String,
    format: ObjectFormat,
    refs: Refs,
    hooks: Vec<Hook>,
    hook_config: PathBuf,
    /// The guard that stands there: its hook.toml and the repository's name in it.
    guarded: Option<(String, String)>,
    /// Whether it is the same as the planned one.
    current: bool,
}

impl Plan {
    /// Looks at everything and refuses what cannot work.
    pub fn make(args: &Install, host: &Host, repository: &Path) -> Outcome<Self> {
        let hooks = hooks::look(repository)?;
        refuse_other_hooks_path(repository)?;
        if !args.replace {
            refuse_foreign(&hooks)?;
        }
        let id = match git::config(repository, settings::REPOSITORY)? {
            Some(text) => text
                .parse()
                .context(|| format!("{} is no repository id: {text}", settings::REPOSITORY))?,
            None => RepositoryId(Uuid::now_v7()),
        };
        let file = git::config(repository, settings::HOOK_CONFIG)?;
        let named = git::config(repository, settings::NAME)?;
        let name = match (&args.name, &named) {
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => name_of(repository)?,
        };
        let complete = hooks.iter().all(|hook| hook.found == Found::Ours);
        let guarded = file.zip(named).filter(|_| complete);
        let same =
            |(file, named): &(String, String)| Path::new(file) == host.file && *named == name;
        let current = guarded.as_ref().is_some_and(same);
        Ok(Self {
            id,
            name,
            format: git::object_format(repository)?,
            refs: git::refs(repository)?,
            hooks,
            hook_config: host.file.clone(),
            guarded,
            current,
            repository: repository.to_owned(),
        })
    }

    /// Shows it.
    pub fn print(&self) -> Outcome<()> {
        let style = output::style(output::Stream::Output);
        let shown = printable(&self.repository.display().to_string());
        output::line(&format!("{}{shown}{}", style.bold, style.reset))?;
        if self.current {
            return output::line("  hooks      renew where they differ");
        }
        let refs = self.refs.direct.len() + self.refs.symbolic.len();
        output::line(&format!("  name       {}", self.name))?;
        output::line(&format!("  id         {}", self.id))?;
        output::line(&format!(
            "  baseline   {refs} refs, HEAD {}, and a pack of all they reach",
            self.refs.head
        ))?;
        output::line(&format!("  config     {}", settings_set().join(", ")))?;
        for hook in self.hooks.iter().rev() {
            let aside = match hook.found {
                Found::Foreign => " (what is there is set aside)",
                Found::Ours => " (renewed)",
                Found::Nothing => "",
            };
            output::line(&format!("  hook       hooks/{}{aside}", hook.name))?;
        }
        Ok(())
    }

    /// The same for programs.
    pub fn describe(&self, state: &str, adopted: Option<&AdoptOut>) -> serde_json::Value {
        let hooks: Vec<&str> = self.hooks.iter().map(|hook| hook.name).collect();
        serde_json::json!({
            "path": self.repository.to_string_lossy(),
            "state": state,
            "repository": self.id,
            "name": self.name,
            "object_format": self.format,
            "head": self.refs.head,
            "refs": self.refs.direct.len() + self.refs.symbolic.len(),
            "config": settings_set(),
            "hooks": hooks,
            "epoch": adopted.map(|adopted| adopted.epoch),
            "pack_digest": adopted.and_then(|adopted| adopted.pack_digest.as_deref()),
        })
    }

    /// Does it. Gives what the service answered, or none when the guard stood there already.
    pub fn carry_out(&self, host: &Host) -> Outcome<Option<AdoptOut>> {
        if self.current {
            self.put_hooks()?;
            return Ok(None);
        }
        let adopted = self.adopt(host);
        if adopted.is_err() {
            self.undo();
        }
        adopted.map(Some)
    }

    fn adopt(&self, host: &Host) -> Outcome<AdoptOut> {
        let id = self.id.to_string();
        settings::write(&self.repository, &id, &self.name, &self.hook_config)?;
        let baseline = baseline::Baseline {
            repository: &self.repository,
            id: self.id,
            name: &self.name,
            format: self.format,
            refs: &self.refs,
        };
        let adopted = baseline.send(host)?;
        self.put_hooks()?;
        if git::refs(&self.repository)? != self.refs {
            return Err(
                Failure::refused("refs moved while the baseline was recorded")
                    .why("a push came in before the hooks were in place")
                    .next("run refwarden install again; nothing was left behind"),
            );
        }
        Ok(adopted)
    }

    fn put_hooks(&self) -> Outcome<()> {
        let staged = self.hooks.iter().map(|hook| hook.stage(&self.repository));
        // All are copied before the first is renamed: a full disk leaves nothing half done.
        let staged: Vec<_> = staged.collect::<Outcome<_>>()?;
        for hook in staged {
            hook.put(&self.repository)?;
        }
        Ok(())
    }

    /// What can be undone is; the failure that led here is the one to tell.
    fn undo(&self) {
        if let Some((file, name)) = &self.guarded {
            // It was under guard, and stays under the one it had.
            let restore = |key, value: &str| {
                let _ = git::set_config(&self.repository, key, Some(value.as_ref()));
            };
            restore(settings::HOOK_CONFIG, file);
            restore(settings::NAME, name);
            return;
        }
        for hook in hooks::look(&self.repository).unwrap_or_default() {
            let _ = hook.remove(&self.repository);
        }
        let _ = settings::restore(&self.repository);
    }
}

fn settings_set() -> Vec<String> {
    let ours = [settings::REPOSITORY, settings::NAME, settings::HOOK_CONFIG];
    let git = settings::GIT.map(|(key, value, _)| format!("{key}={value}"));
    ours.into_iter().map(str::to_owned).chain(git).collect()
}

/// Hooks that git never runs would guard nothing.
fn refuse_other_hooks_path(repository: &Path) -> Outcome<()> {
    let mut command = git::as_served(repository, "config");
    command.args(["--get", "core.hooksPath"]);
    let Some(path) = git::lookup(command)? else {
        return Ok(());
    };
    let path = String::from_utf8_lossy(&path).into_owned();
    Err(Failure::refused("core.hooksPath is set")
        .why(format!(
            "git would run the hooks in {path}, not those of the repository"
        ))
        .next("unset core.hooksPath for the repositories under guard"))
}

fn refuse_foreign(hooks: &[Hook]) -> Outcome<()> {
    let foreign = hooks.iter().filter(|hook| hook.found == Found::Foreign);
    let names: Vec<&str> = foreign.map(|hook| hook.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(
        Failure::refused(format!("there are hooks already: {}", names.join(", ")))
            .why("hooks are not chained yet, so those would not run any more")
            .next("--replace sets them aside; --uninstall puts them back"),
    )
}

fn name_of(repository: &Path) -> Outcome<String> {
    let file = repository.file_name().unwrap_or_default().to_string_lossy();
    let name = file.strip_suffix(".git").unwrap_or(&file).to_owned();
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || name.ends_with('.') || !name.chars().all(good) {
        return Err(
            Failure::refused(format!("'{}' makes no name", printable(&name)))
                .why("a name is letters, digits, - _ . and / between components")
                .next("give one: --name team/app"),
        );
    }
    Ok(name)
}
