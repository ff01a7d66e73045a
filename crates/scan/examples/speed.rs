//! Measures the scanner on a folder: `cargo run --release -p refwarden-scan --example speed DIR`.
//!
//! Prints the time to load the default rules, to build and run on one small file, and the
//! throughput on all files of the folder, held in memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use refwarden_scan::{FingerprintKey, Ruleset, Scanner, example};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: speed DIR")?;
    let planted = example::expand("token = ghp_{base62:30}{crc32}\n", 1);

    let start = Instant::now();
    let ruleset = Ruleset::builtin()?;
    let loaded = start.elapsed();
    let scanner = Scanner::new(&ruleset, FingerprintKey::new([7; 32]));
    let clean = scanner.scan(b"int main(void) { return 0; }\n", None).len();
    let first = start.elapsed();
    let found = scanner.scan(&planted, None).len();
    let second = start.elapsed();
    let id = ruleset.id().to_string();
    println!(
        "{} rules, id {}",
        ruleset.rules().count(),
        id.get(..16).unwrap_or(&id)
    );
    println!("load {loaded:?}; + clean file {first:?} ({clean}); + planted {second:?} ({found})");

    let mut files = Vec::new();
    read(Path::new(&folder), &mut files)?;
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut times = Vec::new();
    let mut findings = 0;
    for round in 0..5 {
        let start = Instant::now();
        findings = 0;
        for (name, bytes) in &files {
            for finding in scanner.scan(bytes, Some(name.as_bytes())) {
                findings += 1;
                if round == 0 {
                    println!(
                        "{name}:{} {} {}",
                        finding.line, finding.rule_id, finding.redacted
                    );
                }
            }
        }
        times.push(start.elapsed());
    }
    times.sort();
    let median = times
        .get(times.len() / 2)
        .copied()
        .unwrap_or(Duration::MAX)
        .as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a folder is far smaller than 2^52 bytes"
    )]
    let speed = bytes as f64 / 1e6 / median;
    println!(
        "{} files, {bytes} bytes, {findings} findings: {speed:.0} MB/s",
        files.len()
    );
    Ok(())
}

fn read(folder: &Path, files: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            read(&path, files)?;
        } else {
            files.push((path.display().to_string(), fs::read(&path)?));
        }
    }
    Ok(())
}
