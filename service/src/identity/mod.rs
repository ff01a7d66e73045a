//! Who a token names. Verifies signed tokens of the configured issuers and reads the actor
//! chain out of their claims, or out of an SSH certificate. Issues no token and keeps no session.

mod certificates;
mod claims;
mod issuers;
mod jwks;
mod verify;

pub use certificates::{Authorities, Certified};
pub use issuers::Issuers;
pub use jwks::{client, read_json};
pub use verify::{VerifiedToken, token_sha256};

use refwarden_model::Code;

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("no token came with the request")]
    Missing,
    /// It is not a token that this service can read.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// No key of the issuer verifies it.
    #[error("the token's signature does not verify")]
    BadSignature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It was made by or for somebody else.
    #[error("the token is not for this service: {0}")]
    Foreign(&'static str),
    /// It was taken back, or everything that somebody in it has been given.
    #[error("the token was revoked")]
    Revoked,
    /// It may be used for something else only.
    #[error("the token is for something else only; see its scope")]
    OutOfScope,
    /// The issuer's keys cannot be had.
    #[error("the issuer's keys cannot be fetched")]
    IssuerUnavailable,
}

impl TokenError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Missing => Code::NoToken,
            Self::Malformed(_) | Self::BadSignature => Code::InvalidToken,
            Self::Expired | Self::NotYetValid => Code::ExpiredToken,
            Self::Foreign(_) => Code::ForeignToken,
            Self::Revoked => Code::RevokedToken,
            Self::OutOfScope => Code::OutOfScope,
            Self::IssuerUnavailable => Code::ServiceFault,
        }
    }
}
