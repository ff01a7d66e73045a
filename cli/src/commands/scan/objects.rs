//! Scans objects of a repository, in the order in which they stand in its packs.

use refwarden_gitio::objects::{self, Event, Header, ObjectError};
use refwarden_gitio::{GitError, ObjectEnv, Repository};
use refwarden_model::Oid;
use refwarden_scan::{Finding, Scanner, Stream};

use super::engine::{self, WHOLE_MAX};

/// What came of an object.
pub enum Read<'r> {
    /// It was read. Comes once.
    Object(Header),
    /// What was found in it, as the path with this number.
    Findings(usize, Vec<Finding>, Option<&'r [u8]>),
    /// It could not be read.
    Failed(ObjectError),
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
    let mut streams: Vec<Stream<'_>> = Vec::new();
    objects::each(
        repository,
        &none,
        oids,
        WHOLE_MAX,
        &mut |index, event| match event {
            Event::Whole(header, bytes) => {
                take(index, Read::Object(header));
                for (number, path) in paths(index).into_iter().enumerate() {
                    let findings = engine::whole(scanner, bytes, path);
                    if !findings.is_empty() {
                        take(index, Read::Findings(number, findings, Some(bytes)));
                    }
                }
            }
            Event::Piece(_, bytes) => {
                if streams.is_empty() {
                    let paths = paths(index).into_iter();
                    streams = paths.map(|path| engine::stream(scanner, path)).collect();
                }
                for stream in &mut streams {
                    stream.push(bytes);
                }
            }
            Event::End(header) => {
                take(index, Read::Object(header));
                for (number, stream) in std::mem::take(&mut streams).into_iter().enumerate() {
                    take(index, Read::Findings(number, stream.finish(), None));
                }
            }
            Event::Failed(error) => {
                streams.clear();
                take(index, Read::Failed(error));
            }
        },
    )
}
