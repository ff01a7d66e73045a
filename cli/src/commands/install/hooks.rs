//! The hook files: copied beside their place, renamed into it, known again by their digest.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::failure::{Context as _, Failure, Outcome};
use crate::git;
use crate::process::part::beside;

/// The hooks, in the order in which they are put in place: the barrier first, the one that
/// opens the way last, since without a recorded push the barrier lets nothing through.
pub const NAMES: [&str; 3] = ["reference-transaction", "post-receive", "pre-receive"];

/// What stands at a hook's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// What an installation put there.
    Ours,
    /// Something else.
    Foreign,
}

/// A hook of a repository.
pub struct Hook {
    /// Its name.
    pub name: &'static str,
    /// Its place.
    pub path: PathBuf,
    /// The program that is to stand there.
    pub program: PathBuf,
    /// What stands there.
    pub found: Found,
}

/// Looks at the hooks of a repository.
pub fn look(repository: &Path) -> Outcome<Vec<Hook>> {
    NAMES
        .into_iter()
        .map(|name| look_at(repository, name))
        .collect()
}

fn look_at(repository: &Path, name: &'static str) -> Outcome<Hook> {
    let path = repository.join("hooks").join(name);
    let recorded = git::config(repository, &digest_key(name))?;
    let found = match std::fs::symlink_metadata(&path) {
        Err(_) => Found::Nothing,
        Ok(_) => match (std::fs::read(&path), recorded) {
            (Ok(bytes), Some(recorded)) if hex::encode(Sha256::digest(&bytes)) == recorded => {
                Found::Ours
            }
            _ => Found::Foreign,
        },
    };
    Ok(Hook {
        name,
        path,
        program: beside(name)?,
        found,
    })
}

impl Hook {
    /// Where a foreign hook waits for --uninstall.
    pub fn kept(&self) -> PathBuf {
        self.path
            .with_file_name(format!("{}.refwarden-kept", self.name))
    }

    /// Copies the program to a file beside its place, so that putting it there is one rename.
    pub fn stage(&self, repository: &Path) -> Outcome<Staged<'_>> {
        let bytes = std::fs::read(&self.program)
            .context(|| format!("{} cannot be read", self.program.display()))?;
        let directory = repository.join("hooks");
        std::fs::create_dir_all(&directory)
            .context(|| format!("{} cannot be made", directory.display()))?;
        let staged = directory.join(format!(".{}.refwarden-new", self.name));
        let write = || -> std::io::Result<()> {
            let _ = std::fs::remove_file(&staged);
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o755)
                .open(&staged)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().context(|| format!("{} cannot be written", staged.display()))?;
        Ok(Staged {
            hook: self,
            file: staged,
            digest: hex::encode(Sha256::digest(&bytes)),
        })
    }

    /// Takes our hook away and puts back what was set aside; says what was done.
    pub fn remove(&self, repository: &Path) -> Outcome<&'static str> {
        let kept = self.kept();
        let has_kept = std::fs::symlink_metadata(&kept).is_ok();
        let done = match self.found {
            Found::Foreign => "left: it is not what was installed",
            _ if has_kept => {
                std::fs::rename(&kept, &self.path)
                    .context(|| format!("{} cannot be put back", self.path.display()))?;
                "put back as it was"
            }
            Found::Ours => {
                std::fs::remove_file(&self.path)
                    .context(|| format!("{} cannot be removed", self.path.display()))?;
                "removed"
            }
            Found::Nothing => "not there",
        };
        git::set_config(repository, &digest_key(self.name), None)?;
        Ok(done)
    }
}

/// A hook that is ready to be renamed into place. Dropped, it leaves nothing.
pub struct Staged<'a> {
    hook: &'a Hook,
    file: PathBuf,
    digest: String,
}

impl Staged<'_> {
    /// Puts it in place. A foreign hook is set aside first.
    pub fn put(self, repository: &Path) -> Outcome<()> {
        if self.hook.found == Found::Foreign {
            let kept = self.hook.kept();
            if std::fs::symlink_metadata(&kept).is_ok() {
                return Err(
                    Failure::refused(format!("{} is there already", kept.display()))
                        .why("it holds a hook that was set aside before")
                        .next("move one of the two away"),
                );
            }
            // A link, not a rename: the place is never empty.
            std::fs::hard_link(&self.hook.path, &kept)
                .context(|| format!("{} cannot be set aside", self.hook.path.display()))?;
        }
        git::set_config(
            repository,
            &digest_key(self.hook.name),
            Some(self.digest.as_ref()),
        )?;
        std::fs::rename(&self.file, &self.hook.path)
            .context(|| format!("{} cannot be put in place", self.hook.path.display()))?;
        let directory = repository.join("hooks");
        std::fs::File::open(&directory)
            .and_then(|directory| directory.sync_all())
            .context(|| format!("{} cannot be synced", directory.display()))
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // Once in place it has another name, and this removes nothing.
        let _ = std::fs::remove_file(&self.file);
    }
}

fn digest_key(name: &str) -> String {
    format!("refwarden.{name}.sha256")
}
