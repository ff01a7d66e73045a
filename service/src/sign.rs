//! A signing key and what is signed with it: of the quick start's identity provider, and of
//! Refwarden's own tokens. Each has a key of its own.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::AppError;

/// Reads the file of an Ed25519 key (PKCS#8, DER), or makes one that only the owner may read.
pub fn key_file(path: &Path) -> Result<Vec<u8>, String> {
    let fail = |error: String| format!("{}: {error}", path.display());
    if !path.exists() {
        let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
        let made = made.map_err(|_| fail("no key could be made".to_owned()))?;
        std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(made.as_ref()))
            .map_err(|error| fail(error.to_string()))?;
    }
    std::fs::read(path).map_err(|error| fail(error.to_string()))
}

/// An Ed25519 key.
pub struct Signer {
    key: EncodingKey,
    public: String,
    kid: String,
}

impl Signer {
    /// Reads the key's file (PKCS#8, DER), or makes one that only the owner may read.
    pub fn open(path: &Path) -> Result<Self, String> {
        let der = key_file(path)?;
        let fail = |error: String| format!("{}: {error}", path.display());
        let pair = Ed25519KeyPair::from_pkcs8(&der)
            .map_err(|_| fail("expected an Ed25519 key in PKCS#8".to_owned()))?;
        let raw = pair.public_key().as_ref();
        let digest = hex::encode(Sha256::digest(raw));
        Ok(Self {
            key: EncodingKey::from_ed_der(&der),
            public: URL_SAFE_NO_PAD.encode(raw),
            kid: digest.get(..16).unwrap_or_default().to_owned(),
        })
    }

    /// The public key as a key set.
    pub fn jwks(&self) -> Value {
        json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
            "kid": self.kid, "x": self.public,
        }]})
    }

    /// Signs claims.
    pub fn sign(&self, claims: &Value) -> Result<String, AppError> {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(AppError::internal)
    }
}
