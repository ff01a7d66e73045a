//! Keeps the ID token of whoever signed in by device flow until it expires, so that one sign-in
//! is good for more than one fetch. In the user's runtime directory, which goes with the session
//! and is no backup's; nowhere where there is none.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::subject;

/// A token that ends sooner than this is not used any more, in seconds.
const SPARE: i64 = 30;

/// The token for a service, while it is good.
pub fn load(base: &Url) -> Option<SecretString> {
    let path = file(base)?;
    let about = std::fs::symlink_metadata(&path).ok()?;
    let is_mine = about.is_file()
        && about.uid() == rustix::process::geteuid().as_raw()
        && about.mode().trailing_zeros() >= 6;
    let token = std::fs::read_to_string(&path).ok().filter(|_| is_mine)?;
    if subject::left(&token).is_some_and(|left| left > SPARE) {
        Some(SecretString::from(token))
    } else {
        let _ = std::fs::remove_file(path);
        None
    }
}

/// Keeps a token. Where it cannot be kept, the user signs in again.
pub fn store(base: &Url, token: &SecretString) {
    let Some(path) = file(base) else {
        return;
    };
    let _ = std::fs::remove_file(&path);
    let made = std::fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    if let Ok(mut made) = made
        && made.write_all(token.expose_secret().as_bytes()).is_err()
    {
        let _ = std::fs::remove_file(path);
    }
}

/// Forgets the token for a service.
pub fn forget(base: &Url) {
    if let Some(path) = file(base) {
        let _ = std::fs::remove_file(path);
    }
}

fn file(base: &Url) -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty())?;
    let name = hex::encode(Sha256::digest(base.as_str().as_bytes()));
    Some(PathBuf::from(directory).join(format!("refwarden-{}", name.get(..32)?)))
}
