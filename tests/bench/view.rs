//! Masked views: a cold build against `git index-pack` of the same pack and git-filter-repo doing
//! the same replacement, and what following a push of one commit takes.
//!
//! What is read from the environment: `VIEW_BENCH_REPO` (repositories, separated by colons, that
//! are measured besides the generated ones), `VIEW_BENCH_LARGE` (any value: one of 500 000
//! objects, too), `VIEW_BENCH_ROUNDS`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use refwarden_scan::example;
use refwarden_testkit::{Git, program};

use crate::sample::quantile;
use crate::scan::process::{Usage, run};

/// Rounds of what takes seconds.
const ROUNDS: usize = 7;

/// Commits of the generated histories, of eight objects each.
const SIZES: [(usize, &str); 3] = [
    (625, "generated, 5 000 objects"),
    (6_250, "generated, 50 000 objects"),
    (62_500, "generated, 500 000 objects"),
];

/// Measures everything.
pub fn measure() {
    let rounds = std::env::var("VIEW_BENCH_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |text| text.parse().unwrap());
    let work = std::env::temp_dir().join("refwarden-bench-view");
    if work.exists() {
        std::fs::remove_dir_all(&work).unwrap();
    }
    std::fs::create_dir_all(&work).unwrap();
    let peers = Command::new("install/view-peers.sh")
        .arg(std::env::temp_dir().join("refwarden-bench-view-peers"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("install/view-peers.sh: {error}; start in the project"));
    assert!(peers.status.success(), "install/view-peers.sh failed");
    let filter = String::from_utf8(peers.stdout).unwrap();
    let bench = Bench {
        git: Git::new(&work),
        work: work.clone(),
        filter: PathBuf::from(filter.trim()),
        rounds,
    };
    println!("\n## Masked views\n");
    println!(
        "{rounds} rounds by turns; medians of user and system time of all processes (quartiles), \
         of wall clock, and of each round's ratio of processor time to index-pack's. Peaks are of the program \
         itself.\n"
    );
    let large = std::env::var_os("VIEW_BENCH_LARGE").is_some();
    let mut generated = Vec::new();
    for (commits, title) in SIZES.iter().take(if large { 3 } else { 2 }) {
        let repository = bench.generate(*commits);
        let measured = bench.repository(&repository, title);
        generated.push(measured);
    }
    growth(&generated);
    let named = std::env::var_os("VIEW_BENCH_REPO").unwrap_or_else(|| ".".into());
    for (number, path) in std::env::split_paths(&named).enumerate() {
        let repository = work.join(format!("named-{number}.git"));
        let mut clone = Command::new("git");
        clone.args(["clone", "-q", "--mirror", "--no-hardlinks"]);
        let status = clone.arg(&path).arg(&repository).status().unwrap();
        assert!(status.success(), "git clone of {} failed", path.display());
        bench.git.run(&repository, &["repack", "-adq"]).passes();
        let name = path.canonicalize().unwrap();
        let name = name.file_name().unwrap_or_default().to_string_lossy();
        bench.repository(&repository, &name);
    }
}

struct Bench {
    git: Git,
    work: PathBuf,
    filter: PathBuf,
    rounds: usize,
}

/// What came of a repository.
struct Measured {
    objects: f64,
    /// Processor time of each competitor, median, in seconds, and of a refresh.
    processor: Vec<f64>,
    refresh: f64,
}

const NAMES: [&str; 3] = [
    "git index-pack",
    "refwarden view build",
    "git-filter-repo --replace-text",
];

impl Bench {
    /// A bare repository; in one of fifty commits a secret comes or goes in a file at the top.
    fn generate(&self, commits: usize) -> PathBuf {
        let path = self.work.join(format!("generated-{commits}.git"));
        std::fs::create_dir_all(&path).unwrap();
        self.git
            .run(&path, &["init", "-q", "--bare", "-b", "main", "."])
            .passes();
        let mut stream = String::new();
        for commit in 0..commits {
            Self::commit(&mut stream, commit, None);
        }
        let import = ["fast-import", "--quiet", "--force"];
        self.git.feed(&path, &import, stream.as_bytes()).passes();
        self.git.run(&path, &["repack", "-adq"]).passes();
        path
    }

    fn commit(stream: &mut String, commit: usize, from: Option<&str>) {
        writeln!(
            stream,
            "commit refs/heads/main\ncommitter A <a@b> {} +0000\ndata 9\nCommit x",
            1_700_000_000 + commit
        )
        .unwrap();
        if let Some(from) = from {
            writeln!(stream, "from {from}").unwrap();
        }
        for file in 0..3 {
            let path = (commit * 3 + file) % 900;
            let mut content = String::new();
            for line in 0..100 {
                let version = if line % 17 == commit % 17 { commit } else { 0 };
                writeln!(
                    content,
                    "let value_{path}_{line} = compute({version}, {});",
                    line * 31
                )
                .unwrap();
            }
            writeln!(stream, "M 100644 inline dir{}/file{path}.rs", path % 30).unwrap();
            write!(stream, "data {}\n{content}\n", content.len()).unwrap();
        }
        if commit.is_multiple_of(50) {
            let seed = (commit / 50) as u64;
            let secret = example::expand("ghp_{base62:30}{crc32}", seed);
            let secret = String::from_utf8(secret).unwrap();
            let content = format!("name = app\ntoken = {secret}\nport = {commit}\n");
            writeln!(stream, "M 100644 inline app.conf\ndata {}", content.len()).unwrap();
            writeln!(stream, "{content}").unwrap();
        }
        stream.push('\n');
    }

    fn repository(&self, repository: &Path, title: &str) -> Measured {
        eprintln!("view: {title}");
        let listed = self.git.text(repository, &["count-objects", "-v"]);
        let number = |key: &str| {
            let line = listed.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap().trim().parse::<f64>().unwrap()
        };
        let (objects, disk) = (number("in-pack:"), number("size-pack:"));
        let pack = std::fs::read_dir(repository.join("objects/pack")).unwrap();
        let pack = pack.map(|entry| entry.unwrap().path());
        let pack = pack
            .into_iter()
            .find(|path| path.extension().is_some_and(|it| it == "pack"));
        let pack = pack.unwrap();
        let expressions = self.work.join("expressions");
        std::fs::write(&expressions, "regex:ghp_[0-9A-Za-z]{36}==>REDACTED\n").unwrap();
        let mut usages: Vec<Vec<Usage>> = NAMES.iter().map(|_| Vec::new()).collect();
        for round in 0..=self.rounds {
            for step in 0..NAMES.len() {
                let which = (round + step) % NAMES.len();
                // The slowest is not waited for as often.
                if which == 2 && round > 2 && objects > 20_000.0 {
                    continue;
                }
                let used = self.one(which, repository, &pack, &expressions);
                if round > 0 {
                    usages[which].push(used);
                }
            }
        }
        println!(
            "### {title}: {objects} objects, {:.1} MiB packed\n",
            disk / 1024.0
        );
        println!("| what | processor, s | wall, s | peak, MiB | to index-pack (quartiles) |");
        println!("|---|---|---|---|---|");
        let mut processor = Vec::new();
        for (name, used) in NAMES.iter().zip(&usages) {
            let seconds = |of: fn(&Usage) -> f64| used.iter().map(of).collect::<Vec<_>>();
            let times = seconds(|it| it.processor.as_secs_f64());
            let walls = seconds(|it| it.wall.as_secs_f64());
            let base = usages[0]
                .iter()
                .map(|it| it.processor.as_secs_f64().max(0.01));
            let ratios: Vec<f64> = times.iter().zip(base).map(|(a, b)| a / b).collect();
            let peak = used.iter().map(|it| it.peak).max().unwrap_or_default();
            println!(
                "| {name} | {:.2} ({:.2}-{:.2}) | {:.2} | {} | {:.1} ({:.1}-{:.1}) |",
                quantile(&times, 0.5),
                quantile(&times, 0.25),
                quantile(&times, 0.75),
                quantile(&walls, 0.5),
                peak / 1024,
                quantile(&ratios, 0.5),
                quantile(&ratios, 0.25),
                quantile(&ratios, 0.75),
            );
            processor.push(quantile(&times, 0.5));
        }
        let refresh = self.refresh(repository, objects, disk);
        Measured {
            objects,
            processor,
            refresh,
        }
    }

    fn view(&self, what: &str, repository: &Path) -> Command {
        let mut command = Command::new(program("refwarden"));
        command.args(["view", what, "--json", "--cache"]);
        command.arg(self.work.join("cache")).arg(repository);
        command
    }

    fn one(&self, which: usize, repository: &Path, pack: &Path, expressions: &Path) -> Usage {
        let other = self.work.join("other.git");
        if other.exists() {
            std::fs::remove_dir_all(&other).unwrap();
        }
        let command = match which {
            0 => {
                let mut command = Command::new("git");
                command.arg("index-pack").arg("-o");
                command.arg(self.work.join("other.idx")).arg(pack);
                command
            }
            1 => self.view("build", repository),
            _ => {
                let mut copy = Command::new("cp");
                assert!(
                    copy.arg("-r")
                        .arg(repository)
                        .arg(&other)
                        .status()
                        .unwrap()
                        .success()
                );
                let mut command = Command::new(&self.filter);
                command.args(["--force", "--quiet", "--replace-text"]);
                command.arg(expressions).current_dir(&other);
                command
            }
        };
        run(command, &[0])
    }

    /// Pushes of one commit, each followed.
    fn refresh(&self, repository: &Path, objects: f64, disk: f64) -> f64 {
        let mut used = Vec::new();
        let shadow = self.view("show", repository).output().unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&shadow.stdout).unwrap();
        let shadow = PathBuf::from(shown["shadow"].as_str().unwrap());
        let listed = self.git.text(&shadow, &["count-objects", "-v"]);
        let own = listed
            .lines()
            .find_map(|line| line.strip_prefix("size-pack:"));
        let own: f64 = own.unwrap().trim().parse().unwrap();
        for round in 0..=self.rounds {
            let head = self.git.text(repository, &["rev-parse", "HEAD"]);
            let branch = self.git.text(repository, &["symbolic-ref", "HEAD"]);
            let mut stream = String::new();
            Self::commit(&mut stream, 1_000_001 + round, Some(&head));
            let stream = stream.replace("refs/heads/main", &branch);
            let import = ["fast-import", "--quiet", "--force"];
            self.git
                .feed(repository, &import, stream.as_bytes())
                .passes();
            let one = run(self.view("refresh", repository), &[0]);
            if round > 0 {
                used.push(one);
            }
        }
        let walls: Vec<f64> = used.iter().map(|it| it.wall.as_secs_f64() * 1e3).collect();
        let times = used.iter().map(|it| it.processor.as_secs_f64() * 1e3);
        let times: Vec<f64> = times.collect();
        println!(
            "\nFollowing a push of one commit: {:.0} ms of processor time ({:.0}-{:.0}), {:.0} ms of wall clock. \
             The shadow of {objects} objects takes {:.2} times the original's pack on disk.\n",
            quantile(&times, 0.5),
            quantile(&times, 0.25),
            quantile(&times, 0.75),
            quantile(&walls, 0.5),
            own / disk,
        );
        quantile(&times, 0.5)
    }
}

/// How time grows from the smallest to the largest generated history.
fn growth(measured: &[Measured]) {
    let [first, .., last] = measured else { return };
    let exponent = |from: f64, to: f64| {
        (to.max(0.01) / from.max(0.01)).ln() / (last.objects / first.objects).ln()
    };
    println!("### Growth\n\n| what | exponent of processor time over objects |\n|---|---|");
    for (number, name) in NAMES.iter().enumerate() {
        let of = exponent(first.processor[number], last.processor[number]);
        println!("| {name} | {of:.2} |");
    }
    println!(
        "| refwarden view refresh | {:.2} |\n",
        exponent(first.refresh, last.refresh)
    );
}
