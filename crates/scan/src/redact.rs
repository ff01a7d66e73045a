//! Previews of secrets that tell a person which one is meant and nobody what it is.

/// Secrets shorter than this show no character at all.
const SHORT: usize = 20;
const LEADING: usize = 4;
const TRAILING: usize = 2;

/// Text for a secret too short to show anything of, and for parts of longer ones.
pub(crate) const HIDDEN: &str = "********";

/// Printable ASCII preview of a secret: at most four leading and two trailing characters.
///
/// A secret of several lines (a PEM block) yields its header line only, or a fixed text.
pub(crate) fn redacted(secret: &[u8]) -> String {
    if let Some(header) = pem_header(secret) {
        return header;
    }
    if secret.contains(&b'\n') {
        return "[multi-line secret]".to_owned();
    }
    if secret.len() < SHORT {
        return HIDDEN.to_owned();
    }
    let (Some((head, _)), Some((_, tail))) = (
        secret.split_at_checked(LEADING),
        secret.split_at_checked(secret.len() - TRAILING),
    ) else {
        return HIDDEN.to_owned();
    };
    format!("{}****...**{}", printable(head), printable(tail))
}

/// The `-----BEGIN … KEY-----` line at the start of a PEM or PGP block. It holds nothing secret:
/// only capitals, digits and blanks are taken, and no more than 60 of them.
fn pem_header(secret: &[u8]) -> Option<String> {
    const OPEN: &[u8] = b"-----BEGIN ";
    let label = secret.strip_prefix(OPEN)?;
    let end = memchr::memmem::find(label, b"-----").filter(|end| *end <= 60)?;
    let label = std::str::from_utf8(label.get(..end)?).ok()?;
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ';
    label
        .chars()
        .all(plain)
        .then(|| format!("-----BEGIN {label}-----"))
}

/// Escapes whatever is not printable ASCII as `\xNN`.
fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secret: &[u8], expected: &str) {
        assert_eq!(redacted(secret), expected);
    }

    #[test]
    fn shows_at_most_four_and_two() {
        check(b"", HIDDEN);
        check(b"hunter2", HIDDEN);
        check(b"nineteen-characters", HIDDEN);
        check(b"abcdefghijklmnopqrstuvwxyz", "abcd****...**yz");
        check(b"\x1b[31mabcdefghijklmnop\xff", "\\x1b[31****...**p\\xff");
    }

    #[test]
    fn multi_line_shows_the_header_only() {
        check(
            b"-----BEGIN TEST KEY-----\nAAAA\n-----END TEST KEY-----",
            "-----BEGIN TEST KEY-----",
        );
        check(b"-----BEGIN lower-----\nAAAA", "[multi-line secret]");
        check(b"one\ntwo\nthree and more and more", "[multi-line secret]");
    }
}
