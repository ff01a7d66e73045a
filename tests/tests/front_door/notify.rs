//! Whoever has to know is told: by webhook, mail, Slack and Teams, at least once, and never by
//! way of an address that nobody allowed.

mod configuration;
mod mail;
mod outage;
mod people;
mod receiver;
mod setup;
mod webhooks;
