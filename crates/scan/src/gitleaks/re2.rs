//! Says in the `regex` crate's syntax what a pattern says in Go's.
//!
//! Go's syntax: <https://github.com/google/re2/wiki/Syntax> and the package `regexp/syntax`.
//! The result is meant for `unicode(false)`: `\b`, `\w`, `\d`, `\s` are ASCII, as in Go.
//!
//! What Go refuses is refused here too, so that a file that loads here loads there. What the
//! `regex` crate would read otherwise is rewritten: bare braces, `\<`, octal escapes, `\Q…\E`,
//! `\s` (no vertical tab in Go), set operators inside classes, `\xNN` (a character in Go).
//! `.` and negated classes count characters, as in Go; a byte that is no UTF-8 counts as one.
//!
//! What stays different, and only in text that is not ASCII: `(?i)` does not fold the Kelvin
//! sign to `k` nor the long s to `s`; a character may be taken apart where a pattern asks for at
//! least so many of them.

use super::re2_class::{self, Class};

/// Go refuses larger counts (`regexp/syntax`, "bad repetition operator").
const REPEAT_MAX: u32 = 1000;

/// Translates a pattern; the error says what Go would object to.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        input: Input(pattern),
        out: String::with_capacity(pattern.len() + 16),
    };
    while let Some(c) = translator.input.next() {
        translator.step(c)?;
    }
    Ok(translator.out)
}

/// What is left of a pattern.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'p>(pub(super) &'p str);

impl<'p> Input<'p> {
    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let c = chars.next();
        self.0 = chars.as_str();
        c
    }

    pub(super) fn peek(self) -> Option<char> {
        self.0.chars().next()
    }

    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        self.0
            .strip_prefix(prefix)
            .map(|rest| self.0 = rest)
            .is_some()
    }

    pub(super) fn until(&mut self, end: &str) -> Option<&'p str> {
        let (before, after) = self.0.split_once(end)?;
        self.0 = after;
        Some(before)
    }
}

/// A repetition operator.
#[derive(Debug, Clone, Copy)]
struct Repeat {
    min: u32,
    max: Option<u32>,
    lazy: bool,
}

impl Repeat {
    fn text(self) -> String {
        let count = match (self.min, self.max) {
            (0, None) => "*".to_owned(),
            (1, None) => "+".to_owned(),
            (0, Some(1)) => "?".to_owned(),
            (min, None) => format!("{{{min},}}"),
            (min, Some(max)) if min == max => format!("{{{min}}}"),
            (min, Some(max)) => format!("{{{min},{max}}}"),
        };
        if self.lazy { count + "?" } else { count }
    }
}

struct Translator<'p> {
    input: Input<'p>,
    out: String,
}

