//! Checkpoints: how large the log is and what its root is, signed (C2SP tlog-checkpoint).

use crate::{Hash, Note, NoteError, PublicKey, SecretKey};

/// Why a note is no checkpoint of this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is no signed note, or is not signed as it must be.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its three lines are not origin, size and root.
    #[error("expected three lines: origin, size in decimal, root in base64")]
    Form,
    /// It is a checkpoint of another log.
    #[error("the checkpoint is of the log {found}, not of {expected}")]
    Origin {
        /// What it says.
        found: String,
        /// The trusted key's name, which is the log's.
        expected: String,
    },
}

/// A size and a root, signed by the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, without scheme.
    pub origin: String,
    /// Events in the log.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// What was signed, and by whom.
    pub note: Note,
}

impl Checkpoint {
    /// Makes and signs one. The origin is the key's name.
    pub fn sign(size: u64, root: Hash, key: &SecretKey) -> Self {
        let origin = key.public().name().to_owned();
        let mut note = Note::new(format!("{origin}\n{size}\n{}\n", root.base64()));
        note.sign(key, 0);
        Self {
            origin,
            size,
            root,
            note,
        }
    }

    /// Reads one and checks the log's signature. Other signatures are checked with
    /// [`Note::verify`].
    ///
    /// # Errors
    /// Every [`CheckpointError`].
    pub fn parse(note: &str, log: &PublicKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        note.verify(log)?;
        let mut lines = note.text().lines();
        let mut line = || lines.next().ok_or(CheckpointError::Form);
        let (origin, size, root) = (line()?.to_owned(), line()?, line()?);
        // Extension lines may follow, and mean nothing here.
        let digits = size.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (size.starts_with('0') && size != "0") {
            return Err(CheckpointError::Form);
        }
        let size = size.parse().map_err(|_| CheckpointError::Form)?;
        let root = Hash::from_base64(root).ok_or(CheckpointError::Form)?;
        if origin != log.name() {
            return Err(CheckpointError::Origin {
                found: origin,
                expected: log.name().to_owned(),
            });
        }
        Ok(Self {
            origin,
            size,
            root,
            note,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> (SecretKey, SecretKey) {
        let der = SecretKey::generate().unwrap();
        let witness = SecretKey::generate().unwrap();
        (
            SecretKey::of_log("refwarden.example/log", &der).unwrap(),
            SecretKey::of_witness("witness.example", &witness).unwrap(),
        )
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_signed() {
        let (key, witness) = keys();
        let made = Checkpoint::sign(7, Hash::of_leaf(b"x"), &key);
        let text = made.note.to_string();
        assert!(text.starts_with("refwarden.example/log\n7\n"), "{text}");
        assert_eq!(Checkpoint::parse(&text, key.public()), Ok(made.clone()));
        let mut cosigned = made;
        cosigned.note.sign(&witness, 1_700_000_000);
        let text = cosigned.note.to_string();
        let read = Checkpoint::parse(&text, key.public()).unwrap();
        assert_eq!(read.note.verify(witness.public()), Ok(()));
        assert_eq!(read.note.signatures().len(), 2);
    }

    #[test]
    fn what_was_changed_or_signed_by_another_is_refused() {
        let (key, witness) = keys();
        let (other, _) = keys();
        let text = Checkpoint::sign(7, Hash::of_leaf(b"x"), &key)
            .note
            .to_string();
        let changed = text.replace("\n7\n", "\n8\n");
        let forged = CheckpointError::Note(NoteError::Forged("refwarden.example/log".to_owned()));
        assert_eq!(Checkpoint::parse(&changed, key.public()), Err(forged));
        for public in [other.public(), witness.public()] {
            let refused = Checkpoint::parse(&text, public);
            assert!(matches!(
                refused,
                Err(CheckpointError::Note(NoteError::Unsigned(_)))
            ));
        }
        for bad in ["", "\n\n", "a\n1\nx\n\n", "a\n1\nx\n\n\u{2014} a !\n"] {
            assert!(Checkpoint::parse(bad, key.public()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn verifier_keys_are_read_as_they_are_written() {
        let (key, witness) = keys();
        for public in [key.public(), witness.public()] {
            let text = public.to_string();
            assert_eq!(text.parse::<PublicKey>().as_ref(), Ok(public));
            let renamed = format!("x{text}");
            assert_eq!(renamed.parse::<PublicKey>(), Err(crate::KeyError::Hash));
        }
        // The example of C2SP signed-note's Go implementation (golang.org/x/mod/sumdb/note).
        let known = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let known: PublicKey = known.parse().unwrap();
        assert_eq!(known.name(), "PeterNeumann");
        let note = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert_eq!(Note::parse(note).unwrap().verify(&known), Ok(()));
    }
}
