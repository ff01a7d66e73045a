//! Measures Refwarden against what people would run without it, in one run on one machine,
//! alternating. Prints Markdown on standard output, as it stands in docs/BENCHMARKS.md, and
//! its progress on standard error.
//!
//! Without arguments everything is measured that needs a running Refwarden; `push`, `clone`,
//! `decisions` and `memory` choose. `scan` compares scanners, and `view` builds of masked views, with
//! programs that they install, and `audit` fills ledgers; these run only when they are named.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark that cannot go on says why and ends"
)]

mod audit;
mod clone;
mod decisions;
mod machine;
mod matter;
mod memory;
mod nginx;
mod pushes;
mod sample;
mod scan;
mod view;

use refwarden_testkit::Stack;

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| chosen.is_empty() || chosen.iter().any(|it| it == name);
    if chosen == ["scan"] {
        machine::describe_without_servers();
        scan::measure();
        return;
    }
    if chosen == ["view"] {
        machine::describe_without_servers();
        view::measure();
        return;
    }
    machine::describe();
    if chosen == ["audit"] {
        audit::measure();
        return;
    }
    let stack = Stack::start();
    if wants("push") {
        pushes::measure(&stack);
    }
    if wants("clone") {
        clone::measure(&stack);
    }
    if wants("decisions") {
        decisions::measure();
    }
    if wants("memory") {
        memory::measure(&stack);
    }
}
