//! Syslog (RFC 5424) for collectors: over TLS (RFC 5425) and TCP with octet counting (RFC 6587, section
//! 3.4.1), over UDP (RFC 5426), and to the socket of this machine's own.
//!
//! No syslog receiver says that it has a message. Over TCP and TLS each message has a connection of its
//! own, and counts as delivered once the receiver has read to the end and closed it too; over UDP and
//! to a socket, once this machine has taken it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use refwarden_config::{Collector, Syslog, Told};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::notice::Notice;
use super::{Failure, guard};
use crate::web::visible_line;

/// Until the receiver has closed the connection.
pub const TOTAL: Duration = Duration::from_secs(10);
/// What every receiver takes over UDP is 480 bytes, what it should is 2048 (RFC 5426, section
/// 3.2); a datagram has no more than this.
const DATAGRAM: usize = 65_000;

/// One collector.
pub struct Sender {
    collector: Collector,
    tls: Option<TlsConnector>,
    facility: u8,
    allow_private: bool,
}

impl Sender {
    /// Reads the channel's files.
    ///
    /// # Errors
    /// What is wrong and what was expected.
    pub fn open(config: &Syslog, directory: &Path) -> Result<Self, String> {
        let ca_file = config.ca_file.as_ref().map(|file| directory.join(file));
        let tls = match config.target {
            Collector::Tls(..) => Some(tls(ca_file)?),
            _ => None,
        };
        Ok(Self {
            collector: config.target.clone(),
            tls,
            facility: config.facility,
            allow_private: config.allow_private,
        })
    }

    /// Sends a message. `id` stays the same over all attempts.
    ///
    /// # Errors
    /// What happened.
    pub async fn send(&self, id: &str, notice: &Notice) -> Result<String, Failure> {
        let message = message(self.facility, id, notice)?;
        match tokio::time::timeout(TOTAL, self.hand_over(&message)).await {
            Ok(Ok(())) => Ok("taken".to_owned()),
            Ok(Err(problem)) => Err(Failure::for_now(visible_line(problem.as_bytes()))),
            Err(_) => Err(Failure::for_now(format!(
                "not taken within {} s",
                TOTAL.as_secs()
            ))),
        }
    }

    async fn hand_over(&self, message: &[u8]) -> Result<(), String> {
        match &self.collector {
            Collector::Socket(path) => {
                let socket = UnixDatagram::unbound().map_err(text)?;
                let sent = socket.send_to(message, path).await;
                whole(message, sent.map_err(text)?)
            }
            Collector::Udp(host, port) => {
                let socket = self.datagrams(host, *port).await?;
                let message = message.get(..DATAGRAM).unwrap_or(message);
                whole(message, socket.send(message).await.map_err(text)?)
            }
            Collector::Tcp(host, port) => counted(self.connect(host, *port).await?, message).await,
            Collector::Tls(host, port) => {
                let connector = self.tls.as_ref().ok_or("TLS is not set up")?;
                let name = ServerName::try_from(host.clone()).map_err(text)?;
                let plain = self.connect(host, *port).await?;
                let stream = connector.connect(name, plain).await.map_err(text)?;
                counted(stream, message).await
            }
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, String> {
        let addresses = guard::resolve(host, port, self.allow_private).await?;
        let connected = TcpStream::connect(addresses.as_slice()).await;
        connected.map_err(|error| format!("{host}:{port}: {error}"))
    }

    async fn datagrams(&self, host: &str, port: u16) -> Result<UdpSocket, String> {
        let addresses = guard::resolve(host, port, self.allow_private).await?;
        let address = addresses.first().ok_or("no address")?;
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).await.map_err(text)?;
        socket.connect(address).await.map_err(text)?;
        Ok(socket)
    }
}

/// Writes one message with its length, and waits until the receiver has read all of it.
async fn counted(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    message: &[u8],
) -> Result<(), String> {
    let frame = [format!("{} ", message.len()).as_bytes(), message].concat();
    stream.write_all(&frame).await.map_err(text)?;
    stream.shutdown().await.map_err(text)?;
    let mut rest = [0; 256];
    loop {
        match stream.read(&mut rest).await {
            Ok(0) => return Ok(()),
            // Nothing is expected from it, and nothing is made of what comes.
            Ok(_) => {}
            // Many close a TLS connection without saying so.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn whole(message: &[u8], sent: usize) -> Result<(), String> {
    if sent == message.len() {
        Ok(())
    } else {
        Err(format!("{sent} of {} bytes were taken", message.len()))
    }
}

/// A message without its frame: the notice as JSON, with the id that stays over attempts.
fn message(facility: u8, id: &str, notice: &Notice) -> Result<Vec<u8>, Failure> {
    let severity = match notice.told() {
        // Warning, notice, informational (RFC 5424, table 2).
        Some(Told::BreakGlass) => 4,
        Some(_) => 5,
        None => 6,
    };
    let priority = u16::from(facility) * 8 + severity;
    let time = notice
        .timestamp
        .to_rfc3339_opts(SecondsFormat::Micros, true);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = header(&host, 255);
    let kind = header(&notice.kind, 32);
    let version = env!("CARGO_PKG_VERSION");
    let mut body =
        serde_json::to_value(notice).map_err(|error| Failure::for_now(error.to_string()))?;
    if let Some(body) = body.as_object_mut() {
        body.insert("id".to_owned(), id.into());
    }
    let process = std::process::id();
    Ok(format!(
        "<{priority}>1 {time} {host} refwarden {process} {kind} \
         [origin software=\"refwarden-service\" swVersion=\"{version}\"] \u{feff}{body}"
    )
    .into_bytes())
}

/// A field of the header: printable ASCII without spaces, or `-`.
fn header(field: &str, most: usize) -> String {
    let kept: String = field
        .chars()
        .filter(char::is_ascii_graphic)
        .take(most)
        .collect();
    if kept.is_empty() {
        "-".to_owned()
    } else {
        kept
    }
}

fn tls(ca_file: Option<PathBuf>) -> Result<TlsConnector, String> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(text)?;
    let config = match ca_file {
        None => {
            use rustls_platform_verifier::BuilderVerifierExt as _;
            let builder = builder.with_platform_verifier().map_err(text)?;
            builder.with_no_client_auth()
        }
        Some(file) => {
            let problem = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let mut roots = RootCertStore::empty();
            let found = CertificateDer::pem_file_iter(&file).map_err(|error| problem(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| problem(&error))?;
                roots.add(certificate).map_err(|error| problem(&error))?;
            }
            if roots.is_empty() {
                return Err(problem(&"no certificate, expected one in PEM at least"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_that_the_rfc_describes() {
        let notice = Notice::test(
            "ada\nroot",
            "https://r.example",
            chrono::DateTime::UNIX_EPOCH,
        );
        let message = String::from_utf8(message(13, "msg_1", &notice).unwrap()).unwrap();
        assert!(
            message.starts_with("<110>1 1970-01-01T00:00:00.000000Z "),
            "{message}"
        );
        let (head, body) = message.split_once(" \u{feff}").unwrap();
        assert!(
            head.contains(" notification.test [origin software="),
            "{head}"
        );
        assert!(!message.contains('\n'));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["id"], "msg_1");
        assert_eq!(body["data"]["by"], "ada\nroot");
        assert_eq!(header("a b\u{e9}\n", 255), "ab");
        assert_eq!(header(" ", 255), "-");
    }
}
