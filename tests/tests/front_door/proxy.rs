//! The proxy, beside what git makes of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use refwarden_testkit::{Repository, Via, flush, line, packets, with_token, within};
use reqwest::blocking::{Client, RequestBuilder};

use crate::shared::stack;

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

fn status(request: RequestBuilder) -> u16 {
    request.send().unwrap().status().as_u16()
}

#[test]
fn only_the_smart_protocol_is_served() {
    let repository = Repository::guarded(stack(), "smart");
    let (client, url, token) = (client(), repository.http_url(), stack().token("ada"));
    let get = |path: &str| {
        status(
            client
                .get(format!("{url}{path}"))
                .basic_auth("x", Some(&token)),
        )
    };
    assert_eq!(get("/info/refs?service=git-upload-pack"), 200);
    for path in [
        "/info/refs",
        "/info/refs?service=git-upload-archive",
        "/info/refs?service=git-upload-pack&x=y",
        "/HEAD",
        "/config",
        "/objects/info/packs",
        "/objects/info/alternates",
        "/packed-refs",
        "/hooks/pre-receive",
        "",
        "/",
    ] {
        let got = get(path);
        assert!(matches!(got, 403 | 404), "{path}: {got}");
    }
    let archive = client
        .post(format!("{url}/git-upload-archive"))
        .basic_auth("x", Some(&token));
    assert_eq!(status(archive), 403);
    let wrong = client
        .post(format!("{url}/git-upload-pack"))
        .basic_auth("x", Some(&token));
    assert_eq!(status(wrong.header("content-type", "text/plain")), 415);
}

#[test]
fn nothing_outside_the_repositories_under_guard_is_found() {
    let guarded = Repository::guarded(stack(), "inside");
    let bare = Repository::unguarded(stack(), "without-hooks", "sha1");
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("out.git");
    let copy = [
        "clone",
        "-q",
        "--mirror",
        ".",
        &target.display().to_string(),
    ];
    guarded.git(&copy).passes();
    let id = guarded
        .git(&["config", "refwarden.repository"])
        .passes()
        .text();
    stack()
        .git()
        .run(&target, &["config", "refwarden.repository", &id])
        .passes();
    let link = stack().started().repositories.join("link.git");
    std::os::unix::fs::symlink(&target, link).unwrap();
    let token = stack().token("ada");
    let proxy = &stack().started().proxy_url;
    let git = with_token(stack().git(), &token, Via::Http);
    let list = |name: &str| git.run(&guarded.path, &["ls-remote", &format!("{proxy}/{name}")]);
    list("inside.git").passes();
    let nothing = list("no-such.git")
        .fails(&["no such repository", "not found"])
        .said();
    for name in ["without-hooks.git", "link.git"] {
        let said = list(name).fails(&["not found"]).said();
        assert_eq!(
            said.replace(name, "no-such.git"),
            nothing,
            "{name} is told apart"
        );
    }
    assert!(bare.value("refs/heads/main").is_some());
    // Paths that clients would tidy up, sent as they are.
    let host = proxy.strip_prefix("http://").unwrap();
    for path in [
        "/../data/repositories/inside.git",
        "/x/../inside.git",
        "/%2e%2e/repositories/inside.git",
        "/..%2frepositories/inside.git",
        "//inside.git",
        "/inside.git%00",
        "/./inside.git",
    ] {
        let mut stream = TcpStream::connect(host).unwrap();
        let head = format!(
            "GET {path}/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: {host}\r\n\
             Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split_whitespace().nth(1).unwrap_or_default();
        assert!(matches!(status, "400" | "404"), "{path}: {answer}");
    }
}

#[test]
fn who_has_no_token_is_asked_for_one() {
    let repository = Repository::guarded(stack(), "asked");
    for service in ["git-upload-pack", "git-receive-pack"] {
        let url = format!("{}/info/refs?service={service}", repository.http_url());
        let answer = client().get(url).send().unwrap();
        assert_eq!(answer.status().as_u16(), 401);
        assert_eq!(
            answer.headers()["www-authenticate"],
            "Basic realm=\"refwarden\""
        );
        assert!(answer.text().unwrap().contains("RW101"));
    }
    // A bearer token of the user's own works as well, and its refusal is shown by git.
    let git = stack().git();
    let list = |token: &str| {
        let header = format!("http.extraHeader=Authorization: Bearer {token}");
        git.run(
            &repository.path,
            &["-c", &header, "ls-remote", &repository.http_url()],
        )
    };
    list(&stack().token("ada")).passes();
    list("nonsense").fails(&["remote: error: RW102"]);
}

#[test]
fn a_request_body_may_be_gzip() {
    let repository = Repository::guarded(stack(), "gzip");
    let head = repository.value("refs/heads/main").unwrap();
    let mut body = line(b"command=fetch");
    body.extend(line(b"object-format=sha1"));
    body.extend_from_slice(b"0001");
    body.extend(line(b"no-progress"));
    body.extend(line(format!("want {head}\n").as_bytes()));
    body.extend(line(b"done\n"));
    body.extend_from_slice(flush());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&body).unwrap();
    let packed = encoder.finish().unwrap();
    let post = |body: &[u8]| {
        client()
            .post(format!("{}/git-upload-pack", repository.http_url()))
            .basic_auth("x", Some(stack().token("ada")))
            .header("content-type", "application/x-git-upload-pack-request")
            .header("content-encoding", "gzip")
            .header("git-protocol", "version=2")
            .body(body.to_vec())
            .send()
    };
    let answer = post(&packed).unwrap().bytes().unwrap();
    assert_eq!(packets(&answer)[0], Some(&b"packfile\n"[..]));
    // A body that is cut, or no gzip at all, is not served, and the proxy lives on.
    for bad in [&packed[..packed.len() - 6], &body] {
        let served = post(bad).is_ok_and(|it| it.status().is_success() && it.bytes().is_ok());
        assert!(!served);
    }
    assert_eq!(post(&body).unwrap().status().as_u16(), 400);
    assert!(post(&packed).unwrap().status().is_success());
}

