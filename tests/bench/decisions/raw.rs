//! A client that costs next to nothing, as pgbench is one: a connection for each question, as hooks
//! open one, and bytes that were made before.

use std::io::{ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// What a service says, whatever it is.
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub text: String,
    /// How long it took.
    pub took: Duration,
}

/// Asks.
///
/// # Errors
/// When the service takes no connection, or breaks it off.
pub fn ask(address: &str, request: &[u8]) -> Result<Answer> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(request)?;
    let mut answer = Vec::with_capacity(2048);
    let mut piece = [0; 4096];
    loop {
        if let Some((status, text)) = whole(&answer) {
            let took = begun.elapsed();
            return Ok(Answer { status, text, took });
        }
        let length = stream.read(&mut piece)?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&piece[..length]);
    }
}

/// Status and body of an answer that is there, whole.
fn whole(answer: &[u8]) -> Option<(u16, String)> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ").and_then(|it| it.get(..3));
    let status = status.and_then(|it| it.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer of HTTP: {head}"));
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().trim().parse().unwrap();
    let body = answer.get(end + 4..end + 4 + length)?;
    Some((status, String::from_utf8_lossy(body).into_owned()))
}
