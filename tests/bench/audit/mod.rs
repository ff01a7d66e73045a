//! The ledger at several sizes: questions, export, verification, insertion, growth.

mod generate;
mod questions;

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use refwarden_testkit::{Stack, until};
use reqwest::blocking::Client;

use self::generate::{ask, generate};
use self::questions::Asker;

/// Measures each size in a Refwarden of its own. `AUDIT_BENCH_EVENTS` chooses sizes, separated by
/// commas. `AUDIT_BENCH_SERVICE`, with an auditor's `REFWARDEN_TOKEN`, asks a service that runs already,
/// and measures nothing else.
pub fn measure() {
    if let Ok(url) = std::env::var("AUDIT_BENCH_SERVICE") {
        let token = std::env::var("REFWARDEN_TOKEN").unwrap();
        let client = Client::builder().no_proxy().timeout(None).build().unwrap();
        let asker = Asker {
            url: &url,
            token: &token,
            client: &client,
        };
        asker.measure("a service that runs already");
        return;
    }
    let sizes = std::env::var("AUDIT_BENCH_EVENTS");
    let sizes = sizes.unwrap_or_else(|_| "10000,1000000".to_owned());
    println!("## The ledger\n");
    println!(
        "First page of 50 events through the API, oldest and newest first, in milliseconds.\n"
    );
    println!(
        "| events | questions | median | p95 | longest | the slowest |\n|---|---|---|---|---|---|"
    );
    let mut figures = Vec::new();
    for size in sizes.split(',') {
        let events: u64 = size.trim().parse().unwrap();
        figures.push(one(events));
    }
    println!();
    println!(
        "| events | inserted into `events`, events/s | into a bare table | ratio | log, events/s | \
         terms, events/s | export, MB/s | service, MiB | verify, events/s of CPU | bytes an event | \
         of it for questions |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for row in figures {
        println!("{row}");
    }
    println!();
}

/// Measures one size; answers a row of figures.
#[expect(clippy::cast_precision_loss, reason = "counts of events")]
fn one(events: u64) -> String {
    let stack = Stack::start();
    let database = stack.started().database_url.clone();
    eprintln!("{events} events: generating");
    generate(&database, events);
    let made: u64 = ask(&database, "SELECT count(*) FROM events")
        .parse()
        .unwrap();
    let begun = Instant::now();
    let log = "SELECT count(*) FROM log_leaves WHERE stream IN (SELECT id FROM repositories)";
    await_count(&database, log, made);
    let logged = made as f64 / begun.elapsed().as_secs_f64();
    let terms = "SELECT count(*) FROM event_terms";
    await_count(&database, terms, made);
    let termed = made as f64 / begun.elapsed().as_secs_f64();
    ask(&database, "VACUUM ANALYZE");
    eprintln!("{events} events: in the log and ready, {logged:.0} and {termed:.0} events/s");

    // The longest that there is. A ledger that takes longer is asked with AUDIT_BENCH_SERVICE.
    let token = stack.token_as("operator", "audrey", "1h");
    let client = Client::builder().no_proxy().timeout(None).build().unwrap();
    let asker = Asker {
        url: &stack.started().service_url,
        token: &token,
        client: &client,
    };
    asker.measure(&made.to_string());
    let (export, memory) = export(&stack, &client, &token);
    let verified = verify(&stack, made);
    let (ours, bare) = insertion(&database);
    let bytes = |tables: &str| -> f64 {
        let sum = format!(
            "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND \
             relnamespace = 'public'::regnamespace {tables}"
        );
        ask(&database, &sum).parse::<f64>().unwrap() / made as f64
    };
    format!(
        "| {made} | {ours:.0} | {bare:.0} | {:.2} | {logged:.0} | {termed:.0} | {export:.1} | \
         {memory:.1} | {verified:.0} | {:.0} | {:.0} |",
        ours / bare,
        bytes(""),
        bytes("AND relname LIKE 'event\\_%'"),
    )
}

fn await_count(database: &str, query: &str, expected: u64) {
    until("the service has caught up", Duration::from_hours(6), || {
        let found: u64 = ask(database, query).parse().unwrap();
        (found >= expected).then_some(())
    });
}

