//! Sealed packs: whoever has no auditor's identity reads no secret of a refused push, wherever
//! they look; whoever has it reads everything.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use refwarden_testkit::{Outcome, Repository, Via, program, run};

use crate::shared::{replay, secret, stack};

/// Whether bytes hold a needle, as they are or in a zlib stream that begins anywhere in them.
fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    if memchr::memmem::find(bytes, needle).is_some() {
        return true;
    }
    // RFC 1950: compression method 8, and a check of the first two bytes.
    let starts = memchr::memchr_iter(0x78, bytes).filter(|at| {
        let second = bytes.get(at + 1).copied().unwrap_or_default();
        (0x7800 + u32::from(second)).is_multiple_of(31)
    });
    for at in starts {
        let mut out = Vec::new();
        let stream = flate2::read::ZlibDecoder::new(&bytes[at..]);
        // What was inflated before an error counts too.
        let _ = stream.take(1 << 20).read_to_end(&mut out);
        if memchr::memmem::find(&out, needle).is_some() {
            return true;
        }
    }
    false
}

/// The files below a directory that hold a needle. Files may go while it looks.
fn files_with(directory: &Path, needle: &[u8], found: &mut Vec<String>) -> usize {
    let mut looked_at = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            looked_at += files_with(&path, needle, found);
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            looked_at += 1;
            if holds(&bytes, needle) {
                found.push(path.display().to_string());
            }
        }
    }
    looked_at
}

#[track_caller]
fn psql(statements: &str) -> String {
    let mut command = Command::new("psql");
    command
        .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c"])
        .arg(statements)
        .arg(&stack().started().database_url);
    run(command, b"").passes().text()
}

/// The pack of the last push to a repository: its digest and the file that holds it.
fn last_pack(repository: &str) -> (String, std::path::PathBuf) {
    let row = psql(&format!(
        "SELECT pack_digest, location FROM pushes JOIN pack_copies ON digest = pack_digest \
         JOIN repositories AS r ON r.id = repository_id WHERE r.name = '{repository}' \
         ORDER BY received_at DESC, copy DESC LIMIT 1"
    ));
    let (digest, location) = row.split_once('|').unwrap();
    let file = stack().directory().join("packs").join(location);
    (digest.to_owned(), file)
}

fn identity() -> age::x25519::Identity {
    let text = std::fs::read_to_string(stack().directory().join("auditor.identity")).unwrap();
    let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
    line.parse().unwrap()
}

#[test]
fn nothing_of_a_refused_push_is_readable_without_the_identity() {
    let repository = Repository::guarded(stack(), "vault-refused");
    let work = repository.work();
    let secret = secret(7101);
    let needle = secret.as_bytes();
    let text = format!("one\nTOKEN={secret}\n{}", "two\n".repeat(400));
    let message = format!("Use {secret} for now");
    work.commit(&[(b"conf/prod.env", text.as_bytes())], &message);
    for via in [Via::Local, Via::Http] {
        let option = format!("--push-option=note={secret}");
        work.push(via, &[&option, "HEAD:refs/heads/topic"])
            .fails(&["RW301"]);
    }

    // With the identity it is there: what follows looks for something that exists.
    let (digest, file) = last_pack("vault-refused");
    let sealed = std::fs::read(&file).unwrap();
    let pack = age::decrypt(&identity(), &sealed).unwrap();
    assert!(holds(&pack, needle));
    assert_eq!(hex_sha256(&pack), digest);

    let mut found = Vec::new();
    psql("CHECKPOINT");
    let looked_at = files_with(stack().directory(), needle, &mut found);
    assert!(looked_at > 500, "{looked_at}");
    assert_eq!(found, Vec::<String>::new());

    // Rows, which Postgres may have compressed in its files.
    let tables = psql("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'");
    assert!(tables.lines().count() > 20, "{tables}");
    let hexadecimal = hex::encode(needle);
    for table in tables.lines() {
        let rows = format!(
            "SELECT count(*) FROM {table} AS t WHERE strpos(t::text, '{secret}') > 0 \
             OR strpos(t::text, '{hexadecimal}') > 0"
        );
        assert_eq!(psql(&rows), "0", "{table}");
    }

    // What the service gives out, to an auditor too.
    for format in ["leaves", "jsonl", "csv", "sarif"] {
        let out = stack()
            .refwarden(&["audit", "export", "--format", format])
            .passes();
        assert!(!holds(&out.stdout, needle), "{format}");
    }
    let api = stack().api("audrey");
    let served = api.get(&format!("/packs/{digest}"));
    assert_eq!(served.headers()["content-type"], "application/age");
    assert_eq!(served.bytes().unwrap(), sealed);
}

