//! A blob that is too large to hold: it passes the scanner in pieces, and what may be a container
//! is kept in a temporary file without a name until its end.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};

use refwarden_scan::{Finding, Format, Inspection, Limits, Scanner, Stream};

use super::contents::Opaque;
use super::{Dependence, Mask};
use crate::placeholder::placeholder;

/// Largest zip archive that is looked into, in bytes: it has to be held. Others are taken to be
/// unreadable.
pub const ZIP_MAX: u64 = 64 << 20;

/// Bytes of other containers that are kept, at most. What unpacks to more is not looked into
/// either ([`Limits::unpacked`]).
const KEPT_MAX: u64 = 512 << 20;

/// Bytes that tell a container by its beginning.
const HEAD: usize = 512;

/// Bytes at the end that tell a zip archive which begins like something else.
const TAIL: u64 = 66_000;

impl<'r> Mask<'r> {
    /// Starts on a blob that is too large to hold.
    pub fn large(&self) -> Large<'_, 'r> {
        self.large_where(true)
    }

    /// The same; `conditions` as in [`Mask::dependence_where`].
    pub(crate) fn large_where(&self, conditions: bool) -> Large<'_, 'r> {
        Large {
            mask: self,
            plain: self.at_path.stream(None),
            conditional: conditions.then(|| self.conditional.stream(None)),
            head: Vec::with_capacity(HEAD),
            size: 0,
            kept: tempfile::tempfile().map(Some),
        }
    }
}

/// A blob that is too large to hold, on its way past the scanner.
pub struct Large<'m, 'r> {
    mask: &'m Mask<'r>,
    plain: Stream<'m>,
    conditional: Option<Stream<'m>>,
    head: Vec<u8>,
    /// In bytes.
    size: u64,
    /// What has passed, as long as it may be a container.
    kept: io::Result<Option<File>>,
}

impl Large<'_, '_> {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.plain.push(bytes);
        if let Some(conditional) = &mut self.conditional {
            conditional.push(bytes);
        }
        let missing = HEAD - self.head.len();
        self.head.extend(bytes.iter().take(missing));
        self.size += bytes.len() as u64;
        if let Ok(Some(file)) = &mut self.kept {
            let most = match Format::of(&self.head) {
                None | Some(Format::Zip) => ZIP_MAX,
                Some(_) => KEPT_MAX,
            };
            if self.size > most {
                self.kept = Ok(None);
            } else if let Err(error) = file.write_all(bytes) {
                self.kept = Err(error);
            }
        }
    }

    /// How its findings depend on its path, and what stands for it where there are any: one
    /// line, whose digits come from the findings.
    ///
    /// # Errors
    ///
    /// What stands in the way of keeping it in a temporary file.
    pub fn finish(self) -> io::Result<(Dependence, Vec<u8>)> {
        let mut kept = Kept {
            format: Format::of(&self.head),
            size: self.size,
            file: self.kept?,
        };
        let size = self.size.to_le_bytes();
        let line = |id: &str, more: &[u8], findings: &[Finding]| {
            let mut all = more.to_vec();
            for finding in findings {
                all.extend_from_slice(finding.fingerprint.as_bytes());
            }
            placeholder(id, self.mask.key.fingerprint(&all)).into_bytes()
        };
        let with_break = |mut line: Vec<u8>| {
            line.push(b'\n');
            line
        };
        let plain = self.plain.inspect();
        let plain = plain.with_contents(kept.inside(&self.mask.at_path)?);
        if let Some(why) = Opaque::of(&plain) {
            let line = line(why.id(), &size, &plain.findings);
            return Ok((Dependence::Anywhere, with_break(line)));
        }
        let conditions = self.conditional.is_some();
        let mut conditional = self.conditional.map(Stream::inspect).unwrap_or_default();
        if conditions && kept.format.is_some_and(Format::is_compressed) {
            conditional = conditional.with_contents(kept.inside(&self.mask.conditional)?);
        }
        let (plain, conditional) = (plain.findings, conditional.findings);
        let depends = match Mask::depends(!plain.is_empty(), !conditional.is_empty()) {
            // All of it is masked either way.
            Dependence::ByPath => Dependence::Anywhere,
            other => other,
        };
        let findings = if plain.is_empty() { conditional } else { plain };
        let Some(first) = findings.first() else {
            return Ok((depends, Vec::new()));
        };
        let line = if findings.iter().any(Finding::is_contained) {
            line(Opaque::Container.id(), &size, &findings)
        } else {
            line(&first.rule_id, &[], &findings)
        };
        Ok((depends, with_break(line)))
    }
}

/// What may be a container, once all of it is there.
struct Kept {
    format: Option<Format>,
    size: u64,
    file: Option<File>,
}

impl Kept {
    /// What stands inside; nothing where it is no container, or larger than what is kept.
    fn inside(&mut self, scanner: &Scanner<'_>) -> io::Result<Inspection> {
        let Some(file) = &mut self.file else {
            return Ok(Inspection::default());
        };
        let limits = Limits::default();
        let mut all = |from: u64| {
            let mut bytes = Vec::with_capacity(usize::try_from(self.size - from).unwrap_or(0));
            file.seek(SeekFrom::Start(from))?;
            file.read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        match self.format {
            Some(Format::Zip) => Ok(scanner.inspect_zip(&all(0)?, &limits)),
            None if Format::ends_like_zip(&all(self.size.saturating_sub(TAIL))?) => {
                Ok(scanner.inspect(&all(0)?, None, &limits))
            }
            None => Ok(Inspection::default()),
            Some(format) => {
                file.rewind()?;
                let mut reader = io::BufReader::with_capacity(64 * 1024, file);
                Ok(scanner.inspect_contents(format, &mut reader, self.size, None, &limits))
            }
        }
    }
}
