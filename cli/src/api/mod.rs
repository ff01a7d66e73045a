//! Talking to the service.

pub mod client;
pub mod tokens;

pub use client::Api;
