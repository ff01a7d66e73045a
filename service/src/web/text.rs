//! Text from outside as people may safely read it, and numbers and times in words.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// Makes visible what would not be: controls, invisible and direction-changing characters
/// become their code point in angle brackets; bytes that are no UTF-8 become `\xNN`. Line feeds
/// and tabs stay, as layout.
pub fn visible(bytes: &[u8]) -> String {
    shown(bytes, |c| c == '\n' || c == '\t')
}

/// The same for what stands on one line, such as a path or a name: line feeds and tabs are made
/// visible too, since HTML would show a space.
pub fn visible_line(bytes: &[u8]) -> String {
    shown(bytes, |_| false)
}

fn shown(bytes: &[u8], is_layout: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut before = ' ';
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // U+FE0E and U+FE0F choose how the emoji before them looks, and hide nothing there.
            let styles = matches!(c, '\u{fe0e}' | '\u{fe0f}') && before >= '\u{2000}';
            if is_unseen(c) && !is_layout(c) && !styles {
                // Writing to a String cannot fail.
                let _ = write!(out, "<U+{:04X}>", u32::from(c));
                before = ' ';
            } else {
                out.push(c);
                before = if styles { ' ' } else { c };
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
            before = ' ';
        }
    }
    out
}

/// Controls, and characters that take no room or change how others are shown: Unicode's
/// `Default_Ignorable_Code_Point`, separators of lines, annotation and blank letters. With them
/// a path, a name or code can look like another.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `1 commit`, `2 commits`.
pub fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// How far off a time is, in its largest unit, rounded: `3 min`, `2 h`, `7 d`.
pub fn distance(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let seconds = (to - from).num_seconds().max(0);
    let rounded = |unit: i64| (seconds + unit / 2) / unit;
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3569 => format!("{} min", rounded(60)),
        3570..=171_000 => format!("{} h", rounded(3600)),
        _ => format!("{} d", rounded(86_400)),
    }
}

/// A length of time in its largest whole unit: `30 min`, `90 s`, `2 h`.
pub fn span(seconds: i64) -> String {
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds >= unit && seconds % unit == 0 {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}

/// The first ten digits of an oid.
pub fn short(oid: &str) -> &str {
    oid.get(..10).unwrap_or(oid)
}

/// What an update does, in words: `adds 2 commits`, `deletes a branch`.
pub fn kind(kind: &str, ref_name: &[u8], gained: i64, lost: i64) -> String {
    let thing = if ref_name.starts_with(b"refs/heads/") {
        "a branch"
    } else if ref_name.starts_with(b"refs/tags/") {
        "a tag"
    } else {
        "a ref"
    };
    match (kind, gained, lost) {
        ("create", 0, _) => format!("creates {thing}"),
        ("create", ..) => format!("creates {thing} with {}", count(gained, "new commit")),
        ("delete", ..) => format!("deletes {thing}"),
        ("exception", ..) => "wants an exception for a secret".to_owned(),
        ("grant", ..) => "wants a window of time".to_owned(),
        ("fast-forward", ..) => format!("adds {}", count(gained, "commit")),
        (_, 0, 0) => format!("moves {thing}"),
        (_, 0, _) => format!("discards {}", count(lost, "commit")),
        (_, _, 0) => format!("moves {thing}, adding {}", count(gained, "commit")),
        _ => format!("discards {} and adds {gained}", count(lost, "commit")),
    }
}

/// An entry of a rule's list of approvers, in words: `group:maintainers` is `group maintainers`.
pub fn listed(entry: &str) -> String {
    visible_line(entry.replacen(':', " ", 1).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_made_visible() {
        assert_eq!(visible(b"a\x1b[31m\xff\n"), "a<U+001B>[31m\\xff\n");
        for unseen in [
            '\u{202e}',
            '\u{200b}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{e0061}',
            '\u{e0101}',
        ] {
            let shown = visible(format!("x{unseen}y").as_bytes());
            assert_eq!(shown, format!("x<U+{:04X}>y", u32::from(unseen)));
        }
        assert_eq!(visible("\u{26a0}\u{fe0f}".as_bytes()), "\u{26a0}\u{fe0f}");
        assert_eq!(visible_line(b"a\nb\tc"), "a<U+000A>b<U+0009>c");
    }

    #[test]
    fn updates_are_told_in_words() {
        let (branch, tag) = (b"refs/heads/x".as_slice(), b"refs/tags/x".as_slice());
        for (name, kind_of, gained, lost, words) in [
            (
                branch,
                "create",
                2,
                0,
                "creates a branch with 2 new commits",
            ),
            (branch, "create", 0, 0, "creates a branch"),
            (branch, "fast-forward", 1, 0, "adds 1 commit"),
            (branch, "delete", 0, 3, "deletes a branch"),
            (
                branch,
                "non-fast-forward",
                1,
                14,
                "discards 14 commits and adds 1",
            ),
            (branch, "non-fast-forward", 0, 1, "discards 1 commit"),
            (tag, "non-fast-forward", 0, 0, "moves a tag"),
            (
                tag,
                "non-fast-forward",
                2,
                0,
                "moves a tag, adding 2 commits",
            ),
        ] {
            assert_eq!(kind(kind_of, name, gained, lost), words);
        }
    }

    #[test]
    fn times_are_rounded() {
        let from = DateTime::UNIX_EPOCH;
        for (seconds, words) in [
            (5, "5 s"),
            (61, "1 min"),
            (3599, "1 h"),
            (47 * 3600, "47 h"),
            (7 * 86_400 - 5, "7 d"),
            (-5, "0 s"),
        ] {
            let to = from + chrono::Duration::seconds(seconds);
            assert_eq!(distance(from, to), words);
        }
    }
}
