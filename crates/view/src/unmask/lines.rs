//! Brings secrets back into a changed file, line by line. Pure: bytes in, bytes out.
//!
//! A placeholder may stay only on a line that stood like that in an earlier version of the file,
//! and as often. A secret of many lines is a run of lines that stays or goes as one.

use std::collections::HashMap;

use super::Problem;
use crate::placeholder::form;

/// Why a changed file cannot have its secrets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// No earlier version has this line, or not all lines of its secret.
    Changed(usize),
    /// The line stands more often than in any earlier version.
    Repeated(usize),
    /// Earlier versions have different secrets under the same placeholder.
    Ambiguous(usize),
}

impl Wrong {
    /// The line, counted from 1.
    pub(super) fn line(self) -> usize {
        match self {
            Self::Changed(line) | Self::Repeated(line) | Self::Ambiguous(line) => line,
        }
    }

    /// As the pusher is told of it.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Changed(_) => Problem::Changed,
            Self::Repeated(_) => Problem::Repeated,
            Self::Ambiguous(_) => Problem::Ambiguous,
        }
    }
}

/// Answers for a line whose placeholder may not stand there: what it becomes, and how much of what
/// it is given that is.
pub(super) type Other<'o, E> = &'o mut dyn FnMut(Wrong, &[u8]) -> Result<(Vec<u8>, usize), E>;

/// A run of lines with a placeholder.
struct Run {
    /// As in the view, without the last line break.
    masked: Vec<u8>,
    /// As in the original; none where versions disagree.
    original: Option<Vec<u8>>,
    /// How often one version has it at most.
    count: usize,
}

/// What earlier versions of a file have where the view has placeholders.
#[derive(Default)]
pub(super) struct Earlier {
    /// By the first line.
    runs: HashMap<Vec<u8>, Vec<Run>>,
}

/// Lines without their breaks. The last is what stands behind the last break.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').collect()
}

impl Earlier {
    /// Takes a version: the file in the view, and in the original. A file that is masked whole
    /// for want of lines tells nothing.
    pub(super) fn add(&mut self, masked: &[u8], original: &[u8]) {
        if memchr::memchr(0, original).is_some() {
            return;
        }
        let (masked, original) = (lines(masked), lines(original));
        if masked.len() != original.len() {
            return;
        }
        let starts: Vec<bool> = masked.iter().map(|line| form(line).is_some()).collect();
        let differs = |at: usize| masked.get(at) != original.get(at);
        let mut counts: HashMap<Vec<u8>, usize> = HashMap::new();
        let mut at = 0;
        while at < masked.len() {
            if starts.get(at) != Some(&true) {
                // A secret begins with its placeholder. Nothing is known of any other change.
                if differs(at) {
                    return;
                }
                at += 1;
                continue;
            }
            let following = (at + 1..masked.len()).take_while(|it| starts.get(*it) == Some(&false));
            let end = following.filter(|it| differs(*it)).last().unwrap_or(at);
            let run = |lines: &[&[u8]]| lines.get(at..=end).unwrap_or_default().join(&b'\n');
            let key = run(&masked);
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            self.put(
                masked.get(at).copied().unwrap_or_default(),
                key,
                run(&original),
                *count,
            );
            at = end + 1;
        }
    }

    fn put(&mut self, first: &[u8], masked: Vec<u8>, original: Vec<u8>, count: usize) {
        let runs = self.runs.entry(first.to_vec()).or_default();
        match runs.iter_mut().find(|run| run.masked == masked) {
            Some(run) => {
                run.count = run.count.max(count);
                if run.original.as_ref() != Some(&original) {
                    run.original = None;
                }
            }
            None => runs.push(Run {
                masked,
                original: Some(original),
                count,
            }),
        }
    }

    /// The file with its secrets.
    ///
    /// # Errors
    ///
    /// [`Wrong`] at the first line whose placeholder may not stand there.
    pub(super) fn restore(&self, pushed: &[u8]) -> Result<Vec<u8>, Wrong> {
        self.restore_or(pushed, &mut |wrong, _| Err(wrong))
    }

