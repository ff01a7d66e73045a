//! Pushes from masked clones, made by real git.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

#[path = "../../../scan/tests/archives/mod.rs"]
#[expect(dead_code, reason = "the scanner's own tests use more of it")]
mod archives;
mod containers;
mod desk;
mod laws;
mod moves;
mod notes;
mod rows;
mod signed;
