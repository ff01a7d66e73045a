//! Feeds every parser of bytes from outside with inputs that nobody would write.
//!
//! `make test` runs each target for two seconds, `make fuzz` for as long as `SECONDS=` says. A
//! stable compiler gives no coverage, so an input counts as new when the parser *answers* in a way
//! that it has not answered before (`engine`); such inputs are kept in `target/fuzz/corpus`, in the
//! form of bytes, and are where the next run begins. Other beginnings are made from templates,
//! since no token stands in the project, and from `fuzz/corpus/TARGET/*`, which holds inputs that
//! once failed.
//!
//! A target does not only wait for a panic: it says what must hold (`targets`), such as that
//! pieces do not change what is found, or that what was accepted can be written as it was read.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "a test says what is wrong by ending"
)]

#[path = "../../../crates/scan/tests/archives/mod.rs"]
mod archives;
mod engine;
mod mutate;
mod random;
mod targets;

use engine::{Target, fuzz};

macro_rules! targets {
    ($($name:ident: $module:ident::$target:ident),+ $(,)?) => {
        $(#[test] fn $name() { fuzz(&Target { name: stringify!($name), ..targets::$module::$target() }); })+
    };
}

targets! {
    decoder: scan::decoder,
    utf16: scan::utf16,
    chunks: scan::chunks,
    delta: scan::delta,
    container: container::container,
    rule_file: rules::rule_file,
    gitleaks_toml: rules::gitleaks_toml,
    gitleaks_ignore: rules::gitleaks_ignore,
    hook_input: git::hook_input,
    pkt_line: git::pkt_line,
    pack_index: git::pack_index,
    tree: git::tree,
    names: git::names,
    policy: words::policy,
    query: words::query,
    token_scope: words::token_scope,
    configuration: words::configuration,
    ledger_notes: words::ledger_notes,
}
