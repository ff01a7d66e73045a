//! Tells a password that somebody chose from what documentation, tests and code write instead.
//!
//! Passwords have no format, so rules that find them by what stands around need this. Three
//! degrees, each stricter: [`is_password`] for files that exist to hold one, [`is_strong`] for
//! text where a name or a variable may stand in its place, [`is_random`] for values that only
//! their name points to.
//!
//! Not done here: no dictionary of leaked passwords, no guess at strength. A password made of the
//! words below alone is not found; whoever uses `password123` in production loses nothing more.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Words that stand where a password would, in documentation, tests and defaults. Sorted.
#[rustfmt::skip] // One word a line would be a page of them.
const WORDS: &[&str] = &[
    "a", "abc", "abcd", "access", "account", "admin", "administrator", "alice", "an", "and",
    "api", "app", "application", "asdf", "auth", "authtoken", "bad", "bar", "base", "basic",
    "baz", "bearer", "blank", "bob", "change", "changeit", "changeme", "changethis", "client",
    "code", "correct", "credential", "credentials", "data", "database", "db", "default", "demo",
    "dev", "development", "docker", "dummy", "empty", "encrypted", "enter", "env", "example",
    "fake", "false", "field", "file", "foo", "foobar", "for", "from", "good", "guest", "hash",
    "hello", "here", "hidden", "host", "hunter", "id", "in", "input", "insecure", "insert",
    "invalid", "is", "it", "key", "letmein", "local", "localhost", "login", "mariadb", "masked",
    "master", "me", "mock", "mongo", "mongodb", "my", "mypass", "mypassword", "mysecret",
    "mysql", "name", "new", "nil", "no", "none", "not", "null", "of", "old", "on", "or",
    "oracle", "param", "pass", "passcode", "passphrase", "passwd", "password", "passwort",
    "path", "phrase", "placeholder", "postgres", "postgresql", "private", "prod", "production",
    "property", "public", "put", "pw", "pwd", "qux", "qwerty", "rabbit", "rabbitmq", "random",
    "real", "redacted", "redis", "remove", "removed", "replace", "replaceme", "required", "root",
    "sa", "safe", "salt", "sample", "scott", "secret", "secrets", "secure", "server", "service",
    "set", "shared", "some", "somepassword", "staging", "string", "strong", "super",
    "supersecret", "tbd", "temp", "test", "tester", "testing", "testpass", "testpassword",
    "tests", "testuser", "text", "the", "this", "tiger", "to", "todo", "token", "topsecret",
    "true", "undefined", "unknown", "use", "user", "username", "users", "usr", "valid", "value",
    "var", "variable", "very", "weak", "welcome", "with", "word", "world", "wrong", "x", "xx",
    "xxx", "xxxx", "xyz", "yes", "your", "yourpassword", "yoursecret", "z", "zzz",
];

/// More digits than this beside documentation words make a password: `secret20` is one of
/// theirs, `secret48151623` is not.
const DIGITS_OF_WORDS: usize = 4;

/// Whether the bytes are more than documentation words, a variable or a call.
///
/// Percent escapes count as what they stand for: passwords in addresses are full of them.
pub(crate) fn is_password(secret: &[u8]) -> bool {
    let secret = &*unescape(secret);
    !is_expression(secret) && !is_documentation(secret) && !is_documentation(&unleet(secret))
}

/// Whether the bytes are a password and look like no name, path, number or version.
pub(crate) fn is_strong(secret: &[u8]) -> bool {
    let secret = &*unescape(secret);
    is_password(secret)
        && !secret
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b':' | b'-'))
        && !secret.starts_with(b"/")
        && !secret.starts_with(b"./")
        && words(secret).any(|word| !is_wordy(word))
}

/// Whether the bytes look as if a generator made them: strong, and of several kinds of characters.
///
/// The base64 of `user:password`, as HTTP and container registries use it, is judged by the
/// password.
pub(crate) fn is_random(secret: &[u8]) -> bool {
    if let Some(password) = basic_credentials(secret) {
        return is_strong(&password);
    }
    let has = |kind: fn(&u8) -> bool| secret.iter().any(kind);
    let digits = secret.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = has(u8::is_ascii_lowercase) || has(u8::is_ascii_uppercase);
    is_strong(secret) && digits >= 1 && letters && mostly_not_wordy(secret)
}

/// The password in the base64 of `user:password` (RFC 7617, section 2).
fn basic_credentials(secret: &[u8]) -> Option<Vec<u8>> {
    let end = secret.iter().rposition(|byte| *byte != b'=')?;
    let text = STANDARD_NO_PAD.decode(secret.get(..=end)?).ok()?;
    let printable = text.iter().all(u8::is_ascii_graphic);
    let colon = text.iter().position(|byte| *byte == b':')?;
    (printable && colon > 0).then(|| text.get(colon + 1..).unwrap_or_default().to_vec())
}

