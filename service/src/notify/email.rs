//! Mail: plain text, one message for each recipient, sent to one configured server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use refwarden_config::{Email, Person, Security};
use url::Url;

use super::text::Text;
use super::{Failure, guard};
use crate::web::visible_line;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the server has taken a message. Longer than for HTTP: mail servers let strangers wait.
pub const TOTAL: Duration = Duration::from_secs(30);
/// Codes by which a server refuses us, not the message (RFC 4954): somebody has to mend the
/// account, and what waits is worth keeping until then.
const ACCOUNT_REFUSED: [u16; 4] = [530, 534, 535, 538];

/// One mail server.
pub struct Mailer {
    server: String,
    port: u16,
    security: Security,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    from: Mailbox,
    hello: ClientId,
    allow_private: bool,
    /// People whose addresses are configured.
    pub people: Vec<Person>,
}

impl Mailer {
    /// Reads a channel's files and checks its addresses.
    ///
    /// # Errors
    /// What is wrong and what was expected.
    pub fn open(config: &Email, directory: &Path, public_url: &str) -> Result<Self, String> {
        let from: Mailbox = config
            .from
            .parse()
            .map_err(|error| format!("from: {error}, expected `Name <user@host>`"))?;
        for person in &config.people {
            let parsed: Result<Address, _> = person.address.parse();
            let expected = |error| format!("person {}: {error}, expected user@host", person.user);
            parsed.map_err(expected)?;
        }
        let credentials = match (&config.user, &config.password_file) {
            (Some(user), Some(file)) => {
                let password = read(&directory.join(file))?;
                Some(Credentials::new(user.clone(), password.trim().to_owned()))
            }
            _ => None,
        };
        let tls = match config.security {
            Security::None => None,
            Security::StartTls | Security::Tls => Some(tls(config, directory)?),
        };
        let host = Url::parse(public_url).ok();
        let host = host.as_ref().and_then(|url| url.domain());
        Ok(Self {
            server: config.server.clone(),
            port: config.port.unwrap_or(match config.security {
                Security::StartTls => 587,
                Security::Tls => 465,
                Security::None => 25,
            }),
            security: config.security,
            tls,
            credentials,
            from,
            hello: ClientId::Domain(host.unwrap_or("localhost").to_owned()),
            allow_private: config.allow_private,
            people: config.people.clone(),
        })
    }

    /// Sends one message. `id` stays the same when it is sent again.
    ///
    /// # Errors
    /// That the server is not there, is not to be trusted, or does not take the message.
    pub async fn send(&self, to: &str, id: &str, text: &Text) -> Result<String, Failure> {
        let message = self.message(to, id, text)?;
        let address = self.address().await?;
        let transport = self.transport(address);
        let sent = tokio::time::timeout(TOTAL, transport.send(message)).await;
        let sent = sent.map_err(|_| Failure::for_now("the server took too long"))?;
        let response = sent.map_err(|error| failure(&error))?;
        Ok(format!("taken with {}", response.code()))
    }

    /// The server's address, checked; it is what is connected to, whatever the name resolves to
    /// a moment later.
    async fn address(&self) -> Result<SocketAddr, Failure> {
        let resolving = guard::resolve(&self.server, self.port, self.allow_private);
        let found = tokio::time::timeout(CONNECT, resolving).await;
        let found = found.map_err(|_| Failure::for_now("the name server took too long"))?;
        let found = found.map_err(Failure::for_now)?;
        let local = found.iter().all(|it| it.ip().is_loopback());
        if self.security == Security::None && !local {
            let text = format!("refused: {} is not loopback, and without TLS", self.server);
            return Err(Failure::for_now(text));
        }
        // One that this machine can reach: IPv4 goes where IPv6 may not.
        let address = found.iter().find(|it| it.is_ipv4()).or(found.first());
        address
            .copied()
            .ok_or_else(|| Failure::for_now("no address"))
    }

    fn transport(&self, address: SocketAddr) -> AsyncSmtpTransport<Tokio1Executor> {
        // Not dangerous here: the connection goes to the address that was checked, and TLS to
        // the name that was configured.
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string());
        let tls = match (&self.tls, self.security) {
            (Some(tls), Security::Tls) => Tls::Wrapper(tls.clone()),
            (Some(tls), _) => Tls::Required(tls.clone()),
            (None, _) => Tls::None,
        };
        let builder = builder
            .port(address.port())
            .tls(tls)
            .timeout(Some(CONNECT))
            .hello_name(self.hello.clone());
        match &self.credentials {
            Some(credentials) => builder.credentials(credentials.clone()).build(),
            None => builder.build(),
        }
    }

    fn message(&self, to: &str, id: &str, text: &Text) -> Result<Message, Failure> {
        let for_good = |said: String| Failure::ForGood { said };
        let to: Address = to
            .parse()
            .map_err(|error| for_good(format!("bad address: {error}")))?;
        let domain = self.from.email.domain();
        // RFC 3834: nobody's absence notice answers this.
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&text.title)
            .message_id(Some(format!("<{id}@{domain}>")))
            .raw_header(automatic)
            .date_now()
            .body(body(text))
            .map_err(|error| for_good(error.to_string()))
    }
}

fn body(text: &Text) -> String {
    let mut lines = vec![text.title.clone(), String::new()];
    for (label, value) in &text.facts {
        lines.push(format!("{label}: {value}"));
    }
    lines.push(String::new());
    lines.push(format!("{}: {}", text.link_name, text.link));
    lines.push(String::new());
    lines.join("\r\n")
}

fn tls(config: &Email, directory: &Path) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(config.server.clone());
    if let Some(file) = &config.ca_file {
        let path = directory.join(file);
        let wrong = |error| format!("{}: {error}", path.display());
        let certificate = Certificate::from_pem(read(&path)?.as_bytes()).map_err(wrong)?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(certificate);
    }
    let built = builder.build();
    built.map_err(|error| format!("cannot set up TLS: {error}"))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    let said = visible_line(error.to_string().as_bytes());
    let code = error.status().map(u16::from);
    let is_account = code.is_some_and(|code| ACCOUNT_REFUSED.contains(&code));
    if error.is_permanent() && !is_account {
        Failure::ForGood { said }
    } else {
        Failure::for_now(said)
    }
}

/// Adds an address once, whatever its case.
pub fn add(addresses: &mut Vec<String>, seen: &mut BTreeSet<String>, address: &str) {
    if seen.insert(address.to_ascii_lowercase()) {
        addresses.push(address.to_owned());
    }
}
