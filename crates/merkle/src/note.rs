//! Signed notes: text, an empty line, and one line for each signature (C2SP signed-note).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::key::WITNESS;
use crate::{PublicKey, SecretKey};

/// What begins a signature line: an em dash and a space.
const MARK: &str = "\u{2014} ";
/// More lines than a note needs, and fewer than anybody could hurt a reader with.
const MOST_SIGNATURES: usize = 100;

/// Why a text is no signed note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// There is no empty line before signatures.
    #[error("expected a text, an empty line and signatures")]
    Form,
    /// A signature line is not `— name base64`.
    #[error("signature line {0}: expected an em dash, a name and base64")]
    Line(usize),
    /// None of the signatures is by the key that is trusted.
    #[error("no signature by {0}")]
    Unsigned(String),
    /// The signature by the trusted key does not hold.
    #[error("the signature by {0} does not hold")]
    Forged(String),
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

/// A text with signatures. What its signatures are worth is asked with [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What is signed; it ends with a line feed.
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A text without signatures; it must end with a line feed.
    pub(crate) const fn new(text: String) -> Self {
        Self {
            text,
            signatures: Vec::new(),
        }
    }

    /// Reads a note. Signatures are not checked yet.
    ///
    /// # Errors
    /// [`NoteError::Form`] and [`NoteError::Line`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let is_bad = |c: char| c.is_control() && c != '\n';
        if !lines.ends_with('\n') || note.contains(is_bad) {
            return Err(NoteError::Form);
        }
        let lines: Vec<&str> = lines.lines().collect();
        if lines.len() > MOST_SIGNATURES {
            return Err(NoteError::Form);
        }
        let signatures = (1..).zip(lines).map(|(number, line)| {
            let read = || {
                let (name, rest) = line.strip_prefix(MARK)?.split_once(' ')?;
                let bytes = STANDARD.decode(rest).ok()?;
                let (id, bytes) = bytes.split_first_chunk::<4>()?;
                (!name.is_empty() && !bytes.is_empty()).then(|| Signature {
                    name: name.to_owned(),
                    id: *id,
                    bytes: bytes.to_vec(),
                })
            };
            read().ok_or(NoteError::Line(number))
        });
        Ok(Self {
            text: format!("{text}\n"),
            signatures: signatures.collect::<Result<_, _>>()?,
        })
    }

    /// The signed text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its signature lines.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Adds a signature. `seconds` since 1970 stand in a witness's, and in no other.
    pub fn sign(&mut self, key: &SecretKey, seconds: u64) {
        let public = key.public();
        let bytes = if public.kind() == WITNESS {
            let mut bytes = seconds.to_be_bytes().to_vec();
            bytes.extend(key.sign(&witnessed(&self.text, seconds)));
            bytes
        } else {
            key.sign(self.text.as_bytes())
        };
        self.signatures.push(Signature {
            name: public.name().to_owned(),
            id: public.id(),
            bytes,
        });
    }

    /// Checks the signature by a key.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] and [`NoteError::Forged`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), NoteError> {
        let is_by = |it: &&Signature| it.name == key.name() && it.id == key.id();
        let signature = self
            .signatures
            .iter()
            .find(is_by)
            .ok_or_else(|| NoteError::Unsigned(key.name().to_owned()))?;
        let holds = if key.kind() == WITNESS {
            signature
                .bytes
                .split_first_chunk::<8>()
                .is_some_and(|(seconds, rest)| {
                    let seconds = u64::from_be_bytes(*seconds);
                    key.verify(&witnessed(&self.text, seconds), rest)
                })
        } else {
            key.verify(self.text.as_bytes(), &signature.bytes)
        };
        if holds {
            Ok(())
        } else {
            Err(NoteError::Forged(key.name().to_owned()))
        }
    }
}

/// What a witness signs (C2SP tlog-cosignature, "Cosignature format").
fn witnessed(text: &str, seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

/// The note as it is stored and sent.
impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let mut bytes = signature.id.to_vec();
            bytes.extend_from_slice(&signature.bytes);
            writeln!(f, "{MARK}{} {}", signature.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}
