//! The ledger as a live stream: server-sent events and `refwarden audit --follow`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use refwarden_testkit::{Repository, Stack, Via, run, within};
use refwarden_wire::api::EventOut;
use reqwest::blocking::{Client, Response};
use serde_json::Value;

use crate::shared::stack;

/// Streams that one auditor may have.
const EACH: usize = 5;

fn open(stack: &Stack, who: &str, query: &str, last: Option<&str>) -> Response {
    open_with(stack, &stack.token_as("operator", who, "10m"), query, last)
}

fn open_with(stack: &Stack, token: &str, query: &str, last: Option<&str>) -> Response {
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_mins(1))
        .build()
        .unwrap();
    let url = format!(
        "{}/api/v1/events/stream?{query}",
        stack.started().service_url
    );
    let mut request = client.get(url).bearer_auth(token);
    if let Some(last) = last {
        request = request.header("Last-Event-ID", last);
    }
    request.send().unwrap()
}

/// A client of the stream.
struct Stream {
    lines: std::io::Lines<BufReader<Response>>,
    /// The id of what came last.
    last: String,
}

impl Stream {
    #[track_caller]
    fn open(stack: &Stack, query: &str, last: Option<&str>) -> Self {
        Self::of(open(stack, "audrey", query, last))
    }

    #[track_caller]
    fn of(answer: Response) -> Self {
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut stream = Self {
            lines: BufReader::new(answer).lines(),
            last: String::new(),
        };
        // It begins with where it is, so that nothing that happens from here on is missed.
        while stream.last.is_empty() {
            let line = stream.lines.next().unwrap().unwrap();
            if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut stream.last);
            }
        }
        stream
    }

    /// The next event; none where the stream ends.
    fn next(&mut self) -> Option<EventOut> {
        for line in self.lines.by_ref().map_while(Result::ok) {
            if let Some(id) = line.strip_prefix("id: ") {
                id.clone_into(&mut self.last);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
        None
    }

    #[track_caller]
    fn until(&mut self, kind: &str) -> Vec<(i64, String)> {
        let mut all = Vec::new();
        loop {
            let event = self.next().unwrap_or_else(|| panic!("no {kind}: {all:?}"));
            all.push((event.seq, event.kind));
            if all.last().unwrap().1 == kind {
                return all;
            }
        }
    }
}

fn push(repository: &Repository<'_>, branch: &str) {
    let work = repository.work();
    work.commit(&[(b"a", branch.as_bytes())], "A");
    work.push(Via::Local, &[&format!("HEAD:refs/heads/topic/{branch}")])
        .passes();
}

#[test]
fn events_come_as_they_happen_and_go_on_where_a_client_was() {
    let repository = Repository::guarded(stack(), "streamed");
    let query = format!("q=repo:{}", repository.name);
    let mut stream = Stream::open(stack(), &query, None);
    push(&repository, "one");
    let mut seen = stream.until("push.completed");
    let left_at = stream.last.clone();
    drop(stream);
    push(&repository, "two");
    let mut again = Stream::open(stack(), &query, Some(&left_at));
    seen.extend(again.until("push.completed"));
    let all = stack().api("audrey").events(&repository.name);
    // It came into the log before the stream began, or after.
    seen.retain(|(_, kind)| kind != "repository.adopted");
    let expected: Vec<_> = all
        .into_iter()
        .filter(|event| event.kind != "repository.adopted")
        .map(|event| (event.seq, event.kind))
        .collect();
    assert_eq!(seen, expected);
    let mut from_the_start = Stream::open(stack(), &format!("{query}+kind:push&after=0"), None);
    let kinds: Vec<_> = (0..4)
        .map(|_| from_the_start.next().unwrap().kind)
        .collect();
    let once = ["push.released", "push.completed"];
    assert_eq!(kinds, [once, once].concat());
}

#[test]
fn only_auditors_follow_and_only_what_is_there() {
    let refused = |query: &str, last: Option<&str>| {
        let answer = open(stack(), "audrey", query, last);
        (answer.status().as_u16(), answer.text().unwrap())
    };
    assert_eq!(open(stack(), "ada", "", None).status(), 403);
    let (status, said) = refused("q=state:lost", None);
    assert!(status == 400 && said.contains("refused, waiting"), "{said}");
    let (status, said) = refused("", Some("1; DROP"));
    assert!(status == 400 && said.contains("Last-Event-ID"), "{said}");
    let (status, said) = refused("", Some("999999999999"));
    assert!(status == 410 && said.contains("the log has"), "{said}");
    assert_eq!(refused("after=-1", None).0, 400);
}

/// Pushes until the stream ends, and says which repositories' events came.
fn until_it_ends(repository: &Repository<'_>, mut stream: Stream) -> Vec<String> {
    let reading = std::thread::spawn(move || {
        let begun = Instant::now();
        let came: Vec<_> = std::iter::from_fn(|| stream.next().map(|it| it.repository)).collect();
        // The client's own patience is a minute.
        assert!(begun.elapsed() < Duration::from_secs(40), "{came:?}");
        came
    });
    for number in 0.. {
        if reading.is_finished() {
            break;
        }
        push(repository, &format!("busy-{number}"));
    }
    reading.join().unwrap()
}

#[test]
fn a_stream_ends_with_its_token_however_much_happens() {
    let repository = Repository::guarded(stack(), "streamed-revoked");
    let query = format!("q=repo:{}", repository.name);
    let token = stack().token_as("operator", "audrey", "10m");
    let stream = Stream::of(open_with(stack(), &token, &query, None));
    let revoked = Client::new()
        .post(format!("{}/oauth/revoke", stack().started().service_url))
        .form(&[("token", &token)])
        .send();
    assert_eq!(revoked.unwrap().status(), 200);
    // What happens from here on is no longer for whoever holds it.
    let came = until_it_ends(&repository, stream);
    assert!(!came.contains(&repository.name), "{came:?}");
    assert_eq!(open_with(stack(), &token, &query, None).status(), 401);

    let token = stack().token_as("operator", "audrey", "5s");
    let stream = Stream::of(open_with(stack(), &token, &query, None));
    until_it_ends(&repository, stream);
}

/// Asks for the whole log and reads no more of the answer than that it is one; none where there is no
/// room.
fn open_and_not_read(stack: &Stack, token: &str) -> Option<TcpStream> {
    let url = stack.started().service_url.clone();
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    socket2::SockRef::from(&stream)
        .set_recv_buffer_size(4096)
        .unwrap();
    let request = format!(
        "GET /api/v1/events/stream?after=0 HTTP/1.1\r\nHost: {address}\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    (&status == b"HTTP/1.1 200").then_some(stream)
}

#[test]
fn clients_that_read_nothing_keep_no_room_and_slow_no_push() {
    let stack = Stack::start();
    let repository = Repository::guarded(&stack, "unread");
    // More than kernels keep for a connection.
    let fill = "BEGIN; SELECT set_config('fill.id', id::text, true), set_config('fill.next',
            next_seq::text, true) FROM repositories WHERE name = 'unread' FOR UPDATE;
        INSERT INTO events (repository_id, seq, recorded_at, kind, actor, codes, summary)
            SELECT current_setting('fill.id')::uuid, current_setting('fill.next')::bigint + n,
                now(), 'access.denied', 'nobody', '{}', repeat('x', 8000)
            FROM generate_series(0, 2999) AS n;
        UPDATE repositories SET next_seq = next_seq + 3000 WHERE name = 'unread'; COMMIT;";
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", fill]);
    psql.arg(&stack.started().database_url);
    run(psql, b"").passes();
    // The first of this Refwarden's events are in the log, and then the last of them.
    let denied = "q=kind:access.denied&after=0";
    within("the log is begun", Duration::from_mins(1), || {
        open(&stack, "audrey", denied, None).status() != 410
    });
    let mut stream = Stream::open(&stack, denied, None);
    for _ in 0..3000 {
        assert_eq!(stream.next().unwrap().actor, "nobody");
    }
    drop(stream);
    let token = stack.token_as("operator", "audrey", "10m");
    let is_full = || open_with(&stack, &token, "", None).status() == 429;
    let mut unread = Vec::new();
    within("all room is taken", Duration::from_mins(1), || {
        unread.extend(open_and_not_read(&stack, &token));
        unread.len() == EACH
    });
    assert!(is_full());
    push(&repository, "meanwhile");
    within("there is room again", Duration::from_mins(2), || !is_full());
    drop(unread);
}

#[test]
fn streams_are_bounded_and_end_with_the_service() {
    let mut stack = Stack::start();
    let repository = Repository::guarded(&stack, "ended");
    push(&repository, "one");
    drop(repository);
    let mut open_ones: Vec<Stream> = (0..EACH).map(|_| Stream::open(&stack, "", None)).collect();
    let full = open(&stack, "audrey", "", None);
    assert_eq!(full.status(), 429);
    assert_eq!(full.headers()["retry-after"], "30");
    let problem: Value = full.json().unwrap();
    assert_eq!(problem["code"], "RW410", "{problem}");
    // Another token of the same auditor is the same auditor; another auditor has room.
    assert_eq!(open(&stack, "audrey", "", None).status(), 429);
    open_ones.insert(0, Stream::of(open(&stack, "adam", "", None)));
    // One that has gone makes room.
    drop(open_ones.pop());
    within("a stream has room", Duration::from_mins(2), || {
        open(&stack, "audrey", "", None).status() == 200
    });
    let begun = std::time::Instant::now();
    stack.restart();
    assert!(begun.elapsed() < Duration::from_secs(9), "{begun:?}");
    for stream in &mut open_ones {
        // Each ends behind what had come before, and not when the client's patience does.
        while stream.next().is_some() {}
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{begun:?}");
}

#[test]
fn the_command_line_follows_through_a_restart() {
    let mut stack = Stack::start();
    let mut command = stack.refwarden_command(&[
        "audit",
        "--follow",
        "--json",
        "--limit",
        "2",
        "-q",
        "kind:push.completed",
    ]);
    let again = |leaf: &str| {
        let mut arguments = vec!["audit", "--follow", "--json", "--limit", "1"];
        arguments.extend(["-q", "kind:push.completed", "--after", leaf]);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.next().unwrap().unwrap().starts_with("Following"));
    push(&Repository::guarded(&stack, "followed-1"), "one");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!(first["repository"], "followed-1");
    stack.restart();
    push(&Repository::guarded(&stack, "followed-2"), "two");
    let second = next();
    assert_eq!(second["repository"], "followed-2");
    assert!(child.wait().unwrap().success());
    // Whoever kept where it was goes on there after it was ended itself.
    let arguments = again(&first["leaf"].to_string());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let said = stack.refwarden(&arguments).passes().text();
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), second);
    let lost = again("999999999999");
    let lost: Vec<&str> = lost.iter().map(String::as_str).collect();
    stack.refwarden(&lost).fails(&["410", "the log has"]);
    let wrong = again("yesterday");
    let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
    stack.refwarden(&wrong).fails(&["this is no leaf"]);
}
