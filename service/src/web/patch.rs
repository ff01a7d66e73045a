//! Hunks of a unified diff as rows with line numbers.

use super::text::visible;

/// One row of a shown diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `add`, `del`, `same`, `hunk` or `note`.
    pub class: &'static str,
    /// Line number before, where there is one.
    pub old: String,
    /// Line number after, where there is one.
    pub new: String,
    /// The sign, so that colour alone does not tell.
    pub sign: &'static str,
    /// The text without its sign.
    pub text: String,
}

/// Splits hunks into at most `limit` rows; says whether some were left out.
pub fn rows(hunks: &[u8], limit: usize) -> (Vec<Row>, bool) {
    let mut rows = Vec::new();
    let (mut old, mut new) = (0_u64, 0_u64);
    let body = hunks.strip_suffix(b"\n").unwrap_or(hunks);
    if body.is_empty() {
        return (rows, false);
    }
    for line in body.split(|&byte| byte == b'\n') {
        if rows.len() == limit {
            return (rows, true);
        }
        let rest = visible(line.get(1..).unwrap_or_default());
        let row = |class, old: String, new: String, sign, text| Row {
            class,
            old,
            new,
            sign,
            text,
        };
        rows.push(match line.first() {
            Some(b'@') => {
                if let Some((from, to)) = starts(line) {
                    (old, new) = (from, to);
                }
                row("hunk", String::new(), String::new(), "", visible(line))
            }
            Some(b'+') => {
                new += 1;
                row("add", String::new(), (new - 1).to_string(), "+", rest)
            }
            Some(b'-') => {
                old += 1;
                row("del", (old - 1).to_string(), String::new(), "-", rest)
            }
            Some(b'\\') => row("note", String::new(), String::new(), "", visible(line)),
            _ => {
                (old, new) = (old + 1, new + 1);
                row(
                    "same",
                    (old - 1).to_string(),
                    (new - 1).to_string(),
                    " ",
                    rest,
                )
            }
        });
    }
    (rows, false)
}

/// The first line numbers of `@@ -a,b +c,d @@`.
fn starts(line: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(line.get(..line.len().min(80))?).ok()?;
    let mut words = text.split(' ').skip(1);
    let mut number = |sign: char| -> Option<u64> {
        words
            .next()?
            .strip_prefix(sign)?
            .split(',')
            .next()?
            .parse()
            .ok()
    };
    Some((number('-')?, number('+')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_on_both_sides() {
        let (found, cut) = rows(b"@@ -1,2 +1,2 @@\n a\n-b\n+c\n\\ No newline\n", 10);
        let shown: Vec<_> = found
            .iter()
            .map(|row| (row.class, row.old.as_str(), row.new.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("hunk", "", ""),
                ("same", "1", "1"),
                ("del", "2", ""),
                ("add", "", "2"),
                ("note", "", "")
            ]
        );
        assert!(!cut);
        assert!(rows(b"+a\n+b\n", 1).1);
        assert_eq!(rows(b"", 1), (vec![], false));
    }
}
