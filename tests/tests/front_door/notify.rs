//! Whoever has to know is told: by webhook, mail, Slack and Teams, at least once, and never by
//! way of an address that nobody allowed.

mod collectors;
mod configuration;
pub mod mail;
mod outage;
mod people;
pub mod receiver;
pub mod setup;
mod webhooks;
mod windows;
