//! Scans objects of a repository as git reads them.

use refwarden_gitio::objects::{self, Event, Header, Kind, ObjectError};
use refwarden_gitio::{GitError, ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_scan::{Inspection, Large, PathClasses, Scanner};

use super::engine::{self, WHOLE_MAX};

/// What came of an object.
pub enum Read<'r> {
    /// It was read. Comes once.
    Object(Header),
    /// What was found in it, as the path with this number.
    Inspected(usize, Inspection, Option<&'r [u8]>),
    /// It could not be read.
    Failed(ObjectError),
    /// A thread of the scanner stopped at a defect.
    Stopped,
}

/// Scans each object under each of its paths. `paths` is asked for an index of `oids`.
pub fn scan<'p>(
    repository: &Repository,
    scanner: &Scanner<'_>,
    oids: &[Oid],
    paths: impl Fn(usize) -> Vec<Option<&'p [u8]>>,
    take: &mut dyn FnMut(usize, Read<'_>),
) -> Result<(), GitError> {
    let none = ObjectEnv::repository_only();
    let classes = |index| {
        let paths = paths(index);
        PathClasses::of(scanner.ruleset(), &paths)
    };
    std::thread::scope(|scope| {
        let mut large: Option<(PathClasses<'_>, Large<'_, '_>)> = None;
        let mut take_event = |index: usize, event: Event<'_>| match event {
            Event::Whole(header, bytes) => {
                take(index, Read::Object(header));
                let classes = classes(index);
                let mut found: Vec<Inspection> = Vec::with_capacity(classes.paths.len());
                for path in classes.paths {
                    let inspection = match found.first() {
                        _ if header.kind != Kind::Blob => text(scanner, bytes, path),
                        None => engine::inspect(scanner, bytes, path),
                        Some(first) => engine::inspect_again(scanner, bytes, path, first),
                    };
                    found.push(inspection);
                }
                each(&classes.of, &found, Some(bytes), &mut |read| {
                    take(index, read);
                });
            }
            Event::Piece(header, bytes) => {
                let (_, large) = large.get_or_insert_with(|| {
                    let is_blob = header.kind == Kind::Blob;
                    let beginning = is_blob.then_some(bytes);
                    let classes = classes(index);
                    let begun =
                        Large::start(scope, scanner, &classes.paths, header.size, beginning);
                    (classes, begun)
                });
                large.push(bytes);
            }
            Event::End(header) => {
                take(index, Read::Object(header));
                let Some((classes, ended)) = large.take() else {
                    return;
                };
                match ended.finish(scanner) {
                    Some(found) => each(&classes.of, &found, None, &mut |read| take(index, read)),
                    None => take(index, Read::Stopped),
                }
            }
            Event::Failed(error) => {
                large = None;
                take(index, Read::Failed(error));
            }
        };
        objects::each(repository, &none, oids, WHOLE_MAX, &mut take_event)
    })
}

/// Hands on what was found under each path, by its class.
fn each(of: &[usize], found: &[Inspection], bytes: Option<&[u8]>, take: &mut dyn FnMut(Read<'_>)) {
    for (number, class) in of.iter().enumerate() {
        if let Some(inspection) = found.get(*class) {
            give(number, inspection.clone(), bytes, take);
        }
    }
}

/// Scans bytes that are no container.
pub fn text(scanner: &Scanner<'_>, bytes: &[u8], path: Option<&[u8]>) -> Inspection {
    let mut stream = scanner.stream(path);
    stream.push(bytes);
    stream.inspect()
}

/// Hands on what was found as the path with this number, if it is anything.
pub fn give(
    number: usize,
    inspection: Inspection,
    bytes: Option<&[u8]>,
    take: &mut dyn FnMut(Read<'_>),
) {
    if !inspection.findings.is_empty() || !inspection.unread.is_empty() {
        take(Read::Inspected(number, inspection, bytes));
    }
}
