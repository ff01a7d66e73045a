//! Checks a bundle, with nothing but the log's key.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::manifest::{self, Event, File, Manifest};
use super::tar;
use crate::{Checkpoint, Hash, PublicKey, verify_inclusion};

/// No file but a pack is longer, in bytes.
const LONGEST: u64 = 1 << 30;
/// Problems that are told; what is wrong in one place is often wrong in many.
const MOST: usize = 20;

/// What checking came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleReport {
    /// What is wrong, the first first; empty when the bundle is whole.
    pub problems: Vec<String>,
    /// Events that are proved.
    pub events: u64,
    /// Packs that are there.
    pub packs: u64,
    /// Packs that were opened, and are what was received.
    pub opened: u64,
    /// The manifest, where it could be read.
    pub manifest: Option<Manifest>,
}

/// Opens packs: is given a pack's digest and its file, and says what is wrong, if something is.
pub type Opener<'a> = &'a mut dyn FnMut(&str, &mut dyn Read) -> Result<(), String>;

#[derive(Default)]
struct Found {
    report: BundleReport,
    files: Vec<File>,
    checkpoint: Option<Checkpoint>,
    events: u64,
    last: Option<u64>,
    /// What leaves say of their records.
    wanted: BTreeMap<u64, String>,
    /// SHA-256 of the records that are there.
    records: BTreeMap<u64, String>,
    /// Packs that records name, and by which event.
    named: BTreeMap<String, u64>,
    manifest: Option<Vec<u8>>,
    note: Option<String>,
}

