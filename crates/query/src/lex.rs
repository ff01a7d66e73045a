//! Words: separated by white space, quoted where they hold some.

use crate::QueryError;

/// What means something in other grammars and nothing in this one. A text that is to hold it stands in
/// quotes, so that nobody takes an answer for that to a question that was not understood.
const FOREIGN: [char; 12] = [
    '(', ')', '|', '&', '!', '=', '<', '>', '*', '?', '\u{201c}', '\u{201d}',
];
/// Words that do so.
const OPERATORS: [&str; 3] = ["AND", "OR", "NOT"];

/// A word: a text, or a key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whether a minus sign stands before it.
    pub negated: bool,
    /// What stands before the first colon outside quotes.
    pub key: Option<String>,
    /// The rest, without quotes: after a key, cut at the commas outside quotes.
    pub values: Vec<Value>,
    /// Where the word begins, in characters from 0.
    pub at: usize,
}

/// One of the alternatives after a key, or a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// It, without quotes.
    pub text: String,
    /// Where it begins, in characters from 0.
    pub at: usize,
}

/// Cuts a query into words.
pub fn words(text: &str) -> Result<Vec<Word>, QueryError> {
    let mut words = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    loop {
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(at, _)) = chars.peek() else {
            return Ok(words);
        };
        let negated = chars.next_if(|(_, c)| *c == '-').is_some();
        let at = at + usize::from(negated);
        if let Some((here, _)) = chars.next_if(|(_, c)| negated && *c == '-') {
            return Err(QueryError::new(here, "one minus sign", "-"));
        }
        let (mut key, mut values) = (None, Vec::new());
        let mut value = Value {
            text: String::new(),
            at,
        };
        let (mut is_quoted, mut foreign) = (false, None);
        while let Some((here, c)) = chars.next_if(|(_, c)| !c.is_whitespace()) {
            match c {
                '\0' => return Err(QueryError::new(here, "text", "\0")),
                '"' => {
                    is_quoted = true;
                    quoted(&mut chars, here, &mut value.text)?;
                }
                ':' if key.is_none() && !is_quoted => {
                    key = Some(std::mem::take(&mut value.text));
                    value.at = here + 1;
                }
                ',' if key.is_some() => {
                    values.push(std::mem::take(&mut value));
                    value.at = here + 1;
                }
                c => {
                    let is_foreign = FOREIGN.contains(&c) || c == '\'' && here == at;
                    if key.is_none() && is_foreign {
                        foreign.get_or_insert((here, c));
                    }
                    value.text.push(c);
                }
            }
        }
        if let Some((here, c)) = foreign {
            let error = QueryError::new(here, "a term or a word", &c.to_string());
            return Err(error.next(meant(c)));
        }
        if key.is_none() && !is_quoted && OPERATORS.contains(&value.text.as_str()) {
            let error = QueryError::new(at, "a term or a word", &value.text);
            return Err(error.next(SIDE_BY_SIDE));
        }
        if key.is_none() && value.text.is_empty() {
            let error = QueryError::new(at, "a word", if negated { "-" } else { "\"\"" });
            return Err(error.next("a minus sign stands right before what must not hold"));
        }
        values.push(value);
        words.push(Word {
            negated,
            key,
            values,
            at,
        });
    }
}

const SIDE_BY_SIDE: &str = "terms stand side by side and all hold; alternatives are separated by \
                            commas (state:refused,waiting), and a minus sign stands before what must \
                            not hold";

/// What to do about a character of another grammar.
const fn meant(c: char) -> &'static str {
    match c {
        '(' | ')' | '|' | '&' | '!' => SIDE_BY_SIDE,
        '=' | '<' | '>' => {
            "a colon stands behind a key (actor:ada), and since: and until: are before times; to look \
             for the text itself, put it in double quotes"
        }
        '*' | '?' => {
            "wildcards stand in values, as in ref:refs/heads/*; to look for the text itself, put it in \
             double quotes"
        }
        _ => "what holds white space stands in double quotes: \"forced update\"",
    }
}

fn quoted(
    chars: &mut impl Iterator<Item = (usize, char)>,
    begun: usize,
    value: &mut String,
) -> Result<(), QueryError> {
    while let Some((here, c)) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\0' => return Err(QueryError::new(here, "text", "\0")),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((here, c)) => {
                    let expected = "\" or \\ after a backslash";
                    return Err(QueryError::new(here, expected, &c.to_string()));
                }
                None => break,
            },
            c => value.push(c),
        }
    }
    let error = QueryError::new(begun, "a quotation mark that ends what begins here", "");
    Err(error.next("inside quotes, write \\\" for a quotation mark"))
}
