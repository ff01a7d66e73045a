//! What ARCHITECTURE.md says that there is not, looked for in the sources.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The project's directory.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A crate's manifest.
fn manifest(path: &str) -> Table {
    let text = std::fs::read_to_string(root().join(path).join("Cargo.toml")).unwrap();
    text.parse().unwrap()
}

/// All crates, by their directories.
fn crates() -> Vec<String> {
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let mut found = Vec::new();
    for member in members.iter().map(|it| it.as_str().unwrap()) {
        match member.strip_suffix("/*") {
            None => found.push(member.to_owned()),
            Some(folder) => {
                for entry in std::fs::read_dir(root().join(folder)).unwrap() {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    found.push(format!("{folder}/{name}"));
                }
            }
        }
    }
    assert!(found.len() > 12, "{found:?}");
    found
}

/// What a crate needs to be built, without what its tests need.
fn dependencies(path: &str) -> Vec<String> {
    let manifest = manifest(path);
    let listed = manifest.get("dependencies").and_then(Value::as_table);
    listed.map_or_else(Vec::new, |it| it.keys().cloned().collect())
}

/// The sources below a folder, each up to its tests.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs")
            && !matches!(name, "tests.rs" | "testing.rs")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            found.push((path, code.to_owned()));
        }
    }
}

fn code(path: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let folder = root().join(path).join("src");
    // What is tests only has none.
    if !path.ends_with("fuzz") && !path.ends_with("tests") {
        sources(&folder, &mut found);
        assert!(!found.is_empty(), "{path}");
    }
    found
}

#[track_caller]
fn nowhere(path: &str, words: &[&str], but: &[&str]) {
    for (file, text) in code(path) {
        if but.iter().any(|it| file.ends_with(it)) {
            continue;
        }
        for word in words {
            assert!(!text.contains(word), "{}: {word}", file.display());
        }
    }
}

#[test]
fn only_gitio_names_libgit2_and_starts_git() {
    for path in crates() {
        let names = dependencies(&path).iter().any(|it| it == "git2");
        assert_eq!(names, path == "crates/gitio", "{path}");
        if path != "crates/testkit" {
            nowhere(
                &path,
                &[r#"Command::new("git")"#],
                &["gitio/src/command.rs"],
            );
        }
    }
}

#[test]
fn the_scanner_and_policy_see_nothing_but_their_input() {
    let world = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "SystemTime",
        "Instant::now",
        "Utc::now",
        "Local::now",
    ];
    for path in [
        "crates/scan",
        "crates/policy",
        "crates/model",
        "crates/query",
        "crates/session",
    ] {
        nowhere(path, &world, &[]);
    }
    for path in ["crates/wire", "crates/merkle"] {
        nowhere(
            path,
            &[
                "std::fs",
                "std::net",
                "std::process",
                "SystemTime",
                "Utc::now",
            ],
            &[],
        );
    }
}

#[test]
fn the_service_opens_no_repository_and_nothing_needs_a_program() {
    let opened = [
        "refwarden-gitio",
        "refwarden-view",
        "refwarden-hooks",
        "git2",
    ];
    for name in dependencies("service") {
        assert!(!opened.contains(&name.as_str()), "{name}");
    }
    let programs = [
        "refwarden-service",
        "refwarden-proxy",
        "refwarden-cli",
        "refwarden-credential",
    ];
    for path in crates() {
        for name in dependencies(&path) {
            assert!(!programs.contains(&name.as_str()), "{path} needs {name}");
            // The command line looks at what the hooks do, and takes it up where they left it.
            let may = path == "cli" || path == "fuzz" || name != "refwarden-hooks";
            assert!(may, "{path} needs {name}");
        }
    }
}

#[test]
fn tables_are_named_by_the_database_module_alone() {
    for (file, text) in code("service") {
        let is_db = file.components().any(|part| part.as_os_str() == "db");
        let names = text.contains("::schema::") || text.contains("sql_query");
        assert!(is_db || !names, "{}", file.display());
    }
}

/// Features unify over a workspace: one that changes what is let through would do so for all.
#[test]
fn no_crate_has_features() {
    for path in crates() {
        assert!(!manifest(&path).contains_key("features"), "{path}");
    }
}
