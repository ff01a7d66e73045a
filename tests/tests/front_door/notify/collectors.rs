//! Syslog: every way in which a collector is reached, one that goes away in the middle, and mistakes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use refwarden_testkit::{Repository, Stack, until};
use serde_json::Value;

use super::mail::Certificate;
use super::setup::{PATIENCE, PRIVATE, ask, channel, configure, problem};

/// OpenSSL as a collector: it prints what comes over TLS.
struct TlsCollector {
    child: Child,
    port: u16,
    lines: Receiver<String>,
}

impl TlsCollector {
    fn start(certificate: &Certificate) -> Self {
        let port = {
            let probe = TcpListener::bind("127.0.0.1:0").unwrap();
            probe.local_addr().unwrap().port()
        };
        let mut command = Command::new("openssl");
        command
            .args(["s_server", "-quiet", "-accept", &port.to_string(), "-cert"])
            .arg(&certificate.file)
            .arg("-key")
            .arg(&certificate.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = out.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self { child, port, lines }
    }
}

impl Drop for TlsCollector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The priority, and the JSON behind the header.
#[track_caller]
fn parse(message: &str) -> (String, Value) {
    let (head, body) = message.split_once(" \u{feff}").unwrap();
    let (priority, rest) = head.split_once('>').unwrap();
    assert!(rest.starts_with("1 20"), "{head}");
    assert!(rest.contains(" refwarden "), "{head}");
    (priority.to_owned(), serde_json::from_str(body).unwrap())
}

/// One message with its length, from a connection that ends behind it.
fn counted(stream: impl std::io::Read) -> String {
    let mut stream = BufReader::new(stream);
    let mut length = Vec::new();
    stream.read_until(b' ', &mut length).unwrap();
    let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
    let mut message = String::new();
    stream.read_to_string(&mut message).unwrap();
    assert_eq!(message.len(), length);
    message
}

#[test]
fn collectors_get_every_message_over_every_way() {
    let mut stack = Stack::start();
    let directory = stack.directory().to_owned();
    let certificate = Certificate::make(&directory);
    let tls = TlsCollector::start(&certificate);
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = directory.join("log.socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let of = |name: &str, target: &str, more: &str| {
        format!("[[notify.syslog]]\nname = \"{name}\"\ntarget = \"{target}\"\n{more}\n")
    };
    let config = [
        of("tcp", &format!("tcp://127.0.0.1:{}", port(&tcp)), PRIVATE),
        of(
            "udp",
            &format!("udp://127.0.0.1:{}", udp.local_addr().unwrap().port()),
            &format!("facility = 4\nevents = [\"request.created\"]\n{PRIVATE}"),
        ),
        of("socket", &format!("unix://{}", path.display()), ""),
        of(
            "tls",
            &format!("tls://localhost:{}", tls.port),
            &format!("ca_file = \"smtp.pem\"\n{PRIVATE}"),
        ),
        of(
            "stranger",
            &format!("tls://localhost:{}", tls.port),
            PRIVATE,
        ),
        of("inside", &format!("tls://127.0.0.1:{}", port(&inside)), ""),
    ];
    configure(&mut stack, &config.concat());
    let repository = Repository::guarded(&stack, "collected");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    let is_it = |body: &Value| {
        body["type"] == "request.created"
            && body["data"]["request"]["id"] == request.as_str()
            && body["data"]["repository"] == "collected"
    };

    // The first that comes is broken off in the middle: it comes again, with the same id.
    let (mut first, _) = tcp.accept().unwrap();
    let mut some = [0; 20];
    first.read_exact(&mut some).unwrap();
    socket2::SockRef::from(&first)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(first);
    let (second, _) = tcp.accept().unwrap();
    let (priority, body) = parse(&counted(second));
    assert_eq!(priority, "<109");
    assert!(is_it(&body), "{body}");
    assert!(body["id"].as_str().unwrap().starts_with("msg_"), "{body}");

    let mut datagram = vec![0; 65_536];
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = udp.recv(&mut datagram).unwrap();
    let (priority, body) = parse(std::str::from_utf8(&datagram[..length]).unwrap());
    assert_eq!(priority, "<37");
    assert!(is_it(&body), "{body}");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = socket.recv(&mut datagram).unwrap();
    let (_, body) = parse(std::str::from_utf8(&datagram[..length]).unwrap());
    assert!(is_it(&body), "{body}");

    let mut seen = String::new();
    let message = until("the collector has it over TLS", PATIENCE, || {
        seen.extend(tls.lines.try_iter());
        let (length, rest) = seen.split_once(' ')?;
        let length: usize = length.parse().unwrap();
        rest.get(..length).map(str::to_owned)
    });
    assert!(is_it(&parse(&message).1), "{message}");

    // Whoever is not who it should be, or where nothing goes to, gets nothing.
    let status = until("attempts have failed", PATIENCE, || {
        let said = stack.refwarden(&["notify", "status", "--json"]).text();
        let both = said.contains("UnknownIssuer") || said.contains("certificate");
        (both && said.contains("allow_private = true would allow it")).then_some(said)
    });
    assert!(status.contains("\"syslog\""), "{status}");
    inside.set_nonblocking(true).unwrap();
    assert!(inside.accept().is_err());
}

#[test]
fn collectors_that_hang_or_are_away_lose_nothing_and_hold_up_nobody() {
    let mut stack = Stack::start();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (good, hanging, away) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
        TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let of = |name: &str, port: u16| {
        format!(
            "[[notify.syslog]]\nname = \"{name}\"\ntarget = \"tcp://127.0.0.1:{port}\"\n\
             events = [\"request.created\"]\n{PRIVATE}\n"
        )
    };
    let away_at = port(&away);
    drop(away);
    let config = [
        of("hanging", port(&hanging)),
        of("away", away_at),
        of("good", port(&good)),
    ];
    configure(&mut stack, &config.concat());
    let repository = Repository::guarded(&stack, "collected");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    let is_it = |body: &Value| body["data"]["request"]["id"] == request.as_str();
    let (connection, _) = good.accept().unwrap();
    assert!(is_it(&parse(&counted(connection)).1));
    // A connection that nobody takes counts for nothing, though all was written to it.
    problem(&stack, "hanging", "not taken within 10 s");
    problem(&stack, "away", "refused");
    drop(work);
    drop(repository);
    stack.kill("service");
    stack.restart();
    let away = TcpListener::bind(("127.0.0.1", away_at)).unwrap();
    let (connection, _) = away.accept().unwrap();
    assert!(is_it(&parse(&counted(connection)).1));
    hanging.set_nonblocking(true).unwrap();
    let mut ids = Vec::new();
    until("the one that hung has it", PATIENCE, || {
        while let Ok((connection, _)) = hanging.accept() {
            connection.set_nonblocking(false).unwrap();
            let (_, body) = parse(&counted(connection));
            assert!(is_it(&body), "{body}");
            ids.push(body["id"].as_str().unwrap().to_owned());
        }
        (channel(&stack, "hanging").delivered == 1).then_some(())
    });
    assert!(ids.len() >= 2, "{ids:?}");
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(channel(&stack, "good").delivered, 1);
}

#[test]
fn mistakes_are_told_before_the_start() {
    let stack = Stack::start();
    let file = stack.directory().join("wrong.toml");
    let good = std::fs::read_to_string(stack.directory().join("refwarden.toml")).unwrap();
    for (lines, words) in [
        (
            "target = \"tcp://127.0.0.1:601\"",
            "expected tls://, or allow_private",
        ),
        ("target = \"syslog://h:1\"", "expected tls://host:port"),
        ("target = \"tls://h\"", "expected tls://host:port"),
        ("target = \"tls://h:0\"", "expected tls://host:port"),
        ("target = \"unix://relative\"", "unix:///path"),
        ("target = \"tls://h:1\"\nfacility = 24", "expected 0 to 23"),
        (
            "target = \"tls://h:1\"\nevents = []",
            "expected one at least",
        ),
        ("target = \"tls://h:1\"\nca = \"x\"", "unknown field `ca`"),
        (
            "target = \"unix:///dev/log\"\nca_file = \"x\"",
            "ca_file without TLS",
        ),
        (
            "target = \"tls://h:1\"\nca_file = \"missing.pem\"",
            "missing.pem",
        ),
    ] {
        let text = format!("{good}\n[[notify.syslog]]\nname = \"a\"\n{lines}\n");
        super::setup::write(&file, &text);
        let mut command = Command::new(refwarden_testkit::program("refwarden-service"));
        command.arg("--config").arg(&file);
        let said = refwarden_testkit::run(command, b"");
        assert!(!said.ok(), "{lines}: {said}");
        said.says(&[words]);
    }
}
