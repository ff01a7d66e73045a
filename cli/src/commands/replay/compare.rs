//! Are two repositories equal? Refs, symbolic refs and HEAD to the byte; objects that refs
//! reach by their ids, which are hashes of their content; the content itself by `git fsck`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use refwarden_model::{ByteText, Oid};
use serde::Serialize;

use crate::failure::{Context as _, Failure, Outcome};
use crate::{git, output};

/// How many differences are named before the rest is counted.
const NAMED: usize = 20;

/// What differs between the rebuilt repository and the live one.
#[derive(Debug, Default, Serialize)]
pub struct Differences {
    /// One line for each ref that differs.
    pub refs: Vec<String>,
    /// Objects that only the rebuilt one reaches.
    pub only_rebuilt: Vec<String>,
    /// Objects that only the live one reaches.
    pub only_live: Vec<String>,
    /// Objects that both reach.
    pub objects: usize,
    /// Refs that both have, HEAD included.
    pub equal_refs: usize,
}

impl Differences {
    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        self.refs.is_empty() && self.only_rebuilt.is_empty() && self.only_live.is_empty()
    }

    /// Writes them for people.
    pub fn print(&self) -> Outcome<()> {
        if self.is_none() {
            return output::line(&format!(
                "Equal to the live repository: {} refs (HEAD included), {} objects.",
                self.equal_refs, self.objects
            ));
        }
        output::line("It differs from the live repository:")?;
        for (what, lines) in [
            ("ref", &self.refs),
            ("object only in the rebuilt one", &self.only_rebuilt),
            ("object only in the live one", &self.only_live),
        ] {
            for line in lines.iter().take(NAMED) {
                output::line(&format!("  {what}: {line}"))?;
            }
            if lines.len() > NAMED {
                output::line(&format!("  {what}: {} more", lines.len() - NAMED))?;
            }
        }
        Ok(())
    }
}

/// Compares two bare repositories.
pub fn compare(rebuilt: &Path, live: &Path) -> Outcome<Differences> {
    let rebuilt = open(rebuilt)?;
    let live = open(live)?;
    let mut differences = Differences::default();
    let (mine, theirs) = (all_refs(&rebuilt)?, all_refs(&live)?);
    let absent = ByteText::from("absent");
    let names = mine
        .keys()
        .chain(theirs.keys().filter(|name| !mine.contains_key(*name)));
    for name in names {
        let one = mine.get(name).unwrap_or(&absent);
        let other = theirs.get(name).unwrap_or(&absent);
        if one == other {
            differences.equal_refs += 1;
        } else {
            let text = format!("{name} is {one}, and live {other}");
            differences.refs.push(text);
        }
    }
    let (mine, theirs) = (objects(&rebuilt)?, objects(&live)?);
    differences.objects = mine.len();
    // Both are sorted.
    let only = |these: &[Oid], those: &[Oid]| -> Vec<String> {
        let alone = these.iter().filter(|oid| those.binary_search(oid).is_err());
        alone.map(ToString::to_string).collect()
    };
    differences.only_rebuilt = only(&mine, &theirs);
    differences.only_live = only(&theirs, &mine);
    differences.objects -= differences.only_rebuilt.len();
    Ok(differences)
}

fn open(path: &Path) -> Outcome<std::path::PathBuf> {
    path.canonicalize()
        .context(|| format!("{} cannot be found", path.display()))
}

fn all_refs(repository: &Path) -> Outcome<BTreeMap<ByteText, ByteText>> {
    let refs = git::refs(repository)?;
    let direct = refs.direct.iter().map(|(name, oid)| {
        let value = ByteText::new(oid.to_string());
        (ByteText::new(name.as_bytes()), value)
    });
    let symbolic = refs.symbolic.iter().map(|(name, target)| {
        let value = ByteText::new([b"ref: ", target.as_bytes()].concat());
        (ByteText::new(name.as_bytes()), value)
    });
    let head = (ByteText::from("HEAD"), refs.head.clone());
    Ok(direct.chain(symbolic).chain([head]).collect())
}

/// Every object that refs reach, sorted. Each is read whole and hashed anew by
/// `git fsck --full`, which a rebuilt repository has passed and a live one must pass here:
/// equal ids then mean equal bytes.
fn objects(repository: &Path) -> Outcome<Vec<Oid>> {
    let refs = git::refs(repository)?;
    let mut tips: Vec<Oid> = refs.direct.iter().map(|(_, oid)| *oid).collect();
    tips.extend(Oid::parse(refs.head.as_bytes()));
    let Some(tip) = tips.first() else {
        return Ok(Vec::new());
    };
    // With a tip given, fsck checks all objects but not the refs, which are compared above: for
    // fsck a symbolic ref that names nothing is an error. What the refs reach is checked below.
    let mut command = git::within(repository, "fsck");
    command.args(["--full", "--no-progress", "--no-dangling", &tip.to_string()]);
    git::output(command)?;
    let mut command = git::within(repository, "rev-list");
    command
        .args(["--objects", "--no-object-names", "--stdin"])
        .stdin(Stdio::piped());
    let mut child = git::spawn(&mut command)?;
    if let Some(mut stdin) = child.stdin.take() {
        let lines = git::lines(&tips);
        // It reads all of its input before it writes.
        stdin
            .write_all(lines.as_bytes())
            .context(|| "git rev-list does not read".to_owned())?;
    }
    let mut found = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context(|| "git rev-list broke off".to_owned())?;
            found.push(
                Oid::parse(line.as_bytes())
                    .context(|| "git rev-list answered something unknown".to_owned())?,
            );
        }
    }
    if let Some(why) = git::ended_badly(&mut child) {
        return Err(Failure::new("the objects cannot be listed").why(why));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
