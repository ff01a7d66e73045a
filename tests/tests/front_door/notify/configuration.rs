//! Mistakes in `[notify]`.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refwarden_testkit::{program, run};

use super::setup::{told, write};

#[test]
fn mistakes_in_the_configuration_have_a_line_and_stop_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let stack = &told().stack;
    let good = std::fs::read_to_string(stack.directory().join("refwarden.toml")).unwrap();
    let begin = good
        .lines()
        .take_while(|line| !line.starts_with("[[notify"))
        .count();
    let before: String = good
        .lines()
        .take(begin)
        .fold(String::new(), |text, line| text + line + "\n");
    let short = STANDARD.encode([1; 8]);
    write(
        &directory.path().join("short.key"),
        &format!("whsec_{short}\n"),
    );
    write(
        &directory.path().join("plain.url"),
        "http://hooks.example/x\n",
    );
    let hook = "[[notify.webhook]]\nname = \"a\"\nurl = \"https://a.example/\"\nsecret_files = [\"short.key\"]\n";
    for (text, line, words) in [
        (hook.replace("url", "uri"), Some(3), "unknown field `uri`"),
        (
            hook.replace("https:", "ftp:"),
            Some(3),
            "expected https://host/path",
        ),
        (
            hook.replace("https:", "http:"),
            Some(1),
            "expected https, or allow_private",
        ),
        (
            hook.replace("[\"short.key\"]", "[]"),
            Some(1),
            "expected 1 to 8",
        ),
        (
            format!("{hook}events = [\"request.lost\"]\n"),
            Some(5),
            "expected one of",
        ),
        (format!("{hook}{hook}"), Some(1), "twice"),
        (
            "[notify]\ngive_up_after_hours = 9999\n".to_owned(),
            Some(2),
            "expected 1 to 336",
        ),
        (hook.to_owned(), None, "short.key:1: expected whsec_"),
        (
            hook.replace("short.key", "none.key"),
            None,
            "none.key: No such file",
        ),
        (
            "[[notify.slack]]\nname = \"s\"\nurl_file = \"plain.url\"\n".to_owned(),
            None,
            "plain.url:1: the URL is http",
        ),
        (
            "[[notify.email]]\nname = \"m\"\nserver = \"mx.example\"\nfrom = \"nobody\"\n"
                .to_owned(),
            None,
            "expected `Name <user@host>`",
        ),
    ] {
        let file = directory.path().join("refwarden.toml");
        write(&file, &format!("{before}{text}"));
        let mut command = Command::new(program("refwarden-service"));
        command.arg("--config").arg(&file);
        let outcome = run(command, b"").fails(&["refwarden.toml", words]);
        assert_eq!(outcome.code, Some(2), "{outcome}");
        if let Some(line) = line {
            outcome.says(&[&format!("refwarden.toml:{}: ", begin + line)]);
        }
        assert!(!text.contains(&short));
    }
}