    /// The file with its secrets. Where a placeholder may not stand, `other` answers for its
    /// line: it is given all from there on, and says what that becomes and how much of it, up to
    /// the end of a line.
    ///
    /// # Errors
    ///
    /// What `other` says.
    pub(super) fn restore_or<E>(&self, pushed: &[u8], other: Other<'_, E>) -> Result<Vec<u8>, E> {
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        let mut out = Vec::with_capacity(pushed.len());
        let (mut rest, mut number) = (pushed, 1);
        loop {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            let mut taken = end;
            if form(line).is_some() {
                match self.of_run(rest, line, number, &mut counts) {
                    Ok((original, length)) => {
                        out.extend_from_slice(original);
                        taken = length;
                    }
                    Err(wrong) => {
                        let (written, length) = other(wrong, rest)?;
                        out.extend_from_slice(&written);
                        taken = length;
                    }
                }
                let done = rest.get(..taken).unwrap_or_default();
                number += memchr::memchr_iter(b'\n', done).count();
            } else {
                out.extend_from_slice(line);
            }
            rest = rest.get(taken..).unwrap_or_default();
            let Some(next) = rest.strip_prefix(b"\n") else {
                return Ok(out);
            };
            out.push(b'\n');
            rest = next;
            number += 1;
        }
    }

    /// What the run that stands here becomes, and its length.
    fn of_run<'e>(
        &'e self,
        rest: &[u8],
        first: &[u8],
        number: usize,
        counts: &mut HashMap<&'e [u8], usize>,
    ) -> Result<(&'e [u8], usize), Wrong> {
        let run = self.run(rest, first).ok_or(Wrong::Changed(number))?;
        let count = counts.entry(&run.masked).or_default();
        *count += 1;
        if *count > run.count {
            return Err(Wrong::Repeated(number));
        }
        let original = run.original.as_ref().ok_or(Wrong::Ambiguous(number))?;
        Ok((original, run.masked.len()))
    }

    /// The longest run that stands here, with nothing behind it on its last line.
    fn run(&self, rest: &[u8], first: &[u8]) -> Option<&Run> {
        let fits = |run: &&Run| {
            let behind = rest.strip_prefix(&*run.masked);
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(b"\n"))
        };
        let runs = self.runs.get(first)?;
        runs.iter().filter(fits).max_by_key(|run| run.masked.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = concat!("REFWARDEN-", "MASKED-a-0123456789abcdef");
    const TWO: &str = concat!("REFWARDEN-", "MASKED-b-0123456789abcdef");

    fn restore(pushed: &str) -> Result<String, Wrong> {
        let mut earlier = Earlier::default();
        let masked = format!("top\na={ONE}\nb={TWO}\n\n\"\nend\nc={ONE}\nc={ONE}");
        let original = "top\na=S\nb=K1\nK2\nK3\"\nend\nc=S\nc=S";
        earlier.add(masked.as_bytes(), original.as_bytes());
        earlier.add(b"one", b"two\nlines");
        let restored = earlier.restore(pushed.as_bytes());
        restored.map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn whole_lines_return_and_nothing_else() {
        let check = |pushed: &str, expected: Result<&str, Wrong>| {
            assert_eq!(restore(pushed), expected.map(str::to_owned), "{pushed}");
        };
        check("", Ok(""));
        check("x\n\ny", Ok("x\n\ny"));
        check(&format!("a={ONE}"), Ok("a=S"));
        check(&format!("new\na={ONE}\n"), Ok("new\na=S\n"));
        check(
            &format!("b={TWO}\n\n\"\na={ONE}\n"),
            Ok("b=K1\nK2\nK3\"\na=S\n"),
        );
        check(&format!("c={ONE}\nx\nc={ONE}\n"), Ok("c=S\nx\nc=S\n"));
        check(
            &format!("c={ONE}\nc={ONE}\nc={ONE}\n"),
            Err(Wrong::Repeated(3)),
        );
        check(&format!("a={ONE}\na={ONE}\n"), Err(Wrong::Repeated(2)));
        check(&format!("x\n a={ONE}\n"), Err(Wrong::Changed(2)));
        check(&format!("a={ONE} \n"), Err(Wrong::Changed(1)));
        check(&format!("az{ONE}z\n"), Err(Wrong::Changed(1)));
        check(&format!("a={ONE}\r\n"), Err(Wrong::Changed(1)));
        check(&format!("b={TWO}\n\n"), Err(Wrong::Changed(1)));
        check(&format!("b={TWO}\n\n\"x\n"), Err(Wrong::Changed(1)));
        check("\n\n\"\nend", Ok("\n\n\"\nend"));
        check(&ONE.replace("cdef", "cdee"), Err(Wrong::Changed(1)));
    }

    #[test]
    fn different_secrets_under_one_placeholder_are_refused() {
        let mut earlier = Earlier::default();
        let line = format!("a={ONE}");
        earlier.add(line.as_bytes(), b"a=S");
        earlier.add(line.as_bytes(), line.as_bytes());
        assert_eq!(earlier.restore(line.as_bytes()), Err(Wrong::Ambiguous(1)));
    }
}
