//! Scans objects of a repository as git reads them.

use refwarden_gitio::objects::{self, Event, Header, Kind, ObjectError};
use refwarden_gitio::{GitError, ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_scan::{Inspection, Large, Scanner};

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
    std::thread::scope(|scope| {
        let mut large: Option<Large<'_, '_>> = None;
        let mut take_event = |index: usize, event: Event<'_>| match event {
            Event::Whole(header, bytes) => {
                take(index, Read::Object(header));
                let mut first = None;
                for (number, path) in paths(index).into_iter().enumerate() {
                    let inspect = |path| match header.kind {
                        Kind::Blob => engine::inspect(scanner, bytes, path),
                        _ => text(scanner, bytes, path),
                    };
                    let inspection = match &first {
                        None => inspect(path),
                        Some(first) => elsewhere(text(scanner, bytes, path), first),
                    };
                    first.get_or_insert_with(|| inspection.clone());
                    give(number, inspection, Some(bytes), &mut |read| {
                        take(index, read);
                    });
                }
            }
            Event::Piece(header, bytes) => {
                let large = large.get_or_insert_with(|| {
                    let is_blob = header.kind == Kind::Blob;
                    let beginning = is_blob.then_some(bytes);
                    Large::start(scope, scanner, &paths(index), header.size, beginning)
                });
                large.push(bytes);
            }
            Event::End(header) => {
                take(index, Read::Object(header));
                let Some(ended) = large.take() else { return };
                let Some(inspections) = ended.finish(scanner) else {
                    return take(index, Read::Stopped);
                };
                let first = inspections.first().cloned().unwrap_or_default();
                for (number, inspection) in inspections.into_iter().enumerate() {
                    let inspection = match number {
                        0 => inspection,
                        _ => elsewhere(inspection, &first),
                    };
                    give(number, inspection, None, &mut |read| take(index, read));
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

/// Scans bytes that are no container.
pub fn text(scanner: &Scanner<'_>, bytes: &[u8], path: Option<&[u8]>) -> Inspection {
    let mut stream = scanner.stream(path);
    stream.push(bytes);
    stream.inspect()
}

/// What a container holds is the same under every path of it.
pub fn elsewhere(inspection: Inspection, first: &Inspection) -> Inspection {
    let mut contents = Inspection::default();
    let held = first.findings.iter().filter(|it| it.is_contained());
    contents.findings = held.cloned().collect();
    contents.total = contents.findings.len() as u64;
    inspection.with_contents(contents)
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
