//! Structure that a real secret has and a chance match has not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::password;

/// What must hold of a secret's bytes beyond its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Structure {
    /// The first segment is a JSON object with `alg` (RFC 7515, section 4.1.1).
    Jwt,
    /// A PEM or PGP armour whose body is base64 of a sane length (RFC 7468, RFC 9580 section 6).
    Pem,
    /// The first segment is base64 of a snowflake: a decimal number of 17 to 20 digits.
    DiscordBot,
    /// Something else than documentation words, a variable or a call.
    Password,
    /// The same, and no name, path or number either.
    StrongPassword,
    /// The same, and as a generator makes it.
    Random,
}

impl Structure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Pem => "pem",
            Self::DiscordBot => "discord-bot",
            Self::Password => "password",
            Self::StrongPassword => "strong-password",
            Self::Random => "random",
        }
    }

    pub(crate) fn holds(self, secret: &[u8]) -> bool {
        match self {
            Self::Jwt => jwt(secret),
            Self::Pem => pem(secret),
            Self::DiscordBot => discord_bot(secret),
            Self::Password => password::is_password(secret),
            Self::StrongPassword => password::is_strong(secret),
            Self::Random => password::is_random(secret),
        }
    }
}

fn first_segment(secret: &[u8]) -> Option<Vec<u8>> {
    let segment = secret.split(|byte| *byte == b'.').next()?;
    URL_SAFE_NO_PAD.decode(segment).ok()
}

fn jwt(secret: &[u8]) -> bool {
    let header = first_segment(secret)
        .and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    header.is_some_and(|header| header.get("alg").is_some_and(serde_json::Value::is_string))
}

fn discord_bot(secret: &[u8]) -> bool {
    first_segment(secret)
        .is_some_and(|id| (17..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit))
}

/// The smallest private key in PEM: Ed25519 in PKCS #8 has 64 base64 characters.
const PEM_BODY_MIN: usize = 60;

/// Most of what stands between the armour lines is base64, and there is enough of it.
///
/// Lines may be real ones or escaped (`\n` in JSON), quoted, indented, or prefixed by a diff.
fn pem(secret: &[u8]) -> bool {
    let finder = memchr::memmem::Finder::new(b"KEY");
    let Some(body) = finder
        .find(secret)
        .and_then(|label| secret.get(label..))
        .and_then(|rest| {
            rest.iter()
                .position(|byte| *byte == b'-')
                .and_then(|at| rest.get(at..))
        })
    else {
        return false;
    };
    let body = body.trim_ascii_start();
    let end = memchr::memmem::find(body, b"-----END").unwrap_or(body.len());
    let Some(body) = body.get(..end) else {
        return false;
    };
    let (mut base64, mut other, mut runs) = (0usize, 0usize, 0usize);
    for line in pem_lines(body) {
        let line = line.trim_ascii();
        // Armour headers: "Proc-Type: 4,ENCRYPTED", "Version: …".
        if line.is_empty() || memchr::memmem::find(line, b": ").is_some() {
            continue;
        }
        let good = line.iter().filter(|byte| is_base64(**byte)).count();
        base64 += good;
        other += line.len() - good;
        runs += usize::from(good >= PEM_RUN_MIN);
    }
    base64 >= PEM_BODY_MIN && runs >= 1 && other * 5 <= base64 && !monotonous(body)
}

/// A PEM body has at least one line with this many base64 characters.
const PEM_RUN_MIN: usize = 40;

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Splits at line ends, both real and escaped ones.
pub(crate) fn pem_lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| matches!(byte, b'\n' | b'\r'))
        .flat_map(|line| EscapedLines(Some(line)))
}

/// Splits at the two characters `\n` or `\r`.
struct EscapedLines<'b>(Option<&'b [u8]>);

impl<'b> Iterator for EscapedLines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let rest = self.0.take()?;
        let at = rest
            .windows(2)
            .position(|pair| matches!(pair, [b'\\', b'n' | b'r']));
        let Some((line, rest)) = at.and_then(|at| rest.split_at_checked(at)) else {
            return Some(rest);
        };
        self.0 = rest.get(2..);
        Some(line)
    }
}

/// Few distinct letters: a body of `xxxx…` or `AAAA…` that someone typed.
fn monotonous(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in body.iter().filter(|byte| is_base64(**byte)) {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    seen.iter().filter(|seen| **seen).count() < 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_needs_a_body() {
        let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let pem_of = |body: &str| {
            format!("{0}BEGIN TEST KEY{0}\n{body}\n{0}END TEST KEY{0}", "-----").into_bytes()
        };
        assert!(pem(&pem_of(body)));
        assert!(pem(&pem_of(&format!("Proc-Type: 4,ENCRYPTED\n\n{body}"))));
        assert!(pem(&pem_of(&format!("\\n{body}\\n"))));
        assert!(!pem(&pem_of("...")));
        assert!(!pem(&pem_of(&"x".repeat(64))));
        assert!(!pem(&pem_of(
            "your key goes here, between these two lines, please; thank you all"
        )));
    }
}
