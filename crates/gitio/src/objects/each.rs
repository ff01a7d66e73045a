//! Reads many objects in one go: questions are written ahead of the answers, so that no time is
//! spent waiting for either side.

use std::io::{BufWriter, Write as _};

use refwarden_model::Oid;

use super::{Header, ObjectError, start};
use crate::command::{GitError, ObjectEnv};
use crate::settings::Repository;

/// How often a git that has died over a broken object is started again.
const RESTARTS_MAX: usize = 100;

/// What is read of an object.
#[derive(Debug)]
pub enum Event<'b> {
    /// All of an object that is no larger than the limit.
    Whole(Header, &'b [u8]),
    /// A piece of a larger one, at most 64 KiB.
    Piece(Header, &'b [u8]),
    /// The end of a larger one.
    End(Header),
    /// It is missing or broken. Pieces of it may have come before.
    Failed(ObjectError),
}

/// Reads objects in the order given and hands each to `see`, with its index. Objects above
/// `whole_max` bytes come in pieces.
///
/// A missing or broken object is an event and not the end. An error is one of git itself.
pub fn each(
    repository: &Repository,
    objects: &ObjectEnv,
    oids: &[Oid],
    whole_max: u64,
    see: &mut dyn FnMut(usize, Event<'_>),
) -> Result<(), GitError> {
    let mut done = 0;
    let mut restarts = 0;
    while let Some(rest) = oids.get(done..).filter(|rest| !rest.is_empty()) {
        let before = done;
        let failed = read(repository, objects, rest, whole_max, &mut |index, event| {
            done = before + index + 1;
            see(before + index, event);
        });
        let Err((index, error)) = failed else {
            return Ok(());
        };
        // git ends over an object that it cannot inflate; the others are none the worse.
        restarts += 1;
        if restarts > RESTARTS_MAX {
            return match error {
                ObjectError::Git(error) => Err(error),
                _ => Err(GitError::Unexpected {
                    command: "cat-file".into(),
                    what: "objects that can be read",
                }),
            };
        }
        done = before + index + 1;
        see(before + index, Event::Failed(error));
    }
    Ok(())
}

/// Reads until the end, or until git does not answer as it should: then the index and why.
fn read(
    repository: &Repository,
    objects: &ObjectEnv,
    oids: &[Oid],
    whole_max: u64,
    see: &mut dyn FnMut(usize, Event<'_>),
) -> Result<(), (usize, ObjectError)> {
    let batch = start(repository, objects, &["--batch", "--buffer"]);
    let mut batch = batch.map_err(|error| (0, error.into()))?;
    let stdin = batch.stdin.take();
    // Moved, so that git is gone before the writer is waited for.
    std::thread::scope(move |scope| {
        scope.spawn(move || {
            let Some(stdin) = stdin else { return };
            let mut stdin = BufWriter::with_capacity(16 * 1024, stdin);
            for oid in oids {
                // A broken pipe is no error here: the reader sees why.
                if writeln!(stdin, "{oid}").is_err() {
                    return;
                }
            }
        });
        let mut whole = Vec::new();
        for (index, &oid) in oids.iter().enumerate() {
            let header = match batch.answer(oid) {
                Err(error @ ObjectError::Missing(_)) => {
                    see(index, Event::Failed(error));
                    continue;
                }
                answer => answer.map_err(|error| (index, error))?,
            };
            let read = if header.size > whole_max {
                batch.content(header.size, |piece| see(index, Event::Piece(header, piece)))
            } else {
                whole.clear();
                batch.content(header.size, |piece| whole.extend_from_slice(piece))
            };
            read.map_err(|error| (index, broken(oid, &error)))?;
            if header.size > whole_max {
                see(index, Event::End(header));
            } else {
                see(index, Event::Whole(header, &whole));
            }
        }
        // git's status says nothing that its answers did not say.
        Ok(())
    })
}

fn broken(oid: Oid, error: &GitError) -> ObjectError {
    ObjectError::Unreadable {
        oid,
        problem: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Sandbox;
    use refwarden_model::ObjectFormat;

    /// The bytes of each object, or what is wrong with it.
    fn all(sandbox: &Sandbox, oids: &[Oid]) -> Vec<String> {
        let mut found = vec![String::new(); oids.len()];
        let none = ObjectEnv::repository_only();
        each(
            &sandbox.repository(),
            &none,
            oids,
            10,
            &mut |index, event| {
                let text = match event {
                    Event::Whole(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Event::Piece(_, bytes) => format!("[{}]", bytes.len()),
                    Event::End(_) => "end".to_owned(),
                    Event::Failed(ObjectError::Missing(_)) => "missing".to_owned(),
                    Event::Failed(_) => "broken".to_owned(),
                };
                found[index].push_str(&text);
            },
        )
        .unwrap();
        found
    }

    #[test]
    fn broken_and_missing_objects_do_not_stop_the_others() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let sandbox = Sandbox::new(format, "files");
            let blob = |content: &[u8]| {
                let hash = sandbox.git("hash-object").args(["-w", "--stdin"]);
                Sandbox::oid(hash, content)
            };
            let noise: Vec<u8> = (0..20_000u32)
                .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
                .collect();
            let broken = blob(&noise);
            let missing = Oid::parse("1".repeat(format.raw_len() * 2).as_bytes()).unwrap();
            let oids = [
                blob(b"one"),
                missing,
                broken,
                blob(&[b'x'; 20]),
                blob(b"two"),
            ];
            let name = broken.to_string();
            let (fan, rest) = name.split_at(2);
            let path = sandbox.gitdir().join("objects").join(fan).join(rest);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(bytes.len() / 2);
            std::fs::remove_file(&path).unwrap();
            std::fs::write(path, bytes).unwrap();
            let found = all(&sandbox, &oids);
            assert_eq!(found[0], "one");
            assert_eq!(found[1], "missing");
            assert!(found[2].ends_with("broken"), "{}", found[2]);
            assert_eq!(found[3..], ["[20]end", "two"]);
        }
    }
}
