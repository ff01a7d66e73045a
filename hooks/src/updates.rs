//! The standard input of pre-receive and post-receive: `<old> SP <new> SP <ref> LF` per update
//! (githooks(5)), parsed strictly. A raw client can send a ref name with a line feed in it and
//! so add lines of its own; anything that is not exactly of this form refuses the whole push.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use refwarden_model::{ObjectFormat, Oid, RefName};

use crate::fault::Fault;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The old value, as the client claims it.
    pub claimed_old: Oid,
    /// The new value; zero for a delete.
    pub new: Oid,
    /// The ref.
    pub name: RefName,
}

/// Longest input, in bytes; about half a million updates.
const INPUT_MAX: u64 = 64 << 20;

/// Reads all lines.
pub fn read(input: impl Read, format: ObjectFormat) -> Result<Vec<Update>, Fault> {
    let mut input = std::io::BufReader::new(input.take(INPUT_MAX + 1));
    let mut line = Vec::new();
    let mut updates = Vec::new();
    let mut names = HashSet::new();
    let mut total = 0;
    loop {
        line.clear();
        let length = input
            .read_until(b'\n', &mut line)
            .map_err(|_| Fault::hook("the list of ref updates cannot be read"))?;
        total += length as u64;
        if length == 0 && !updates.is_empty() {
            return Ok(updates);
        }
        if total > INPUT_MAX {
            return Err(Fault::malformed("the list of ref updates is too long"));
        }
        let update = parse(&line, format)?;
        if !names.insert(update.name.clone()) {
            let text = format!("{} is named twice", update.name);
            return Err(Fault::malformed(text));
        }
        updates.push(update);
    }
}

fn parse(line: &[u8], format: ObjectFormat) -> Result<Update, Fault> {
    let torn = || Fault::malformed("the list of ref updates is not in git's form");
    let line = line.strip_suffix(b"\n").ok_or_else(torn)?;
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let mut oid = || {
        let oid = Oid::parse(words.next()?).ok()?;
        (oid.format() == format).then_some(oid)
    };
    let (Some(claimed_old), Some(new)) = (oid(), oid()) else {
        return Err(torn());
    };
    let name = RefName::parse(words.next().ok_or_else(torn)?);
    Ok(Update {
        claimed_old,
        new,
        name: name.map_err(|error| Fault::malformed(error.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const Z: &str = "0000000000000000000000000000000000000000";

    fn check(input: &str, expected: Option<usize>) {
        let read = read(input.as_bytes(), ObjectFormat::Sha1);
        assert_eq!(
            read.ok().map(|updates| updates.len()),
            expected,
            "{input:?}"
        );
    }

    #[test]
    fn only_whole_lines_are_taken() {
        check(&format!("{Z} {A} refs/heads/x\n"), Some(1));
        check(
            &format!("{Z} {Z} refs/heads/x\n{A} {Z} refs/heads/y\n"),
            Some(2),
        );
        check(&format!("{Z} {A} refs/heads/\u{ff}\n"), Some(1));
        check("", None);
        check("\n", None);
        check(&format!("{Z} {A} refs/heads/x"), None);
        check(&format!("{Z} {A} refs/heads/x\n\n"), None);
        check(&format!("{Z} {A} refs/heads/x\nrest"), None);
        check(&format!("{Z}  {A} refs/heads/x\n"), None);
        check(&format!("{Z} {A} refs/heads/x y\n"), None);
        check(&format!("{Z} {A}\n"), None);
        check(&format!("{Z} {A} x\n"), None);
        check(&format!("{Z} {} refs/heads/x\n", A.replace('1', "A")), None);
        check(&format!("{Z} {A}1 refs/heads/x\n"), None);
        check(&format!("{Z} {A} refs/heads/x\r\n"), None);
        check(
            &format!("{Z} {A} refs/heads/x\n{A} {Z} refs/heads/x\n"),
            None,
        );
        let long = format!("{A}{}", "1".repeat(24));
        check(&format!("{long} {long} refs/heads/x\n"), None);
    }
}
