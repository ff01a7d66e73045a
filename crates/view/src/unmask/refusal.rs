//! Why a push is not translated: in the client's terms, so that no original name is in it.

use std::fmt;

use refwarden_model::{Code, Oid, RefName, bytes};

use super::stood::COMMITS_MAX;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The pack is broken, or builds upon objects that the view does not have.
    Pack,
    /// The ref is not where the client says it is.
    Stale,
    /// The ref's name holds a secret or a placeholder, or no view has such refs.
    RefName,
    /// A ref of notes, or a commit of notes for another ref.
    Notes,
    /// A commit or tag is not of the view.
    Unknown(Oid),
    /// Two originals have this name in the view, and nothing says which is meant.
    TwoOriginals(Oid),
    /// An object is missing, malformed, or larger than what is read whole.
    Unreadable(Oid),
    /// A placeholder on a line that no earlier version of the file at this path has.
    Changed,
    /// A line with a placeholder more often than before.
    Repeated,
    /// Different secrets stand for the same placeholder in what is merged.
    Ambiguous,
    /// A placeholder in a symbolic link, or in a file without lines.
    NotLines,
    /// A placeholder in a file's or directory's name.
    InName,
    /// A placeholder in a message, an author or a tag.
    InMessage,
    /// A placeholder in a tree or file that a ref or tag names without a commit.
    WithoutPath,
    /// What the rules find.
    Secret,
    /// Masking what it would become does not give it back.
    RoundTrip,
    /// More, or deeper, than what is translated.
    TooMuch,
    /// A placeholder that does not stand like that in as much of the view as is looked at.
    TooFar,
}

impl Problem {
    /// The stable code.
    pub fn code(self) -> Code {
        match self {
            Self::Stale => Code::StaleOldOid,
            Self::RefName | Self::Notes => Code::DeniedRefName,
            Self::Secret => Code::SecretFound,
            Self::Changed
            | Self::Repeated
            | Self::Ambiguous
            | Self::NotLines
            | Self::InName
            | Self::InMessage
            | Self::WithoutPath
            | Self::TooFar => Code::Placeholder,
            Self::Pack
            | Self::Unknown(_)
            | Self::TwoOriginals(_)
            | Self::Unreadable(_)
            | Self::RoundTrip
            | Self::TooMuch => Code::NotTranslated,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Stale | Self::Unknown(_) => {
                "fetch, rebase onto what the view has now, push again; `refwarden resync` does it where all of the view has changed"
            }
            Self::RefName => "choose another name",
            Self::Notes => {
                "write what you have to say into a commit's message or a file, or ask someone who sees the original to write the note"
            }
            Self::Changed => {
                "put the line back as it was, or delete it; a secret moves to another line, file or name only by someone who sees it, or, where people are asked, with its whole line. Was the commit fetched from this view? Then the view is another now: `refwarden resync`"
            }
            Self::Repeated => "keep the line as often as it was there",
            Self::NotLines => "leave the file as it was, or delete it",
            Self::InName => "leave the name as it was, or delete what has it",
            Self::InMessage => "write the message without it",
            Self::WithoutPath => "name a commit",
            Self::Secret => {
                "take it out of that commit (amend or rebase), then push again; revoke it. Was the commit fetched from this view? Then the view is another now: `refwarden resync`"
            }
            Self::Pack => {
                "fetch and rebase, or run `refwarden resync` where all of the view has changed; else `git fsck` says what is wrong"
            }
            Self::Unreadable(_) => "run `git fsck`, then push from a fresh clone",
            Self::TooMuch => "push in smaller steps",
            Self::TooFar => {
                "take the whole line as a newer commit has it, or have it moved by someone who sees the secret"
            }
            Self::Ambiguous | Self::TwoOriginals(_) | Self::RoundTrip => {
                "ask someone who sees the original to make this change"
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::Pack => "the pack is broken, or builds upon what the view does not have".into(),
            Self::Stale => "the ref is not where the client says it is".into(),
            Self::RefName => "a ref of a view cannot have this name".into(),
            Self::Notes => {
                "notes are read through a view and not written: their names are names of the original".into()
            }
            Self::Unknown(oid) => format!("{oid} is not in the view"),
            Self::TwoOriginals(oid) => format!("{oid} stands for more than one original"),
            Self::Unreadable(oid) => format!("object {oid} cannot be read"),
            Self::Changed => "a placeholder on a line that was not in this file".into(),
            Self::Repeated => "a placeholder on a line that was not there as often".into(),
            Self::Ambiguous => "a placeholder that stands for different secrets".into(),
            Self::NotLines => "a placeholder in what is no file of lines".into(),
            Self::InName => "a placeholder in a name".into(),
            Self::InMessage => "a placeholder in a message or in an author's line".into(),
            Self::WithoutPath => "a placeholder without a path".into(),
            Self::Secret => "a secret".into(),
            Self::RoundTrip => "in the view, this would not look as it was pushed".into(),
            Self::TooMuch => "this is too much to translate".into(),
            Self::TooFar => format!(
                "a placeholder on a line that was not in this file, nor in files of the newest {COMMITS_MAX} commits"
            ),
        }
    }
}

/// A push that is not translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub problem: Problem,
    /// The ref.
    pub name: Option<RefName>,
    /// The commit or tag, by the client's name.
    pub object: Option<Oid>,
    /// The path, as the client has it.
    pub path: Option<Vec<u8>>,
    /// The line, counted from 1.
    pub line: Option<usize>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            name: None,
            object: None,
            path: None,
            line: None,
        }
    }
}

impl Refusal {
    /// Says where, unless that is known better already.
    pub(super) fn at(mut self, object: Oid) -> Self {
        self.object.get_or_insert(object);
        self
    }

    pub(super) fn of(mut self, name: &RefName) -> Self {
        self.name.get_or_insert_with(|| name.clone());
        self
    }
}

impl std::error::Error for Refusal {}

/// `refs/heads/main, commit 1a2b…, conf/app.env:3: a placeholder …`, printable.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{}, ", bytes::escape(name.as_bytes()))?;
        }
        if let Some(object) = &self.object {
            write!(f, "commit {}, ", object.short())?;
        }
        if let Some(path) = &self.path {
            write!(f, "{}", bytes::escape(path))?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            write!(f, ": ")?;
        }
        f.write_str(&self.problem.text())
    }
}