impl Translator<'_> {
    fn step(&mut self, c: char) -> Result<(), String> {
        match c {
            '(' => return self.open(),
            '|' => {
                self.out.push('|');
                return Ok(());
            }
            '*' | '+' | '?' => return Err(format!("nothing before {c:?} to repeat")),
            '{' if quantifier(&mut self.input.clone())?.is_some() => {
                return Err("nothing before '{' to repeat".to_owned());
            }
            '[' => {
                let class = re2_class::bracket(&mut self.input)?;
                return self.class(&class);
            }
            '.' => return self.wide(".", ".", false),
            '\\' => return self.escape(),
            '^' | '$' | ')' => self.out.push(c),
            c => push_literal(c, &mut self.out),
        }
        self.repeat()
    }

    /// `(`, with the flags or the name that may follow. Names are dropped: groups go by number.
    fn open(&mut self) -> Result<(), String> {
        if self.input.eat("?P<") || self.input.eat("?<") {
            let name = self.input.until(">").unwrap_or_default();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(word) {
                return Err("expected a group name of letters, digits and _".to_owned());
            }
            self.out.push('(');
            return Ok(());
        }
        self.out.push('(');
        if !self.input.eat("?") {
            return Ok(());
        }
        self.out.push('?');
        let (mut minus, mut flags) = (false, 0);
        loop {
            let c = self.input.next().ok_or("expected ) after (?")?;
            match c {
                'i' | 'm' | 's' | 'U' => flags += 1,
                '-' if !minus => (minus, flags) = (true, 0),
                ':' | ')' if !minus || flags > 0 => {
                    self.out.push(c);
                    return Ok(());
                }
                _ => return Err(format!("Go knows no (?{c}")),
            }
            self.out.push(c);
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let c = self.input.peek().ok_or("expected a character after \\")?;
        match c {
            'A' | 'z' | 'b' | 'B' => {
                self.input.next();
                self.out.push('\\');
                self.out.push(c);
            }
            'Q' => {
                self.input.next();
                let rest = self.input.0;
                let quoted = self.input.until("\\E").unwrap_or_else(|| {
                    self.input.0 = "";
                    rest
                });
                let Some(last) = quoted.chars().next_back() else {
                    return Ok(());
                };
                // A repetition after \E binds to the last character alone.
                let head = quoted.strip_suffix(last).unwrap_or_default();
                head.chars().for_each(|c| push_literal(c, &mut self.out));
                push_literal(last, &mut self.out);
            }
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                self.input.next();
                return self.class(&Class::perl(c));
            }
            'p' | 'P' => {
                let name = re2_class::unicode(&mut self.input)?;
                self.out.push_str("(?u:");
                self.out.push_str(&name);
                self.out.push(')');
            }
            _ => {
                let c = re2_class::escape(&mut self.input)?;
                push_literal(c, &mut self.out);
            }
        }
        self.repeat()
    }

    fn class(&mut self, class: &Class) -> Result<(), String> {
        match class.text() {
            re2_class::Text::Narrow(text) => {
                self.out.push_str(&text);
                self.repeat()
            }
            re2_class::Text::Wide {
                bytes,
                chars,
                letters,
            } => self.wide(&bytes, &chars, letters),
        }
    }

    /// An atom that takes any character outside ASCII. Where it stands for any number of them,
    /// bytes do as well, and cost less.
    fn wide(&mut self, bytes: &str, chars: &str, letters: bool) -> Result<(), String> {
        // Without letters there is nothing to fold, and to fold nothing takes long.
        let fold = if letters { "" } else { "-i" };
        let one = format!(r"(?:(?u{fold}:{chars})|[\x80-\xff])");
        let repeat = self.quantifier()?;
        let text = match repeat {
            Some(Repeat {
                min: 0 | 1,
                max: None,
                ..
            }) => format!("{bytes}{}", repeat.map(Repeat::text).unwrap_or_default()),
            Some(Repeat {
                min,
                max: None,
                lazy,
            }) => {
                format!("(?:{one}{{{min}}}{bytes}*{})", if lazy { "?" } else { "" })
            }
            Some(repeat) => one + &repeat.text(),
            None => one,
        };
        self.out.push_str(&text);
        Ok(())
    }

    fn repeat(&mut self) -> Result<(), String> {
        if let Some(repeat) = self.quantifier()? {
            self.out.push_str(&repeat.text());
        }
        Ok(())
    }

    fn quantifier(&mut self) -> Result<Option<Repeat>, String> {
        let repeat = quantifier(&mut self.input)?;
        if repeat.is_some() && quantifier(&mut self.input.clone())?.is_some() {
            return Err("Go refuses a repetition of a repetition".to_owned());
        }
        Ok(repeat)
    }
}

/// Reads `*`, `+`, `?` or `{n,m}`, and a `?` after it. Braces of any other form are literal.
fn quantifier(input: &mut Input<'_>) -> Result<Option<Repeat>, String> {
    let (min, max) = match input.peek() {
        Some('*') => (0, None),
        Some('+') => (1, None),
        Some('?') => (0, Some(1)),
        Some('{') => {
            let mut ahead = *input;
            ahead.next();
            let Some((min, max)) = ahead.until("}").and_then(counts) else {
                return Ok(None);
            };
            if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX || max < min) {
                return Err(format!(
                    "Go takes counts up to {REPEAT_MAX}, the lower one first"
                ));
            }
            input.until("}");
            let lazy = input.eat("?");
            return Ok(Some(Repeat { min, max, lazy }));
        }
        _ => return Ok(None),
    };
    input.next();
    let lazy = input.eat("?");
    Ok(Some(Repeat { min, max, lazy }))
}

/// `n`, `n,` or `n,m`.
fn counts(text: &str) -> Option<(u32, Option<u32>)> {
    let number = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let padded = text.len() > 1 && text.starts_with('0');
        (plain && !text.is_empty() && !padded).then(|| text.parse().unwrap_or(u32::MAX))
    };
    match text.split_once(',') {
        None => number(text).map(|count| (count, Some(count))),
        Some((min, "")) => Some((number(min)?, None)),
        Some((min, max)) => Some((number(min)?, Some(number(max)?))),
    }
}

