//! An HTTP server that keeps what it is sent and answers as told.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

/// What was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The path.
    pub path: String,
    /// Headers, with names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, exactly.
    pub body: String,
}

impl Sent {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// A header, which must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

/// How to answer.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// A status line's number and phrase, and headers.
    Status(&'static str),
    /// Not at all: the connection stays open.
    Never,
}

#[derive(Default)]
struct Kept {
    sent: Vec<Sent>,
    /// Answers for the next messages; afterwards, `usual`.
    next: Vec<Answer>,
    open: Vec<TcpStream>,
}

/// A running server. It ends with the process.
pub struct Receiver {
    /// Its port, on 127.0.0.1.
    pub port: u16,
    kept: Arc<Mutex<Kept>>,
}

impl Receiver {
    /// Starts one that answers with `usual`.
    pub fn start(usual: Answer) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), usual)
    }

    /// Starts one on a port.
    pub fn at(port: u16, usual: Answer) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", port)).unwrap(), usual)
    }

    fn on(listener: TcpListener, usual: Answer) -> Self {
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let shared = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = shared.clone();
                std::thread::spawn(move || serve(stream, &kept, usual));
            }
        });
        Self { port, kept }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers the next messages like this.
    pub fn next(&self, answers: &[Answer]) {
        self.kept().next = answers.to_vec();
    }

    /// What was sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.kept().sent.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Kept>, usual: Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(sent) = read(&mut reader) else {
        return;
    };
    let mut kept = kept.lock().unwrap();
    kept.sent.push(sent);
    let answer = if kept.next.is_empty() {
        usual
    } else {
        kept.next.remove(0)
    };
    match answer {
        Answer::Never => kept.open.push(stream),
        Answer::Status(head) => {
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            // A sender that has gone is no failure of the test.
            let _ = (&stream).write_all(head.as_bytes());
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Sent> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Sent {
        path,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
