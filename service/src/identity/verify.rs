//! Verification of one token. Only what the configuration names is ever tried: the header
//! chooses a key id, never an algorithm family, a URL or a key of its own.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use refwarden_config::Issuer;
use refwarden_model::{Actor, ActorChain};
use refwarden_policy::Scopes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::claims::Claims;
use super::{Issuers, TokenError};
use crate::tokens::{CHAIN_CLAIM, SCOPE_CLAIM};

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 << 10;

/// A token that was verified.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Who it names.
    pub actor_chain: ActorChain,
    /// Its `jti`, or its hash where it has none.
    pub token_id: String,
    /// Its issuer.
    pub issuer: String,
    /// What it may be used for at most.
    pub scopes: Scopes,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// Hexadecimal SHA-256 of a token.
pub fn token_sha256(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

impl Issuers {
    /// Verifies an access token for that audience.
    ///
    /// # Errors
    /// [`TokenError`]: the first thing that is wrong with it.
    pub async fn verify(
        &self,
        token: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        let for_us = |_: &Issuer, claims: &Claims| claims.has_audience(audience);
        self.verify_for(token, now, for_us).await
    }

    /// Verifies a token that is traded for one of our own: made for this service, or for an
    /// audience that the issuer's `exchange_audiences` names.
    ///
    /// # Errors
    /// [`TokenError`]: the first thing that is wrong with it.
    pub async fn verify_traded(
        &self,
        token: &str,
        audience: &str,
        now: DateTime<Utc>,
    ) -> Result<VerifiedToken, TokenError> {
        let for_trade = |issuer: &Issuer, claims: &Claims| {
            let mut others = issuer.exchange_audiences.iter();
            Ok(claims.has_audience(audience)?
                || others.any(|other| claims.has_audience(other) == Ok(true)))
        };
        self.verify_for(token, now, for_trade).await
    }

    async fn verify_for(
        &self,
        token: &str,
        now: DateTime<Utc>,
        is_for: impl Fn(&Issuer, &Claims) -> Result<bool, TokenError>,
    ) -> Result<VerifiedToken, TokenError> {
        let (issuer, claims) = self.verified_claims(token, now, is_for).await?;
        let token_id = claims
            .optional_text("jti")?
            .unwrap_or_else(|| token_sha256(token));
        let time = |name| {
            let time = DateTime::from_timestamp(claims.seconds(name)?, 0);
            time.ok_or(TokenError::Malformed("a time is out of range"))
        };
        let actor_chain = if self.is_own(&issuer.url) {
            claims.own_chain(CHAIN_CLAIM)?
        } else {
            claims.actor_chain(issuer)?
        };
        Ok(VerifiedToken {
            actor_chain,
            token_id,
            issuer: issuer.url.clone(),
            scopes: claims.scopes(SCOPE_CLAIM)?,
            made_at: time("iat")?,
            expires_at: time("exp")?,
        })
    }

    /// Verifies an ID token: made for that client, with that nonce, for a person.
    ///
    /// # Errors
    /// [`TokenError`]: the first thing that is wrong with it.
    pub async fn verify_id_token(
        &self,
        issuer: &str,
        token: &str,
        client_id: &str,
        nonce: &str,
        now: DateTime<Utc>,
    ) -> Result<Actor, TokenError> {
        let for_client = |_: &Issuer, claims: &Claims| claims.has_audience(client_id);
        let (found, claims) = self.verified_claims(token, now, for_client).await?;
        if found.url != issuer {
            return Err(TokenError::Foreign("another issuer"));
        }
        if claims.text("nonce")? != nonce {
            return Err(TokenError::Foreign("another nonce"));
        }
        Ok(claims.actor_chain(found)?.pusher)
    }

    async fn verified_claims(
        &self,
        token: &str,
        now: DateTime<Utc>,
        is_for: impl Fn(&Issuer, &Claims) -> Result<bool, TokenError>,
    ) -> Result<(&Issuer, Claims), TokenError> {
        let header = Header::parse(token)?;
        let claimed = unverified_issuer(token)?;
        let issuer = self
            .find(&claimed)
            .ok_or(TokenError::Foreign("unknown issuer"))?;
        let algorithm = accepted(issuer, &header.alg).ok_or(TokenError::BadSignature)?;
        let jwk = self.key(&issuer.url, header.kid.as_deref()).await?;
        let claims = Claims(verify_signature(token, &jwk, &header.alg, algorithm)?);
        if claims.text("iss")? != issuer.url {
            return Err(TokenError::Foreign("another issuer"));
        }
        check_times(&claims, issuer, now.timestamp())?;
        if !is_for(issuer, &claims)? {
            return Err(TokenError::Foreign("another audience"));
        }
        claims.text("sub")?;
        Ok((issuer, claims))
    }
}

struct Header {
    alg: String,
    kid: Option<String>,
}

impl Header {
    fn parse(token: &str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN || token.split('.').count() != 3 {
            return Err(TokenError::Malformed("not a signed token"));
        }
        let header = part(token, 0)?;
        // RFC 7515, section 4.1.11: an extension that is critical and not understood refuses.
        if header.contains_key("crit") {
            return Err(TokenError::Malformed("crit is not supported"));
        }
        // Keys come from the issuer's configuration alone (RFC 8725, section 3.10).
        if ["jku", "jwk", "x5u"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err(TokenError::Malformed(
                "a header that brings a key is not supported",
            ));
        }
        let Some(Value::String(alg)) = header.get("alg") else {
            return Err(TokenError::Malformed("alg must be a string"));
        };
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= 256 => Some(kid.clone()),
            Some(_) => return Err(TokenError::Malformed("kid must be a short string")),
        };
        Ok(Self {
            alg: alg.clone(),
            kid,
        })
    }
}