/// Runs `refwarden replay` as a person who has nothing but a token and what `extra` gives.
fn replay_with(repository: &str, into: &Path, extra: &[&str]) -> Outcome {
    let mut command = Command::new(program("refwarden"));
    command.env_clear();
    stack().git().environment(&mut command);
    command
        .args(["replay", repository, "--service-url"])
        .arg(&stack().started().service_url)
        .arg("--into")
        .arg(into)
        .args(extra)
        .env(
            "REFWARDEN_TOKEN",
            stack().token_as("operator", "audrey", "10m"),
        );
    run(command, b"")
}

#[test]
fn replay_needs_the_identity_and_says_so() {
    let repository = Repository::guarded(stack(), "vault-replay");
    let work = repository.work();
    work.commit(&[(b"a", b"a\n")], "A");
    work.push(Via::Http, &["HEAD:refs/heads/topic"]).passes();
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("r.git");

    let refused = replay_with("vault-replay", &into, &[]);
    refused.fails(&[
        "is sealed",
        "age1",
        "the service does not have",
        "--identity FILE",
    ]);
    assert!(!into.exists());

    let other = directory.path().join("other");
    let key = age::x25519::Identity::generate().to_string();
    std::fs::write(&other, age::secrecy::ExposeSecret::expose_secret(&key)).unwrap();
    let other = other.display().to_string();
    let refused = replay_with("vault-replay", &into, &["--identity", &other]);
    refused.fails(&["is sealed to others", "--identity FILE"]);

    let own = stack().directory().join("auditor.identity");
    let own = own.display().to_string();
    let live = repository.path.display().to_string();
    let both = ["--identity", &other, "--identity", &own, "--verify", &live];
    replay_with("vault-replay", &into, &both)
        .passes()
        .says(&["Equal"]);
}

#[test]
fn the_same_pack_is_kept_once_and_a_changed_file_is_named() {
    let repository = Repository::guarded(stack(), "vault-once");
    let work = repository.work();
    // No other test may send the same pack.
    work.commit(&[(b"a", b"vault-once\n")], "A");
    for _ in 0..2 {
        work.push(Via::Local, &["HEAD:refs/heads/main"])
            .fails(&["RW201"]);
    }
    let (digest, file) = last_pack("vault-once");
    let folder = file.parent().unwrap();
    let of_it = std::fs::read_dir(folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(&digest)
    });
    assert_eq!(of_it.count(), 1);
    let came = psql(&format!(
        "SELECT count(*) FROM pack_receptions WHERE digest = '{digest}'"
    ));
    assert_eq!(came, "2");

    // The baseline's file, changed by somebody who can write to the store.
    work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
    replay(&repository).passes();
    let (_, file) = last_pack("vault-once");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    replay(&repository).fails(&["was changed", "restore the pack store"]);
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    replay(&repository).passes();
    // Another pack, sealed as it should be to the right recipient.
    let forged = age::encrypt(&identity().to_public(), b"PACK").unwrap();
    std::fs::write(&file, forged).unwrap();
    replay(&repository).fails(&["is not what was recorded"]);
}

#[test]
fn a_quick_start_keeps_its_identity_from_the_service() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = stack().directory().join("auditor.identity");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config = std::fs::read_to_string(stack().directory().join("refwarden.toml")).unwrap();
    let recipient = identity().to_public().to_string();
    assert!(config.contains(&recipient), "{config}");
    assert!(!config.contains("AGE-SECRET-KEY"), "{config}");
    let config: toml::Value = toml::from_str(&config).unwrap();
    assert_eq!(config["packs"]["recipients"][0].as_str(), Some(&*recipient));
}

fn hex_sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
