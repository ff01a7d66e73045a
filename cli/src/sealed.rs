//! Opens packs that are sealed to age recipients (age-encryption.org/v1, X25519).
//!
//! Identities are read from files that only their owner should be able to read; they are sent
//! nowhere. Identities under a passphrase are not opened here: `age -d` does that.

use std::io::Read;
use std::path::{Path, PathBuf};

use age::stream::StreamReader;
use age::x25519::Identity;
use age::{DecryptError, Decryptor};
use refwarden_wire::api::{ReplayPack, SealedPack};
use secrecy::zeroize::Zeroizing;

use crate::args::ServiceArgs;
use crate::failure::{Context as _, Failure, Outcome};
use crate::layout::{DataDir, write_file};

/// The file of the identity that `refwarden up` makes for auditors of a quick start.
pub const QUICK_START: &str = "auditor.identity";

/// What every file in the format begins with.
const MAGIC: &[u8] = b"age-encryption.org/v1";

/// No file of identities is longer, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Identities, of which each opens what is sealed to it.
pub struct Identities {
    known: Vec<Identity>,
}

/// A pack as it was received, whether it comes sealed or not.
pub enum Opened<R> {
    /// Not sealed.
    Clear(R),
    /// Sealed.
    Sealed(Box<StreamReader<R>>),
}

impl Identities {
    /// Reads files of identities, `-` being standard input. When there are none, takes the one
    /// of a quick start, where there is one.
    pub fn read(files: &[PathBuf], service: Option<&ServiceArgs>) -> Outcome<Self> {
        let mut files = files.to_vec();
        if files.is_empty()
            && let Some(service) = service.filter(|service| service.service_url.is_none())
            && let Some(dir) = &service.data_dir
        {
            let file = DataDir::resolve(dir)?.join(QUICK_START);
            if file.exists() {
                files.push(file);
            }
        }
        let mut known = Vec::new();
        for file in &files {
            let shown = file.display();
            let mut text = Zeroizing::new(String::new());
            let read = match file.to_str() {
                Some("-") => std::io::stdin().take(MAX_FILE).read_to_string(&mut text),
                _ => std::fs::File::open(file)
                    .and_then(|open| open.take(MAX_FILE).read_to_string(&mut text)),
            };
            read.map_err(|error| {
                Failure::new(format!("{shown} cannot be read"))
                    .why(error)
                    .next("--identity names a file as age-keygen writes it")
            })?;
            let before = known.len();
            let lines = text.lines().map(str::trim);
            for (index, line) in lines.enumerate() {
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                // Never the line itself: it may be a secret with a slip in it.
                let identity = line.parse::<Identity>().map_err(|why| {
                    Failure::new(format!("{shown}:{} is no age identity", index + 1))
                        .why(why)
                        .next("a line of it begins with AGE-SECRET-KEY-1; age -d opens one that is under a passphrase")
                })?;
                known.push(identity);
            }
            if known.len() == before {
                return Err(Failure::new(format!("{shown} holds no identity")));
            }
        }
        Ok(Self { known })
    }

    /// Refuses a pack that none of them opens, before anything is read.
    pub fn must_open(&self, pack: &ReplayPack) -> Outcome<()> {
        let Some(sealed) = &pack.sealed else {
            return Ok(());
        };
        let own: Vec<String> = self
            .known
            .iter()
            .map(|identity| identity.to_public().to_string())
            .collect();
        if own.iter().any(|own| sealed.recipients.contains(own)) {
            return Ok(());
        }
        let to = sealed.recipients.join(" or ");
        let failure = if own.is_empty() {
            Failure::new(format!("pack {} is sealed", pack.digest)).why(format!(
                "it opens with the identity of {to}, which the service does not have"
            ))
        } else {
            Failure::new(format!("pack {} is sealed to others", pack.digest)).why(format!(
                "it opens with the identity of {to}; given was that of {}",
                own.join(", ")
            ))
        };
        Err(failure.next("give the auditor's identity: --identity FILE"))
    }

    /// Reads a file of the store to its end, sealed or not, which its first bytes tell.
    ///
    /// # Errors
    /// One sentence: why it does not open.
    pub fn read_all(
        &self,
        mut file: &mut dyn Read,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), String> {
        let mut first = Vec::new();
        let length = u64::try_from(MAGIC.len()).unwrap_or_default();
        let broken = |error: std::io::Error| format!("it does not open: {error}");
        Read::take(&mut file, length)
            .read_to_end(&mut first)
            .map_err(broken)?;
        let is_sealed = first == MAGIC;
        let whole = Read::chain(&first[..], file);
        let mut opened: Box<dyn Read> = if is_sealed {
            let known = self.known.iter();
            let stream = Decryptor::new(whole).and_then(|decryptor| {
                decryptor.decrypt(known.map(|identity| identity as &dyn age::Identity))
            });
            Box::new(stream.map_err(|error| format!("it does not open: {error}"))?)
        } else {
            Box::new(whole)
        };
        let mut buffer = vec![0; 256 << 10];
        loop {
            match opened.read(&mut buffer).map_err(broken)? {
                0 => return Ok(()),
                length => each(buffer.get(..length).unwrap_or_default()),
            }
        }
    }

