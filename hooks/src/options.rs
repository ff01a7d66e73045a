//! Push options that ask something of the hook itself (`git push -o …`). Options that are meant
//! for people or for policy pass through unread.

use std::time::Duration;

use refwarden_model::Code;
use refwarden_wire::hook::DRY_RUN;

use crate::fault::Fault;

/// The longest that a push is held.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// What `-o help` shows.
pub const HELP: &str = "\
push options that this server knows (git push -o NAME=VALUE ...):
  wait=10m      hold the push until people decide; s, m, h; at most 1h
  dry-run       say what would become of the push, and change nothing
  reason=TEXT   why; approvers read it
  ticket=ID     what it belongs to; approvers read it
  reviewer=NAME who should look; approvers read it
  break-glass=REF in an emergency, for who may: release this ref (its full
                name) without approval; needs reason=; is reviewed afterwards
  token=TOKEN   a token, where the client has no other way to send one
  help          this list
nothing was changed
";

/// What a push asks of the hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// How long to hold the push while people decide.
    pub wait: Option<Duration>,
    /// Whether it only wants to know what would become of it.
    pub dry_run: bool,
    /// Whether it wants the list of options.
    pub help: bool,
}

impl Wishes {
    /// Reads the options. The last `wait` counts, as the last of two options does in git.
    pub fn of(options: &[Vec<u8>]) -> Result<Self, Fault> {
        let mut wishes = Self::default();
        for option in options {
            match option.as_slice() {
                b"help" => wishes.help = true,
                DRY_RUN => wishes.dry_run = true,
                other => {
                    if let Some(value) = other.strip_prefix(b"wait=") {
                        wishes.wait = Some(duration(value)?);
                    } else if other == b"wait" {
                        wishes.wait = Some(duration(b"")?);
                    }
                }
            }
        }
        Ok(wishes)
    }
}

fn duration(value: &[u8]) -> Result<Duration, Fault> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (text.strip_suffix('s'), 1),
        Some(b'm') => (text.strip_suffix('m'), 60),
        Some(b'h') => (text.strip_suffix('h'), 3600),
        _ => (Some(text), 1),
    };
    let number = number.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = number
        .and_then(|number| number.parse::<u64>().ok())
        .and_then(|number| number.checked_mul(unit));
    let duration = seconds.map(Duration::from_secs);
    duration
        .filter(|duration| !duration.is_zero() && *duration <= WAIT_MAX)
        .ok_or_else(|| {
            let text = "push option wait: expected a time from 1s to 1h, such as wait=10m";
            Fault::new(Code::BadOption, text).hint("git push -o help shows what there is")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_strictly() {
        for (value, expected) in [
            ("10m", Some(600)),
            ("30s", Some(30)),
            ("45", Some(45)),
            ("1h", Some(3600)),
            ("60m", Some(3600)),
            ("61m", None),
            ("0", None),
            ("0s", None),
            ("", None),
            ("m", None),
            ("-1", None),
            ("+1", None),
            ("1.5h", None),
            ("10 m", None),
            ("99999999999999999999h", None),
            ("10M", None),
        ] {
            let wishes = Wishes::of(&[format!("wait={value}").into_bytes()]);
            let read = wishes.ok().and_then(|wishes| wishes.wait);
            assert_eq!(read, expected.map(Duration::from_secs), "{value:?}");
        }
        let odd = Wishes::of(&[b"wait=\xff".to_vec()]);
        assert!(odd.is_err());
        let none = Wishes::of(&[b"reason=wait=1m".to_vec(), b"waiting".to_vec()]);
        assert_eq!(none.unwrap(), Wishes::default());
    }
}
