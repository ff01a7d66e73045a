//! Holds this crate against gitleaks: same configuration, same files, decoding off in both.
//!
//! ```text
//! gitleaks dir DIR --config CONFIG --max-decode-depth 0 --report-format json --report-path REPORT
//! cargo run --release -p refwarden-scan --example compare_gitleaks CONFIG DIR REPORT
//! ```
//!
//! Prints each (rule, file, line) that only one of them reports, and why; ends with 1 if there is
//! one without explanation. Without REPORT it only scans, and prints how long that took, in
//! seconds of processor time. Prints no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use refwarden_scan::{FingerprintKey, Ruleset, Scanner, gitleaks};

type Error = Box<dyn std::error::Error>;
type Place = (String, u64);

fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (config, folder, report) = match arguments.as_slice() {
        [config, folder] => (config, folder, None),
        [config, folder, report] => (config, folder, Some(report)),
        _ => return Err("usage: compare_gitleaks CONFIG DIR [REPORT]".into()),
    };
    let start = Instant::now();
    let loaded = gitleaks::load(&fs::read_to_string(config)?, config, |base| {
        Err(format!("{base:?} is not at hand"))
    })?;
    for note in &loaded.notes {
        println!("{note}");
    }
    let ready = start.elapsed();
    let scanner = Scanner::new(&loaded.ruleset, FingerprintKey::new([7; 32]));
    let mut here = Places::default();
    let mut bytes = 0;
    let mut files = 0;
    walk(Path::new(folder), &loaded.ruleset, &mut |name, text| {
        bytes += text.len();
        files += 1;
        here.scan(&scanner, name, text);
    })?;
    let took = start.elapsed();
    println!(
        "here: {} places in {files} files of {bytes} bytes; {took:?}, of which {ready:?} to load",
        here.count()
    );
    let Some(report) = report else {
        return Ok(ExitCode::SUCCESS);
    };
    let there = Places::report(&fs::read_to_string(report)?)?;
    println!("gitleaks: {} places", there.count());
    compare(&scanner, &here, &there)
}

/// Rule and line of what was found, by file.
#[derive(Debug, Default)]
struct Places(BTreeMap<String, BTreeSet<Place>>);

impl Places {
    fn scan(&mut self, scanner: &Scanner<'_>, name: &str, text: &[u8]) {
        for finding in scanner.scan(text, Some(name.as_bytes())) {
            let place = (finding.rule_id.to_string(), finding.match_line);
            self.0.entry(name.to_owned()).or_default().insert(place);
        }
    }

    fn report(text: &str) -> Result<Self, Error> {
        let entries: Vec<serde_json::Value> = serde_json::from_str(text)?;
        let mut places = Self::default();
        for entry in entries {
            let text = |key| entry.get(key).and_then(serde_json::Value::as_str);
            let line = entry.get("StartLine").and_then(serde_json::Value::as_u64);
            let (Some(rule), Some(file), Some(line)) = (text("RuleID"), text("File"), line) else {
                return Err("not a report of gitleaks".into());
            };
            let place = (rule.to_owned(), line);
            places.0.entry(file.to_owned()).or_default().insert(place);
        }
        Ok(places)
    }

    fn count(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    fn of(&self, file: &str) -> BTreeSet<Place> {
        self.0.get(file).cloned().unwrap_or_default()
    }
}

fn compare(scanner: &Scanner<'_>, here: &Places, there: &Places) -> Result<ExitCode, Error> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let files: BTreeSet<&String> = here.0.keys().chain(there.0.keys()).collect();
    let mut same = 0;
    for file in files {
        let (ours, theirs) = (here.of(file), there.of(file));
        same += ours.intersection(&theirs).count();
        if ours == theirs {
            continue;
        }
        let text = fs::read(file)?;
        let cut = in_fragments(scanner, file, &text);
        for place in ours.symmetric_difference(&theirs) {
            let reason = if theirs.is_empty() && is_application(&text) {
                "gitleaks skips files of this kind"
            } else if cut.contains(place) == theirs.contains(place) {
                "gitleaks cuts the file in pieces"
            } else {
                "unexplained"
            };
            let (rule, line) = place;
            let side = if ours.contains(place) {
                "here"
            } else {
                "gitleaks"
            };
            println!("only {side}: {rule} {file}:{line}: {reason}");
            *reasons.entry(reason).or_default() += 1;
        }
    }
    println!("{same} places in common");
    for (reason, count) in &reasons {
        println!("{count} differ: {reason}");
    }
    Ok(if reasons.contains_key("unexplained") {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is found when each of gitleaks' pieces is scanned alone.
fn in_fragments(scanner: &Scanner<'_>, name: &str, text: &[u8]) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    let mut lines = 0;
    for fragment in fragments(text) {
        for finding in scanner.scan(fragment, Some(name.as_bytes())) {
            let line = match finding.match_line {
                0 => 0,
                line => lines + line,
            };
            places.insert((finding.rule_id.to_string(), line));
        }
        lines += fragment.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
    places
}

/// The pieces in which gitleaks 8.30 reads a file (`sources/file.go`, `sources/common.go`): 100 kB
/// at once, or what a buffer of 4096 bytes still holds, and on to an empty line, for at most
/// 25 kB.
fn fragments(text: &[u8]) -> Vec<&[u8]> {
    const READ: usize = 100_000;
    const BUFFER: usize = 4096;
    const PEEK: usize = 25_000;
    let mut out = Vec::new();
    let (mut at, mut buffered) = (0, 0);
    while at < text.len() {
        let size = if buffered > 0 { buffered } else { READ };
        let mut end = (at + size).min(text.len());
        buffered = 0;
        let read = end;
        let mut newlines = 0;
        let tail = text.get(at..end).unwrap_or_default();
        let blank = tail
            .iter()
            .rev()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .filter(|byte| **byte == b'\n')
            .count();
        if blank < 2 {
            loop {
                match end.checked_sub(1).and_then(|last| text.get(last)) {
                    Some(b'\n') => newlines += 1,
                    Some(b' ' | b'\t' | b'\r') => {}
                    _ => newlines = 0,
                }
                if newlines >= 2 || end - read >= PEEK || end == text.len() {
                    break;
                }
                if buffered == 0 {
                    buffered = BUFFER.min(text.len() - end);
                }
                end += 1;
                buffered -= 1;
            }
        }
        out.extend(text.get(at..end));
        at = end;
    }
    out
}

/// First bytes of some kinds of file that gitleaks does not read (it leaves out what the library
/// `h2non/filetype` calls an application; these are the kinds that stand in source trees).
fn is_application(text: &[u8]) -> bool {
    const KINDS: [&[u8]; 14] = [
        b"PK\x03\x04",
        b"\x1f\x8b\x08",
        b"BZh",
        b"\xfd7zXZ\x00",
        b"7z\xbc\xaf\x27\x1c",
        b"%PDF",
        b"\x7fELF",
        b"MZ",
        b"\x00asm",
        b"!<arch>",
        b"SQLite format 3",
        b"\x28\xb5\x2f\xfd",
        b"\xca\xfe\xba\xbe",
        b"%!",
    ];
    KINDS.iter().any(|kind| text.starts_with(kind))
}

fn walk(folder: &Path, ruleset: &Ruleset, file: &mut impl FnMut(&str, &[u8])) -> Result<(), Error> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = path.to_string_lossy();
        if kind.is_dir() {
            if !ruleset.skips_folder(name.as_bytes()) {
                walk(&path, ruleset, file)?;
            }
        } else if kind.is_file() {
            file(&name, &fs::read(&path)?);
        }
    }
    Ok(())
}
