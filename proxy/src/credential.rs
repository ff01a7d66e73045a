//! The pusher's token, as it comes in the `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// How a client showed its token.
#[derive(Debug)]
pub enum Credential {
    /// As a Basic password; the user name is not looked at. What git and its helpers send.
    Basic(SecretString),
    /// As a Bearer token, from `http.extraHeader`.
    Bearer(SecretString),
}

impl Credential {
    /// The token.
    pub fn token(&self) -> &SecretString {
        match self {
            Self::Basic(token) | Self::Bearer(token) => token,
        }
    }

    /// Hexadecimal SHA-256 of the token: what is kept of it.
    pub fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.token().expose_secret()))
    }

    /// Reads the header's value. None for another scheme, an empty token, or one that could not
    /// stand in a header.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return accept(rest).map(Self::Bearer);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(rest).ok()?;
            let decoded = std::str::from_utf8(&decoded).ok()?;
            let (_user, password) = decoded.split_once(':')?;
            return accept(password).map(Self::Basic);
        }
        None
    }
}

fn accept(token: &str) -> Option<SecretString> {
    let good = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    good.then(|| SecretString::from(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, expected: Option<&str>) {
        let got = Credential::parse(header);
        let got = got.as_ref().map(|it| it.token().expose_secret());
        assert_eq!(got, expected, "{header}");
    }

    #[test]
    fn a_token_comes_as_password_or_as_bearer() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        check(&basic("x:tok"), Some("tok"));
        check(&basic(":tok:en"), Some("tok:en"));
        check("bearer tok", Some("tok"));
        check(&basic("tok"), None);
        check(&basic("x:"), None);
        check(&basic("x:a\nb"), None);
        check("Basic ?", None);
        check("Bearer", None);
        check("Bearer a b", None);
        check("Digest x", None);
    }

    #[test]
    fn a_token_does_not_print() {
        let shown = format!("{:?}", Credential::parse("Bearer unprintable"));
        assert!(!shown.contains("unprintable"), "{shown}");
    }
}
