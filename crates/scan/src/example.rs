//! Makes tokens from templates, so that none has to be written down.
//!
//! Rule files, tests and demos hold templates such as `ghp_{base62:30}{crc32}`; [`expand`] fills
//! them from a seed. The same template and seed always give the same bytes. What comes out has
//! the shape of a secret and opens nothing.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{base62:N}` | N of `0-9A-Za-z` |
//! | `{base64:N}`, `{base64url:N}` | N of the alphabet of RFC 4648, section 4 or 5, unpadded |
//! | `{base32:N}` | N of `A-Z2-7` |
//! | `{hex:N}`, `{HEX:N}`, `{digits:N}` | N of `0-9a-f`, `0-9A-F`, `0-9` |
//! | `{lower:N}`, `{upper:N}`, `{alpha:N}` | N letters |
//! | `{lowernum:N}`, `{uppernum:N}` | N letters of one case, or digits |
//! | `{base58:N}` | N of the alphabet of Bitcoin: base62 without `0OIl` |
//! | `{bech32:N}` | N of the alphabet of BIP 173, in upper case |
//! | `{crc32}` | six base62 digits of the CRC32 of the random part just before |
//! | `{pem:N}` | N base64 characters in lines of 64 |
//! | `{pem-escaped:N}` | the same, with `\n` as two characters between the lines |
//! | `{jwt}` | header, payload and signature of a JSON Web Token |
//! | `{snowflake}` | base64url of an 18-digit number |
//! | `{word:TEXT}` | TEXT: splits what must not stand in one piece |
//! | `{repeat:C:N}` | the character C, N times |
//! | `{nl}` | a line feed |
//! | `{{`, `}}` | one brace |

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::checksum::{BASE58, BASE62, base62, crc32};

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Length of a line in PEM (RFC 7468, section 2).
const PEM_LINE: usize = 64;

/// A template that cannot be expanded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a brace stands alone in the template; write {{{{ or }}}} for one brace")]
    Brace,
    /// A placeholder that the table does not list, or a count that is no number.
    #[error("unknown placeholder {{{0}}}")]
    Unknown(String),
}

/// Expands a template (see the module). What is no known placeholder is copied as it stands.
///
/// Meant for tests and demos. To be told of mistakes, use [`try_expand`].
pub fn expand(template: &str, seed: u64) -> Vec<u8> {
    try_expand(template, seed).unwrap_or_else(|_| template.as_bytes().to_vec())
}

