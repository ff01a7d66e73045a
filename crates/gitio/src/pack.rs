//! Streams packs out of a repository.

use std::io::{Read, Write};
use std::process::ChildStdout;

use refwarden_model::Oid;

use crate::command::{Git, GitError, ObjectEnv, Process};
use crate::settings::Repository;

/// What goes into a pack.
pub enum Selection {
    /// Everything that any ref, HEAD included, reaches.
    AllReachable,
    /// These objects and no others.
    Objects(Vec<Oid>),
}

/// A pack that is being made. Read to the end: a failure of git shows there, as an error.
pub struct PackStream {
    process: Option<Process>,
    stdout: ChildStdout,
    input: Option<std::thread::JoinHandle<()>>,
}

/// Starts making a pack that depends on nothing outside it.
pub fn stream(
    repository: &Repository,
    objects: &ObjectEnv,
    selection: Selection,
) -> Result<PackStream, GitError> {
    let git = Git::new(&repository.gitdir, objects, "pack-objects");
    let git = git.args(["--stdout", "-q", "--delta-base-offset"]);
    let (git, oids) = match selection {
        Selection::AllReachable => (git.args(["--revs", "--all"]), Vec::new()),
        // Deltas that exist are kept and none are sought: somebody waits for this pack.
        Selection::Objects(oids) => (git.arg("--window=0"), oids),
    };
    let mut process = git.spawn()?;
    let stdout = process.stdout()?;
    let mut stdin = std::io::BufWriter::new(process.stdin()?);
    // The list is fed from beside: git reads all of it before it writes, but is not trusted to.
    let input = std::thread::spawn(move || {
        for oid in oids {
            if writeln!(stdin, "{oid}").is_err() {
                return;
            }
        }
        let _ = stdin.flush();
    });
    Ok(PackStream {
        process: Some(process),
        stdout,
        input: Some(input),
    })
}

impl Read for PackStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.stdout.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            if let Some(input) = self.input.take() {
                let _ = input.join();
            }
            if let Some(process) = self.process.take() {
                process.finish().map_err(std::io::Error::other)?;
            }
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use refwarden_model::ObjectFormat;

    use super::*;
    use crate::testing::Sandbox;

    #[test]
    fn a_pack_holds_what_was_asked_and_a_failure_is_an_error() {
        let sandbox = Sandbox::new(ObjectFormat::Sha1, "files");
        let commit = sandbox.commit("refs/heads/main", &[("a", b"1")]);
        let repository = sandbox.repository();
        let count = |selection| {
            let objects = ObjectEnv::repository_only();
            let mut pack = Vec::new();
            let mut stream = stream(&repository, &objects, selection).unwrap();
            let read = stream.read_to_end(&mut pack);
            read.map(|_| u32::from_be_bytes(pack[8..12].try_into().unwrap()))
        };
        assert_eq!(count(Selection::AllReachable).unwrap(), 3);
        assert_eq!(count(Selection::Objects(vec![commit])).unwrap(), 1);
        let missing = Oid::parse(&[b'1'; 40]).unwrap();
        assert!(count(Selection::Objects(vec![missing])).is_err());
    }
}
