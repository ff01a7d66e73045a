//! How long a verdict takes, from the hook's question to its recorded answer, and how many there
//! are in a second, beside pgbench's simple updates on the same Postgres in the same run.
//!
//! No git takes part: a load client speaks the hook's own protocol. As hooks do, it opens a
//! connection for each question and brings a token that was never used. Questions are made and
//! signed before the time begins.
//!
//! On a machine that does other work too, rates are not worth much, and time on a processor is: it
//! is told for each side. `POOL` says how many connections to the database the service has. A push that
//! is not released, for which the service has no connection in time for example, is counted and is
//! part of no rate and no latency.

mod cpu;
mod raw;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use refwarden_testkit::{Repository, Stack};
use refwarden_wire::hook::{FRAMED, Outcome, PUSHES, PushOut, TOKEN_HEADER};
use serde_json::{Value, json};

use crate::sample::quantile;

/// Pushes at a time.
const LEVELS: [usize; 3] = [1, 50, 200];

/// Runs of each at each level, alternating.
const ROUNDS: usize = 3;

/// Length of a run.
const LENGTH: Duration = Duration::from_secs(5);

/// Repositories that the pushes are spread over: those of one repository are numbered without
/// gaps, so they wait for one another.
const REPOSITORIES: usize = 16;

/// Connections that Postgres of the quick start lets be made, less those that it keeps for itself and
/// those that a look at it needs.
const CONNECTIONS: usize = 96;

/// The service's connections to the database where `POOL` does not say; the configuration's default.
const POOL: usize = 16;

const ISSUER: &str = "https://bench.example.org";

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Questions that are made before a run, at most; more than are answered in one.
const MADE: usize = 20_000;

struct Load {
    /// Where the service listens.
    address: String,
    service: i32,
    postgres: i32,
    credential: String,
    repositories: Vec<String>,
    pair: Ed25519KeyPair,
    /// The service's connections to the database.
    pool: usize,
}

/// What came of pushing for a while.
#[derive(Default)]
struct Done {
    /// Milliseconds of each push that was released.
    times: Vec<f64>,
    /// Of those, in a second.
    rate: f64,
    refusals: Refusals,
}

/// Measures on a Refwarden of its own.
pub fn measure() {
    println!("## Decisions\n");
    let pool = pool();
    let mut stack = Stack::start();
    let load = prepare(&mut stack, pool);
    let database = stack.started().database_url.clone();
    pgbench(&database, &["-i", "-q", "-s", "20"]);
    println!(
        "{ROUNDS} runs of {} s each, alternating, over {REPOSITORIES} repositories and over one; \
         medians. Latency in milliseconds, of pushes that were released. The service has {pool} \
         connections to the database.\n",
        LENGTH.as_secs()
    );
    println!(
        "| pushes at a time | repositories | p50 | p99 | pushes/s | not released | pgbench -N, transactions/s | \
         ratio (lowest-highest) | processor, ms a push: client, service, Postgres | \
         ms a transaction: pgbench, Postgres |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for repositories in [REPOSITORIES, 1] {
        for level in LEVELS {
            eprintln!("decisions, {level} at a time, {repositories} repositories");
            row(&load, &database, level, repositories);
        }
    }
    println!();
}

fn row(load: &Load, database: &str, level: usize, repositories: usize) {
    let (mut times, mut rates, mut theirs, mut ratios) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut ours_spent, mut theirs_spent) = (Spent::default(), Spent::default());
    let mut refusals = Refusals::new();
    for round in 0..ROUNDS {
        let mut reference = 0.0;
        if round % 2 == 0 {
            reference = transactions(load, database, level, &mut theirs_spent);
        }
        let done = pushes(load, level, repositories, &mut ours_spent);
        if round % 2 == 1 {
            reference = transactions(load, database, level, &mut theirs_spent);
        }
        times.extend(done.times);
        rates.push(done.rate);
        theirs.push(reference);
        ratios.push(done.rate / reference);
        for (why, count) in done.refusals {
            *refusals.entry(why).or_default() += count;
        }
    }
    println!(
        "| {level} | {repositories} | {} | {} | {:.0} | {} | {:.0} | {:.2} ({:.2}-{:.2}) | \
         {:.2}, {:.2}, {:.2} | {:.2}, {:.2} |",
        latency(&times, 0.5),
        latency(&times, 0.99),
        quantile(&rates, 0.5),
        told(&refusals),
        quantile(&theirs, 0.5),
        quantile(&ratios, 0.5),
        quantile(&ratios, 0.0),
        quantile(&ratios, 1.0),
        ours_spent.each(ours_spent.client),
        ours_spent.each(ours_spent.service),
        ours_spent.each(ours_spent.postgres),
        theirs_spent.each(theirs_spent.client),
        theirs_spent.each(theirs_spent.postgres),
    );
}

