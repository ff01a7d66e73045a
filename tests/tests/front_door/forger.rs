//! An issuer that signs whatever it is told to, and serves its keys as badly as it is told to.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// How an issuer serves its key set.
#[derive(Clone)]
pub enum How {
    /// As it should, beside keys that nobody can read.
    Well,
    /// Well the first time; from then on a byte at a time, without end.
    SlowFrom(usize),
    /// Ten megabytes, the key among them.
    Huge,
    /// A body without end.
    Endless,
    /// With a redirection to that address.
    Redirect(u16, String),
    /// At an address that the configuration does not name.
    Elsewhere(String),
    /// As a good discovery document that comes by a redirection.
    DiscoveryRedirect(String),
}

/// Counts of what was asked.
#[derive(Default)]
pub struct Asked {
    /// Connections of any kind.
    pub connections: AtomicUsize,
    /// Requests for the key set.
    pub keys: AtomicUsize,
    /// Answers that are being dribbled out at this moment.
    pub slow: AtomicUsize,
}

/// The issuer.
pub struct Forger {
    /// Its URL.
    pub url: String,
    /// What was asked of it.
    pub asked: Arc<Asked>,
    pair: Ed25519KeyPair,
}

impl Forger {
    /// Starts one. It serves until this process ends.
    pub fn start(how: How) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Asked>::default();
        let forger = Self {
            url: url.clone(),
            asked: Arc::clone(&asked),
            pair,
        };
        let keys = forger.keys().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (asked, how) = (Arc::clone(&asked), how.clone());
                let (url, keys) = (url.clone(), keys.clone());
                asked.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || serve(&stream.unwrap(), &url, &keys, &how, &asked));
            }
        });
        forger
    }

    /// The public key, raw.
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn keys(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.public());
        let key = |kid: &str, using: &str, alg: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": using, "alg": alg});
        json!({"keys": [
            {"kty": "of-the-future", "kid": "k0"},
            key("for-encryption", "enc", "EdDSA"),
            key("for-another", "sig", "ES256"),
            {"kty": "oct", "kid": "symmetric", "k": x, "alg": "HS256"},
            key("k1", "sig", "EdDSA"),
        ]})
    }

    /// Claims that are in order, of ada.
    pub fn claims(&self) -> Value {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let now = seconds();
        let id = NEXT.fetch_add(1, Ordering::SeqCst);
        json!({"iss": self.url, "aud": "refwarden", "sub": "ada", "jti": format!("j{id}"),
            "iat": now, "nbf": now, "exp": now + 600})
    }

    /// Signs that header and those claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let body = unsigned(header, claims);
        let signature = self.pair.sign(body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// Signs claims as they should be signed.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "EdDSA", "kid": "k1", "typ": "JWT"}), claims)
    }
}

/// Header and claims, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

/// Now, in seconds since the epoch.
pub fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn serve(mut stream: &TcpStream, url: &str, keys: &str, how: &How, asked: &Asked) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let is_keys = head.starts_with(b"GET /keys ");
    let jwks_uri = match how {
        How::Elsewhere(other) => other.clone(),
        _ => format!("{url}/keys"),
    };
    let discovery = json!({"issuer": url, "jwks_uri": jwks_uri}).to_string();
    let number = if is_keys {
        asked.keys.fetch_add(1, Ordering::SeqCst)
    } else {
        0
    };
    // Whoever hangs up first is the one who is tested.
    let _ = match how {
        How::SlowFrom(first) if is_keys && number >= *first => {
            asked.slow.fetch_add(1, Ordering::SeqCst);
            let ended = dribble(stream);
            asked.slow.fetch_sub(1, Ordering::SeqCst);
            ended
        }
        How::Huge if is_keys => {
            let padding = " ".repeat(10 << 20);
            answer(stream, "200 OK", &format!("{keys}{padding}"))
        }
        How::Endless if is_keys => endless(stream),
        How::Redirect(status, to) if is_keys => redirect(stream, *status, to),
        How::DiscoveryRedirect(to) if !is_keys => redirect(stream, 302, to),
        _ if is_keys => answer(stream, "200 OK", keys),
        _ => answer(stream, "200 OK", &discovery),
    };
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn redirect(mut stream: &TcpStream, status: u16, to: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\
         connection: close\r\n\r\n"
    )
}

fn endless(mut stream: &TcpStream) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
    let space = [b' '; 8 << 10];
    loop {
        stream.write_all(&space)?;
    }
}

/// A byte whenever the client has said nothing for a moment, until it hangs up.
fn dribble(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
    loop {
        match stream.read(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        stream.write_all(b" ")?;
    }
}
