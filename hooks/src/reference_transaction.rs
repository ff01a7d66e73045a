//! `reference-transaction`: the only barrier. In `prepared` the refs are locked, and a status
//! other than zero stops the move (githooks(5)). `committed` says nothing: it is no proof, and
//! `post-receive` or, where that never runs, the reconciler settles the move by the refs.
//!
//! Git's own word is believed for one thing only: which refs are about to move, and where to.
//! Old values, and what became of a transaction, are read from the repository.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, Read};
use std::time::Duration;

use refwarden_gitio::refs::{RefValue, Resolved};
use refwarden_gitio::{Refs, Repository};
use refwarden_model::{Code, ObjectFormat, Oid, RefName};
use refwarden_wire::hook::{Move, Outcome, PREPARE, Phase, PrepareIn, PrepareOut, SettleIn};

use crate::client::Client;
use crate::correlation::Parent;
use crate::fault::Fault;
use crate::host::Host;
use crate::spool::{Spool, observed};

/// Longest input, in bytes.
const INPUT_MAX: u64 = 64 << 20;

/// How long `aborted` waits for the service. Where `prepared` has waited in vain, the pusher has waited
/// long enough; what is not reported in this time is spooled.
const ABORTED: Duration = Duration::from_millis(500);

/// What a line says a ref is to become, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// An object id; zero for none.
    Oid(Oid),
    /// `ref:` and the name of another ref (git 2.46 and later).
    Symbolic(RefName),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    old: Value,
    new: Value,
    name: RefName,
}

/// Runs the hook.
pub fn run() -> Result<(), Fault> {
    let phase = std::env::args().nth(1).unwrap_or_default();
    match phase.as_str() {
        "preparing" | "committed" => Ok(()),
        "prepared" => prepared(),
        "aborted" => aborted(),
        _ => Err(Fault::malformed("an unknown state of a ref transaction")),
    }
}

fn prepared() -> Result<(), Fault> {
    let host = Host::open()?;
    let lines = read(std::io::stdin().lock(), host.repository.object_format)?;
    let parent = Parent::of_this_process()?;
    let wanted = wanted(&host.repository, &lines, parent.is_receive_pack)?;
    if wanted.is_empty() {
        return Ok(());
    }
    if !parent.is_receive_pack {
        return Err(outside(&wanted));
    }
    let asked = PrepareIn {
        repository: host.id,
        correlation: parent.correlation,
        moves: wanted,
    };
    let answer: PrepareOut = Client::new(&host)?.call(PREPARE, &asked)?;
    if answer.prepared {
        return Ok(());
    }
    Err(Fault::Refused {
        findings: None,
        outcome: Outcome::Denied,
        reasons: answer.reasons,
        url: None,
    })
}

fn outside(wanted: &[Move]) -> Fault {
    let first = wanted.first().map(|one| one.target.to_string());
    let text = format!("{} would move outside of a push", first.unwrap_or_default());
    Fault::new(Code::NotReleased, text).hint(
        "push instead; for maintenance an administrator runs git with \
         `-c core.hooksPath=/dev/null`, which is recorded as out of band",
    )
}

