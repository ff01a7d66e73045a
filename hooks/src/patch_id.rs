//! What a commit changes, as a number that a clean rebase keeps.
//!
//! As `git patch-id --stable` does (git-patch-id(1)), it leaves out line numbers and the names of
//! blobs, and the order of files does not matter. It is stricter where git is made for finding
//! and not for trusting: white space counts (as with `--verbatim`), modes count, and a binary
//! file, a submodule or a file whose diff is too long counts by the objects before and after.
//! Messages and people are not in it; the service adds them.

use refwarden_gitio::history::{Change, CommitChanges};
use sha2::{Digest, Sha256};

/// The patch id of a commit, hexadecimal SHA-256; none where not every change is listed.
pub fn of(listed: &CommitChanges) -> Option<String> {
    if listed.changes.len() as u64 != listed.total {
        return None;
    }
    let mut changes: Vec<&Change> = listed.changes.iter().collect();
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hasher = Sha256::new();
    field(&mut hasher, b"refwarden patch 1");
    for change in changes {
        add(&mut hasher, change);
    }
    Some(hex::encode(hasher.finalize()))
}

fn add(hasher: &mut Sha256, change: &Change) {
    field(hasher, &change.path);
    field(hasher, change.old_mode.as_bytes());
    field(hasher, change.new_mode.as_bytes());
    field(hasher, change.status.to_string().as_bytes());
    let is_submodule = change.old_mode == "160000" || change.new_mode == "160000";
    if change.added.is_none() || change.patch_cut || is_submodule {
        field(hasher, b"objects");
        field(hasher, change.old_oid.to_string().as_bytes());
        field(hasher, change.new_oid.to_string().as_bytes());
        return;
    }
    field(hasher, b"lines");
    let mut lines = Vec::with_capacity(change.patch.len());
    for line in change.patch.split_inclusive(|&byte| byte == b'\n') {
        // Every line of content begins with a space, + - or \, so this is a hunk's header.
        let header = line.starts_with(b"@@ ");
        lines.extend_from_slice(if header { b"@@\n" } else { line });
    }
    field(hasher, &lines);
}

fn field(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use refwarden_model::Oid;

    fn oid(digit: char) -> Oid {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn change(at: &str, lines: &str) -> Change {
        Change {
            path: at.into(),
            old_mode: "100644".into(),
            new_mode: "100644".into(),
            old_oid: oid('1'),
            new_oid: oid('2'),
            status: 'M',
            added: Some(1),
            deleted: Some(1),
            patch: lines.into(),
            patch_cut: false,
        }
    }

    fn id(changes: &[Change]) -> Option<String> {
        of(&CommitChanges {
            changes: changes.to_vec(),
            total: changes.len() as u64,
        })
    }

    const PATCH: &str = "@@ -1,2 +1,2 @@ fn a()\n a\n-b\n+c\n";

    #[test]
    fn line_numbers_blobs_and_order_do_not_matter() {
        let (one, two) = (change("a", PATCH), change("b", PATCH));
        let moved = Change {
            old_oid: oid('3'),
            new_oid: oid('4'),
            ..change("a", &PATCH.replace("-1,2 +1,2 @@ fn a()", "-9,2 +9,2 @@"))
        };
        let first = id(&[one, two.clone()]);
        assert!(first.is_some());
        assert_eq!(first, id(&[two, moved]));
    }

    #[test]
    fn everything_else_matters() {
        let whole = change("a", PATCH);
        let base = id(std::slice::from_ref(&whole));
        let spaced = change("a", &PATCH.replace("+c", "+ c"));
        let context = change("a", &PATCH.replace(" a\n", " x\n"));
        let disguised = change("a", &PATCH.replace("+c", "+c\n+@@ -1 +1 @@"));
        let mode = Change {
            new_mode: "100755".into(),
            ..whole.clone()
        };
        let elsewhere = change("b", PATCH);
        for other in [spaced, context, disguised, mode, elsewhere] {
            assert_ne!(id(std::slice::from_ref(&other)), base, "{other:?}");
        }
        assert_ne!(id(&[whole.clone(), whole.clone()]), base);
        // By their objects: binary files, long diffs, submodules.
        let binary = Change {
            added: None,
            patch: Vec::new(),
            ..whole.clone()
        };
        let cut = Change {
            patch_cut: true,
            ..whole.clone()
        };
        let submodule = Change {
            new_mode: "160000".into(),
            ..whole
        };
        for by_objects in [binary, cut, submodule] {
            let other = Change {
                new_oid: oid('9'),
                ..by_objects.clone()
            };
            assert_ne!(id(&[by_objects]), id(&[other]));
        }
    }

    #[test]
    fn a_list_that_is_cut_has_no_id() {
        let listed = CommitChanges {
            changes: vec![change("a", PATCH)],
            total: 2,
        };
        assert_eq!(of(&listed), None);
    }
}
