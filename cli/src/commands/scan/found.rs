//! A finding and where it stands, without the secret.

use std::sync::Arc;

use refwarden_model::{Oid, bytes};
use refwarden_scan::{Checksum, Confidence, Finding, Fingerprint, Reason, Severity};

/// In what a secret was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Standard input.
    Input,
    /// A file, or a link's target.
    File,
    /// A version of a file in a repository.
    Blob,
    /// A commit: its message, authors or other headers.
    Commit,
    /// An annotated tag.
    Tag,
    /// A path.
    Path,
    /// A ref's name.
    RefName,
}

impl Place {
    /// The word for it in JSON and SARIF.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::File => "file",
            Self::Blob => "blob",
            Self::Commit => "commit",
            Self::Tag => "tag",
            Self::Path => "path",
            Self::RefName => "ref_name",
        }
    }
}

/// Whether a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It counts.
    New,
    /// It stood in the same file before what was scanned.
    PreExisting,
    /// The baseline holds its fingerprint.
    Known,
    /// A `.gitleaksignore` names its place.
    Ignored,
    /// A part that could not be searched, as everyday content may not be. It does not count.
    Noted,
}

impl Status {
    /// The word for it in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::PreExisting => "pre_existing",
            Self::Known => "known",
            Self::Ignored => "ignored",
            Self::Noted => "noted",
        }
    }
}

/// Where something stands.
#[derive(Clone, Debug)]
pub struct Spot {
    /// In what.
    pub place: Place,
    /// The path, or the ref's name.
    pub path: Option<Arc<[u8]>>,
    /// The object that holds it.
    pub object: Option<Oid>,
    /// The first commit that brings it in.
    pub commit: Option<Oid>,
    /// Whether others bring it in here, too.
    pub again: bool,
    /// What comes first is listed first: the commit's number, or 0.
    pub order: u32,
    /// Blob and place, as indexes into what was read of the repository.
    pub origin: Option<(usize, usize)>,
}

/// A finding and where it stands.
#[derive(Clone, Debug)]
pub struct Found {
    /// Id of the rule.
    pub rule: Arc<str>,
    /// What the rule finds.
    pub description: Arc<str>,
    /// How bad a leak is.
    pub severity: Severity,
    /// How sure a match is.
    pub confidence: Confidence,
    /// Whether the format's checksum holds.
    pub checksum: Checksum,
    /// Bits per byte.
    pub entropy: f32,
    /// Byte offsets of the secret.
    pub span: std::ops::Range<u64>,
    /// 1-based line.
    pub line: u64,
    /// 1-based column, in bytes.
    pub column: u64,
    /// 1-based column, in code points; where the whole text was at hand.
    pub text_column: Option<u64>,
    /// A few characters of it.
    pub preview: String,
    /// What names it without telling it.
    pub fingerprint: Fingerprint,
    /// Where it stands.
    pub spot: Spot,
    /// The layers around it, outermost first: `!name` for a member of an archive. Lines and
    /// offsets are those of the innermost member.
    pub via: Vec<String>,
    /// Whether it is a part that could not be searched.
    pub is_unread: bool,
    /// Whether it counts.
    pub status: Status,
    /// Later versions of the same file that hold it too.
    pub versions: u64,
}

impl Found {
    /// Takes from a finding all but the secret. `bytes` are those that were scanned, if at hand.
    pub fn new(finding: Finding, spot: Spot, bytes: Option<&[u8]>) -> Self {
        Self {
            text_column: bytes.and_then(|bytes| text_column(bytes, &finding)),
            rule: finding.rule_id,
            description: finding.description,
            severity: finding.severity,
            confidence: finding.confidence,
            checksum: finding.checksum,
            entropy: finding.entropy,
            span: finding.span,
            line: finding.line,
            column: finding.column,
            preview: finding.redacted,
            fingerprint: finding.fingerprint,
            spot,
            via: Vec::new(),
            is_unread: false,
            status: Status::New,
            versions: 0,
        }
    }

    /// Parts of a spot that could not be searched, as the hooks call them.
    pub fn unread(reason: Reason, parts: u64, spot: Spot, fingerprint: Fingerprint) -> Self {
        let more = match parts {
            1 => String::new(),
            parts => format!(" ({parts} parts)"),
        };
        let (severity, confidence, status) = if reason.is_attack() {
            (Severity::High, Confidence::High, Status::New)
        } else {
            (Severity::Low, Confidence::Low, Status::Noted)
        };
        Self {
            rule: format!("unread-{}", reason.name()).into(),
            description: format!("not searched for secrets: {reason}{more}").into(),
            severity,
            confidence,
            checksum: Checksum::NotApplicable,
            entropy: 0.0,
            span: 0..0,
            line: 1,
            column: 1,
            text_column: None,
            preview: String::new(),
            fingerprint,
            spot,
            via: Vec::new(),
            is_unread: true,
            status,
            versions: 0,
        }
    }

    /// The file, or what is in its place, and the members around, fit for a terminal.
    pub fn name(&self) -> String {
        let members = self.via.iter().filter(|step| step.starts_with('!'));
        let members: String = members.map(String::as_str).collect();
        self.spot.name() + &members
    }

    /// Whether it stands in a member of a container, so that its line is not the file's.
    pub fn is_contained(&self) -> bool {
        let is_layer = |step: &String| {
            step.starts_with('!') || matches!(step.as_str(), "gzip" | "xz" | "zstd")
        };
        self.via.iter().any(is_layer)
    }

    /// `path:line:column`, or what is in its place, fit for a terminal.
    pub fn location(&self) -> String {
        let Self { line, column, .. } = self;
        format!("{}:{line}:{column}", self.name())
    }
}

impl Spot {
    /// A file that is no repository's.
    pub fn file(path: Arc<[u8]>) -> Self {
        Self {
            place: Place::File,
            path: Some(path),
            object: None,
            commit: None,
            again: false,
            order: 0,
            origin: None,
        }
    }

    /// What a person calls it, fit for a terminal.
    pub fn name(&self) -> String {
        let path = self.path.as_deref().map(bytes::escape);
        let object = || self.object.map(short).unwrap_or_default();
        match (self.place, path) {
            (Place::Input, _) => "standard input".to_owned(),
            (Place::Commit, _) => format!("commit {}", object()),
            (Place::Tag, _) => format!("tag {}", object()),
            (Place::Path, Some(path)) => format!("name of {path}"),
            (Place::RefName, Some(path)) => format!("name of ref {path}"),
            (_, Some(path)) => path,
            (_, None) => format!("object {}", object()),
        }
    }
}

/// The first twelve digits.
pub fn short(oid: Oid) -> String {
    let mut id = oid.to_string();
    id.truncate(12);
    id
}

/// The column in code points, of UTF-8.
fn text_column(bytes: &[u8], finding: &Finding) -> Option<u64> {
    let start = usize::try_from(finding.span.start).ok()?;
    let before = start.checked_sub(usize::try_from(finding.column).ok()?.checked_sub(1)?)?;
    let line = std::str::from_utf8(bytes.get(before..start)?).ok()?;
    Some(line.chars().count() as u64 + 1)
}
