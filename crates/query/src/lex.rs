//! Words: separated by white space, quoted where they hold some.

use crate::QueryError;

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
        let (mut key, mut values) = (None, Vec::new());
        let mut value = Value {
            text: String::new(),
            at,
        };
        let mut is_quoted = false;
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
                c => value.text.push(c),
            }
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
