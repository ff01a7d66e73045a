//! What an installation would do, worked out before anything is changed.

use std::path::{Path, PathBuf};

use refwarden_model::{ObjectFormat, RepositoryId};
use refwarden_wire::hook::AdoptOut;

use super::baseline::NotAdopted;
use super::hooks::{Found, Hook};
use super::settings::Before;
use super::{Host, baseline, hooks, identity, settings};
use crate::args::Install;
use crate::failure::{Failure, Outcome};
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
    /// Whether the guard stands there already as planned.
    current: bool,
    moved_from: Option<PathBuf>,
}

impl Plan {
    /// Looks at everything and refuses what cannot work.
    pub fn make(args: &Install, host: &Host, repository: &Path) -> Outcome<Self> {
        let hooks = hooks::look(repository)?;
        refuse_other_hooks_path(repository)?;
        if !args.replace {
            refuse_foreign(&hooks)?;
        }
        let identity = identity::of(args, repository)?;
        let file = git::config_bytes(repository, settings::HOOK_CONFIG)?;
        let complete = hooks.iter().all(|hook| hook.found == Found::Ours);
        let current = complete
            && !identity.is_unknown
            && file.is_some_and(|file| Path::new(&file) == host.file);
        Ok(Self {
            id: identity.id,
            name: identity.name,
            format: git::object_format(repository)?,
            refs: git::refs(repository)?,
            hooks,
            hook_config: host.file.clone(),
            current,
            moved_from: identity.moved_from,
            repository: repository.to_owned(),
        })
    }

    /// Shows it.
    pub fn print(&self) -> Outcome<()> {
        let style = output::style(output::Stream::Output);
        let shown = printable(&self.repository.display().to_string());
        output::line(&format!("{}{shown}{}", style.bold, style.reset))?;
        if let Some(path) = &self.moved_from {
            let path = printable(&path.display().to_string());
            output::line(&format!("  moved      from {path}"))?;
        }
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
            self.own().write()?;
            self.put_hooks()?;
            return Ok(None);
        }
        let before = Before::read(&self.repository)?;
        let adopted = settings::write(self.own(), &self.hook_config)
            .map_err(NotAdopted::Certainly)
            .and_then(|()| self.adopt(host));
        adopted.map(Some).map_err(|why| {
            let (failure, is_recorded) = match why {
                NotAdopted::Certainly(failure) => (failure, false),
                NotAdopted::Perhaps(failure) => (failure, true),
            };
            self.undo(&before, is_recorded);
            failure
        })
    }

    fn adopt(&self, host: &Host) -> Result<AdoptOut, NotAdopted> {
        let baseline = baseline::Baseline {
            repository: &self.repository,
            id: self.id,
            name: &self.name,
            format: self.format,
            refs: &self.refs,
        };
        let adopted = baseline.send(host)?;
        self.guard().map_err(NotAdopted::Perhaps)?;
        Ok(adopted)
    }

    /// Puts the hooks in place, and looks whether anything came in before.
    fn guard(&self) -> Outcome<()> {
        self.put_hooks()?;
        if git::refs(&self.repository)? == self.refs {
            return Ok(());
        }
        Err(
            Failure::refused("refs moved while the baseline was recorded")
                .why("a push came in before the hooks were in place")
                .next("run refwarden install again; nothing was left behind"),
        )
    }

    fn own(&self) -> settings::Own<'_> {
        settings::Own {
            id: self.id,
            name: &self.name,
            path: &self.repository,
        }
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

    /// What can be undone is; the failure that led here is the one to tell. Hooks of ours that stood
    /// there stay.
    fn undo(&self, before: &Before, is_recorded: bool) {
        let now = hooks::look(&self.repository).unwrap_or_default();
        for (planned, hook) in self.hooks.iter().zip(now) {
            if planned.found != Found::Ours {
                let _ = hook.remove(&self.repository);
            }
        }
        let _ = before.put_back(&self.repository, is_recorded);
    }
}

fn settings_set() -> Vec<String> {
    let ours = [
        settings::REPOSITORY,
        settings::NAME,
        settings::PATH,
        settings::HOOK_CONFIG,
    ];
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