/// How many pushes were not released, by what was answered.
type Refusals = BTreeMap<String, usize>;

fn told(refusals: &Refusals) -> String {
    let all: Vec<String> = refusals
        .iter()
        .map(|(why, count)| format!("{count} ({why})"))
        .collect();
    if all.is_empty() {
        "0".to_owned()
    } else {
        all.join(", ")
    }
}

/// Milliseconds, where any push was released.
fn latency(times: &[f64], part: f64) -> String {
    if times.is_empty() {
        "-".to_owned()
    } else {
        format!("{:.1}", quantile(times, part))
    }
}

/// What `POOL` says.
fn pool() -> usize {
    let said = std::env::var("POOL").unwrap_or_default();
    if said.is_empty() {
        return POOL;
    }
    let number = said.parse().ok();
    let number = number.filter(|number| (1..CONNECTIONS).contains(number));
    number.unwrap_or_else(|| panic!("POOL: expected 1 to {}, not {said}", CONNECTIONS - 1))
}

/// Time on a processor, in hundredths of a second.
#[derive(Default)]
struct Spent {
    count: usize,
    client: u64,
    service: u64,
    postgres: u64,
}

impl Spent {
    /// Milliseconds for each of what was counted.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count, and a few minutes at most"
    )]
    fn each(&self, spent: u64) -> f64 {
        spent as f64 * 10.0 / self.count.max(1) as f64
    }

    /// Adds what was spent while something ran.
    fn during<T>(&mut self, load: &Load, is_child: bool, work: impl FnOnce() -> T) -> T {
        let client = || {
            if is_child {
                cpu::this().1
            } else {
                cpu::this().0
            }
        };
        let now = || {
            (
                client(),
                cpu::family(load.service),
                cpu::family(load.postgres),
            )
        };
        let before = now();
        let done = work();
        let after = now();
        self.client += after.0 - before.0;
        self.service += after.1 - before.1;
        self.postgres += after.2 - before.2;
        done
    }
}

/// Trusts an issuer whose keys are here, gives the service that many connections, and makes the
/// repositories.
fn prepare(stack: &mut Stack, pool: usize) -> Load {
    let pair = Ed25519KeyPair::generate().unwrap();
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k"}]});
    let directory = stack.directory().to_owned();
    std::fs::write(directory.join("bench.jwks.json"), keys.to_string()).unwrap();
    let file = directory.join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let issuer = format!(
        "\n[[issuer]]\nurl = \"{ISSUER}\"\nalgorithms = [\"EdDSA\"]\n\
         jwks_file = \"bench.jwks.json\"\n"
    );
    let said = format!("\nconnections = {POOL}\n");
    assert!(text.contains(&said), "{text}");
    let text = text.replacen(&said, &format!("\nconnections = {pool}\n"), 1);
    std::fs::write(&file, text + &issuer).unwrap();
    stack.restart();
    let make = |number: usize| {
        let repository = Repository::guarded(stack, &format!("load-{number}"));
        repository.git(&["config", "refwarden.repository"]).text()
    };
    let credential = std::fs::read_to_string(directory.join("host.key")).unwrap();
    let url = &stack.started().service_url;
    Load {
        address: url.strip_prefix("http://").unwrap().to_owned(),
        service: stack.pid("service"),
        postgres: stack.pid("postgres"),
        credential: credential.trim().to_owned(),
        repositories: (0..REPOSITORIES).map(make).collect(),
        pair,
        pool,
    }
}

