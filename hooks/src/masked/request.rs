//! What a client sends to `git receive-pack` (gitprotocol-pack(5), "Reference Update Request"),
//! up to the pack.

use std::io::Read;

use refwarden_gitio::pktline::{self, MAX_DATA, Packet};
use refwarden_model::{Oid, RefName};
use refwarden_view::unmask::Command;

use crate::fault::Fault;

/// Most commands of a push.
const COMMANDS_MAX: usize = 100_000;

/// Most push options, as for hooks.
const OPTIONS_MAX: usize = 1000;

/// A push.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What becomes of refs, in the client's terms.
    pub commands: Vec<Command>,
    /// Push options; none where the client sends no list.
    pub options: Option<Vec<Vec<u8>>>,
    /// Whether it comes with a certificate. Its commands are not read then.
    pub is_signed: bool,
    capabilities: Vec<String>,
}

impl Request {
    /// Reads it. What follows in `input` is the pack.
    pub fn read(input: &mut impl Read) -> Result<Self, Fault> {
        let mut request = Self {
            commands: Vec::new(),
            options: None,
            is_signed: false,
            capabilities: Vec::new(),
        };
        while let Some(line) = packet(input)? {
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            if line.starts_with(b"shallow ") {
                continue;
            }
            let mut halves = line.splitn(2, |&byte| byte == 0);
            let command = halves.next().unwrap_or_default();
            if let Some(words) = halves.next() {
                let words = String::from_utf8_lossy(words);
                let words = words.split_ascii_whitespace().map(str::to_owned);
                request.capabilities.extend(words);
            }
            if command == b"push-cert" {
                request.is_signed = true;
                request.commands.push(nothing()?);
                return Ok(request);
            }
            if request.commands.len() == COMMANDS_MAX {
                return Err(Fault::malformed("the push moves too many refs"));
            }
            request.commands.push(parse(command)?);
        }
        if request.has("push-options") && !request.commands.is_empty() {
            let mut options = Vec::new();
            while let Some(option) = packet(input)? {
                if options.len() == OPTIONS_MAX {
                    return Err(Fault::malformed("too many push options"));
                }
                options.push(option);
            }
            request.options = Some(options);
        }
        Ok(request)
    }

    /// Whether the client has asked for a capability.
    pub fn has(&self, name: &str) -> bool {
        self.capabilities.iter().any(|it| it == name)
    }

    /// What is asked of git in the client's place.
    pub fn capabilities(&self) -> String {
        let mut words = vec!["report-status", "side-band-64k"];
        for name in ["atomic", "quiet", "push-options"] {
            if self.has(name) {
                words.push(name);
            }
        }
        let format = self.capabilities.iter();
        words.extend(
            format
                .map(String::as_str)
                .filter(|it| it.starts_with("object-format=")),
        );
        words.join(" ")
    }
}

fn parse(command: &[u8]) -> Result<Command, Fault> {
    let mut words = command.splitn(3, |&byte| byte == b' ');
    let mut oid = || Oid::parse(words.next()?).ok();
    let parsed = oid().zip(oid()).zip(words.next());
    let parsed = parsed.and_then(|((old, new), name)| {
        Some(Command {
            name: RefName::parse(name).ok()?,
            old,
            new,
        })
    });
    parsed.ok_or_else(|| Fault::malformed("a command of the push is not in git's form"))
}

/// Stands for the commands of a certificate, which are not read.
fn nothing() -> Result<Command, Fault> {
    let zero = refwarden_model::ObjectFormat::Sha1.zero();
    let name = RefName::parse(b"refs/heads/signed");
    let name = name.map_err(|_| Fault::malformed("the push is not in git's form"))?;
    Ok(Command {
        name,
        old: zero,
        new: zero,
    })
}

/// The data of one packet; none for a flush.
pub fn packet(input: &mut impl Read) -> Result<Option<Vec<u8>>, Fault> {
    let torn = |_| Fault::malformed("the push did not arrive whole");
    let wrong = || Fault::malformed("the push is not in git's form");
    let mut bytes = vec![0; 4];
    input.read_exact(&mut bytes).map_err(torn)?;
    let length = std::str::from_utf8(&bytes).ok();
    let length = length.and_then(|it| usize::from_str_radix(it, 16).ok());
    let length = length
        .filter(|it| (4..=MAX_DATA + 4).contains(it))
        .unwrap_or(4);
    bytes.resize(length, 0);
    input
        .read_exact(bytes.get_mut(4..).unwrap_or_default())
        .map_err(torn)?;
    match pktline::decode(&bytes).map_err(|_| wrong())? {
        Some((Packet::Data(data), _)) => Ok(Some(data.to_vec())),
        Some((Packet::Flush, _)) => Ok(None),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            pktline::encode(Packet::Data(line), &mut bytes).unwrap();
        }
        bytes.extend_from_slice(b"0000");
        bytes
    }

    #[test]
    fn commands_options_and_the_pack_are_told_apart() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let first = format!("{zero} {one} refs/heads/a\0 report-status push-options atomic\n");
        let second = format!("{one} {zero} refs/heads/b");
        let shallow = format!("shallow {one}");
        let mut bytes = request(&[shallow.as_bytes(), first.as_bytes(), second.as_bytes()]);
        bytes.extend(request(&[b"wait=1m"]));
        bytes.extend_from_slice(b"PACK");
        let mut rest = bytes.as_slice();
        let read = Request::read(&mut rest).unwrap();
        assert_eq!(rest, b"PACK");
        assert_eq!(read.commands.len(), 2);
        assert_eq!(read.options, Some(vec![b"wait=1m".to_vec()]));
        assert_eq!(
            read.capabilities(),
            "report-status side-band-64k atomic push-options"
        );
        for cut in 0..bytes.len() - 4 {
            assert!(Request::read(&mut &bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_git_does_not_send_is_refused() {
        let zero = "0".repeat(40);
        for line in [
            format!("{zero} refs/heads/a"),
            format!("{zero} {zero} refs/heads/a b"),
            format!("{zero} {zero}"),
            "x".to_owned(),
        ] {
            assert!(
                Request::read(&mut request(&[line.as_bytes()]).as_slice()).is_err(),
                "{line}"
            );
        }
        for bytes in [&b"0001"[..], b"0003", b"zzzz", b"fff1", b"-001", b"+004"] {
            assert!(Request::read(&mut &bytes[..]).is_err());
        }
        assert!(
            Request::read(&mut &b"0000"[..])
                .unwrap()
                .commands
                .is_empty()
        );
        let signed = request(&[b"push-cert\0report-status side-band-64k"]);
        assert!(Request::read(&mut signed.as_slice()).unwrap().is_signed);
    }
}
