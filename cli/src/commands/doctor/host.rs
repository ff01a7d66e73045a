//! What the hooks of a repository need on their host: `hook.toml`, the key of fingerprints, the
//! spool, and programs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use refwarden_config::HookConfig;
use refwarden_gitio::Repository;
use rustix::fs::{Access, access};

use super::Finding;
use crate::output::{printable, quoted};
use crate::process::part::beside;

/// Programs that stand beside this one on a Git host, and what does not work without them.
const PROGRAMS: [(&str, &str); 5] = [
    ("refwarden-pack-objects", "fetches and clones fail"),
    ("refwarden-receive", "pushes from masked clones fail"),
    ("pre-receive", "refwarden install fails"),
    ("reference-transaction", "refwarden install fails"),
    ("post-receive", "refwarden install fails"),
];

/// Which programs are missing, one sentence each.
pub fn programs() -> Vec<String> {
    let missing = PROGRAMS.into_iter().filter_map(|(name, without)| {
        let path = match beside(name) {
            Ok(path) => path,
            Err(failure) => return Some(format!("{}; {without}", failure.what())),
        };
        let shown = printable(&path.to_string_lossy());
        let mode = std::fs::metadata(&path).map(|found| found.permissions().mode());
        let runs = mode.is_ok_and(|mode| mode & 0o111 != 0);
        (!runs).then(|| format!("{shown} is not executable; {without}"))
    });
    missing.collect()
}

/// Reads `hook.toml` and looks at what it names. No configuration where it cannot be read.
pub fn look(repository: &Repository) -> (Option<HookConfig>, Vec<Finding>) {
    let Some(file) = &repository.hook_config else {
        let mend = "refwarden install puts it under guard";
        let what = "refwarden.hookConfig is not set";
        return (None, vec![Finding::new("guard", what, mend)]);
    };
    let shown = printable(&file.to_string_lossy());
    let read = std::fs::read_to_string(file).map_err(|error| {
        let mend = format!(
            "every push is refused until it is there again; or, to use another one: \
             refwarden install {} --hook-config FILE",
            quoted(&printable(&repository.gitdir.to_string_lossy()))
        );
        Finding::new(
            "hook.toml",
            format!("{shown} cannot be read: {error}"),
            mend,
        )
    });
    let config = read.and_then(|text| {
        refwarden_config::parse::<HookConfig>(&shown, &text).map_err(|error| {
            let mend = format!("mend {shown}: every push is refused until then");
            Finding::new("config", error.to_string(), mend)
        })
    });
    match config {
        Err(finding) => (None, vec![finding]),
        Ok(config) => {
            let found = [key(&config.fingerprint_key_file), spool(&config.spool_dir)];
            (Some(config), found.into_iter().flatten().collect())
        }
    }
}

/// The key of fingerprints, read as the hooks do.
fn key(path: &Path) -> Option<Finding> {
    let shown = printable(&path.to_string_lossy());
    let what = match std::fs::read_to_string(path) {
        Err(error) => format!("the fingerprint key {shown} cannot be read: {error}"),
        Ok(text) => {
            let text = text.trim();
            let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if text.len() == 64 && digits {
                return None;
            }
            format!("the fingerprint key {shown} is not 64 hexadecimal digits")
        }
    };
    let mend = "let the account of the hooks read it, or bring it back from a backup: with a new \
                one, known secrets get other names";
    Some(Finding::new("key", what, mend))
}

/// The spool, in which the hooks make files. Fetches are refused where they cannot.
fn spool(path: &Path) -> Option<Finding> {
    let shown = printable(&path.to_string_lossy());
    let mend = |what: &str| format!("{what}, for the account that git runs under here");
    let finding = |what: String, mend: String| Some(Finding::new("spool", what, mend));
    match std::fs::metadata(path) {
        Err(error) => finding(
            format!("the spool {shown} cannot be looked at: {error}"),
            mend(&format!("mkdir -m 700 {}", quoted(&shown))),
        ),
        Ok(found) if !found.is_dir() => finding(
            format!("the spool {shown} is no directory"),
            mend("move it away and make a directory there"),
        ),
        Ok(_) => {
            let error = access(path, Access::WRITE_OK | Access::EXEC_OK).err()?;
            finding(
                format!("the spool {shown} cannot be written: {error}"),
                mend("make it writable"),
            )
        }
    }
}

/// What of this repository, and of fetches on this host, the service would not take.
pub fn rejected(repository: &Repository, config: &HookConfig) -> Vec<PathBuf> {
    let own = repository
        .id
        .map(|id| config.spool_dir.join(format!("{id}.rejected")));
    let is_there = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
    let fetches = std::fs::read_dir(config.spool_dir.join("fetches"));
    let mut fetches: Vec<PathBuf> = fetches
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "rejected"))
        .collect();
    fetches.sort();
    own.into_iter().filter(is_there).chain(fetches).collect()
}
