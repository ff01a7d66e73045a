//! What people are asked and what they answer: approvals that a rebase keeps, questions,
//! comments, windows of time, emergencies; and what must not pass for any of them.

mod emergency;
mod hostile;
mod rebase;
mod said;
pub mod setup;
mod window;