fn push_literal(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else if c.is_ascii() {
        re2_class::push_escaped(u32::from(c), out);
    } else {
        out.push_str("(?u:");
        out.push(c);
        out.push(')');
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    /// Matches of a Go pattern, with the engine's settings.
    #[track_caller]
    fn check(pattern: &str, text: &str, expected: &[&str]) {
        let rust = translate(pattern).unwrap();
        let regex = regex::bytes::RegexBuilder::new(&rust)
            .unicode(false)
            .build()
            .unwrap();
        let found: Vec<&[u8]> = regex
            .find_iter(text.as_bytes())
            .map(|hit| hit.as_bytes())
            .collect();
        let expected: Vec<&[u8]> = expected.iter().map(|one| one.as_bytes()).collect();
        assert_eq!(found, expected, "{pattern} became {rust}");
    }

    #[track_caller]
    fn refused(pattern: &str, part: &str) {
        let error = translate(pattern).unwrap_err();
        assert!(error.contains(part), "{pattern}: {error}");
    }

    #[test]
    fn braces_that_count_nothing_are_literal() {
        check(r"\${a}", "${a}", &["${a}"]);
        check(r"a{,3}", "a{,3} aaa", &["a{,3}"]);
        check(r"a{2}{b}", "aa{b}", &["aa{b}"]);
        check(r"a{01}", "a{01} a", &["a{01}"]);
        check(r"x{1,2}?", "xx", &["x", "x"]);
    }

    #[test]
    fn escapes_mean_what_go_means() {
        check(r"\<a\>", "<a> a", &["<a>"]);
        check(r"\Qa.b*\E+", "a.b** axb", &["a.b**"]);
        check(r"\101\x42\x{43}\07", "ABC\u{7}", &["ABC\u{7}"]);
        check(r"\xe9", "\u{e9}", &["\u{e9}"]);
        check(r"a\sb", "a\u{b}b a b", &["a b"]);
        check(r"\_\-\/", "_-/", &["_-/"]);
        check(r"\pL+", "1\u{e9}a", &["\u{e9}a"]);
        check(r"\p{^L}\PL", "a12b", &["12"]);
    }

    #[test]
    fn classes_know_no_set_operators() {
        check(r"[a&&b]+", "a&b", &["a&b"]);
        check(r"[a~~b]+", "a~b", &["a~b"]);
        check(r"[[a]+", "[a", &["[a"]);
        check(r"[]a]+", "]a", &["]a"]);
        check(r"[a\-z]+", "a-z b", &["a-z"]);
        check(r"[[:alpha:]-]+", "a-b1", &["a-b"]);
        check(r"[\w.-]+", "a.b-c d", &["a.b-c", "d"]);
        check(r"[^\S\n]+", "a \tb", &[" \t"]);
        check(
            r"[\u{e9}]".replace(r"\u{e9}", "\u{e9}").as_str(),
            "\u{e9}\u{ea}",
            &["\u{e9}"],
        );
        check(r"(?i)[^a]+", "aAbB", &["bB"]);
    }

    #[test]
    fn characters_are_counted_not_bytes() {
        check(r"^.{2}$", "\u{e9}\u{e9}", &["\u{e9}\u{e9}"]);
        check(r"^[^a]{2}$", "\u{4e00}\u{4e00}", &["\u{4e00}\u{4e00}"]);
        check(r"^.{3}$", "\u{e9}", &[]);
        check(r"^\W$", "\u{1f511}", &["\u{1f511}"]);
        check(r"b.{2,}?c", "b\u{e9}\u{e9}cc", &["b\u{e9}\u{e9}c"]);
    }

    #[test]
    fn groups() {
        check(r"(?P<a>x)(?<b>y)(?i:z)", "xyZ", &["xyZ"]);
        check(r"a(?i)b(?-i)c", "aBc aBC", &["aBc"]);
    }

    #[test]
    fn what_go_refuses_is_refused() {
        refused(r"(?x)a b", "(?x");
        refused(r"a(?=b)", "(?=");
        refused(r"(?P=a)", "(?P");
        refused(r"a**", "repetition of a repetition");
        refused(r"a*+", "repetition of a repetition");
        refused(r"a{2}{3}", "repetition of a repetition");
        refused(r"a{1001}", "counts up to 1000");
        refused(r"a{3,2}", "counts up to 1000");
        refused(r"[a--b]", "range");
        refused(r"[a-\d]", "escape");
        refused(r"\Z", "escape");
        refused(r"(a)\1", "escape");
        refused(r"*a", "nothing before");
        refused(r"[a", "]");
    }
}