/// Expands a template (see the module).
///
/// # Errors
///
/// The first placeholder that is not understood.
pub fn try_expand(template: &str, seed: u64) -> Result<Vec<u8>, TemplateError> {
    let mut random = Random::new(seed, template);
    let mut out = Vec::new();
    // Where the last random part lies in `out`.
    let mut part = 0..0;
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, tail) = rest.split_at(at);
        out.extend_from_slice(literal.as_bytes());
        if let Some(after) = tail.strip_prefix("{{") {
            out.push(b'{');
            rest = after;
        } else if let Some(after) = tail.strip_prefix("}}") {
            out.push(b'}');
            rest = after;
        } else {
            let (name, after) = tail
                .strip_prefix('{')
                .and_then(|inside| inside.split_once('}'))
                .ok_or(TemplateError::Brace)?;
            rest = after;
            if name == "crc32" {
                let sum = crc32(out.get(part.clone()).unwrap_or_default());
                out.extend_from_slice(&base62(sum));
            } else {
                let start = out.len();
                placeholder(name, &mut random, &mut out)?;
                part = start..out.len();
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

fn placeholder(name: &str, random: &mut Random, out: &mut Vec<u8>) -> Result<(), TemplateError> {
    let unknown = || TemplateError::Unknown(name.to_owned());
    let (kind, argument) = name.split_once(':').unwrap_or((name, ""));
    match kind {
        "nl" => out.push(b'\n'),
        "word" => out.extend_from_slice(argument.as_bytes()),
        "jwt" => jwt(random, out),
        "snowflake" => {
            let mut number = vec![b'4'];
            random.fill(b"0123456789", 17, &mut number);
            out.extend_from_slice(URL_SAFE_NO_PAD.encode(number).as_bytes());
        }
        "repeat" => {
            let (text, count) = argument.split_once(':').ok_or_else(unknown)?;
            let count = count.parse().map_err(|_| unknown())?;
            out.extend_from_slice(text.repeat(count).as_bytes());
        }
        _ => {
            let count = argument.parse().map_err(|_| unknown())?;
            match kind {
                "pem" => pem(random, count, b"\n", out),
                "pem-escaped" => pem(random, count, b"\\n", out),
                _ => random.fill(alphabet(kind).ok_or_else(unknown)?, count, out),
            }
        }
    }
    Ok(())
}

fn alphabet(kind: &str) -> Option<&'static [u8]> {
    Some(match kind {
        "base62" => BASE62,
        "base64" => BASE64,
        "base64url" => BASE64_URL,
        "base32" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
        "hex" => b"0123456789abcdef",
        "HEX" => b"0123456789ABCDEF",
        "digits" => b"0123456789",
        "lower" => b"abcdefghijklmnopqrstuvwxyz",
        "upper" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "alpha" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        "lowernum" => b"abcdefghijklmnopqrstuvwxyz0123456789",
        "uppernum" => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "base58" => BASE58,
        "bech32" => b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
        _ => return None,
    })
}

fn pem(random: &mut Random, count: usize, line_end: &[u8], out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(count);
    random.fill(BASE64, count, &mut body);
    for (index, line) in body.chunks(PEM_LINE).enumerate() {
        if index > 0 {
            out.extend_from_slice(line_end);
        }
        out.extend_from_slice(line);
    }
}

fn jwt(random: &mut Random, out: &mut Vec<u8>) {
    let mut subject = Vec::new();
    random.fill(b"0123456789", 10, &mut subject);
    let payload = [
        br#"{"sub":""#.as_slice(),
        &subject,
        br#"","iat":1700000000}"#,
    ]
    .concat();
    out.extend_from_slice(
        URL_SAFE_NO_PAD
            .encode(r#"{"alg":"HS256","typ":"JWT"}"#)
            .as_bytes(),
    );
    out.push(b'.');
    out.extend_from_slice(URL_SAFE_NO_PAD.encode(payload).as_bytes());
    out.push(b'.');
    random.fill(BASE64_URL, 43, out);
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): small, and the same on every machine.
struct Random(u64);

impl Random {
    /// The template takes part, so that two templates with one seed share no random part.
    fn new(seed: u64, template: &str) -> Self {
        Self(seed ^ u64::from(crc32(template.as_bytes())) << 32)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Appends `count` letters of the alphabet. The bias of the remainder does not matter here.
    fn fill(&mut self, alphabet: &[u8], count: usize, out: &mut Vec<u8>) {
        for _ in 0..count {
            let index = self.next() % alphabet.len().max(1) as u64;
            out.extend(
                usize::try_from(index)
                    .ok()
                    .and_then(|index| alphabet.get(index)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(template: &str, expected: &str) {
        assert_eq!(
            try_expand(template, 1).unwrap(),
            expected.as_bytes(),
            "{template}"
        );
    }

    #[test]
    fn fixed_placeholders() {
        check("a{word:RSA}b{nl}", "aRSAb\n");
        check("{repeat:x:5}", "xxxxx");
        check("${{{{ secrets.X }}}}", "${{ secrets.X }}");
    }

    #[test]
    fn random_placeholders_depend_on_seed_and_template() {
        let one = expand("{base62:30}{crc32}", 1);
        assert_eq!(one.len(), 36);
        assert_eq!(one, expand("{base62:30}{crc32}", 1));
        assert_ne!(one, expand("{base62:30}{crc32}", 2));
        assert_ne!(one[..30], expand("{base62:30}", 1)[..]);
    }

    #[test]
    fn mistakes_are_told() {
        assert_eq!(
            try_expand("{hex}", 1),
            Err(TemplateError::Unknown("hex".to_owned()))
        );
        assert_eq!(
            try_expand("{nope:3}", 1),
            Err(TemplateError::Unknown("nope:3".to_owned()))
        );
        assert_eq!(try_expand("a}", 1), Err(TemplateError::Brace));
        assert_eq!(expand("{nope:3}", 1), b"{nope:3}");
    }
}
