//! A short run of `make chaos`, whose seed is fixed so that everybody's run tries the same.

use std::process::Command;

use refwarden_testkit::{program, run};
use serde_json::Value;

fn chaos(arguments: &[&str]) -> Value {
    let mut command = Command::new(program("chaos"));
    command.args(arguments).arg("--json");
    let outcome = run(command, b"");
    assert_eq!(outcome.code, Some(0), "{outcome}");
    serde_json::from_str(&outcome.text()).unwrap_or_else(|error| panic!("{error}: {outcome}"))
}

#[test]
fn pushes_survive_kills() {
    let report = chaos(&["--seed", "20", "--trials", "16", "--only", "kills"]);
    assert_eq!(report["trials"], 16);
    // A kill that comes after the push has ended is none; most must have struck.
    assert!(report["kills"].as_u64() > Some(8), "{report}");
    assert_eq!(report["violations"], serde_json::json!([]));
}

#[test]
fn pushes_survive_a_database_that_does_not_answer() {
    let report = chaos(&["--seed", "21", "--trials", "3", "--only", "faults"]);
    assert!(report["faults"].as_u64() > Some(0), "{report}");
    assert_eq!(report["violations"], serde_json::json!([]));
}

#[test]
fn pushes_survive_full_disks() {
    let report = chaos(&["--seed", "27", "--trials", "5", "--only", "disks"]);
    let (faults, left_out) = (&report["faults"], &report["left_out"]);
    // Without root none can be filled, which is said.
    let is_said = left_out.as_object().is_some_and(|it| !it.is_empty());
    assert!(faults.as_u64() > Some(0) || is_said, "{report}");
    assert_eq!(report["violations"], serde_json::json!([]));
}

#[test]
fn masked_readers_read_on_while_the_database_does_not_answer() {
    // The database refuses connections, which needs no root, from before the push.
    let report = chaos(&["--seed", "27", "--trial", "27", "--only", "faults"]);
    assert_eq!(report["faults"], 1, "{report}");
    let reads = report["masked_reads_while_a_fault_lasted"].as_object();
    let reads: u64 = reads.unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(reads, 2, "{report}");
    assert_eq!(report["violations"], serde_json::json!([]));
}

#[test]
fn an_argument_that_is_not_known_is_refused() {
    let mut command = Command::new(program("chaos"));
    command.arg("--sed");
    let outcome = run(command, b"");
    assert_eq!(outcome.code, Some(2), "{outcome}");
    outcome.says(&["--sed is not known", "usage: chaos"]);
}
