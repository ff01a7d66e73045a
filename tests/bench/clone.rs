//! Clones through the proxy and through nginx with `git http-backend`.

use std::io::Read as _;
use std::time::{Duration, Instant};

use refwarden_testkit::{Repository, Stack, flush, line};

use crate::matter;
use crate::nginx::Nginx;
use crate::sample::{alternate, table};

const NAMES: [&str; 2] = ["nginx and git http-backend", "Refwarden's proxy"];

/// Measures repositories of several sizes.
pub fn measure(stack: &Stack) {
    println!("## Clones over HTTP\n");
    let nginx = Nginx::start(stack.git(), &stack.started().repositories);
    for (name, title, rounds) in [
        ("text-50", "50 commits", 40),
        ("text-500", "500 commits", 40),
        ("text-5000", "5 000 commits", 20),
        ("bulk-256", "256 MiB that do not compress", 7),
    ] {
        eprintln!("clones, {title}");
        let repository = Repository::empty(stack, name, "sha1");
        match name
            .split_once('-')
            .map(|(kind, size)| (kind, size.parse().unwrap()))
        {
            Some(("text", size)) => matter::history(stack.git(), &repository, size),
            Some((_, size)) => matter::bulk(stack.git(), &repository, size),
            None => {}
        }
        repository.install().passes();
        let urls = [nginx.url(name), repository.http_url()];
        let token = stack.token_as("agent", "ada", "1h");
        let samples = alternate(&NAMES, rounds, |which| clone(stack, &urls[which], &token));
        table(&format!("git clone --bare, {title}"), &samples);
        let head = repository.value("refs/heads/main").unwrap();
        let samples = alternate(&NAMES, rounds, |which| fetch(&urls[which], &token, &head));
        table(&format!("The fetch request alone, {title}"), &samples);
    }
}

fn clone(stack: &Stack, url: &str, token: &str) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let header = format!("http.extraHeader=Authorization: Bearer {token}");
    let begun = Instant::now();
    let arguments = ["-c", &header, "clone", "-q", "--bare", url, "clone.git"];
    stack.git().run(directory.path(), &arguments).passes();
    begun.elapsed()
}

/// Asks for everything and throws it away, so that the client's work is not measured.
fn fetch(url: &str, token: &str, head: &str) -> Duration {
    let mut body = line(b"command=fetch");
    body.extend(line(b"object-format=sha1"));
    body.extend_from_slice(b"0001");
    for argument in ["ofs-delta", "no-progress"] {
        body.extend(line(argument.as_bytes()));
    }
    body.extend(line(format!("want {head}\n").as_bytes()));
    body.extend(line(b"done\n"));
    body.extend_from_slice(flush());
    let client = reqwest::blocking::Client::builder()
        .no_proxy()
        .timeout(None)
        .build()
        .unwrap();
    let begun = Instant::now();
    let mut answer = client
        .post(format!("{url}/git-upload-pack"))
        .bearer_auth(token)
        .header("content-type", "application/x-git-upload-pack-request")
        .header("git-protocol", "version=2")
        .body(body)
        .send()
        .unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    let (mut buffer, mut total) = (vec![0; 256 << 10], 0);
    loop {
        match answer.read(&mut buffer).unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert!(total > 1000, "{url}: {total} bytes");
    begun.elapsed()
}