    /// Begins to read a pack.
    pub fn open<R: Read>(&self, pack: &ReplayPack, file: R) -> Outcome<Opened<R>> {
        let Some(sealed) = &pack.sealed else {
            return Ok(Opened::Clear(file));
        };
        self.must_open(pack)?;
        let opened = Decryptor::new(file).and_then(|decryptor| {
            let known = self.known.iter();
            decryptor.decrypt(known.map(|identity| identity as &dyn age::Identity))
        });
        match opened {
            Ok(stream) => Ok(Opened::Sealed(Box::new(stream))),
            Err(DecryptError::Io(error)) => {
                Err(error).context(|| format!("pack {} broke off", pack.digest))
            }
            Err(error) => Err(damaged(&pack.digest, sealed, &error.to_string())),
        }
    }
}

impl<R: Read> Opened<R> {
    /// Reads on.
    pub fn read_some(&mut self, pack: &ReplayPack, buffer: &mut [u8]) -> Outcome<usize> {
        let read = match self {
            Self::Clear(file) => file.read(buffer),
            Self::Sealed(stream) => stream.read(buffer),
        };
        match (read, &pack.sealed) {
            (Ok(length), _) => Ok(length),
            (Err(error), Some(sealed)) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(damaged(&pack.digest, sealed, &error.to_string()))
            }
            (Err(error), _) => Err(error).context(|| format!("pack {} broke off", pack.digest)),
        }
    }
}

fn damaged(digest: &str, sealed: &SealedPack, why: &str) -> Failure {
    Failure::new(format!("the file that holds pack {digest} was changed"))
        .why(format!(
            "{why}: it is not the sealed file that was recorded, of SHA-256 {}",
            sealed.digest
        ))
        .next("restore the pack store from its backup")
}

/// The recipient of the first identity in a file, which is made where there is none.
pub fn recipient_of(file: &Path) -> Outcome<String> {
    if file.exists() {
        let identities = Identities::read(&[file.to_owned()], None)?;
        let recipient = identities.known.first().map(Identity::to_public);
        return Ok(recipient.map(|it| it.to_string()).unwrap_or_default());
    }
    let (text, recipient) = generate();
    write_file(file, 0o600, &text)?;
    Ok(recipient)
}

/// The text of a new identity's file, and the recipient that it opens for.
fn generate() -> (Zeroizing<String>, String) {
    use age::secrecy::ExposeSecret as _;
    let identity = Identity::generate();
    let recipient = identity.to_public().to_string();
    let secret = identity.to_string();
    let text = format!(
        "# opens what is sealed to {recipient}\n{}\n",
        secret.expose_secret()
    );
    (Zeroizing::new(text), recipient)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn seal(recipient: &str, pack: &[u8]) -> (Vec<u8>, ReplayPack) {
        let to: age::x25519::Recipient = recipient.parse().unwrap();
        let file = age::encrypt(&to, pack).unwrap();
        let described = ReplayPack {
            digest: hex::encode(Sha256::digest(pack)),
            bytes: pack.len() as u64,
            push_id: None,
            dropped: None,
            sealed: Some(SealedPack {
                digest: hex::encode(Sha256::digest(&file)),
                bytes: file.len() as u64,
                recipients: vec![recipient.to_owned()],
            }),
        };
        (file, described)
    }

    fn read(identities: &Identities, pack: &ReplayPack, file: &[u8]) -> Outcome<Vec<u8>> {
        let mut opened = identities.open(pack, file)?;
        let mut out = Vec::new();
        let mut buffer = [0; 1000];
        loop {
            let length = opened.read_some(pack, &mut buffer)?;
            if length == 0 {
                return Ok(out);
            }
            out.extend_from_slice(&buffer[..length]);
        }
    }

    #[test]
    fn a_pack_opens_with_its_identity_only_and_not_when_it_was_changed() {
        let directory = tempfile::tempdir().unwrap();
        let identity = |name: &str| {
            let (text, recipient) = generate();
            let path = directory.path().join(name);
            std::fs::write(&path, &*text).unwrap();
            (Identities::read(&[path], None).unwrap(), recipient)
        };
        let ((own, recipient), (other, _)) = (identity("own"), identity("other"));
        let pack = vec![7; 150_000];
        let (file, described) = seal(&recipient, &pack);
        assert_eq!(read(&own, &described, &file).unwrap(), pack);
        for (identities, said) in [
            (&other, "is sealed to others"),
            (&Identities { known: vec![] }, "is sealed: "),
        ] {
            let failure = read(identities, &described, &file).unwrap_err().one_line();
            assert!(failure.contains(said), "{failure}");
            assert!(failure.contains(&recipient), "{failure}");
        }
        for position in [30, file.len() / 2, file.len() - 1] {
            let mut changed = file.clone();
            changed[position] ^= 1;
            let failure = read(&own, &described, &changed).unwrap_err().one_line();
            assert!(failure.contains("was changed"), "{position}: {failure}");
        }
        for length in [10, 70_000, file.len() - 1] {
            assert!(read(&own, &described, &file[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id");
        let (text, _) = generate();
        std::fs::write(&path, text.replace("KEY-1", "KEY-1Q")).unwrap();
        let failure = Identities::read(std::slice::from_ref(&path), None)
            .err()
            .unwrap();
        let said = failure.one_line();
        assert!(said.contains("id:2 is no age identity"), "{said}");
        assert!(!said.contains("KEY-1Q"), "{said}");
        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(Identities::read(&[path], None).is_err());
    }
}