/// Replaces `%` and two hexadecimal digits by the byte that they stand for.
fn unescape(secret: &[u8]) -> Cow<'_, [u8]> {
    if !secret.contains(&b'%') {
        return Cow::Borrowed(secret);
    }
    let mut out = Vec::with_capacity(secret.len());
    let mut rest = secret;
    while let Some((first, after)) = rest.split_first() {
        let escape = after
            .split_first_chunk::<2>()
            .filter(|_| *first == b'%')
            .and_then(|(digits, after)| Some((hex::decode(digits).ok()?, after)));
        if let Some((bytes, after)) = escape {
            out.extend_from_slice(&bytes);
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
    Cow::Owned(out)
}

/// At least half of the letters and digits stand in words that are no names.
fn mostly_not_wordy(secret: &[u8]) -> bool {
    let (mut wordy, mut other) = (0, 0);
    for word in words(secret) {
        *(if is_wordy(word) {
            &mut wordy
        } else {
            &mut other
        }) += word.len();
    }
    other >= wordy
}

/// What code writes to fetch a password from elsewhere.
fn is_expression(secret: &[u8]) -> bool {
    const SIGNS: [&[u8]; 12] = [
        b"()", b"://", b"::", b"->", b"env.", b"environ", b"getenv", b"ENV[", b"args.", b"self.",
        b"this.", b"...",
    ];
    let variable = |sign| matches!(secret, [first, next, ..] if *first == sign && (next.is_ascii_alphabetic() || *next == b'_'));
    let wrapped =
        |open, close| matches!(secret, [first, .., last] if *first == open && *last == close);
    variable(b'$')
        || variable(b'%') && secret.ends_with(b"%")
        || wrapped(b'{', b'}')
        || wrapped(b'[', b']')
        || wrapped(b'(', b')')
        || wrapped(b'<', b'>')
        || SIGNS
            .iter()
            .any(|sign| memchr::memmem::find(secret, sign).is_some())
}

/// Nothing but words of the list, few digits and punctuation.
fn is_documentation(secret: &[u8]) -> bool {
    let digits = secret.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits > DIGITS_OF_WORDS && digits < secret.len() {
        return false;
    }
    secret
        .split(|byte| !byte.is_ascii_alphabetic())
        .flat_map(camel_humps)
        .all(|word| {
            let lower = word.to_ascii_lowercase();
            word.is_empty()
                || WORDS
                    .binary_search_by(|known| known.as_bytes().cmp(&lower))
                    .is_ok()
        })
        || secret
            .split(|byte| !byte.is_ascii_alphabetic())
            .all(|word| {
                let lower = word.to_ascii_lowercase();
                word.is_empty()
                    || WORDS
                        .binary_search_by(|known| known.as_bytes().cmp(&lower))
                        .is_ok()
            })
}

/// Undoes the usual replacements of letters: `P@ssw0rd!1` is `Password`.
fn unleet(secret: &[u8]) -> Vec<u8> {
    let end = secret.iter().rposition(u8::is_ascii_alphabetic);
    secret
        .iter()
        .take(end.map_or(0, |end| end + 1))
        .map(|byte| match byte {
            b'@' | b'4' => b'a',
            b'0' => b'o',
            b'$' | b'5' => b's',
            b'3' => b'e',
            b'1' => b'i',
            other => *other,
        })
        .collect()
}

fn words(secret: &[u8]) -> impl Iterator<Item = &[u8]> {
    secret
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Splits `dbPassword` into `db` and `Password`.
fn camel_humps(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    word.chunk_by(|a, b| !(a.is_ascii_lowercase() && b.is_ascii_uppercase()))
}

/// What a name is made of: words in one case or in camel case, then digits; or digits alone.
fn is_wordy(word: &[u8]) -> bool {
    let letters = word.iter().position(u8::is_ascii_digit);
    let (head, tail) = word.split_at(letters.unwrap_or(word.len()));
    let is_hump = |hump: &[u8]| {
        let capitals = hump.iter().filter(|byte| byte.is_ascii_uppercase());
        hump.len() >= HUMP_MIN && capitals.count() != 2
    };
    let odd = camel_humps(head).filter(|hump| !is_hump(hump)).count();
    tail.len() <= 6 && tail.iter().all(u8::is_ascii_digit) && (odd <= 1 || head.len() <= HUMP_MIN)
}

/// Words inside names have this many letters or more, but for one.
const HUMP_MIN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted() {
        assert!(WORDS.is_sorted());
    }

    #[test]
    fn degrees() {
        // Text, is a password, is strong, is random.
        for (text, expected) in [
            ("password", [false, false, false]),
            ("P@ssw0rd!", [false, false, false]),
            ("my-secret_pw123", [false, false, false]),
            ("dbPassword", [false, false, false]),
            ("$DB_PASSWORD", [false, false, false]),
            ("%DB_PASSWORD%", [false, false, false]),
            ("os.getenv", [false, false, false]),
            ("correcthorse", [true, false, false]),
            ("kebab-case-name", [true, false, false]),
            ("CamelCaseName2", [true, false, false]),
            ("127.0.0.1", [false, false, false]),
            ("/run/keys/db1", [true, false, false]),
            ("k7-Wq2zT-x9", [true, true, true]),
            ("xK2mQ9vL4tRb", [true, true, true]),
            ("he%2F%2Fo", [true, false, false]),
            ("am9objpwYXNzd29yZA==", [true, true, false]),
            ("am9objpxN1prMm1YOQ==", [true, true, true]),
            ("hxQvTbZkRwLpMnYc", [true, true, false]),
            ("HTTPServerPassword", [true, false, false]),
            ("a-long-name-with-x4y", [true, true, false]),
        ] {
            let secret = text.as_bytes();
            assert_eq!(
                [is_password(secret), is_strong(secret), is_random(secret)],
                expected,
                "{text}"
            );
        }
    }
}
