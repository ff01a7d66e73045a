//! Tests through the front door: real git against real hooks, proxy, service, Postgres and
//! sshd.
//!
//! One Refwarden is shared by all tests that leave it running, with a repository for each test;
//! what kills things starts one of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod absences;
mod approval;
mod asked;
mod asking;
mod backup;
mod build_jobs;
mod bundle;
mod chaos;
mod doctor;
mod exceptions;
mod exchange;
mod exhausting;
mod exposure;
mod facts;
mod fetches;
mod forger;
mod hostile_names;
mod hostile_tokens;
mod identity;
mod install;
mod masked;
mod masked_channels;
mod masked_foreign;
mod masked_moves;
mod masked_notes;
mod masked_ssh;
mod matched;
mod matter;
mod methods;
mod notify;
mod openid;
mod outage;
mod pasted;
mod policy;
mod proxy;
mod reconcile;
mod records;
mod resync;
mod retention;
mod roles;
mod rules;
mod same_pack;
mod scan;
mod secrets;
mod shared;
mod shell;
mod signed;
mod store;
mod streamed;
mod tamper;
mod transport;
mod unmasked;
mod unread;
mod up;
mod vault;
mod view;
mod waiting;
mod whole;