fn unverified_issuer(token: &str) -> Result<String, TokenError> {
    Claims(part(token, 1)?).text("iss")
}

fn part(token: &str, index: usize) -> Result<Map<String, Value>, TokenError> {
    let text = token.split('.').nth(index).unwrap_or_default();
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Malformed("not base64url"))?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed("not a JSON object"))
}

/// The algorithms there are to choose from: asymmetric only, never `none`, never HMAC.
fn known(name: &str) -> Option<Algorithm> {
    match name {
        "RS256" => Some(Algorithm::RS256),
        "PS256" => Some(Algorithm::PS256),
        "ES256" => Some(Algorithm::ES256),
        "ES384" => Some(Algorithm::ES384),
        "EdDSA" => Some(Algorithm::EdDSA),
        _ => None,
    }
}

/// Refuses a configuration that names an algorithm that is not on offer.
pub(super) fn check_algorithms(issuer: &Issuer) -> Result<(), String> {
    let bad = issuer.algorithms.iter().find(|name| known(name).is_none());
    match bad {
        Some(name) => Err(format!(
            "issuer {}: algorithm '{name}': expected RS256, PS256, ES256, ES384 or EdDSA",
            issuer.url
        )),
        None if issuer.algorithms.is_empty() => Err(format!(
            "issuer {}: algorithms: expected at least one",
            issuer.url
        )),
        None => Ok(()),
    }
}

fn accepted(issuer: &Issuer, alg: &str) -> Option<Algorithm> {
    issuer
        .algorithms
        .iter()
        .find(|name| *name == alg)
        .and_then(|name| known(name))
}

fn verify_signature(
    token: &str,
    jwk: &Jwk,
    name: &str,
    algorithm: Algorithm,
) -> Result<Map<String, Value>, TokenError> {
    let fits = matches!(
        (&jwk.algorithm, algorithm),
        (
            AlgorithmParameters::RSA(_),
            Algorithm::RS256 | Algorithm::PS256
        ) | (
            AlgorithmParameters::EllipticCurve(_),
            Algorithm::ES256 | Algorithm::ES384
        ) | (AlgorithmParameters::OctetKeyPair(_), Algorithm::EdDSA)
    );
    // A key for encryption, or for another algorithm of its family, verifies nothing.
    let for_another = jwk
        .common
        .key_algorithm
        .is_some_and(|named| KeyAlgorithm::from_str(name).ok() != Some(named));
    let encrypts = jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|it| *it != PublicKeyUse::Signature);
    if !fits || for_another || encrypts {
        return Err(TokenError::BadSignature);
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| TokenError::BadSignature)?;
    // Claims are checked here, by their strict types and with the caller's clock.
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let data = jsonwebtoken::decode(token, &key, &validation);
    data.map(|data| data.claims)
        .map_err(|_| TokenError::BadSignature)
}

fn check_times(claims: &Claims, issuer: &Issuer, now: i64) -> Result<(), TokenError> {
    let expires = claims.seconds("exp")?;
    let made = claims.seconds("iat")?;
    let begins = if claims.0.contains_key("nbf") {
        claims.seconds("nbf")?
    } else {
        made
    };
    if expires <= made {
        return Err(TokenError::Malformed("exp is not after iat"));
    }
    if expires - made > i64::try_from(issuer.max_lifetime).unwrap_or(i64::MAX) {
        return Err(TokenError::Foreign(
            "its lifetime is longer than this service accepts",
        ));
    }
    let leeway = i64::from(issuer.leeway);
    if now >= expires + leeway {
        return Err(TokenError::Expired);
    }
    if begins > now + leeway || made > now + leeway {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
