//! A client that costs next to nothing, as pgbench is one: a connection for each question, as hooks
//! open one, and bytes that were made before.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Asks and answers the body and how long it took.
pub fn ask(address: &str, request: &[u8]) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::with_capacity(2048);
    let mut piece = [0; 4096];
    loop {
        if let Some(body) = body(&answer) {
            return (body, begun.elapsed());
        }
        let length = stream.read(&mut piece).unwrap();
        let said = String::from_utf8_lossy(&answer);
        assert!(length > 0, "the service broke off: {said}");
        answer.extend_from_slice(&piece[..length]);
    }
}

/// The body of an answer that is there, whole.
fn body(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().trim().parse().unwrap();
    let body = answer.get(end + 4..end + 4 + length)?;
    Some(String::from_utf8_lossy(body).into_owned())
}
