//! Limits on what files change and how much.

use std::collections::BTreeSet;

use refwarden_model::facts::ChangeFacts;

use super::super::commits;
use super::super::history::{View, count};
use super::Breaches;
use crate::rule::{Forbid, Limits, Rule};

/// Modes of tree entries (git-fast-import(1), "filemodify").
const SUBMODULE: &str = "160000";
const SYMLINK: &str = "120000";
const EXECUTABLE: &str = "100755";

/// Whether a rule has any of them.
pub fn has_any(limits: &Limits) -> bool {
    let numbers = [
        limits.max_path_length,
        limits.max_file_size,
        limits.max_files,
        limits.max_changed_lines,
    ];
    numbers.iter().any(Option::is_some)
        || !limits.forbid.is_empty()
        || !limits.forbidden_extensions.is_empty()
        || !limits.lfs.is_empty()
}

/// Holds the changes that a rule is about to them.
pub fn check(rule: &Rule, view: &View<'_>, breaches: &mut Breaches) {
    let limits = &rule.limits;
    let mut lines: u64 = 0;
    let mut paths = BTreeSet::new();
    for (_, change) in commits::changes(rule, view) {
        lines = lines.saturating_add(change.added.unwrap_or(0));
        lines = lines.saturating_add(change.deleted.unwrap_or(0));
        paths.insert(&change.path);
        of_change(limits, change, breaches);
    }
    let files = count(paths.len());
    if let Some(max) = limits.max_files.filter(|&max| files > max) {
        breaches.add(|| format!("{files} files are changed, more than {max}"));
    }
    if let Some(max) = limits.max_changed_lines.filter(|&max| lines > max) {
        breaches.add(|| format!("{lines} lines are changed, more than {max}"));
    }
}

fn of_change(limits: &Limits, change: &ChangeFacts, breaches: &mut Breaches) {
    let path = &change.path;
    let modes = [change.old_mode.as_str(), change.new_mode.as_str()];
    let forbidden = |word| limits.forbid.contains(&word);
    if forbidden(Forbid::Submodule) && modes.contains(&SUBMODULE) {
        breaches.add(|| format!("{path} is a submodule"));
    }
    if forbidden(Forbid::Symlink) && modes.contains(&SYMLINK) {
        breaches.add(|| format!("{path} is a symbolic link"));
    }
    if change.status == 'D' {
        return;
    }
    if forbidden(Forbid::Executable)
        && change.new_mode == EXECUTABLE
        && change.old_mode != EXECUTABLE
    {
        breaches.add(|| format!("{path} becomes executable"));
    }
    let length = count(path.as_bytes().len());
    if let Some(max) = limits.max_path_length.filter(|&max| length > max) {
        breaches.add(|| format!("the path {path} has {length} bytes, more than {max}"));
    }
    let name = path.as_bytes().rsplit(|&byte| byte == b'/').next();
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let ends = |extension: &&String| {
        let stem = name.strip_suffix(extension.as_bytes());
        stem.is_some_and(|stem| stem.ends_with(b"."))
    };
    if let Some(extension) = limits.forbidden_extensions.iter().find(ends) {
        breaches.add(|| format!("{path} is a .{extension} file"));
    }
    if change.new_mode == SUBMODULE {
        return;
    }
    if let Some(max) = limits.max_file_size {
        match change.size {
            Some(size) if size > max => {
                breaches.add(|| format!("{path} has {size} bytes, more than {max}"));
            }
            Some(_) => {}
            None => breaches
                .add(|| format!("the size of {path} is not known, which counts as a breach")),
        }
    }
    // Git counts no lines of what it takes for binary.
    if forbidden(Forbid::Binary) && change.binary.unwrap_or(change.added.is_none()) {
        breaches.add(|| format!("{path} is binary"));
    }
    let is_file = change.new_mode != SYMLINK;
    if is_file && limits.lfs.iter().any(|glob| glob.is_match(path.as_bytes())) {
        match change.lfs_pointer {
            Some(true) => {}
            Some(false) => breaches.add(|| format!("{path} is not a Git LFS pointer")),
            None => breaches.add(|| {
                format!("{path} is not known to be a Git LFS pointer, which counts as a breach")
            }),
        }
    }
}
