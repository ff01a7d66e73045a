//! Lists of channels, each checked where it stands, so that a mistake has its line.

use std::ops::Deref;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use super::notify::{Chat, Collector, Email, Name, Security, Syslog, Webhook};

/// The most channels of a kind.
const MAX_CHANNELS: usize = 64;
/// The most secrets of a webhook.
const MAX_SECRETS: usize = 8;

/// The channels of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Channels<T>(Vec<T>);

impl<T> Default for Channels<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Channels<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de> + Channel> Deserialize<'de> for Channels<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let checked: Vec<Checked<T>> = Vec::deserialize(deserializer)?;
        if checked.len() > MAX_CHANNELS {
            return Err(D::Error::custom(format!(
                "{} channels of a kind, expected at most {MAX_CHANNELS}",
                checked.len()
            )));
        }
        Ok(Self(checked.into_iter().map(|it| it.0).collect()))
    }
}

/// A channel that was read and found good.
struct Checked<T>(T);

impl<'de, T: Deserialize<'de> + Channel> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let channel = T::deserialize(deserializer)?;
        channel.check().map_err(D::Error::custom)?;
        Ok(Self(channel))
    }
}

/// What every kind of channel has.
pub trait Channel {
    /// Its name.
    fn name(&self) -> &Name;

    /// Whether its keys fit each other.
    ///
    /// # Errors
    /// What is wrong and what was expected.
    fn check(&self) -> Result<(), String>;
}

impl Channel for Webhook {
    fn name(&self) -> &Name {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        let secrets = self.secret_files.len();
        if !(1..=MAX_SECRETS).contains(&secrets) {
            return Err(format!(
                "webhook `{}`: {secrets} secret_files, expected 1 to {MAX_SECRETS}",
                self.name
            ));
        }
        if !self.url.is_protected() && !self.allow_private {
            return Err(format!(
                "webhook `{}`: the url is http, expected https, or allow_private = true",
                self.name
            ));
        }
        told(&self.name, self.events.is_empty())
    }
}

impl Channel for Chat {
    fn name(&self) -> &Name {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        told(&self.name, self.events.is_empty())
    }
}

impl Channel for Syslog {
    fn name(&self) -> &Name {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(format!("syslog `{}`: {problem}", self.name));
        if self.facility > 23 {
            return fail("bad facility, expected 0 to 23");
        }
        let is_protected = matches!(self.target, Collector::Tls(..));
        if self.ca_file.is_some() && !is_protected {
            return fail("ca_file without TLS, expected a target tls://host:port");
        }
        let is_here = matches!(self.target, Collector::Socket(_));
        if !is_protected && !is_here && !self.allow_private {
            return fail("the target is without TLS, expected tls://, or allow_private = true");
        }
        told(&self.name, self.events.is_empty())
    }
}

impl Channel for Email {
    fn name(&self) -> &Name {
        &self.name
    }

    fn check(&self) -> Result<(), String> {
        let fail = |problem: &str| Err(format!("email `{}`: {problem}", self.name));
        if self.server.is_empty() || self.server.contains(['/', '@', ' ']) {
            return fail("bad server, expected a host name or an address");
        }
        if self.user.is_some() != self.password_file.is_some() {
            return fail("user and password_file stand together, expected both or neither");
        }
        if self.security == Security::None && self.user.is_some() {
            return fail("a password without TLS, expected security = \"starttls\" or \"tls\"");
        }
        if self.security == Security::None && !self.allow_private {
            return fail("security = \"none\" is for loopback, expected allow_private = true too");
        }
        told(&self.name, self.events.is_empty())
    }
}

fn told(name: &Name, nothing: bool) -> Result<(), String> {
    if nothing {
        return Err(format!(
            "channel `{name}`: no events, expected one at least"
        ));
    }
    Ok(())
}
