//! Push options that ask something of the hook itself (`git push -o …`). Options that are meant
//! for people or for policy pass through unread; one that nobody here knows may be meant for
//! another hook, so it is told of and stops nothing, unless it looks like `dry-run`.

use std::time::Duration;

use refwarden_model::Code;
use refwarden_wire::hook::DRY_RUN;

use crate::fault::Fault;

/// The longest that a push is held.
const WAIT_MAX: Duration = Duration::from_hours(1);

/// Options that are one word.
const WORDS: [&[u8]; 2] = [b"help", DRY_RUN];

/// What options that say something begin with.
const VALUES: [&[u8]; 6] = [
    b"wait=",
    b"reason=",
    b"ticket=",
    b"reviewer=",
    b"break-glass=",
    b"token=",
];

/// Unknown options that are told by name.
const TOLD_MAX: usize = 3;

/// The longest name that is told, in bytes. What is longer may be a token that stands alone.
const NAME_MAX: usize = 24;

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
                    } else if looks_like_dry_run(other) {
                        let text = "push option dry-run is written so, without a value; \
                                    this would have been no dry run";
                        return Err(Fault::new(Code::BadOption, text).hint("git push -o dry-run"));
                    }
                }
            }
        }
        Ok(wishes)
    }
}

/// What the pusher is told of options that are not known here; none where all are.
pub fn unknown(options: &[Vec<u8>]) -> Option<String> {
    let is_known = |option: &&Vec<u8>| {
        WORDS.contains(&option.as_slice()) || VALUES.iter().any(|it| option.starts_with(it))
    };
    let unknown: Vec<&Vec<u8>> = options.iter().filter(|it| !is_known(it)).collect();
    let names: Vec<String> = unknown.iter().take(TOLD_MAX).map(|it| shown(it)).collect();
    let (what, are) = match unknown.len() {
        0 => return None,
        1 => ("push option", "is"),
        _ => ("push options", "are"),
    };
    let more = unknown.len().saturating_sub(TOLD_MAX);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let known = WORDS.iter().chain(&VALUES);
    let known: Vec<_> = known.map(|it| String::from_utf8_lossy(it)).collect();
    Some(format!(
        "note: {what} {}{more} {are} not known; known are {}",
        names.join(", "),
        known.join(", ")
    ))
}

/// An option's name in quotes, where it is one; values are not told.
fn shown(option: &[u8]) -> String {
    let name = name(option);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if !name.is_empty() && name.len() <= NAME_MAX && name.iter().all(plain) {
        format!("\"{}\"", String::from_utf8_lossy(name))
    } else {
        "(no name)".to_owned()
    }
}

fn name(option: &[u8]) -> &[u8] {
    option
        .split(|byte| *byte == b'=')
        .next()
        .unwrap_or_default()
}

/// `dryrun`, `dry_run`, `dry-run=true`, `dyr-run`: whoever types that wants nothing changed.
fn looks_like_dry_run(option: &[u8]) -> bool {
    let squeezed = |name: &[u8]| -> Vec<u8> {
        let letters = name.iter().filter(|byte| byte.is_ascii_alphanumeric());
        letters.map(u8::to_ascii_lowercase).collect()
    };
    is_one_slip_apart(&squeezed(name(option)), &squeezed(DRY_RUN))
}

/// Whether two words are the same but for one letter that is wrong, missing, too much, or two that
/// have changed places.
fn is_one_slip_apart(one: &[u8], other: &[u8]) -> bool {
    let mut rests = (one, other);
    while let (Some((a, one)), Some((b, other))) = (rests.0.split_first(), rests.1.split_first())
        && a == b
    {
        rests = (one, other);
    }
    while let (Some((a, one)), Some((b, other))) = (rests.0.split_last(), rests.1.split_last())
        && a == b
    {
        rests = (one, other);
    }
    match rests {
        ([] | [_], [] | [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
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
    fn what_looks_like_a_dry_run_is_no_push() {
        for (option, refused) in [
            ("dry-run", false),
            ("dryrun", true),
            ("dry_run", true),
            ("DRY-RUN", true),
            ("--dry-run", true),
            ("dry-run=true", true),
            ("dry-run=", true),
            ("dyr-run", true),
            ("dry-runn", true),
            ("dry-rn", true),
            ("rerun", false),
            ("prerun", false),
            ("dry", false),
            ("reason=dryrun", false),
            ("", false),
        ] {
            let wishes = Wishes::of(&[option.as_bytes().to_vec()]);
            assert_eq!(wishes.is_err(), refused, "{option:?}");
            let is_dry = wishes.is_ok_and(|wishes| wishes.dry_run);
            assert_eq!(is_dry, option == "dry-run", "{option:?}");
        }
    }

    #[test]
    fn unknown_options_are_told_without_their_values() {
        let told = |options: &[&str]| {
            let options: Vec<Vec<u8>> = options.iter().map(|it| it.as_bytes().to_vec()).collect();
            unknown(&options).unwrap_or_default()
        };
        assert_eq!(
            told(&["help", "dry-run", "wait=1m", "reason=", "ticket=A-1"]),
            ""
        );
        assert_eq!(
            told(&["bogus=private"]),
            "note: push option \"bogus\" is not known; known are help, dry-run, wait=, reason=, \
             ticket=, reviewer=, break-glass=, token="
        );
        let long = "x".repeat(NAME_MAX + 1);
        let many = told(&["a", "reason", &long, "b", "c"]);
        let expected = "note: push options \"a\", \"reason\", (no name) and 2 more are not known;";
        assert!(many.starts_with(expected), "{many}");
    }

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