/// What would really move: without no-ops, without the alias of a ref that the transaction
/// names too, and outside of a push without the pruning of loose files that `pack-refs` does.
fn wanted(repository: &Repository, lines: &[Line], in_push: bool) -> Result<Vec<Move>, Fault> {
    let refs = Refs::new(repository);
    let names: Vec<RefName> = lines.iter().map(|line| line.name.clone()).collect();
    let in_transaction: HashSet<&RefName> = names.iter().collect();
    let direct = refs.read(&names)?;
    let resolved = refs.resolve(&names)?;
    let mut moves = BTreeMap::new();
    for ((line, value), Resolved { target, value: old }) in lines.iter().zip(direct).zip(resolved) {
        let new = match (&line.new, &value) {
            (Value::Symbolic(new), RefValue::Symbolic(current)) if new == current => continue,
            (Value::Symbolic(_), _) => {
                let text = format!("{} may not become a symbolic ref", line.name);
                return Err(Fault::new(Code::NotReleased, text)
                    .hint("an administrator changes symbolic refs, out of band"));
            }
            (Value::Oid(new), _) => *new,
        };
        let is_alias = matches!(value, RefValue::Symbolic(_));
        if is_alias && in_transaction.contains(&target) {
            continue;
        }
        if is_alias && matches!(line.old, Value::Symbolic(_)) {
            let text = format!("the symbolic ref {} may not be changed", line.name);
            return Err(Fault::new(Code::NotReleased, text)
                .hint("an administrator changes symbolic refs, out of band"));
        }
        if new == old {
            continue;
        }
        let prunes = !in_push
            && new.is_zero()
            && line.old == Value::Oid(old)
            && refs.packed_value(&line.name)? == Some(old);
        if !prunes {
            moves.insert(target.clone(), Move { target, old, new });
        }
    }
    Ok(moves.into_values().collect())
}

/// Reports where the refs are. Whatever happens here cannot undo anything, so it never fails;
/// what cannot be reported is kept in the spool.
fn aborted() -> Result<(), Fault> {
    let parent = Parent::of_this_process()?;
    if !parent.is_receive_pack {
        return Ok(());
    }
    let host = Host::open()?;
    let lines = read(std::io::stdin().lock(), host.repository.object_format)?;
    let names: Vec<RefName> = lines.into_iter().map(|line| line.name).collect();
    let refs = observed(&host, &names)?;
    if refs.is_empty() {
        return Ok(());
    }
    let client = Client::new(&host).map(|client| client.within(ABORTED));
    let report = SettleIn {
        repository: host.id,
        correlation: parent.correlation,
        phase: Phase::Aborted,
        observed_at: chrono::Utc::now().timestamp_micros(),
        refs,
    };
    Spool::of(&host).report(client.ok().as_ref(), &report)
}

fn read(input: impl Read, format: ObjectFormat) -> Result<Vec<Line>, Fault> {
    let mut input = std::io::BufReader::new(input.take(INPUT_MAX));
    let mut bytes = Vec::new();
    let mut lines = Vec::new();
    loop {
        bytes.clear();
        let length = input.read_until(b'\n', &mut bytes);
        match length {
            Ok(0) => return Ok(lines),
            Ok(_) => lines.push(
                parse(&bytes, format)
                    .ok_or_else(|| Fault::malformed("the ref transaction is not in git's form"))?,
            ),
            Err(_) => return Err(Fault::hook("the ref transaction cannot be read")),
        }
    }
}

fn parse(line: &[u8], format: ObjectFormat) -> Option<Line> {
    let line = line.strip_suffix(b"\n")?;
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let mut value = || {
        let word = words.next()?;
        if let Some(name) = word.strip_prefix(b"ref:") {
            return Some(Value::Symbolic(RefName::parse(name).ok()?));
        }
        let oid = Oid::parse(word).ok()?;
        (oid.format() == format).then_some(Value::Oid(oid))
    };
    Some(Line {
        old: value()?,
        new: value()?,
        name: RefName::parse(words.next()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_ids_and_symbolic_values_parse() {
        let one = "1".repeat(40);
        let zero = "0".repeat(40);
        let input = format!("{zero} {one} refs/heads/x\n{zero} ref:refs/heads/y HEAD\n");
        let lines = read(input.as_bytes(), ObjectFormat::Sha1).unwrap();
        let target = RefName::parse(b"refs/heads/y").unwrap();
        assert_eq!(lines[1].new, Value::Symbolic(target));
        assert_eq!(lines.len(), 2);
        assert!(read(&b""[..], ObjectFormat::Sha1).unwrap().is_empty());
        for bad in [
            format!("{zero} {one} refs/heads/x"),
            format!("{zero} {one} ORIG_HEAD x\n"),
            format!("{zero} ref:x HEAD\n"),
            "\n".into(),
        ] {
            assert!(read(bad.as_bytes(), ObjectFormat::Sha1).is_err(), "{bad}");
        }
    }
}
