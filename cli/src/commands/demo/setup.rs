//! What the demo stands on: a running quick start and a real repository.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;

use super::Guarded;
use super::person::git;
use super::shell::{Shell, run, saw};
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::{DataDir, make_dir, write_file};
use crate::output;

/// The part of `refwarden status --json` that the demo needs.
#[derive(Deserialize)]
struct Status {
    service_url: String,
    proxy_url: String,
    repositories_dir: PathBuf,
    approver: SignIn,
    admin: SignIn,
}

/// A sign-in.
#[derive(Deserialize)]
pub struct SignIn {
    /// Name.
    pub user: String,
    /// Password.
    pub password: String,
}

/// The running quick start, and the repository to copy.
pub struct Stage {
    /// Pages and API.
    pub service_url: String,
    /// Where git clones from.
    pub proxy_url: String,
    /// Who approves.
    pub approver: SignIn,
    /// `--data-dir`, as a person here would write it.
    pub data_dir: String,
    admin: SignIn,
    repositories: PathBuf,
    source: PathBuf,
    root: PathBuf,
}

/// Finds the repository to copy, and refuses what cannot be a real one.
pub fn source(named: Option<&Path>) -> Outcome<PathBuf> {
    let here = Path::new(".");
    let path = named.filter(|path| !path.as_os_str().is_empty());
    let elsewhere = "name another one: make demo REPO=/path/to/repository";
    let start = path.unwrap_or(here).canonicalize().map_err(|error| {
        let shown = path.unwrap_or(here).display();
        Failure::new(format!("{shown} cannot be found"))
            .why(error)
            .next(elsewhere)
    })?;
    let ask = |args: &[&str]| -> Outcome<Option<String>> {
        let ran = run(git(&start, None, args))?;
        Ok(ran.ok.then(|| ran.stdout.trim_end().to_owned()))
    };
    let shown = start.display();
    if ask(&["rev-parse", "--git-dir"])?.is_none() {
        return Err(Failure::new(format!("{shown} is not in a Git repository")).next(elsewhere));
    }
    if ask(&["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true") {
        return Err(
            Failure::new(format!("the repository at {shown} is shallow"))
                .why("part of its history is missing, so that it is no whole repository")
                .next(format!(
                    "git fetch --unshallow completes it; or {elsewhere}"
                )),
        );
    }
    if ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?.is_none() {
        return Err(
            Failure::new(format!("the repository at {shown} has no commit")).next(elsewhere),
        );
    }
    // The top of a working copy, or the bare repository itself.
    let top = ask(&["rev-parse", "--show-toplevel"])?.filter(|top| !top.is_empty());
    Ok(top.map_or(start.clone(), PathBuf::from))
}

impl Stage {
    /// Starts the quick start, or finds it running.
    pub fn start(shell: &Shell, dir: &DataDir, source: PathBuf) -> Outcome<Self> {
        let data_dir = shell.short(dir.root());
        let asked = ["status", "--json", "--data-dir", &data_dir];
        let mut status = shell.quietly(&asked)?;
        if status.ok {
            shell.refwarden(&["status", "--data-dir", &data_dir])?;
        } else {
            let up = shell.refwarden(&["up", "--detach", "--data-dir", &data_dir])?;
            shell.check(up.ok, "Postgres, the service and the proxy are ready")?;
            status = shell.quietly(&asked)?;
        }
        let status: Status = serde_json::from_str(&status.stdout)
            .context(|| format!("refwarden status: {}", status.text))?;
        Ok(Self {
            service_url: status.service_url,
            proxy_url: status.proxy_url,
            approver: status.approver,
            admin: status.admin,
            repositories: status.repositories_dir,
            root: dir.root().to_owned(),
            data_dir,
            source,
        })
    }

    /// Step 1: a bare copy with hooks and a baseline.
    pub fn guard(&self, shell: &Shell) -> Outcome<Guarded> {
        let name = self.free_name();
        let live = self.repositories.join(format!("{name}.git"));
        let work = self.root.join("demo").join(&name);
        make_dir(&work, 0o755)?;
        let (from, to) = (
            self.source.display().to_string(),
            live.display().to_string(),
        );
        let clone = ["clone", "--bare", "--no-local", "--quiet", &from, &to];
        let typed = format!(
            "git clone --bare --no-local {} {}",
            shell.short(&self.source),
            shell.short(&live)
        );
        // The source may be somebody else's. Only a file of configuration reaches the
        // upload-pack that a clone from a path starts; variables are taken from it.
        let trust = self.root.join("demo").join("gitconfig");
        write_file(&trust, 0o644, "[safe]\n\tdirectory = *\n")?;
        let mut command = git(&self.root, None, &clone);
        command.env("GIT_CONFIG_GLOBAL", &trust);
        let ran = shell.run(&typed, command)?;
        shell.check(ran.ok, "a bare copy with the whole history")?;
        let branch = main_branch(shell, &live)?;
        let shown = shell.short(&live);
        let installed = shell.refwarden(&["install", &shown, "--data-dir", &self.data_dir])?;
        shell.check(installed.ok, "hooks installed, baseline recorded")?;
        let before = work.join("before.git");
        copy(&live, &before)?;
        Ok(Guarded {
            seq_before: self.last_event(shell, &name)?,
            name,
            live,
            before,
            branch,
            work,
        })
    }

    /// A token for a push. Tokens are not shown.
    pub fn token(&self, shell: &Shell, ttl: &str) -> Outcome<SecretString> {
        let args = [
            "token",
            "--as",
            "agent",
            "--for",
            "ada",
            "--ttl",
            ttl,
            "--data-dir",
            &self.data_dir,
        ];
        shell.typed(&format!("TOKEN=$(refwarden {})", args.join(" ")))?;
        let ran = shell.quietly(&args)?;
        if !ran.ok {
            saw(&ran.text)?;
            shell.check(false, "a token for the agent")?;
        }
        Ok(ran.stdout.trim_end().to_owned().into())
    }

    /// The last words.
    pub fn farewell(&self, shell: &Shell) -> Outcome<()> {
        output::line("Everything is left running:")?;
        output::line(&format!("  pages     {}", self.service_url))?;
        for (what, sign_in) in [("approver", &self.approver), ("admin", &self.admin)] {
            let SignIn { user, password } = sign_in;
            output::line(&format!("  {what:9} {user}  password {password}"))?;
        }
        output::line(&format!("  git       {}/NAME.git", self.proxy_url))?;
        output::line(&format!(
            "  token     refwarden token --as agent --for ada --ttl 10m --data-dir {}",
            output::quoted(&self.data_dir)
        ))?;
        let program = shell.short(&crate::process::part::beside("refwarden")?);
        output::line(&format!(
            "  stop      {} down --data-dir {}",
            output::quoted(&program),
            output::quoted(&self.data_dir)
        ))
    }

    fn last_event(&self, shell: &Shell, name: &str) -> Outcome<i64> {
        let args = [
            "audit",
            "--json",
            "--repository",
            name,
            "--data-dir",
            &self.data_dir,
        ];
        let ran = shell.quietly(&args)?;
        let last = ran.stdout.lines().last().unwrap_or_default();
        let event: serde_json::Value =
            serde_json::from_str(last).context(|| format!("refwarden audit: {}", ran.text))?;
        event
            .get("seq")
            .and_then(serde_json::Value::as_i64)
            .ok_or_else(|| Failure::new("refwarden audit gives no number"))
    }

    fn free_name(&self) -> String {
        let stem = self
            .source
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let stem = stem.strip_suffix(".git").unwrap_or(&stem);
        let good = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let stem: String = stem.chars().map(good).collect();
        let stem = stem.trim_matches('-');
        let stem = if stem.is_empty() { "repository" } else { stem };
        let free = |name: &String| !self.repositories.join(format!("{name}.git")).exists();
        let mut names = (1..).map(|number| format!("{stem}-{number}"));
        names.find(free).unwrap_or_default()
    }
}

/// The branch to push to: the default branch where policy protects it, else a new `main`.
fn main_branch(shell: &Shell, live: &Path) -> Outcome<String> {
    let head = run(git(live, None, &["symbolic-ref", "-q", "--short", "HEAD"]))?;
    let head = head.stdout.trim_end().to_owned();
    if head == "main" || head == "master" {
        return Ok(head);
    }
    for args in [
        ["update-ref", "refs/heads/main", "HEAD"],
        ["symbolic-ref", "HEAD", "refs/heads/main"],
    ] {
        let typed = format!("git -C {} {}", shell.short(live), args.join(" "));
        let ran = shell.run(&typed, git(live, None, &args))?;
        shell.check(
            ran.ok,
            "its default branch is main, which the policy protects",
        )?;
    }
    Ok("main".to_owned())
}

/// A plain copy of a directory, to compare with later.
fn copy(from: &Path, to: &Path) -> Outcome<()> {
    let what = || format!("{} cannot be copied", from.display());
    std::fs::create_dir_all(to).context(what)?;
    for entry in std::fs::read_dir(from).context(what)? {
        let entry = entry.context(what)?;
        let target = to.join(entry.file_name());
        if entry.file_type().context(what)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).context(what)?;
        }
    }
    Ok(())
}