#[test]
fn what_git_does_not_send_is_the_client_s_fault() {
    let repository = Repository::guarded(stack(), "malformed");
    let (url, token) = (repository.http_url(), stack().token("ada"));
    let post = |service: &str, body: &str| {
        let answer = client()
            .post(format!("{url}/git-{service}"))
            .basic_auth("x", Some(&token))
            .header(
                "content-type",
                format!("application/x-git-{service}-request"),
            )
            .body(body.to_owned())
            .send()
            .unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    };
    for (service, body) in [
        ("receive-pack", "zzzz"),
        ("receive-pack", "fff0abc"),
        ("receive-pack", "0003"),
        ("receive-pack", ""),
        ("receive-pack", "000dnonsense!0000"),
        ("upload-pack", "ffffabc"),
        ("upload-pack", "zzzz"),
        ("upload-pack", "0032want"),
    ] {
        let (status, text) = post(service, body);
        assert_eq!(status, 400, "{service} {body}: {text}");
        assert!(text.contains("RW401"), "{service} {body}: {text}");
    }
    // What git sends to see whether it has to say who it is.
    assert_eq!(post("receive-pack", "0000").0, 200);
}

#[test]
fn a_push_that_the_barrier_stops_is_told_why() {
    let repository = Repository::guarded(stack(), "vetoed");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let hook = repository.path.join("hooks/reference-transaction");
    let veto = "#!/bin/sh\ncat >/dev/null\n[ \"$1\" = prepared ] || exit 0\n\
        echo 'error: RW403 stopped by the test' >&2\necho 'not for clients' >&2\nexit 1\n";
    std::fs::write(&hook, veto).unwrap();
    let refused = work.push(Via::Http, &["HEAD:refs/heads/topic"]).fails(&[
        "remote: error: RW403 stopped by the test",
        "git fetch shows",
    ]);
    assert!(!refused.said().contains("not for clients"), "{refused}");
    assert!(!refused.said().contains("HTTP 500"), "{refused}");
    assert_eq!(repository.value("refs/heads/topic"), None);
}

#[test]
fn nothing_is_pushed_past_hooks_that_git_would_not_run() {
    let repository = Repository::guarded(stack(), "hookless");
    let before = repository.refs();
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    let refused = |words: &[&str]| {
        for target in ["HEAD:refs/heads/topic", "+HEAD:refs/heads/main"] {
            let told = [&["remote: error: RW"], words].concat();
            work.push(Via::Http, &[target]).fails(&told);
        }
        // A client that has seen the refs before gets no further.
        let push = client()
            .post(format!("{}/git-receive-pack", repository.http_url()))
            .basic_auth("x", Some(stack().token("ada")))
            .header("content-type", "application/x-git-receive-pack-request");
        assert_eq!(status(push.body("0000")), 503);
        assert_eq!(repository.refs(), before);
    };
    let list = || {
        let git = with_token(stack().git(), &stack().token("ada"), Via::Http);
        git.run(&repository.path, &["ls-remote", &repository.http_url()])
    };
    for name in ["pre-receive", "reference-transaction", "post-receive"] {
        let hook = repository.path.join("hooks").join(name);
        let kept = hook.with_extension("kept");
        let mode = |mode| {
            std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o644);
        refused(&["RW504", name, "is not executable"]);
        mode(0o755);
        std::fs::rename(&hook, &kept).unwrap();
        refused(&["RW504", name, "is missing"]);
        list().passes();
        std::fs::rename(&kept, &hook).unwrap();
    }
    let set = |arguments: &[&str]| repository.git(&[&["config"], arguments].concat()).passes();
    set(&["core.hooksPath", "/dev/null"]);
    refused(&["RW504", "core.hooksPath"]);
    set(&["--unset", "core.hooksPath"]);
    let place = repository.path.display().to_string();
    stack()
        .refwarden(&["install", &place, "--uninstall"])
        .passes();
    refused(&["RW404", "not under guard any more"]);
    list().fails(&["RW404", "not under guard any more"]);
    repository.install().passes();
    list().passes();
    work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
}

#[test]
fn a_client_that_goes_away_takes_its_git_along() {
    let repository = Repository::guarded(stack(), "gone");
    let host = stack().started().proxy_url.strip_prefix("http://").unwrap();
    let token = stack().token("ada");
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /gone.git/git-receive-pack HTTP/1.1\r\nHost: {host}\r\n\
         Authorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-git-receive-pack-request\r\n\r\n4\r\n00a0\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let working = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let at = |it: std::fs::DirEntry| std::fs::read_link(it.path().join("cwd")).ok();
        processes
            .filter_map(at)
            .any(|directory| directory == repository.path)
    };
    within("git works", Duration::from_secs(10), working);
    drop(stream);
    within("git has gone", Duration::from_secs(10), || !working());
}

#[test]
fn logs_hold_no_token() {
    let repository = Repository::guarded(stack(), "token-log");
    let work = repository.work();
    let token = stack().token("ada");
    work.push_with(&token, Via::Http, &["HEAD:refs/heads/topic"])
        .passes();
    let logs = stack().logs();
    assert!(logs.contains("admitted"));
    let signature = token.rsplit('.').next().unwrap();
    assert!(!logs.contains(signature));
    let credential = std::fs::read_to_string(stack().directory().join("host.key")).unwrap();
    assert!(!logs.contains(credential.trim()));
}
