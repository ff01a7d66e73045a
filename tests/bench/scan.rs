//! The scanner against other scanners: the same bytes, one core each, in one run.
//!
//! Every competitor runs with its own default rules. Decoding and archives are switched off
//! where a competitor has them, as are network access and verification of what was found.
//! What is read from the environment: `SCAN_BENCH_TREE` (a directory of source), `SCAN_BENCH_REPO`
//! (a repository), `SCAN_BENCH_ROUNDS`, `SCAN_BENCH_CLEAN` (directories of clean source), and
//! `SCAN_BENCH_ONLY` (some of [`PARTS`], with commas between them).

mod corpus;
mod detection;
mod peers;
pub mod process;
mod rules;

use std::path::Path;

use self::corpus::Corpus;
use self::peers::{Job, Peer};
use self::process::Usage;
use crate::sample::{Sample, alternate, quantile};

/// Rounds where runs take seconds.
const ROUNDS: usize = 7;

/// Files of the pushes that are compared.
const PUSHES: [usize; 3] = [1, 20, 500];

/// What can be measured alone.
const PARTS: [&str; 6] = ["detection", "trees", "rules", "large", "history", "pushes"];

/// The parts that are asked for: all, unless some are named.
fn wanted() -> Vec<String> {
    let Ok(named) = std::env::var("SCAN_BENCH_ONLY") else {
        return PARTS.map(str::to_owned).to_vec();
    };
    let parts: Vec<String> = named.split(',').map(str::to_owned).collect();
    for part in &parts {
        let known = PARTS.join(", ");
        assert!(
            PARTS.contains(&part.as_str()),
            "SCAN_BENCH_ONLY={named}: {part} is none of {known}"
        );
    }
    parts
}

/// Measures what is asked for.
pub fn measure() {
    let wanted = wanted();
    let is_wanted = |part: &str| wanted.iter().any(|it| it == part);
    let rounds = std::env::var("SCAN_BENCH_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |text| text.parse().unwrap());
    let work = corpus::directory();
    let peers = peers::all(&work);
    println!("## Scanning\n\n| what | version |\n|---|---|");
    for peer in &peers {
        println!("| {} | {} |", peer.name, peer.version);
    }
    println!();
    if is_wanted("detection") {
        detection::measure(&peers, &corpus::fresh(&work.join("cases")));
        detection::clean(&peers);
    }
    let bench = Bench {
        peers: &peers,
        rounds,
    };
    if is_wanted("history") {
        history(&bench, &work);
    }
    if wanted.iter().all(|it| it == "detection" || it == "history") {
        return;
    }
    let corpus = Corpus::make(&work);
    if is_wanted("trees") {
        trees(&bench, &corpus);
    }
    if is_wanted("rules") {
        number_of_rules(&bench, &work, &corpus);
    }
    if is_wanted("large") {
        bench.compare(
            &format!("One file of {:.1} MB", megabytes(corpus.large_bytes)),
            Job::Tree(&corpus.large),
            rounds.min(3),
            Some(corpus.large_bytes),
        );
    }
    if is_wanted("pushes") {
        pushes(&bench, &work, &corpus);
    }
}

/// Start, and trees of several sizes.
fn trees(bench: &Bench<'_>, corpus: &Corpus) {
    let start = bench.compare(
        "Start: every rule loaded, one file of 6 bytes",
        Job::Tree(&corpus.small),
        3 * bench.rounds,
        None,
    );
    let mut sizes = Vec::new();
    for tree in &corpus.trees {
        let title = format!(
            "A tree of source: {} files, {:.1} MB",
            tree.files,
            megabytes(tree.bytes)
        );
        let job = Job::Tree(&tree.path);
        let measured = bench.compare(&title, job, bench.rounds, Some(tree.bytes));
        sizes.push((tree.bytes, measured));
    }
    growth(&start, &sizes);
}

/// Pushes of some files, as ranges.
fn pushes(bench: &Bench<'_>, work: &Path, corpus: &Corpus) {
    for files in PUSHES {
        let (repository, from, to) = corpus::push(work, corpus, files);
        bench.compare(
            &format!("A range of one commit with {files} files"),
            Job::Range(&repository, &from, &to),
            bench.rounds,
            None,
        );
    }
}

struct Bench<'b> {
    peers: &'b [Peer],
    rounds: usize,
}

/// One competitor's runs of one job.
struct Measured {
    sample: Sample,
    processor: Vec<f64>,
    peak: u64,
}

