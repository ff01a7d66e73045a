//! What happens while targets or services are away: nothing is lost.

use std::net::TcpListener;
use std::process::Command;

use refwarden_testkit::{Repository, Stack, Via, program, until};

use super::receiver::{Answer, Receiver, Sent};
use super::setup::{
    OK, PATIENCE, PRIVATE, ask, channel, configure, message, secret, webhook, write,
};

/// A Refwarden of its own, with one webhook to `port`.
fn single(port: u16) -> Stack {
    let mut stack = Stack::start();
    secret(stack.directory(), "audit.key");
    let mut config = String::new();
    webhook(
        &mut config,
        "audit",
        &format!("http://127.0.0.1:{port}/"),
        PRIVATE,
    );
    configure(&mut stack, &config);
    stack
}

#[test]
fn nothing_is_lost_while_the_target_is_down_and_the_service_dies() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut stack = single(port);
    let request = {
        let repository = Repository::guarded(&stack, "app");
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        ask(&work, "refs/heads/main")
    };
    stack.kill("service");
    stack.restart();
    until("an attempt", PATIENCE, || {
        channel(&stack, "audit").last_problem
    });
    let receiver = Receiver::at(port, OK);
    message(&receiver, &request, "request.created");
    until("it is delivered", PATIENCE, || {
        (channel(&stack, "audit").delivered == 1).then_some(())
    });
    assert_eq!(receiver.sent().len(), 1);
}

#[test]
fn a_message_that_was_sent_when_the_service_died_is_sent_again_under_the_same_id() {
    let receiver = Receiver::start(OK);
    receiver.next(&[
        Answer::Never,
        Answer::Status("503 Unavailable\r\nRetry-After: 1"),
    ]);
    let mut stack = single(receiver.port);
    {
        let repository = Repository::guarded(&stack, "app");
        let work = repository.work();
        work.commit(&[(b"a", b"a\n")], "A");
        ask(&work, "refs/heads/main");
    }
    let sent = until("the first attempt", PATIENCE, || {
        receiver.sent().first().cloned()
    });
    stack.kill("service");
    stack.restart();
    until("it is delivered", PATIENCE, || {
        (channel(&stack, "audit").delivered == 1).then_some(())
    });
    let all = receiver.sent();
    assert_eq!(all.len(), 3, "{all:?}");
    for again in &all {
        assert_eq!(again.header("webhook-id"), sent.header("webhook-id"));
        assert_eq!(again.body, sent.body);
    }
}

/// A second service on the database of the first. Killed when it is dropped.
struct Second(std::process::Child);

impl Second {
    #[track_caller]
    fn start(stack: &Stack) -> Self {
        let file = stack.directory().join("refwarden.toml");
        let text = std::fs::read_to_string(file).unwrap();
        let listen = text.lines().find(|it| it.starts_with("listen")).unwrap();
        let second = stack.directory().join("second.toml");
        write(
            &second,
            &text.replacen(listen, "listen = \"127.0.0.1:0\"", 1),
        );
        let log = stack.directory().join("second.log");
        let child = Command::new(program("refwarden-service"))
            .arg("--config")
            .arg(second)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let second = Self(child);
        until("the second service is ready", PATIENCE, || {
            let said = std::fs::read_to_string(&log).unwrap();
            said.contains("is ready").then_some(())
        });
        second
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn two_services_share_the_work_and_one_goes_on_alone() {
    let receiver = Receiver::start(OK);
    let stack = single(receiver.port);
    let _second = Second::start(&stack);
    let repository = Repository::guarded(&stack, "app");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let refs: Vec<String> = (0..20)
        .map(|it| format!("HEAD:refs/heads/release/{it}"))
        .collect();
    let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
    work.push(Via::Local, &refs).fails(&["RW201"]);
    until("everything is delivered", PATIENCE, || {
        (channel(&stack, "audit").delivered == 20).then_some(())
    });
    let all = receiver.sent();
    let mut ids: Vec<&str> = all.iter().map(|it| it.header("webhook-id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), all.len()), (20, 20), "each once");

    // The first dies with a message on its way, or before: the second sends it.
    receiver.next(&[Answer::Never]);
    let request = ask(&work, "refs/heads/main");
    stack.kill("service");
    let about = |sent: &Sent| sent.body.contains(&request);
    until("the message is there twice", PATIENCE, || {
        (receiver.sent().into_iter().filter(about).count() >= 2).then_some(())
    });
}

#[test]
fn a_request_whose_time_is_over_is_told_of_without_anybody_looking() {
    let receiver = Receiver::start(OK);
    let mut stack = single(receiver.port);
    let file = stack.directory().join("refwarden.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    write(&file, &text.replace("request_days = 7", "request_days = 0"));
    stack.restart();
    let repository = Repository::guarded(&stack, "app");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let request = ask(&work, "refs/heads/main");
    message(&receiver, &request, "request.expired");
}
