//! Unguessable strings and their hashes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::AppError;

/// 256 random bits, as 43 characters of base64url.
///
/// # Errors
/// [`AppError::Internal`] when the system gives no randomness.
pub fn token() -> Result<String, AppError> {
    let mut bits = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bits).map_err(|_| AppError::internal("no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// Hexadecimal SHA-256: what is stored of a string that only its holder may know.
pub fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// The S256 challenge of a PKCE verifier (RFC 7636, section 4.2).
pub fn pkce_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}
