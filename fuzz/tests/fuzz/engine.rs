//! Runs a target: inputs that are made from others, those kept whose answer is new.
//!
//! Two runs with the same `FUZZ_SEED` and the same corpus make the same inputs in the same order.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutate::mutate;
use crate::random::{Random, number_of};

/// Seconds of each target unless `FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 2;

/// No single input may take longer, on a machine that does much else besides.
const LONGEST: Duration = Duration::from_mins(1);

/// Kept inputs of one target.
const KEPT_MAX: usize = 20_000;

/// Something that is fed.
pub struct Target {
    pub name: &'static str,
    /// Inputs to begin with.
    pub seeds: Vec<Vec<u8>>,
    /// Pieces of what it reads.
    pub words: Vec<Vec<u8>>,
    /// Longest input, in bytes.
    pub longest: usize,
    /// Reads an input, panics where a law does not hold, and yields what it answered, as short
    /// as tells one kind of answer from another.
    pub run: fn(&[u8]) -> String,
}

/// Runs a target for its time.
pub fn fuzz(target: &Target) {
    let seconds = variable("FUZZ_SECONDS").unwrap_or(SECONDS);
    // A corpus that is kept makes inputs differ from one run to the next, so the short runs of
    // every test run use none.
    let is_long = variable("FUZZ_SECONDS").is_some();
    let seed = variable("FUZZ_SEED").unwrap_or(if is_long { now() } else { 1 });
    let folder = work().join("corpus").join(target.name);
    let mut corpus = target.seeds.clone();
    corpus.extend(files(&project().join("corpus").join(target.name)));
    if is_long {
        fs::create_dir_all(&folder).unwrap();
        corpus.extend(files(&folder));
    }
    let watch = Watch::start(target.name);
    let mut answers = BTreeSet::new();
    for input in &corpus {
        answers.insert(kind(&watch.run(target, input)));
    }
    let mut random = Random::new(seed ^ number_of(target.name.as_bytes()));
    let begun = Instant::now();
    let (mut executions, mut bytes) = (0u64, 0u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut input = random.of(&corpus).clone();
        let other = random.below(corpus.len());
        mutate(
            &mut random,
            &mut input,
            &target.words,
            &corpus[other],
            target.longest,
        );
        let answer = watch.run(target, &input);
        executions += 1;
        bytes += input.len() as u64;
        if answers.insert(kind(&answer)) && corpus.len() < KEPT_MAX {
            if is_long {
                let name = format!("{:016x}", number_of(&input));
                fs::write(folder.join(name), &input).unwrap();
            }
            corpus.push(input);
        }
    }
    assert!(executions > 0, "{} had no time", target.name);
    eprintln!(
        "fuzz: {:16} {executions:>9} executions, {:>8} KB, {:>5} kinds of answer, seed {seed}",
        target.name,
        bytes / 1000,
        answers.len(),
    );
}

/// An answer without its numbers: the same fault in another line is no news.
fn kind(answer: &str) -> String {
    let mut kind: String = answer.chars().filter(|c| !c.is_ascii_digit()).collect();
    kind.truncate(kind.floor_char_boundary(200));
    kind
}

/// Looks at how long an input takes, and keeps what fails.
struct Watch {
    name: &'static str,
    current: Arc<Mutex<(Instant, Vec<u8>)>>,
}

impl Watch {
    fn start(name: &'static str) -> Self {
        let current = Arc::new(Mutex::new((Instant::now(), Vec::new())));
        let seen = Arc::downgrade(&current);
        thread::spawn(move || {
            while let Some(current) = seen.upgrade() {
                let (since, input) = current.lock().unwrap().clone();
                if !input.is_empty() && since.elapsed() > LONGEST {
                    let place = save(name, &input);
                    eprintln!("fuzz: {name} does not end with {}", place.display());
                    std::process::exit(101);
                }
                drop(current);
                thread::park_timeout(Duration::from_secs(1));
            }
        });
        Self { name, current }
    }

    fn run(&self, target: &Target, input: &[u8]) -> String {
        {
            let mut current = self.current.lock().unwrap();
            current.0 = Instant::now();
            current.1.clear();
            current.1.extend_from_slice(input);
        }
        let answer = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        self.current.lock().unwrap().1.clear();
        answer.unwrap_or_else(|_| {
            let place = save(self.name, input);
            let kept = format!("fuzz/corpus/{}", self.name);
            panic!(
                "{} fails with {}; once it is mended, keep that file in {kept}",
                self.name,
                place.display()
            )
        })
    }
}

fn save(name: &str, input: &[u8]) -> PathBuf {
    let folder = work().join("failures");
    fs::create_dir_all(&folder).unwrap();
    let place = folder.join(format!("{name}-{:016x}", number_of(input)));
    fs::write(&place, input).unwrap();
    place
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where a run leaves what it found.
fn work() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| project().join("../target"), PathBuf::from);
    target.join("fuzz")
}

/// Contents of the files of a folder, in the order of their names; none where there is none.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(1, |since| since.as_nanos() as u64)
}
