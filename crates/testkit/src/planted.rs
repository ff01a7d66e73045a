//! Secrets that tests plant, and the look for them in everything that is told to anybody: what
//! programs of the project print, what a push is answered, pages, answers of the API, logs and records.
//!
//! A look that finds one panics, in whichever test it happens.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refwarden_scan::example;

static PLANTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Up to this many bytes are searched for one form after the other.
const SHORT: usize = 64 << 10;

/// Parts of a data directory that hold Git objects or rows, which are looked at in other ways.
const ELSEWHERE: [&str; 4] = ["repositories", "postgres", "packs", "views"];

/// A secret that a template makes, remembered as one that nobody may be told from now on.
#[track_caller]
pub fn plant(template: &str, seed: u64) -> String {
    let secret = String::from_utf8(example::expand(template, seed)).unwrap();
    assert!(secret.len() > 20, "{template}: too short to be looked for");
    PLANTED.lock().unwrap().insert(secret.clone());
    secret
}

/// How a secret could stand in text: plain, in hexadecimal as in a dump, and in base64 at each
/// of its three alignments; without the characters at its ends, which a redacted form may show.
pub fn forms(secret: &str) -> Vec<String> {
    let middle = &secret[6..secret.len() - 3];
    let mut forms = vec![middle.to_owned(), hex::encode(middle)];
    for shift in 0..3 {
        let encoded = STANDARD.encode("x".repeat(shift) + middle);
        // The first and last groups depend on the neighbours.
        forms.push(encoded[4..encoded.len() - 4].to_owned());
    }
    forms
}

/// Requires that a text holds no planted secret in any form.
#[track_caller]
pub fn look(what: &str, text: &[u8]) {
    let forms: Vec<String> = PLANTED
        .lock()
        .unwrap()
        .iter()
        .flat_map(|it| forms(it))
        .collect();
    let found = if text.len() <= SHORT {
        let text = String::from_utf8_lossy(text);
        forms.iter().find_map(|form| text.find(form.as_str()))
    } else {
        let search = AhoCorasick::new(&forms).unwrap();
        search.find(text).map(|found| found.start())
    };
    if let Some(at) = found {
        let begin = text[..at].iter().rposition(|it| *it == b'\n');
        let line = &text[begin.map_or(0, |it| it + 1)..];
        let line = &line[..line.len().min(300)];
        panic!(
            "{what} holds a planted secret: {}",
            String::from_utf8_lossy(line)
        );
    }
}

/// Looks through the logs and all else that a data directory has in plain files.
#[track_caller]
pub fn look_through(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if ELSEWHERE.iter().any(|it| name == *it) {
            continue;
        }
        // What goes away meanwhile, and pipes and sockets, hold nothing.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => look_through(&path),
            Ok(kind) if kind.is_file() => {
                look(
                    &path.display().to_string(),
                    &std::fs::read(&path).unwrap_or_default(),
                );
            }
            _ => {}
        }
    }
}
