//! Which transaction of the service a commit is of: what the frontend sends is read as far as that
//! needs (documentation of Postgres, "Message Formats").

use std::collections::HashMap;

use crate::plan::Transaction;

/// What one connection has sent so far.
#[derive(Default)]
pub struct Watch {
    rest: Vec<u8>,
    begun: bool,
    statements: HashMap<Vec<u8>, Option<Transaction>>,
    open: Option<Transaction>,
}

impl Watch {
    /// Takes more bytes, and says of which transaction they hold the commit.
    pub fn commits(&mut self, bytes: &[u8]) -> Option<Transaction> {
        self.rest.extend_from_slice(bytes);
        let mut committed = None;
        while let Some((tag, body)) = self.next() {
            match tag {
                b'P' => {
                    let mut words = body.splitn(3, |&byte| byte == 0);
                    let name = words.next().unwrap_or_default().to_vec();
                    let about = about(words.next().unwrap_or_default());
                    self.statements.insert(name, about);
                }
                b'B' => {
                    let name = body.splitn(3, |&byte| byte == 0).nth(1);
                    let about = name.and_then(|name| self.statements.get(name)).copied();
                    self.open = self.open.or(about.flatten());
                }
                b'Q' if body.starts_with(b"BEGIN") => self.open = None,
                b'Q' if body.starts_with(b"COMMIT") => committed = self.open.take().or(committed),
                _ => {}
            }
        }
        committed
    }

    /// The next whole message. The first of a connection has no tag.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let tagged = usize::from(self.begun);
        let length = self.rest.get(tagged..tagged + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let end = tagged + usize::try_from(length).ok()?;
        if self.rest.len() < end {
            return None;
        }
        let later = self.rest.split_off(end);
        let message = std::mem::replace(&mut self.rest, later);
        let tag = if self.begun { message[0] } else { 0 };
        self.begun = true;
        Some((tag, message[tagged + 4..].to_vec()))
    }
}

fn about(statement: &[u8]) -> Option<Transaction> {
    let text = String::from_utf8_lossy(statement);
    if text.starts_with("INSERT INTO \"pushes\"") {
        Some(Transaction::Receive)
    } else if text.starts_with("INSERT INTO \"used_tokens\"") {
        Some(Transaction::Prepare)
    } else if text.starts_with("UPDATE \"pushes\" SET \"completed_at\"") {
        Some(Transaction::Complete)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    #[test]
    fn a_commit_is_of_what_its_transaction_has_done() {
        let mut watch = Watch::default();
        let all = [
            vec![0, 0, 0, 8, 0, 3, 0, 0],
            message(b'Q', b"BEGIN\0"),
            message(
                b'P',
                b"s1\0INSERT INTO \"used_tokens\" (x) VALUES ($1)\0\0\0",
            ),
            message(b'B', b"\0s1\0\0\0\0\0\0\0"),
            message(b'Q', b"COMMIT\0"),
        ]
        .concat();
        let found: Vec<_> = all
            .iter()
            .filter_map(|&byte| watch.commits(&[byte]))
            .collect();
        assert_eq!(found, [Transaction::Prepare]);
        // The statement is known by its name from now on.
        let again = [
            message(b'Q', b"BEGIN\0"),
            message(b'B', b"\0s1\0\0\0\0\0\0\0"),
            message(b'Q', b"COMMIT\0"),
        ]
        .concat();
        assert_eq!(watch.commits(&again), Some(Transaction::Prepare));
        let other = [message(b'Q', b"BEGIN\0"), message(b'Q', b"COMMIT\0")].concat();
        assert_eq!(watch.commits(&other), None);
    }
}
