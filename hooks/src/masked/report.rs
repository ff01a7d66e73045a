//! What `git receive-pack` of the original says, in the client's terms.

use std::io::{BufRead, Write};

use refwarden_gitio::pktline::{self, Packet, encode};
use refwarden_model::RefName;
use refwarden_view::unmask::{Translated, View, WITHHELD, told};

use super::request::packet;
use super::speak::Client;
use crate::fault::Fault;

/// Longest line that is waited for, in bytes; git's own are shorter than this by far.
const LINE_MAX: usize = 64 << 10;

/// Reasons that git or a hook gives for a ref and that tell nothing else.
const REASONS: [&[u8]; 7] = [
    b"pre-receive hook declined",
    b"hook declined",
    b"atomic push failure",
    b"atomic transaction failed",
    b"non-fast-forward",
    b"deletion prohibited",
    b"failed to update ref",
];

/// Translates what is said of a push.
pub struct Told<'a, 'v, 'r> {
    view: View<'v, 'r>,
    translated: &'a Translated,
    /// The beginning of a line.
    begun: Vec<u8>,
}

impl<'a, 'v, 'r> Told<'a, 'v, 'r> {
    /// Of that push.
    pub fn new(view: View<'v, 'r>, translated: &'a Translated) -> Self {
        Self {
            view,
            translated,
            begun: Vec::new(),
        }
    }

    /// Passes on everything until git has ended.
    pub fn pass_on(
        &mut self,
        mut git: impl BufRead,
        client: &mut Client<impl Write>,
    ) -> Result<(), Fault> {
        let mut report = Vec::new();
        loop {
            let said = match packet(&mut git) {
                Ok(Some(said)) => said,
                Ok(None) => break,
                // It has died. What it has said so far is told, and that no more came.
                Err(_) => {
                    self.words(b"\n", client)?;
                    return Err(Fault::hook("the push was not answered for"));
                }
            };
            match said.split_first() {
                Some((1, [])) => client.say(b"")?,
                Some((1, piece)) => report.extend_from_slice(piece),
                Some((2 | 3, words)) => self.words(words, client)?,
                _ => {}
            }
        }
        self.words(b"", client)?;
        let rest = std::mem::take(&mut self.begun);
        if !rest.is_empty() {
            client.say(&self.line(&rest))?;
        }
        client.report(&self.report(&report)?)
    }

    /// Whole lines, as they come.
    fn words(&mut self, words: &[u8], client: &mut Client<impl Write>) -> Result<(), Fault> {
        self.begun.extend_from_slice(words);
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        while let Some(end) = self.begun.iter().position(is_end) {
            let rest = self.begun.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.begun, rest);
            let ending = line.pop().unwrap_or(b'\n');
            let mut line = self.line(&line);
            line.push(ending);
            client.say(&line)?;
        }
        if self.begun.len() > LINE_MAX {
            self.begun.clear();
            client.say(format!("{WITHHELD}\n").as_bytes())?;
        }
        Ok(())
    }

    fn line(&self, line: &[u8]) -> Vec<u8> {
        let told = told(self.view, Some(self.translated), line);
        if names_hidden(&told, self.view.shows) {
            return WITHHELD.as_bytes().to_vec();
        }
        told
    }

    /// The report, line by line. A reason that is not among the known ones may name what the
    /// client does not see.
    fn report(&self, report: &[u8]) -> Result<Vec<u8>, Fault> {
        let wrong = || Fault::hook("git's report on the push cannot be read");
        let mut rest = report;
        let mut told = Vec::new();
        while !rest.is_empty() {
            let (one, length) = pktline::decode(rest).ok().flatten().ok_or_else(wrong)?;
            rest = rest.get(length..).unwrap_or_default();
            let Packet::Data(line) = one else {
                told.extend_from_slice(b"0000");
                continue;
            };
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let mut line = match line.strip_prefix(b"ng ") {
                None => self.line(line),
                Some(of) => {
                    let mut halves = of.splitn(2, |&byte| byte == b' ');
                    let name = halves.next().unwrap_or_default();
                    let reason = halves.next().unwrap_or_default();
                    let known = REASONS.iter().find(|known| **known == reason);
                    let reason: &[u8] = known.map_or(b"refused", |known| known);
                    [b"ng ", name, b" ", reason].concat()
                }
            };
            line.push(b'\n');
            encode(Packet::Data(&line), &mut told).map_err(|_| wrong())?;
        }
        Ok(told)
    }
}

/// Whether a line names a ref that the view does not have.
fn names_hidden(line: &[u8], shows: &dyn Fn(&RefName) -> bool) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(line.get(at..).unwrap_or_default(), b"refs/") {
        let start = at + found;
        let rest = line.get(start..).unwrap_or_default();
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"'\":;,()".contains(byte);
        let end = rest.iter().position(is_end).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        let name = name.strip_suffix(b".lock").unwrap_or(name);
        let name = name.strip_suffix(b".").unwrap_or(name);
        if RefName::parse(name).is_ok_and(|name| !shows(&name)) {
            return true;
        }
        at = start + 5;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_about_hidden_refs_are_known_however_git_words_them() {
        let shows = |name: &RefName| !name.as_bytes().starts_with(b"refs/heads/hidden");
        for line in [
            "error: cannot lock ref 'refs/heads/hidden': 'refs/heads/hidden/x' exists",
            "fatal: Unable to create '/srv/app.git/refs/heads/hidden.lock': File exists.",
            "refs/heads/main and refs/heads/hidden.",
        ] {
            assert!(names_hidden(line.as_bytes(), &shows), "{line}");
        }
        for line in ["error: RW201 refs/heads/main: waits", "refs/", "hidden", ""] {
            assert!(!names_hidden(line.as_bytes(), &shows), "{line}");
        }
    }
}
