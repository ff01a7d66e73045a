//! What git asks: lines `key=value` up to an empty line (git-credential(1), "Input/output
//! format").

use std::io::BufRead;

use url::{Host, Url};

use crate::Failure;

/// Longest question, in bytes.
const QUESTION_MAX: u64 = 64 << 10;

/// What a credential is wanted for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Question {
    protocol: String,
    host: String,
    /// The repository's path, where `credential.useHttpPath` is set.
    pub path: Option<String>,
}

impl Question {
    /// Reads it.
    pub fn read(input: impl BufRead) -> Result<Self, Failure> {
        let mut question = Self::default();
        let mut input = input.take(QUESTION_MAX);
        let mut line = String::new();
        loop {
            line.clear();
            let length = input.read_line(&mut line);
            let length = length.map_err(|_| Failure::new("git's question cannot be read"))?;
            let text = line.trim_end_matches('\n');
            if length == 0 || text.is_empty() {
                return Ok(question);
            }
            match text.split_once('=') {
                Some(("protocol", value)) => value.clone_into(&mut question.protocol),
                Some(("host", value)) => value.clone_into(&mut question.host),
                Some(("path", value)) => question.path = Some(value.to_owned()),
                _ => {}
            }
        }
    }

    /// Where the service is asked for. A token never travels in the clear, but for this machine.
    pub fn base(&self) -> Result<Url, Failure> {
        let text = format!("{}://{}/", self.protocol, self.host);
        let url = Url::parse(&text).map_err(|_| Failure::new("git names no usable host"))?;
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() == "https" || url.scheme() == "http" && is_here {
            Ok(url)
        } else {
            Err(
                Failure::new(format!("no token is sent over {}", url.scheme()))
                    .next("use an https URL"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let base = Question::read(text.as_bytes()).and_then(|question| question.base());
        assert_eq!(base.ok().as_ref().map(Url::as_str), expected, "{text}");
    }

    #[test]
    fn tokens_travel_encrypted_or_not_at_all() {
        let of = |protocol: &str, host: &str| format!("protocol={protocol}\nhost={host}\n\nx=y\n");
        check(&of("https", "git.example"), Some("https://git.example/"));
        check(
            &of("https", "git.example:8443"),
            Some("https://git.example:8443/"),
        );
        check(&of("http", "127.0.0.1:80"), Some("http://127.0.0.1/"));
        check(
            &of("http", "localhost:8080"),
            Some("http://localhost:8080/"),
        );
        check(&of("http", "[::1]:8080"), Some("http://[::1]:8080/"));
        check(&of("http", "git.example"), None);
        check(&of("http", "localhost.example"), None);
        check(&of("ssh", "localhost"), None);
        check(&of("https", ""), None);
        check("", None);
    }
}
