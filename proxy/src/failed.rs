//! A git that failed: whose fault it was, and what the client of a push still has to hear.
//!
//! `receive-pack` dies without a word where `reference-transaction` says no (git's
//! refs.c): over SSH the client reads the hook's lines from its standard error, and
//! over HTTP nobody would.

use bytes::Bytes;
use refwarden_gitio::pktline::{Packet, encode};
use refwarden_model::Code;
use refwarden_model::bytes::escape;

/// Bands beside the report (gitprotocol-pack(5), "side-band-64k"): messages, and the last of all.
const MESSAGE: u8 = 2;
const FATAL: u8 = 3;

/// What is known of a git that failed.
pub struct Failed {
    /// The beginning of what it said on standard error.
    pub said: Vec<u8>,
    /// Whether the client of a push takes messages beside the report.
    pub takes_messages: bool,
}

impl Failed {
    /// Whether git failed over what the client sent. Git's messages are in English here
    /// (`LC_ALL` of `gitio::command`).
    pub fn is_the_client_s(&self) -> bool {
        let said = String::from_utf8_lossy(&self.said);
        said.lines()
            .any(|line| line.starts_with("fatal: ") && line.contains("protocol error"))
    }

    /// What ends the answer to a push: the lines that hooks have for pushers, and no other. None for a
    /// client that takes no messages. Only where the pusher sees the repository itself.
    pub fn last_words(&self) -> Option<Bytes> {
        if !self.takes_messages {
            return None;
        }
        let said = String::from_utf8_lossy(&self.said);
        let mut told = String::new();
        for line in said.lines() {
            if line.starts_with("error: RW") || line.starts_with("hint:  ") {
                told.push_str(&escape(line.as_bytes()));
                told.push('\n');
            }
        }
        if told.is_empty() {
            let code = Code::HookFault;
            told = format!("error: {code} git ended on the server before it could answer\n");
        }
        let mut packets = Vec::new();
        let end = "the push ended here; git fetch shows whether a ref has moved\n";
        for (band, text) in [(MESSAGE, told.as_str()), (FATAL, end)] {
            // No longer than what is kept of standard error, so a packet holds it.
            encode(
                Packet::Data(&[&[band], text.as_bytes()].concat()),
                &mut packets,
            )
            .ok()?;
        }
        Some(packets.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(said: &str) -> String {
        let failed = Failed {
            said: said.into(),
            takes_messages: true,
        };
        String::from_utf8(failed.last_words().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn only_what_hooks_say_to_pushers_is_passed_on() {
        let said = words("warning: /srv/x\nerror: RW403 no\nhint:  ask\nfatal: at /srv/x\n");
        assert!(
            said.contains("\u{2}error: RW403 no\nhint:  ask\n"),
            "{said}"
        );
        assert!(said.contains("\u{3}the push ended here"), "{said}");
        assert!(!said.contains("/srv"), "{said}");
        assert!(words("").contains("error: RW504"));
        let raw = Failed {
            said: Vec::new(),
            takes_messages: false,
        };
        assert_eq!(raw.last_words(), None);
    }

    #[test]
    fn a_client_s_fault_is_told_from_git_s() {
        for (said, expected) in [
            (
                "fatal: protocol error: expected old/new/ref, got 'x'\n",
                true,
            ),
            ("fatal: git upload-pack: protocol error, expected\n", true),
            ("fatal: ref updates aborted by hook\n", false),
            ("error: protocol error\n", false),
        ] {
            let failed = Failed {
                said: said.into(),
                takes_messages: false,
            };
            assert_eq!(failed.is_the_client_s(), expected, "{said}");
        }
    }
}