/// Checks a bundle. With `open`, packs are opened and compared with what was received; without it,
/// sealed packs are compared with what the service has signed.
///
/// # Errors
/// When it cannot be read. What is wrong *in* it is reported, not an error.
pub fn check(
    source: &mut impl Read,
    key: &PublicKey,
    mut open: Option<Opener<'_>>,
) -> io::Result<BundleReport> {
    let mut found = Found::default();
    loop {
        match tar::next(source) {
            Ok(None) => break,
            Ok(Some((name, length))) => {
                match found.file(source, key, &name, length, open.as_mut()) {
                    Ok(()) => {}
                    Err(error) if is_form(&error) => {
                        found.problem(format!("{name}: the file is cut off or changed"));
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(error) if is_form(&error) => {
                let after = found
                    .files
                    .last()
                    .map_or("the beginning", |file| &file.name);
                let text = match error.kind() {
                    io::ErrorKind::UnexpectedEof => format!("after {after}: the bundle is cut off"),
                    _ => format!("after {after}: this is no part of a bundle: {error}"),
                };
                found.problem(text);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    found.compare(key);
    Ok(found.report)
}

fn is_form(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    matches!(error.kind(), InvalidData | UnexpectedEof)
}

impl Found {
    fn problem(&mut self, text: String) {
        if self.report.problems.len() < MOST {
            self.report.problems.push(text);
        }
    }

    fn file(
        &mut self,
        source: &mut impl Read,
        key: &PublicKey,
        name: &str,
        length: u64,
        open: Option<&mut Opener<'_>>,
    ) -> io::Result<()> {
        let mut hashing = Hashing {
            source: source.take(length),
            hasher: Sha256::new(),
        };
        if let Some(file) = name.strip_prefix("packs/") {
            let digest = file.get(..64).unwrap_or_default().to_owned();
            self.report.packs += 1;
            if let Some(open) = open {
                match open(&digest, &mut hashing) {
                    Ok(()) => self.report.opened += 1,
                    Err(problem) => self.problem(format!("{name}: {problem}")),
                }
            }
            io::copy(&mut hashing, &mut io::sink())?;
        } else {
            if length > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut bytes = Vec::new();
            hashing.read_to_end(&mut bytes)?;
            self.text(key, name, bytes);
        }
        if hashing.source.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.files.push(File {
            name: name.to_owned(),
            bytes: length,
            sha256: hex::encode(hashing.hasher.finalize()),
        });
        let mut padding = vec![0; tar::padding(length)];
        source.read_exact(&mut padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            self.problem(format!("{name}: there are bytes behind its end"));
        }
        Ok(())
    }

    fn text(&mut self, key: &PublicKey, name: &str, bytes: Vec<u8>) {
        if name == "manifest.json" {
            self.manifest = Some(bytes);
            return;
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return self.problem(format!("{name}: it is not UTF-8"));
        };
        if name == "manifest.note" {
            self.note = Some(text);
        } else if name == "checkpoint" {
            match Checkpoint::parse(&text, key) {
                Ok(checkpoint) => self.checkpoint = Some(checkpoint),
                Err(error) => self.problem(format!("checkpoint: {error}")),
            }
        } else if name.starts_with("events/") {
            for (number, line) in (1..).zip(text.lines()) {
                if let Err(problem) = self.event(line) {
                    self.problem(format!("{name}:{number}: {problem}"));
                }
            }
        } else if let Some(index) = name.strip_prefix("records/") {
            match index.parse() {
                Ok(index) => self.records(index, &text),
                Err(_) => self.problem(format!("{name}: a bundle has no such file")),
            }
        } else {
            self.problem(format!("{name}: a bundle has no such file"));
        }
    }

    fn event(&mut self, line: &str) -> Result<(), String> {
        let event: Event = serde_json::from_str(line).map_err(|_| "this is no event")?;
        self.events += 1;
        if self.last.is_some_and(|last| last >= event.index) {
            return Err(format!("event {} stands behind a later one", event.index));
        }
        self.last = Some(event.index);
        let leaf: serde_json::Value =
            serde_json::from_str(&event.leaf).map_err(|_| "its leaf is no JSON")?;
        if let Some(records) = leaf.get("records").and_then(serde_json::Value::as_str) {
            self.wanted.insert(event.index, records.to_owned());
        }
        let Some(checkpoint) = &self.checkpoint else {
            return Err("there is no good checkpoint that could attest it".to_owned());
        };
        let proof: Option<Vec<Hash>> = event.proof.iter().map(|it| Hash::from_base64(it)).collect();
        let proof = proof.ok_or("its proof is no list of hashes")?;
        let hash = Hash::of_leaf(event.leaf.as_bytes());
        if !verify_inclusion(hash, event.index, checkpoint.size, &proof, checkpoint.root) {
            let name = |member| {
                leaf.get(member)
                    .map(ToString::to_string)
                    .unwrap_or_default()
            };
            return Err(format!(
                "event {} ({} of {}) is not in the log as it stands here: it or its proof was edited",
                event.index,
                name("seq"),
                name("stream")
            ));
        }
        self.report.events += 1;
        Ok(())
    }

    fn records(&mut self, index: u64, text: &str) {
        let digest = hex::encode(Sha256::digest(text));
        self.records.insert(index, digest);
        // ["push", …, pack digest, timings], see push_records in migrations/.
        let first = text.lines().next().unwrap_or_default();
        let first: Vec<serde_json::Value> = serde_json::from_str(first).unwrap_or_default();
        if first.first().and_then(serde_json::Value::as_str) == Some("push") {
            let pack = first.len().checked_sub(2).and_then(|at| first.get(at));
            if let Some(pack) = pack.and_then(serde_json::Value::as_str) {
                self.named.insert(pack.to_owned(), index);
            }
        }
    }

    /// What can be said only when everything was read.
    fn compare(&mut self, key: &PublicKey) {
        let wanted = std::mem::take(&mut self.wanted);
        let mut records = std::mem::take(&mut self.records);
        for (index, digest) in wanted {
            match records.remove(&index) {
                Some(found) if found == digest => {}
                Some(_) => self.problem(format!("records/{index}: they were edited")),
                None => self.problem(format!("records/{index}: they are missing")),
            }
        }
        for index in records.keys() {
            self.problem(format!("records/{index}: no event refers to them"));
        }
        if self.checkpoint.is_none() && self.report.problems.is_empty() {
            self.problem("checkpoint: it is missing".to_owned());
        }
        let (manifest, note) = (self.manifest.take(), self.note.take());
        let (Some(manifest), Some(note)) = (manifest, note) else {
            return self.problem("manifest: it or its signature is missing".to_owned());
        };
        if let Err(problem) = manifest::verify(&manifest, &note, key) {
            self.problem(format!("manifest.note: {problem}"));
        }
        let parsed: Manifest = match serde_json::from_slice(&manifest) {
            Ok(parsed) => parsed,
            Err(error) => return self.problem(format!("manifest.json: {error}")),
        };
        self.with_manifest(&parsed, key);
        self.report.manifest = Some(parsed);
    }

    fn with_manifest(&mut self, manifest: &Manifest, key: &PublicKey) {
        if manifest.v != 1 || manifest.origin != key.name() {
            self.problem("manifest.json: it is of another log or a later version".to_owned());
        }
        let files = std::mem::take(&mut self.files);
        let is_its_own = |file: &&File| file.name.starts_with("manifest.");
        let there: Vec<&File> = files.iter().filter(|it| !is_its_own(it)).collect();
        let found: BTreeMap<&str, &File> = there
            .iter()
            .map(|file| (file.name.as_str(), *file))
            .collect();
        for file in &manifest.files {
            match found.get(file.name.as_str()) {
                Some(it) if *it == file => {}
                Some(_) => self.problem(format!("{}: it is not what was signed", file.name)),
                None => self.problem(format!("{}: it is missing", file.name)),
            }
        }
        let listed: BTreeSet<&str> = manifest.files.iter().map(|it| it.name.as_str()).collect();
        for file in &there {
            if !listed.contains(file.name.as_str()) {
                self.problem(format!("{}: it was added", file.name));
            }
        }
        let order: Vec<&str> = files.iter().map(|it| it.name.as_str()).collect();
        let signed = manifest.files.iter().map(|it| it.name.as_str());
        let signed: Vec<&str> = signed.chain(["manifest.json", "manifest.note"]).collect();
        if order != signed && self.report.problems.is_empty() {
            self.problem("files stand in another order than was signed".to_owned());
        }
        if manifest.events != self.events {
            let text = format!(
                "manifest.json: {} events were signed, {} are here",
                manifest.events, self.events
            );
            self.problem(text);
        }
        let packs: BTreeSet<&str> = manifest.packs.iter().map(|it| it.digest.as_str()).collect();
        let named = std::mem::take(&mut self.named);
        for (digest, index) in named {
            if !packs.contains(digest.as_str()) {
                self.problem(format!("pack {digest} of event {index} is missing"));
            }
        }
    }
}

struct Hashing<R> {
    source: io::Take<R>,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pack, Writer};
    use super::*;
    use crate::proof::naive::Source;
    use crate::{SecretKey, inclusion_proof, root_of};
    use chrono::DateTime;

    const PACK: &[u8] = b"PACK and more of it";

    fn key() -> SecretKey {
        SecretKey::of_log("example.org/log", &SecretKey::generate().unwrap()).unwrap()
    }

    fn bundle(key: &SecretKey) -> Vec<u8> {
        let pack = hex::encode(Sha256::digest(PACK));
        let records = format!("[\"push\", \"id\", \"{pack}\", {{}}]\n[\"ref\", 0]");
        let leaf = |index: u64| {
            let records = match index {
                2 => format!("\"{}\"", hex::encode(Sha256::digest(&records))),
                _ => "null".to_owned(),
            };
            format!("{{\"v\":1,\"stream\":\"s\",\"seq\":{index},\"records\":{records}}}")
        };
        let leaves = (0..7).map(|index| Hash::of_leaf(leaf(index).as_bytes()));
        let mut source = Source(leaves.collect());
        let root = root_of(&mut source, 7).unwrap();
        let checkpoint = Checkpoint::sign(7, root, key).note.to_string();
        let mut writer = Writer::begin(Vec::new(), &checkpoint).unwrap();
        for index in [1, 2, 5] {
            let proof = inclusion_proof(&mut source, index, 7).unwrap().unwrap();
            let event = Event {
                index,
                leaf: leaf(index),
                proof: proof.iter().map(Hash::base64).collect(),
            };
            writer
                .event(&event, (index == 2).then_some(&*records))
                .unwrap();
        }
        let described = Pack {
            digest: pack,
            bytes: PACK.len() as u64,
            file: None,
            recipients: Vec::new(),
            dropped_at: None,
        };
        let mut source = PACK;
        writer
            .pack(described, Some((PACK.len() as u64, &mut source)))
            .unwrap();
        let described = Manifest {
            v: 1,
            origin: "example.org/log".to_owned(),
            made_at: DateTime::UNIX_EPOCH,
            made_for: "audrey".to_owned(),
            asked: "push id".to_owned(),
            events: 0,
            files: Vec::new(),
            packs: Vec::new(),
        };
        writer.finish(described, key).unwrap()
    }

    #[test]
    fn a_bundle_is_whole_and_every_changed_or_missing_byte_is_found() {
        let key = key();
        let bundle = bundle(&key);
        let report = check(&mut &bundle[..], key.public(), None).unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!((report.events, report.packs, report.opened), (3, 1, 0));
        for at in 0..bundle.len() {
            let mut changed = bundle.clone();
            changed[at] ^= 1;
            let report = check(&mut &changed[..], key.public(), None).unwrap();
            assert!(!report.problems.is_empty(), "byte {at}");
        }
        for length in (0..bundle.len()).step_by(97).chain([bundle.len() - 1]) {
            let report = check(&mut &bundle[..length], key.public(), None).unwrap();
            assert!(!report.problems.is_empty(), "{length} bytes");
        }
        let longer = [&bundle[..], b"\0"].concat();
        assert!(
            !check(&mut &longer[..], key.public(), None)
                .unwrap()
                .problems
                .is_empty()
        );
        let other = self::key();
        assert!(
            !check(&mut &bundle[..], other.public(), None)
                .unwrap()
                .problems
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let key = key();
        let whole = bundle(&key);
        let named = |old: &[u8], new: &[u8], expected: &str| {
            let at = whole
                .windows(old.len())
                .position(|part| part == old)
                .unwrap();
            let mut changed = whole.clone();
            changed[at..at + old.len()].copy_from_slice(new);
            let found = check(&mut &changed[..], key.public(), None)
                .unwrap()
                .problems;
            let is_named = found.iter().any(|it| it.contains(expected));
            assert!(is_named, "{expected}: {found:?}");
        };
        named(
            b"[\"ref\", 0]",
            b"[\"ref\", 9]",
            "records/2: they were edited",
        );
        named(b"\\\"seq\\\":5", b"\\\"seq\\\":6", "event 5 (6 of \"s\")");
        named(b"PACK and", b"PACK not", ".pack: it is not what was signed");
        named(
            b"audrey",
            b"mallet",
            "manifest.note: it signs another manifest",
        );
        // Cut out of the archive: the second file, header and all.
        let mut cut = whole.clone();
        let at = whole
            .windows(9)
            .position(|part| part == b"records/2")
            .unwrap();
        cut.drain(at..at + 1024);
        let found = check(&mut &cut[..], key.public(), None).unwrap().problems;
        assert!(
            found.iter().any(|it| it == "records/2: they are missing"),
            "{found:?}"
        );
    }

    #[test]
    fn packs_are_opened_where_somebody_can() {
        let key = key();
        let bundle = bundle(&key);
        let mut open = |digest: &str, file: &mut dyn Read| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)
                .map_err(|error| error.to_string())?;
            (hex::encode(Sha256::digest(&bytes)) == digest)
                .then_some(())
                .ok_or_else(|| "no".to_owned())
        };
        let report = check(&mut &bundle[..], key.public(), Some(&mut open)).unwrap();
        assert_eq!((report.problems.len(), report.opened), (0, 1));
        let mut refuse = |_: &str, _: &mut dyn Read| Err("it does not open".to_owned());
        let report = check(&mut &bundle[..], key.public(), Some(&mut refuse)).unwrap();
        assert!(
            report.problems[0].contains("it does not open"),
            "{:?}",
            report.problems
        );
    }
}
