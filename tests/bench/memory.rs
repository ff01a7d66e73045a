//! Memory of hook, proxy and service for a pack of 1 GiB.

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
