//! Memory of hook, proxy and service for a pack of 1 GiB, and of the hook for large containers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use refwarden_testkit::{Repository, Stack, Via, with_token};

use crate::matter;

/// Pushes and clones packs of several sizes and prints peaks.
pub fn measure(stack: &Stack) {
    println!("## Memory\n");
    println!(
        "Peak resident set in MiB (`VmHWM`, looked at every 10 ms) while a pack is pushed and cloned.\n"
    );
    println!("| pack | pre-receive | git index-pack | proxy | service | push | clone |");
    println!("|---|---|---|---|---|---|---|");
    for megabytes in [16, 128, 1024] {
        eprintln!("memory, {megabytes} MiB");
        let repository = Repository::guarded(stack, &format!("memory-{megabytes}"));
        let source = Repository::empty(stack, &format!("source-{megabytes}"), "sha1");
        matter::bulk(stack.git(), &source, megabytes);
        let git = with_token(stack.git(), &stack.token("ada"), Via::Http)
            .with("GIT_CONFIG_COUNT", "3")
            .with("GIT_CONFIG_KEY_1", "core.compression")
            .with("GIT_CONFIG_VALUE_1", "0")
            .with("GIT_CONFIG_KEY_2", "pack.window")
            .with("GIT_CONFIG_VALUE_2", "0");
        let url = repository.http_url();
        let (peaks, push) = watched(|| {
            git.run(&source.path, &["push", "-q", &url, "main:refs/heads/topic"])
                .passes();
        });
        let directory = tempfile::tempdir().unwrap();
        let (later, clone) = watched(|| {
            git.run(directory.path(), &["clone", "-q", "--bare", &url, "c.git"])
                .passes();
        });
        let of = |name: &str| {
            let peak = peaks
                .get(name)
                .max(later.get(name))
                .copied()
                .unwrap_or_default();
            format!("{:.1}", f64::from(u32::try_from(peak).unwrap()) / 1024.0)
        };
        println!(
            "| {megabytes} MiB | {} | {} | {} | {} | {:.1} s | {:.1} s |",
            of("pre-receive"),
            of("git index-pack"),
            of("refwarden-proxy"),
            of("refwarden-service"),
            push.as_secs_f64(),
            clone.as_secs_f64(),
        );
        std::fs::remove_dir_all(&source.path).unwrap();
    }
    println!();
    containers(stack);
}

/// Bytes of text in each container.
const UNPACKED: usize = 100 << 20;

/// Pushes one large container of each kind and prints the peak of the hook that looks into it.
fn containers(stack: &Stack) {
    println!("### The hook, looking into one container\n");
    println!("| container | packed, MiB | pre-receive, MiB | push |");
    println!("|---|---|---|---|");
    let repository = Repository::guarded(stack, "memory-containers");
    let work = repository.work();
    let file = work.path().join("big.log");
    std::fs::write(&file, text(UNPACKED)).unwrap();
    let tar = ["tar", "--format=ustar", "-cf", "big.tar", "big.log"];
    for (name, command) in [
        ("big.log", &["true"][..]),
        ("big.log.gz", &["gzip", "-k", "big.log"]),
        ("big.log.xz", &["xz", "-k", "-6", "-T1", "big.log"]),
        ("big.log.zst", &["zstd", "-q", "-k", "-19", "big.log"]),
        ("big.tar", &tar),
        ("big.zip", &["zip", "-q", "-9", "big.zip", "big.log"]),
    ] {
        eprintln!("memory, {name}");
        let mut program = std::process::Command::new(command[0]);
        program.args(&command[1..]).current_dir(work.path());
        assert!(program.status().unwrap().success(), "{name}");
        let packed = std::fs::metadata(work.path().join(name)).unwrap().len();
        work.git(&["add", name]);
        work.git(&["commit", "-q", "-m", name]);
        let (peaks, push) = watched(|| {
            work.push(Via::Local, &["HEAD:refs/heads/topic"]).passes();
        });
        let peak = peaks.get("pre-receive").copied().unwrap_or_default();
        println!(
            "| `{name}` | {} | {:.1} | {:.1} s |",
            packed >> 20,
            f64::from(u32::try_from(peak).unwrap()) / 1024.0,
            push.as_secs_f64(),
        );
    }
    println!();
}

/// Lines of words and numbers, about as compressible as a log.
fn text(length: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "request", "from", "accepted", "cache", "miss", "upstream", "worker", "done",
    ];
    let mut state = 7u64;
    let mut text = Vec::with_capacity(length + 128);
    while text.len() < length {
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let word = WORDS[usize::try_from(state % 8).unwrap()];
            text.extend_from_slice(format!("{word} {} ", state % 9973).as_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// Does something, and looks at all processes in the meantime. Peaks in KiB, by program.
fn watched(work: impl FnOnce()) -> (BTreeMap<String, u64>, Duration) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peaks = BTreeMap::new();
            while !over.load(Ordering::Acquire) {
                look(&mut peaks);
                std::thread::sleep(Duration::from_millis(10));
            }
            peaks
        });
        let begun = Instant::now();
        work();
        let took = begun.elapsed();
        over.store(true, Ordering::Release);
        (watcher.join().unwrap(), took)
    })
}

fn look(peaks: &mut BTreeMap<String, u64>) {
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let read = |name: &str| std::fs::read_to_string(entry.path().join(name)).ok();
        let Some(status) = read("status") else {
            continue;
        };
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok());
        let Some((peak, line)) = peak.zip(read("cmdline")) else {
            continue;
        };
        let words: Vec<_> = line.split('\0').collect();
        let program = words[0].rsplit('/').next().unwrap_or_default();
        let name = match program {
            "git" if words.contains(&"index-pack") => "git index-pack",
            name => name,
        };
        let known: &mut u64 = peaks.entry(name.to_owned()).or_default();
        *known = (*known).max(peak);
    }
}