impl Bench<'_> {
    /// Runs all that can do it, alternately, and prints a table.
    fn compare(
        &self,
        title: &str,
        job: Job<'_>,
        rounds: usize,
        bytes: Option<u64>,
    ) -> Vec<Measured> {
        eprintln!("scan: {title}");
        let able: Vec<&Peer> = self
            .peers
            .iter()
            .filter(|peer| peer.command(job).is_some())
            .collect();
        let usage: std::cell::RefCell<Vec<Vec<Usage>>> =
            std::cell::RefCell::new(able.iter().map(|_| Vec::new()).collect());
        let names: Vec<&str> = able.iter().map(|peer| peer.name.as_str()).collect();
        let samples = alternate(&names, rounds, |which| {
            let peer = able[which];
            let used = process::run(peer.command(job).unwrap(), &peer.codes);
            let took = used.wall;
            usage.borrow_mut()[which].push(used);
            took
        });
        let measured: Vec<Measured> = samples
            .into_iter()
            .zip(usage.into_inner())
            .map(|(sample, usage)| Measured {
                sample,
                // The first warmed up.
                processor: usage[1..]
                    .iter()
                    .map(|it| it.processor.as_secs_f64())
                    .collect(),
                peak: usage.iter().map(|it| it.peak).max().unwrap_or_default(),
            })
            .collect();
        print(title, &measured, rounds, bytes);
        measured
    }
}

fn print(title: &str, measured: &[Measured], rounds: usize, bytes: Option<u64>) {
    println!("### {title}\n\n{rounds} rounds, one core.\n");
    println!(
        "| what | seconds, median (quartiles) | user + system | MB/s | peak MiB | times Refwarden's (quartiles) | the same of user + system |"
    );
    println!("|---|---|---|---|---|---|---|");
    for one in measured {
        let (ratio, low, high) = one.sample.ratio(&measured[0].sample);
        let median = one.sample.quantile(0.5) / 1000.0;
        let speed = bytes.map_or("-".to_owned(), |bytes| {
            format!("{:.1}", megabytes(bytes) / median)
        });
        println!(
            "| {} | {median:.3} ({:.3}-{:.3}) | {:.2} | {speed} | {:.1} | {ratio:.2} ({low:.2}-{high:.2}) | {:.2} |",
            one.sample.name,
            one.sample.quantile(0.25) / 1000.0,
            one.sample.quantile(0.75) / 1000.0,
            quantile(&one.processor, 0.5),
            megabytes(one.peak * 1000) * 1.024 * 0.953_674_316,
            quantile(&one.processor, 0.5) / quantile(&measured[0].processor, 0.5).max(0.01),
        );
    }
    println!();
}

/// Prints how time grows with bytes: the slope of a straight line through the logarithms, with
/// the start taken off.
fn growth(start: &[Measured], sizes: &[(u64, Vec<Measured>)]) {
    println!("### Growth\n\n| what | exponent of time over bytes, start taken off |\n|---|---|");
    for (index, begun) in start.iter().enumerate() {
        let begun = begun.sample.quantile(0.5);
        let points: Vec<(f64, f64)> = sizes
            .iter()
            .map(|(bytes, measured)| {
                let took = measured[index].sample.quantile(0.5) - begun;
                (megabytes(*bytes).ln(), took.max(1.0).ln())
            })
            .collect();
        println!("| {} | {:.2} |", start[index].sample.name, slope(&points));
    }
    println!();
}

/// The same rules in those that read them, more and more of them.
fn number_of_rules(bench: &Bench<'_>, work: &Path, corpus: &Corpus) {
    let tree = &corpus.trees[1];
    let mut points: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for count in rules::COUNTS {
        let rules = rules::write(work, count);
        let title = format!("{count} generated rules, {:.1} MB", megabytes(tree.bytes));
        let job = Job::Rules(&tree.path, &rules);
        for (index, one) in bench
            .compare(&title, job, bench.rounds, Some(tree.bytes))
            .iter()
            .enumerate()
        {
            if points.len() <= index {
                points.push((one.sample.name.clone(), Vec::new()));
            }
            let count = f64::from(u32::try_from(count).unwrap());
            points[index]
                .1
                .push((count.ln(), quantile(&one.processor, 0.5).max(0.01).ln()));
        }
    }
    println!("| what | exponent of user + system time over rules |\n|---|---|");
    for (name, points) in &points {
        println!("| {name} | {:.2} |", slope(points));
    }
    println!();
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = f64::from(u32::try_from(points.len()).unwrap());
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let over: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let under: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
    over / under
}

/// A whole history, and what it takes git alone to read the same objects.
fn history(bench: &Bench<'_>, work: &Path) {
    let (repository, described) = corpus::repository(work);
    bench.compare(
        &format!("Full history: {described}"),
        Job::History(&repository),
        bench.rounds,
        None,
    );
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a file or a process")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
