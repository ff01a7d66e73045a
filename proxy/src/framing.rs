//! Watches the pkt-lines of a request while they pass, so that a body that git does not send is
//! refused before git fails over it: a push is pkt-lines up to a flush (gitprotocol-pack(5),
//! "Reference Update Request"), a fetch is nothing else.
//!
//! What it deliberately does not do: it reads no commands. Git and its hooks do.

use refwarden_gitio::pktline::{self, PktError};
use refwarden_wire::hook::Operation;

use crate::process::Flag;

/// Where a body is between two packets or within one.
pub struct Framing {
    operation: Operation,
    digits: Vec<u8>,
    left: usize,
    ended: bool,
    /// The first packet of a push, which lists capabilities, until it is whole.
    first: Option<Vec<u8>>,
    sideband: Flag,
}

impl Framing {
    /// Raises `sideband` where a push says that its client takes messages beside the report.
    pub fn new(operation: Operation, sideband: Flag) -> Self {
        Self {
            operation,
            digits: Vec::new(),
            left: 0,
            ended: false,
            first: (operation == Operation::Push).then(Vec::new),
            sideband,
        }
    }

    /// Looks at the next bytes of the body.
    ///
    /// # Errors
    /// Where they are no pkt-line.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), PktError> {
        while let Some((byte, rest)) = bytes.split_first().filter(|_| !self.ended) {
            if let Some((data, after)) = bytes.split_at_checked(self.left.min(bytes.len()))
                && !data.is_empty()
            {
                self.left -= data.len();
                self.collect(data);
                bytes = after;
                continue;
            }
            self.digits.push(*byte);
            bytes = rest;
            if let Some(digits) = self.digits.first_chunk::<4>() {
                let length = pktline::length(*digits)?;
                self.digits.clear();
                self.left = length.saturating_sub(4);
                self.ended = length == 0 && self.operation == Operation::Push;
            }
        }
        Ok(())
    }

    /// Whether the body may end here.
    pub fn is_whole(&self) -> bool {
        match self.operation {
            Operation::Push => self.ended,
            Operation::Fetch => self.left == 0 && self.digits.is_empty(),
        }
    }

    fn collect(&mut self, data: &[u8]) {
        let Some(mut first) = self.first.take() else {
            return;
        };
        first.extend_from_slice(data);
        if self.left > 0 {
            self.first = Some(first);
            return;
        }
        let capabilities = first.split(|byte| *byte == 0).nth(1).unwrap_or_default();
        let mut each = capabilities.split(u8::is_ascii_whitespace);
        if each.any(|capability| capability == b"side-band-64k") {
            self.sideband.raise();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a body is taken, however it is cut.
    fn check(operation: Operation, body: &[u8], expected: bool) {
        for size in [1, 3, body.len().max(1)] {
            let mut framing = Framing::new(operation, Flag::default());
            let passed = body.chunks(size).try_for_each(|it| framing.pass(it));
            let got = passed.is_ok() && framing.is_whole();
            let shown = String::from_utf8_lossy(body);
            assert_eq!(got, expected, "{operation:?} {shown} in {size}");
        }
    }

    #[test]
    fn what_git_sends_passes_and_nothing_else() {
        use Operation::{Fetch, Push};
        check(Push, b"0000", true);
        check(Push, b"0006ab0000PACK\xff\xff", true);
        check(Push, b"0006ab00000008x=y\n0000PACK", true);
        check(Fetch, b"0006ab00010006cd0000", true);
        check(Fetch, b"0006ab00000009done\n", true);
        check(Fetch, b"", true);
        for operation in [Push, Fetch] {
            for body in [
                &b"zzzz"[..],
                b"fff0abc",
                b"ffffabc",
                b"0003",
                b"000",
                b"0006a",
            ] {
                check(operation, body, false);
            }
        }
        check(Push, b"", false);
        check(Push, b"0006ab", false);
    }

    #[test]
    fn a_push_s_capabilities_are_seen() {
        for (payload, expected) in [
            ("old new ref\0report-status side-band-64k agent=git/2", true),
            ("old new ref\0side-band-64k", true),
            ("old new side-band-64k\0report-status", false),
            ("old new ref side-band-64k", false),
        ] {
            let sideband = Flag::default();
            let mut framing = Framing::new(Operation::Push, sideband.clone());
            let line = format!("{:04x}{payload}", payload.len() + 4);
            for chunk in line.as_bytes().chunks(7) {
                framing.pass(chunk).unwrap();
            }
            assert_eq!(sideband.is_raised(), expected, "{payload:?}");
        }
    }
}
