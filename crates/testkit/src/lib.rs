//! What the front-door tests and the benchmarks are made of: the real thing started in a
//! directory of its own, git without anybody's configuration, a raw client that says what git
//! would never say, and an approver who uses the pages.
//!
//! A dev-dependency only. Everything panics with what went wrong: in a test there is nothing
//! better to do.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "a panic is how a test harness fails"
)]

mod api;
mod browser;
mod foreign;
mod git;
mod objects;
mod openid;
mod pkt;
pub mod planted;
mod raw;
mod repository;
mod run;
mod s3;
mod ssh;
mod stack;
mod wait;

pub use api::Api;
pub use browser::{Browser, Page};
pub use foreign::Foreign;
pub use git::Git;
pub use objects::Objects;
pub use openid::OpenId;
pub use pkt::{flush, line, packets};
pub use raw::{Claim, RawPush, Report};
pub use repository::{Repository, Via, Work, is_pushing, with_token};
pub use run::{Outcome, run};
pub use s3::S3;
pub use ssh::Sshd;
pub use stack::{Stack, Started, program, running};
pub use wait::{until, within};
