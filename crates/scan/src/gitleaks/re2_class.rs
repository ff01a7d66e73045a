//! Character classes and escapes of Go's patterns.

use super::re2::Input;

/// Last character there is.
const LAST: u32 = 0x10_FFFF;
/// First character outside ASCII.
const WIDE: u32 = 0x80;

/// A set of characters, before negation.
#[derive(Debug, Default)]
pub(super) struct Class {
    negated: bool,
    /// Inclusive.
    ranges: Vec<(u32, u32)>,
    /// `\p{…}` parts, in the `regex` crate's syntax.
    unicode: String,
}

/// A class in the `regex` crate's syntax.
#[derive(Debug)]
pub(super) enum Text {
    /// Takes no character outside ASCII, or certain ones.
    Narrow(String),
    /// Takes every character outside ASCII: once in bytes, once in characters.
    Wide {
        bytes: String,
        chars: String,
        /// It names letters in one case, so folding matters.
        letters: bool,
    },
}

impl Class {
    /// `\d` and its like.
    pub(super) fn perl(name: char) -> Self {
        let mut class = Self {
            negated: name.is_ascii_uppercase(),
            ..Self::default()
        };
        class.ranges.extend(perl_ranges(name.to_ascii_lowercase()));
        class
    }

    pub(super) fn text(&self) -> Text {
        let not = if self.negated { "^" } else { "" };
        let mut ascii = String::new();
        let mut all = self.unicode.clone();
        let mut covered = Vec::new();
        for &(first, last) in &self.ranges {
            if first < WIDE {
                push_range(first, last.min(WIDE - 1), &mut ascii);
            }
            push_range(first, last, &mut all);
            if last >= WIDE {
                covered.push((first.max(WIDE), last));
            }
        }
        let full = covers_all(covered.clone());
        let none = covered.is_empty() && self.unicode.is_empty();
        let holds = |c: u8| {
            let c = u32::from(c);
            self.ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&c))
        };
        let named = |c: u8| holds(c) && (self.negated || !holds(c ^ 0x20));
        let letters = (b'A'..=b'z').any(|c| c.is_ascii_alphabetic() && named(c));
        match (self.negated, none, full) {
            (false, true, _) => Text::Narrow(format!("[{ascii}]")),
            (true, _, true) => Text::Narrow(format!(r"[^{ascii}\x80-\xff]")),
            (false, _, true) => Text::Wide {
                bytes: format!(r"[{ascii}\x80-\xff]"),
                chars: format!(r"[{ascii}\x{{80}}-\x{{10FFFF}}]"),
                letters,
            },
            (true, true, _) => Text::Wide {
                bytes: format!("[^{ascii}]"),
                chars: format!("[^{ascii}]"),
                letters,
            },
            _ => Text::Narrow(format!("(?u:[{not}{all}])")),
        }
    }
}

/// Whether the ranges together hold every character outside ASCII.
fn covers_all(mut ranges: Vec<(u32, u32)>) -> bool {
    ranges.sort_unstable();
    let mut next = WIDE;
    for (first, last) in ranges {
        if first > next {
            return false;
        }
        next = next.max(last + 1);
    }
    next > LAST
}

