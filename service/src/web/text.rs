//! Text from outside as people may safely read it, and numbers and times in words.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// Makes visible what would not be: controls, zero-width and direction-changing characters
/// become their code point in angle brackets; bytes that are no UTF-8 become `\xNN`.
pub fn visible(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_unseen(c) {
                // Writing to a String cannot fail.
                let _ = write!(out, "<U+{:04X}>", u32::from(c));
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// Line feeds and tabs are layout; other controls and format characters (Unicode's Cc and the
/// Cf that change how text is shown) are not.
fn is_unseen(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// `1 commit`, `2 commits`.
pub fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// How far off a time is, in its largest unit: `3 min`, `2 h`, `6 d`.
pub fn distance(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let seconds = (to - from).num_seconds().max(0);
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The first ten digits of an oid.
pub fn short(oid: &str) -> &str {
    oid.get(..10).unwrap_or(oid)
}

/// What an update does, in words.
pub fn kind(kind: &str, gained: i64, lost: i64) -> String {
    match kind {
        "create" => format!("creates the ref with {}", count(gained, "new commit")),
        "fast-forward" => format!("adds {}", count(gained, "commit")),
        "delete" => "deletes the ref".to_owned(),
        _ => format!("discards {} and adds {}", count(lost, "commit"), gained),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_made_visible() {
        assert_eq!(visible(b"a\x1b[31m\xff\n"), "a<U+001B>[31m\\xff\n");
        assert_eq!(visible("x\u{202e}y".as_bytes()), "x<U+202E>y");
    }
}
