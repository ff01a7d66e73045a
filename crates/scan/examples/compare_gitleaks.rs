//! Holds this crate against gitleaks: same configuration, same files, decoding off in both.
//!
//! ```text
//! gitleaks dir DIR --config CONFIG --max-decode-depth 0 --report-format json --report-path REPORT
//! cargo run --release -p refwarden-scan --example compare_gitleaks CONFIG DIR REPORT
//! ```
//!
//! `--default FILE` in front says which file stands for gitleaks' own where CONFIG extends it.
//!
//! Prints each (rule, file, line) that only one of them reports, and why; ends with 1 if there is
//! one without explanation. Without REPORT it only scans, and prints how long that took, in
//! seconds. With `--plant DIR` alone it writes files to compare on: the examples and counter
//! examples of the crate's own rules, expanded, in several kinds of file. Prints no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use refwarden_scan::gitleaks::{self, Base};
use refwarden_scan::{FingerprintKey, Ruleset, Scanner};

type Error = Box<dyn std::error::Error>;
type Place = (String, u64);

fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (default, arguments) = match arguments.as_slice() {
        [flag, default, rest @ ..] if flag == "--default" => (Some(default), rest),
        rest => (None, rest),
    };
    let (config, folder, report) = match arguments {
        [flag, folder] if flag == "--plant" => {
            plant(Path::new(folder))?;
            return Ok(ExitCode::SUCCESS);
        }
        [config, folder] => (config, folder, None),
        [config, folder, report] => (config, folder, Some(report)),
        _ => return Err("usage: compare_gitleaks CONFIG DIR [REPORT]".into()),
    };
    let start = Instant::now();
    let resolve = |base: Base<'_>| {
        let file = match (base, default) {
            (Base::Path(path), _) => path,
            (Base::Default, Some(file)) => file,
            (Base::Default, None) => return Err("expected --default FILE".to_owned()),
        };
        fs::read_to_string(file).map_err(|error| error.to_string())
    };
    let loaded = gitleaks::load(&fs::read_to_string(config)?, config, resolve)?;
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
    compare(&scanner, config, &here, &there)
}

/// Kinds of file: name, and what stands before and after a token.
const KINDS: [(&str, &str, &str); 9] = [
    ("plain.txt", "", "\n"),
    (
        "settings.py",
        "API_KEY = \"",
        "\"  # used by the importer\n",
    ),
    ("values.yaml", "  auth_token: ", "\n"),
    ("data.json", "{\"client_secret\": \"", "\", \"n\": 1}\n"),
    (".env", "export PASSWORD=", "\n"),
    (
        "app.min.js",
        ";var a=1,token='",
        "',b=function(){return a};",
    ),
    ("main.go", "\tkey := `", "`\n"),
    ("allowed.rb", "secret = '", "' # gitleaks:allow\n"),
    (
        "run.sh",
        "curl -H 'Authorization: Bearer ",
        "' https://example.org/\n",
    ),
];

/// Writes files with tokens: each example of each rule, in each kind of file, twice.
fn plant(folder: &Path) -> Result<(), Error> {
    let ruleset = Ruleset::builtin()?;
    for (index, (name, before, after)) in KINDS.iter().enumerate() {
        for (list, seed) in [("examples", 1), ("examples", 2), ("counters", 1)] {
            let mut text = Vec::new();
            for rule in ruleset.rules() {
                let templates = match list {
                    "examples" => rule.examples(),
                    _ => rule.counter_examples(),
                };
                for template in templates {
                    let seed = seed + 100 * index as u64;
                    text.extend_from_slice(before.as_bytes());
                    text.extend(refwarden_scan::example::expand(template, seed));
                    text.extend_from_slice(after.as_bytes());
                }
            }
            let folder = folder.join(format!("{list}{seed}"));
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(name), text)?;
        }
    }
    Ok(())
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

fn compare(
    scanner: &Scanner<'_>,
    config: &str,
    here: &Places,
    there: &Places,
) -> Result<ExitCode, Error> {
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
            let reason = if fs::canonicalize(file)? == fs::canonicalize(config)? {
                "gitleaks skips its configuration"
            } else if theirs.is_empty() && is_skipped(file, &text) {
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
        lines += memchr::memchr_iter(b'\n', fragment).count() as u64;
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

/// Whether gitleaks leaves a file out: archives by their name (library `mholt/archives`), and by
/// their first bytes what the library `h2non/filetype` calls an application. These are the kinds
/// that stand in source trees.
fn is_skipped(name: &str, text: &[u8]) -> bool {
    const NAMES: [&str; 13] = [
        ".7z", ".br", ".bz2", ".gz", ".lz", ".lz4", ".rar", ".sz", ".tar", ".tgz", ".xz", ".zip",
        ".zst",
    ];
    const STARTS: [&[u8]; 14] = [
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
    NAMES.iter().any(|end| name.ends_with(end))
        || STARTS.iter().any(|start| text.starts_with(start))
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
