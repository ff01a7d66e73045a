//! Sealing: packs are encrypted to auditors' age recipients while they are received
//! (age-encryption.org/v1, X25519). The service holds no identity, so that it cannot read them
//! back; nothing here decrypts.

use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::Path;
use std::sync::Arc;

use age::stream::StreamWriter;
use age::x25519::Recipient;
use age::{EncryptError, Encryptor};
use refwarden_config::Packs;
use sha2::{Digest, Sha256};

/// To whom packs are sealed; to nobody when it is empty.
#[derive(Clone, Default)]
pub struct Recipients {
    known: Arc<Vec<(String, Recipient)>>,
}

/// How a file is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Hexadecimal SHA-256 of the sealed file.
    pub digest: String,
    /// Whose identities open it.
    pub recipients: Vec<String>,
}

/// Where a pack's bytes go.
pub(super) enum Sink {
    /// As they are.
    Clear(Counted<File>),
    /// Sealed, 64 KiB at a time.
    Sealed(Box<StreamWriter<BufWriter<Counted<File>>>>),
}

impl Recipients {
    /// Reads those that `[packs]` names.
    ///
    /// # Errors
    /// One sentence for one that is no recipient, or a file that cannot be read or names none.
    pub fn open(config: &Packs, directory: &Path) -> Result<Self, String> {
        let mut known = Vec::new();
        for text in &config.recipients {
            known.push(parse(text).map_err(|problem| format!("packs.recipients: {problem}"))?);
        }
        if let Some(file) = &config.recipients_file {
            let path = directory.join(file);
            let shown = path.display();
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("packs.recipients_file {shown}: {error}"))?;
            let before = known.len();
            for (index, line) in text.lines().map(str::trim).enumerate() {
                if !line.is_empty() && !line.starts_with('#') {
                    let wrong = |problem| format!("{shown}:{}: {problem}", index + 1);
                    known.push(parse(line).map_err(wrong)?);
                }
            }
            // Else packs would be in the clear where somebody meant to seal them.
            if known.len() == before {
                return Err(format!("{shown}: names no recipient"));
            }
        }
        Ok(Self {
            known: Arc::new(known),
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    fn names(&self) -> Vec<String> {
        self.known.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Begins to write a file.
    pub(super) fn sink(&self, file: File) -> std::io::Result<Sink> {
        let file = Counted::new(file);
        if self.is_empty() {
            return Ok(Sink::Clear(file));
        }
        let recipients = self.known.iter().map(|(_, one)| one as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients)
            .map_err(|error: EncryptError| std::io::Error::other(error.to_string()))?;
        // age writes its header word by word.
        let file = BufWriter::new(file);
        Ok(Sink::Sealed(Box::new(encryptor.wrap_output(file)?)))
    }

    /// Makes the file durable; its length, and how it is sealed.
    pub(super) fn finish(&self, sink: Sink) -> std::io::Result<(u64, Option<Sealed>)> {
        let (file, is_sealed) = match sink {
            Sink::Clear(file) => (file, false),
            Sink::Sealed(stream) => {
                let file = stream.finish()?.into_inner();
                (file.map_err(IntoInnerError::into_error)?, true)
            }
        };
        file.inner.sync_all()?;
        let sealed = is_sealed.then(|| Sealed {
            digest: hex::encode(file.hasher.finalize()),
            recipients: self.names(),
        });
        Ok((file.bytes, sealed))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(file) => file.write(bytes),
            Self::Sealed(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Clear(file) => file.flush(),
            Self::Sealed(stream) => stream.flush(),
        }
    }
}

/// Counts and hashes what goes through.
pub(super) struct Counted<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W> Counted<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.bytes += u64::try_from(written).unwrap_or_default();
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn parse(text: &str) -> Result<(String, Recipient), String> {
    // An identity in its place is a secret that stands in the wrong file: it is not repeated.
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err(
            "expected an age recipient (age1…), this is an identity: keep it from the \
                    service, and name what `age-keygen -y` prints"
                .to_owned(),
        );
    }
    let parsed = text.parse::<Recipient>();
    let wrong = |why| format!("'{text}' is no age recipient (age1…): {why}");
    Ok((text.to_owned(), parsed.map_err(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(recipients: &[&str]) -> Packs {
        Packs {
            recipients: recipients.iter().map(|it| (*it).to_owned()).collect(),
            ..Packs::default()
        }
    }

    #[test]
    fn recipients_come_from_both_places_and_a_wrong_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let key = || age::x25519::Identity::generate().to_public().to_string();
        let (one, two) = (key(), key());
        let mut packs = config(&[&one]);
        packs.recipients_file = Some("to".into());
        std::fs::write(directory.path().join("to"), format!("# all\n\n {two}\n")).unwrap();
        let found = Recipients::open(&packs, directory.path()).unwrap();
        assert_eq!(found.names(), [one, two]);
        std::fs::write(directory.path().join("to"), "# none\n").unwrap();
        assert!(Recipients::open(&packs, directory.path()).is_err());
        std::fs::write(directory.path().join("to"), "\nage1nonsense\n").unwrap();
        let wrong = Recipients::open(&packs, directory.path()).err().unwrap();
        assert!(wrong.contains("to:2: 'age1nonsense'"), "{wrong}");
    }

    #[test]
    fn an_identity_in_place_of_a_recipient_is_refused_and_not_repeated() {
        use age::secrecy::ExposeSecret as _;
        let identity = age::x25519::Identity::generate().to_string();
        let secret = identity.expose_secret();
        let wrong = Recipients::open(&config(&[secret]), Path::new("/")).err();
        let wrong = wrong.unwrap();
        assert!(wrong.contains("this is an identity"), "{wrong}");
        assert!(!wrong.contains(&secret[20..]), "{wrong}");
    }
}