fn perl_ranges(name: char) -> &'static [(u32, u32)] {
    match name {
        'd' => &[(0x30, 0x39)],
        's' => &[(0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)],
        _ => &[(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
    }
}

fn posix_ranges(name: &str) -> Option<&'static [(u32, u32)]> {
    Some(match name {
        "alnum" => &[(0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)],
        "alpha" => &[(0x41, 0x5A), (0x61, 0x7A)],
        "ascii" => &[(0x00, 0x7F)],
        "blank" => &[(0x09, 0x09), (0x20, 0x20)],
        "cntrl" => &[(0x00, 0x1F), (0x7F, 0x7F)],
        "digit" => perl_ranges('d'),
        "graph" => &[(0x21, 0x7E)],
        "lower" => &[(0x61, 0x7A)],
        "print" => &[(0x20, 0x7E)],
        "punct" => &[(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
        "space" => &[(0x09, 0x0D), (0x20, 0x20)],
        "upper" => &[(0x41, 0x5A)],
        "word" => perl_ranges('w'),
        "xdigit" => &[(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
        _ => return None,
    })
}

fn complement(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut next = 0;
    let mut out = Vec::new();
    for &(first, last) in ranges {
        if first > next {
            out.push((next, first - 1));
        }
        next = last + 1;
    }
    if next <= LAST {
        out.push((next, LAST));
    }
    out
}

/// Reads a class; the `[` is taken already.
pub(super) fn bracket(input: &mut Input<'_>) -> Result<Class, String> {
    let mut class = Class {
        negated: input.eat("^"),
        ..Class::default()
    };
    let mut first = true;
    loop {
        if !first && input.eat("]") {
            return Ok(class);
        }
        first = false;
        if posix(input, &mut class)? || named(input, &mut class)? {
            continue;
        }
        let low = member(input)?;
        let mut ahead = *input;
        let high = if ahead.eat("-") && ahead.peek().is_some_and(|c| c != ']') {
            *input = ahead;
            member(input)?
        } else {
            low
        };
        if high < low {
            return Err(format!("the range {low:?}-{high:?} is empty"));
        }
        class.ranges.push((u32::from(low), u32::from(high)));
    }
}

/// `[:alpha:]` and its like, inside a class.
fn posix(input: &mut Input<'_>, class: &mut Class) -> Result<bool, String> {
    let mut ahead = *input;
    if !ahead.eat("[:") {
        return Ok(false);
    }
    let Some(name) = ahead.until(":]") else {
        return Ok(false);
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let ranges = posix_ranges(name).ok_or_else(|| format!("Go knows no class [:{name}:]"))?;
    add(class, ranges, negated);
    *input = ahead;
    Ok(true)
}

/// `\d`, `\pL` and their like, inside a class.
fn named(input: &mut Input<'_>, class: &mut Class) -> Result<bool, String> {
    let mut ahead = *input;
    if !ahead.eat("\\") {
        return Ok(false);
    }
    match ahead.peek() {
        Some(c @ ('d' | 'D' | 's' | 'S' | 'w' | 'W')) => {
            ahead.next();
            let ranges = perl_ranges(c.to_ascii_lowercase());
            add(class, ranges, c.is_ascii_uppercase());
        }
        Some('p' | 'P') => class.unicode.push_str(&unicode(&mut ahead)?),
        _ => return Ok(false),
    }
    *input = ahead;
    Ok(true)
}

fn add(class: &mut Class, ranges: &[(u32, u32)], negated: bool) {
    if negated {
        class.ranges.extend(complement(ranges));
    } else {
        class.ranges.extend(ranges);
    }
}

fn member(input: &mut Input<'_>) -> Result<char, String> {
    let c = input.next().ok_or("expected ] at the end of a class")?;
    if c == '\\' { escape(input) } else { Ok(c) }
}

/// Reads `pL`, `P{Greek}`, `p{^Greek}`; the `\` is taken already.
pub(super) fn unicode(input: &mut Input<'_>) -> Result<String, String> {
    let mut negated = input.next() == Some('P');
    let first = input.next().ok_or("expected a class name after \\p")?;
    let mut name = if first == '{' {
        input.until("}").ok_or("expected } after \\p{")?.to_owned()
    } else {
        first.to_string()
    };
    if let Some(rest) = name.strip_prefix('^') {
        name = rest.to_owned();
        negated = !negated;
    }
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err("expected a class name after \\p".to_owned());
    }
    Ok(format!(r"\{}{{{name}}}", if negated { 'P' } else { 'p' }))
}

/// Reads the escape of one character; the `\` is taken already.
pub(super) fn escape(input: &mut Input<'_>) -> Result<char, String> {
    let c = input.next().ok_or("expected a character after \\")?;
    let unknown = || format!("Go knows no escape \\{c}");
    let octal = |input: Input<'_>| input.peek().and_then(|c| c.to_digit(8));
    Ok(match c {
        'a' => '\u{7}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' => return hexadecimal(input),
        // One digit other than 0 would be a back-reference.
        '0'..='7' if c == '0' || octal(*input).is_some() => {
            let mut value = c.to_digit(8).unwrap_or(0);
            for _ in 0..2 {
                let Some(digit) = octal(*input) else { break };
                input.next();
                value = value * 8 + digit;
            }
            char::from_u32(value).ok_or_else(unknown)?
        }
        c if c.is_ascii_punctuation() || c == ' ' || c.is_ascii_control() => c,
        _ => return Err(unknown()),
    })
}

fn hexadecimal(input: &mut Input<'_>) -> Result<char, String> {
    let digits = if input.eat("{") {
        input.until("}").map(str::to_owned)
    } else {
        let pair: String = input.0.chars().take(2).collect();
        input.next();
        input.next();
        (pair.len() == 2).then_some(pair)
    };
    digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|digits| u32::from_str_radix(&digits, 16).ok())
        .and_then(char::from_u32)
        .ok_or_else(|| {
            "expected two hexadecimal digits, or more in braces, after \\x: no such escape"
                .to_owned()
        })
}

fn push_range(first: u32, last: u32, out: &mut String) {
    push_escaped(first, out);
    if last > first {
        out.push('-');
        push_escaped(last, out);
    }
}

/// Writes a character so that it means itself, inside a class and outside.
pub(super) fn push_escaped(value: u32, out: &mut String) {
    match char::from_u32(value) {
        Some(c) if c.is_ascii_alphanumeric() => out.push(c),
        _ => out.extend(["\\x{", &format!("{value:x}"), "}"]),
    }
}