/// Rows a second that go into the ledger's table in one statement, and into one without keys,
/// indexes and triggers: two hundred thousand at most, three times each by turns.
fn insertion(database: &str) -> (f64, f64) {
    ask(
        database,
        "CREATE TABLE bench_rows AS SELECT * FROM events ORDER BY recorded_at LIMIT 200000;
        CREATE TABLE bench_bare (LIKE events)",
    );
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (table, rates) in [("events", &mut ours), ("bench_bare", &mut bare)] {
            let begun = Instant::now();
            ask(
                database,
                &format!(
                    "BEGIN; SET session_replication_role = replica;
                    INSERT INTO {table} SELECT repository_id, seq + 1000000000, recorded_at, kind,
                        actor, push_id, request_id, ref_name, ref_name_text, old_oid, new_oid,
                        codes, summary FROM bench_rows; ROLLBACK"
                ),
            );
            rates.push(begun.elapsed().as_secs_f64());
        }
    }
    let rows: f64 = ask(database, "SELECT count(*) FROM bench_rows")
        .parse()
        .unwrap();
    ask(database, "DROP TABLE bench_rows, bench_bare");
    let rate = |times: &[f64]| rows / crate::sample::quantile(times, 0.5);
    (rate(&ours), rate(&bare))
}

/// Megabytes a second of an export as JSON lines, and the service's peak in MiB meanwhile.
#[expect(clippy::cast_precision_loss, reason = "a number of bytes")]
fn export(stack: &Stack, client: &Client, token: &str) -> (f64, f64) {
    let process = service(stack.directory());
    // Forgets the peak until now (proc(5)).
    std::fs::write(process.join("clear_refs"), "5").unwrap();
    let url = format!(
        "{}/api/v1/events/export?format=jsonl",
        stack.started().service_url
    );
    let begun = Instant::now();
    let mut answer = client.get(url).bearer_auth(token).send().unwrap();
    assert!(answer.status().is_success());
    let (mut buffer, mut total) = (vec![0; 1 << 18], 0);
    loop {
        match answer.read(&mut buffer).unwrap() {
            0 => break,
            read => total += read,
        }
    }
    let rate = total as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: f64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    (rate, peak / 1024.0)
}

/// The service of this stack, in /proc.
fn service(directory: &Path) -> std::path::PathBuf {
    let directory = directory.display().to_string();
    let is_it = |path: &std::path::PathBuf| {
        let line = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        line.contains("refwarden-service") && line.contains(&directory)
    };
    let mut all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.find_map(|entry| Some(entry.path()).filter(is_it))
        .unwrap()
}

/// Events a second of processor time of `refwarden audit verify` over a file.
#[expect(clippy::cast_precision_loss, reason = "a count of events")]
fn verify(stack: &Stack, events: u64) -> f64 {
    // The export has at least what these attest.
    let second = stack.directory().join("bench-checkpoints");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&stack.directory().join("checkpoints"), &second])
        .status();
    assert!(copied.unwrap().success());
    let file = stack.directory().join("bench-record.jsonl");
    let file = file.to_str().unwrap();
    stack
        .refwarden(&["audit", "export", "--out", file])
        .passes();
    let key = stack.directory().join("bench-log.pub");
    std::fs::write(&key, stack.refwarden(&["audit", "key"]).passes().text()).unwrap();
    let arguments = [
        "audit",
        "verify",
        "--export",
        file,
        "--key",
        key.to_str().unwrap(),
        "--checkpoints",
        second.to_str().unwrap(),
    ];
    let before = children();
    let said = stack.refwarden(&arguments);
    let took = children() - before;
    assert!(said.ok(), "{said}");
    std::fs::remove_file(file).unwrap();
    events as f64 / took.max(0.01)
}

/// Processor time of the children that have ended, in seconds.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // Behind the name: field 3 is the first; cutime and cstime are 16 and 17 (proc(5)), in
    // hundredths, as on every Linux of today.
    let of = |field: usize| fields[field - 3].parse::<f64>().unwrap();
    (of(16) + of(17)) / 100.0
}