/// Pushes for a while, that many at a time.
#[expect(clippy::cast_precision_loss, reason = "a count of pushes")]
fn pushes(load: &Load, level: usize, repositories: usize, spent: &mut Spent) -> Done {
    let made: Vec<Vec<u8>> = (0..MADE)
        .map(|index| load.request(&load.repositories[index % repositories]))
        .collect();
    let made = Mutex::new(made);
    let begun = Instant::now();
    let one = || {
        let (mut times, mut refusals) = (Vec::new(), Vec::new());
        while begun.elapsed() < LENGTH {
            // The rate is of the time that it took, also where fewer were made than are answered.
            let Some(request) = made.lock().unwrap().pop() else {
                break;
            };
            match load.push(&request) {
                Ok(took) => times.push(took),
                Err(why) => refusals.push(why),
            }
        }
        (times, refusals)
    };
    let ended: Vec<_> = spent.during(load, false, || {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..level).map(|_| scope.spawn(one)).collect();
            let ended = workers.into_iter().map(|worker| worker.join().unwrap());
            ended.collect()
        })
    });
    let took = begun.elapsed().as_secs_f64();
    let mut done = Done::default();
    for (times, refusals) in ended {
        done.times.extend(times);
        for why in refusals {
            *done.refusals.entry(why).or_default() += 1;
        }
    }
    spent.count += done.times.len();
    done.rate = done.times.len() as f64 / took;
    done
}

impl Load {
    /// The question of a push that policy allows: a branch of one known commit.
    fn request(&self, repository: &str) -> Vec<u8> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let head = question(repository, number).to_string();
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        let (credential, token) = (&self.credential, self.token(number));
        let lines = format!(
            "POST {PUSHES} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {credential}\r\n\
             {TOKEN_HEADER}: {token}\r\ncontent-type: {FRAMED}\r\ncontent-length: {}\r\n\r\n",
            self.address,
            length.len() + head.len(),
        );
        [lines.as_bytes(), &length, head.as_bytes()].concat()
    }

    /// One push. Milliseconds, or why it was not released.
    fn push(&self, request: &[u8]) -> Result<f64, String> {
        let answer = raw::ask(&self.address, request).map_err(|error| error.kind().to_string())?;
        if answer.status != 200 {
            return Err(answer.status.to_string());
        }
        let out: PushOut = serde_json::from_str(&answer.text).unwrap();
        match out.outcome {
            Outcome::Released => Ok(answer.took.as_secs_f64() * 1000.0),
            Outcome::Waiting => Err("waiting".to_owned()),
            Outcome::Denied => Err("denied".to_owned()),
        }
    }

    fn token(&self, number: u64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = encode(json!({"alg": "EdDSA", "kid": "k"}));
        let claims = encode(json!({"iss": ISSUER, "aud": "refwarden", "sub": "ada",
            "jti": number.to_string(), "iat": now, "exp": now + 600}));
        let body = format!("{header}.{claims}");
        let signature = self.pair.sign(body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

fn question(repository: &str, number: u64) -> Value {
    let name = format!("refs/heads/load/{number}");
    json!({
        "repository": repository,
        "correlation": {"boot_id": "bench", "pid_namespace": 1, "pid": 1, "start_ticks": number},
        "transport": "local",
        "hook_version": env!("CARGO_PKG_VERSION"),
        "timings": {},
        "facts": {
            "object_format": "sha1",
            "updates": [{
                "ref_name": name, "target": name,
                "claimed_old": "0".repeat(40), "actual_old": "0".repeat(40),
                "new": format!("{number:040x}"), "kind": "create", "new_type": "commit",
                "gained": 0, "lost": 0, "default_branch": false,
            }],
            "commits": [], "commits_total": 0,
            "findings": [], "findings_total": 0, "objects_scanned": 0,
            "push_options": [], "ruleset_id": "bench",
        },
    })
}

fn transactions(load: &Load, database: &str, level: usize, spent: &mut Spent) -> f64 {
    let clients = level.min(CONNECTIONS - load.pool).to_string();
    let threads = level.min(2).to_string();
    let seconds = LENGTH.as_secs().to_string();
    let options = ["-N", "-n", "-c", &clients, "-j", &threads, "-T", &seconds];
    let said = spent.during(load, true, || pgbench(database, &options));
    let after = |prefix: &str| {
        let rest = said.lines().find_map(|line| line.strip_prefix(prefix));
        let word = rest.and_then(|rest| rest.split([' ', '/']).next());
        word.unwrap_or_else(|| panic!("pgbench does not say {prefix}: {said}"))
    };
    let count = after("number of transactions actually processed: ");
    spent.count += count.parse::<usize>().unwrap();
    after("tps = ").parse().unwrap()
}

fn pgbench(database: &str, options: &[&str]) -> String {
    let mut command = Command::new("pgbench");
    let output = command.args(options).arg(database).output();
    let output = output.unwrap_or_else(|error| panic!("pgbench: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "pgbench: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
