//! Tells what people write where a secret would stand from a secret.

use crate::rule::contains_ignore_case;

/// Words that no generated token holds by chance: six letters of base62 turn up in a token of 40
/// characters once in fifty million.
const WORDS: [&str; 9] = [
    "example",
    "placeholder",
    "changeme",
    "change-me",
    "redacted",
    "your-token",
    "your_token",
    "notreal",
    "fakefake",
];

/// Signs of a template expression that is filled in later.
const TEMPLATES: [&str; 7] = ["${", "{{", "}}", "$(", "<%", "%>", "%s"];

/// Longer ones (keys in PEM, tokens with signatures) have their own structure checks, and
/// legitimately hold runs such as `AAAAAAAA`.
const LONGEST: usize = 512;

/// In secrets up to this length, four letters `x` in a row are enough.
const SHORT: usize = 16;

/// Whether the bytes are a placeholder, an example or a template rather than a secret.
pub(crate) fn is_placeholder(secret: &[u8]) -> bool {
    if secret.len() > LONGEST {
        return false;
    }
    // A run that a generated token of this length does not hold by chance.
    let blank_run = if secret.len() <= SHORT { 4 } else { 6 };
    WORDS
        .iter()
        .any(|word| contains_ignore_case(secret, word.as_bytes()))
        || TEMPLATES
            .iter()
            .any(|sign| memchr::memmem::find(secret, sign.as_bytes()).is_some())
        || (secret.starts_with(b"<") && secret.ends_with(b">"))
        || asks_for_it(secret)
        || longest_run(secret, |a, b| {
            a == b && matches!(b, b'x' | b'X' | b'*' | b'.')
        }) >= blank_run
        || longest_run(secret, |a, b| a == b) >= (secret.len() / 4).max(6)
        || longest_run(secret, |a, b| a.checked_add(1) == Some(b)) >= 8
}

/// Whether it tells the reader to put something else there: `your-token-here`, in letters of one
/// case to its end, which a match may cut.
fn asks_for_it(secret: &[u8]) -> bool {
    let is_your =
        |it: &[u8]| it.eq_ignore_ascii_case(b"your_") || it.eq_ignore_ascii_case(b"your-");
    let at = secret.windows(5).position(is_your);
    let Some(rest) = at.and_then(|at| secret.get(at..)) else {
        return false;
    };
    let is_sign = |byte: &u8| matches!(byte, b'_' | b'-');
    let upper = |byte: &u8| byte.is_ascii_uppercase() || is_sign(byte);
    let lower = |byte: &u8| byte.is_ascii_lowercase() || is_sign(byte);
    rest.len() >= 12 && (rest.iter().all(upper) || rest.iter().all(lower))
}

/// Length of the longest stretch in which each neighbouring pair satisfies `pair`.
fn longest_run(bytes: &[u8], pair: impl Fn(u8, u8) -> bool) -> usize {
    let (mut longest, mut run) = (1, 1);
    for window in bytes.windows(2) {
        if let [a, b] = window {
            run = if pair(*a, *b) { run + 1 } else { 1 };
            longest = longest.max(run);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        for text in [
            "OSFODNN7EXAMPLE",
            "ghp_xxxxxxxxxxxxxxxx",
            "ghp_XXXX1234",
            "00000000-aaaa",
            "0123456789abcdef",
            "abcdefghijk",
            "${SECRET}",
            "{{ secret }}",
            "<your-key>",
            "my_CHANGEME_now",
            "abcde-YOUR_GITLAB_TOK",
            "abcde-put-your-secret-in-here",
        ] {
            assert!(is_placeholder(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn secrets() {
        for text in [
            "hunter2",
            "Tr0ub4dor&3",
            "q7Zk2mX9xxQ1",
            "1234567",
            "aaabbbcccddd",
            "q7Zk2mX9_your_q7Zk2mX9",
            "is-your-pass",
        ] {
            assert!(!is_placeholder(text.as_bytes()), "{text}");
        }
    }
}
