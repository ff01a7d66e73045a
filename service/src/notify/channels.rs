//! The configured channels, opened at start-up, and one attempt at delivering by one of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use refwarden_config::{Chat, Config, Target, Told};
use tokio::sync::Semaphore;
use url::Url;

use super::email::Mailer;
use super::http::Poster;
use super::notice::Notice;
use super::text::Text;
use super::webhook::Signer;
use super::{Failure, slack, syslog, teams};

/// Attempts under way at once by one channel: a target that hangs holds up no other.
const AT_ONCE: usize = 4;

/// One way of telling.
pub struct Channel {
    /// Its name.
    pub name: String,
    /// What it tells.
    pub events: BTreeSet<Told>,
    /// How.
    pub way: Way,
    /// Attempts that may begin.
    pub room: Arc<Semaphore>,
}

/// How a channel tells.
pub enum Way {
    /// A signed webhook.
    Webhook(Url, Signer, Poster),
    /// Slack's incoming webhook.
    Slack(Url, Poster),
    /// Teams' incoming webhook.
    Teams(Url, Poster),
    /// Mail.
    Email(Box<Mailer>),
    /// A collector of syslog messages.
    Syslog(syslog::Sender),
}

impl Way {
    /// The word for it in configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook(..) => "webhook",
            Self::Slack(..) => "slack",
            Self::Teams(..) => "teams",
            Self::Email(_) => "email",
            Self::Syslog(_) => "syslog",
        }
    }
}

/// All configured channels.
pub struct Channels(Vec<Arc<Channel>>);

impl Channels {
    /// Opens them: reads their files, so that what is wrong is told at start-up.
    ///
    /// # Errors
    /// Which channel, what is wrong and what was expected.
    pub fn open(config: &Config, directory: &Path) -> Result<Self, String> {
        let mut all = Vec::new();
        let mut add = |name: &str, events: &BTreeSet<Told>, way: Result<Way, String>| {
            let way = way.map_err(|problem| format!("channel {name}: {problem}"))?;
            all.push(Arc::new(Channel {
                name: name.to_owned(),
                events: events.clone(),
                way,
                room: Arc::new(Semaphore::new(AT_ONCE)),
            }));
            Ok::<_, String>(())
        };
        let notify = &config.notify;
        for webhook in notify.webhooks.iter() {
            let files: Vec<_> = webhook
                .secret_files
                .iter()
                .map(|it| directory.join(it))
                .collect();
            let signer = Signer::read(files.iter().map(AsRef::as_ref));
            let way = signer.and_then(|signer| {
                let poster = Poster::new(webhook.allow_private)?;
                Ok(Way::Webhook(webhook.url.url().clone(), signer, poster))
            });
            add(webhook.name.as_str(), &webhook.events, way)?;
        }
        for chat in notify.slack.iter() {
            let way = open_chat(chat, directory).map(|(url, poster)| Way::Slack(url, poster));
            add(chat.name.as_str(), &chat.events, way)?;
        }
        for chat in notify.teams.iter() {
            let way = open_chat(chat, directory).map(|(url, poster)| Way::Teams(url, poster));
            add(chat.name.as_str(), &chat.events, way)?;
        }
        for email in notify.email.iter() {
            let mailer = Mailer::open(email, directory, &config.service.public_url);
            let way = mailer.map(|mailer| Way::Email(Box::new(mailer)));
            add(email.name.as_str(), &email.events, way)?;
        }
        for collector in notify.syslog.iter() {
            let way = syslog::Sender::open(collector, directory).map(Way::Syslog);
            add(collector.name.as_str(), &collector.events, way)?;
        }
        Ok(Self(all))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.0.iter()
    }

    /// The one of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Channel>> {
        self.iter().find(|channel| channel.name == name)
    }
}

/// The URL in a chat's file.
fn open_chat(chat: &Chat, directory: &Path) -> Result<(Url, Poster), String> {
    let path = directory.join(&chat.url_file);
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let target = Target::try_from(text.trim().to_owned())
        .map_err(|problem| format!("{}:1: {problem}", path.display()))?;
    if !target.is_protected() && !chat.allow_private {
        return Err(format!(
            "{}:1: the URL is http, expected https, or allow_private = true",
            path.display()
        ));
    }
    Ok((target.url().clone(), Poster::new(chat.allow_private)?))
}

impl Channel {
    /// Makes one attempt. `id` stays the same over all attempts; `recipient` is the address, by
    /// mail; `now` is in seconds. Returns what the receiver answered.
    ///
    /// # Errors
    /// What happened, and whether another attempt makes sense.
    pub async fn attempt(
        &self,
        id: &str,
        recipient: &str,
        notice: &Notice,
        now: i64,
    ) -> Result<String, Failure> {
        match &self.way {
            Way::Webhook(url, signer, poster) => {
                let body = json(notice)?;
                let headers = signer.headers(id, now, &body)?;
                poster.post(url, headers, body).await
            }
            Way::Slack(url, poster) => {
                let body = json(&slack::message(&Text::of(notice)))?;
                poster.post(url, headers(), body).await
            }
            Way::Teams(url, poster) => {
                let body = json(&teams::message(&Text::of(notice)))?;
                poster.post(url, headers(), body).await
            }
            Way::Email(mailer) => mailer.send(recipient, id, &Text::of(notice)).await,
            Way::Syslog(sender) => sender.send(id, notice).await,
        }
    }
}

fn headers() -> reqwest::header::HeaderMap {
    reqwest::header::HeaderMap::new()
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::for_now(error.to_string()))
}
