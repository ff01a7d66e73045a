//! Finds `initdb` and `postgres`, which distributions keep out of PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::{Failure, Outcome};

/// A directory that holds both.
pub struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// The newest, or the ones that fit an existing cluster's major version.
    pub fn find(version: Option<&str>) -> Outcome<Self> {
        let mut found: Vec<(u32, PathBuf)> = candidates()
            .into_iter()
            .filter_map(|bin| Some((major(&bin)?, bin)))
            .collect();
        found.sort();
        let wanted = version.and_then(|version| version.parse::<u32>().ok());
        let fitting = found
            .into_iter()
            .rev()
            .find(|(major, _)| wanted.is_none_or(|wanted| wanted == *major));
        match (fitting, wanted) {
            (Some((_, bin)), _) => Ok(Self { bin }),
            (None, Some(wanted)) => Err(Failure::new("this Postgres cluster cannot be run")
                .why(format!(
                    "it was made by Postgres {wanted}, which is not installed"
                ))
                .next(format!("install postgresql-{wanted}"))),
            (None, None) => Err(Failure::new("Postgres is not installed")
                .why("initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin")
                .next("run install/bootstrap.sh, or set DATABASE_URL to use a server")),
        }
    }

    /// `initdb`.
    pub fn initdb(&self) -> PathBuf {
        self.bin.join("initdb")
    }

    /// `postgres`.
    pub fn postgres(&self) -> PathBuf {
        self.bin.join("postgres")
    }
}

fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        all.extend(versions.flatten().map(|entry| entry.path().join("bin")));
    }
    // A link such as /usr/local/bin/initdb leads to the directory that has everything.
    let mut real: Vec<PathBuf> = all
        .into_iter()
        .filter_map(|bin| bin.join("initdb").canonicalize().ok())
        .filter_map(|initdb| initdb.parent().map(Path::to_owned))
        .filter(|bin| bin.join("postgres").exists())
        .collect();
    real.sort();
    real.dedup();
    real
}

fn major(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    // "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)", "postgres (PostgreSQL) 19devel"
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let digits = version.find(|c: char| !c.is_ascii_digit())?;
    version.get(..digits)?.parse().ok()
}
