//! Random secrets, from the system's generator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::failure::{Failure, Outcome};

/// `bytes` random bytes in base64url without padding.
pub fn base64url(bytes: usize) -> Outcome<String> {
    Ok(URL_SAFE_NO_PAD.encode(random(bytes)?))
}

/// `bytes` random bytes in hexadecimal.
pub fn hexadecimal(bytes: usize) -> Outcome<String> {
    Ok(hex::encode(random(bytes)?))
}

fn random(bytes: usize) -> Outcome<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut buffer)
        .map_err(|_| Failure::new("the system's random generator does not answer"))?;
    Ok(buffer)
}
