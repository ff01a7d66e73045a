//! What it was measured on.

use std::process::Command;

/// Prints the machine and the versions of everything that takes part.
pub fn describe() {
    describe_without_servers();
    println!("| nginx | {} |", said(&sbin("nginx"), &["-v"]));
    println!("| Postgres | {} |", said("psql", &["--version"]));
    println!();
}

/// The same where no server takes part.
pub fn describe_without_servers() {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |it| it.trim_start_matches([' ', '\t', ':']));
    println!("| what | version |\n|---|---|");
    println!("| processor | {cores} cores, {model} |");
    println!("| kernel | {} |", said("uname", &["-sr"]));
    println!("| git | {} |", said("git", &["--version"]));
    println!("| rustc | {} |", said("rustc", &["--version"]));
}

/// A program that may stand where only administrators look.
pub fn sbin(name: &str) -> String {
    let search = std::env::var("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&search).collect();
    places.extend(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = places
        .into_iter()
        .map(|it| it.join(name))
        .find(|it| it.is_file());
    let found =
        found.unwrap_or_else(|| panic!("{name} is not installed; see install/bootstrap.sh"));
    found.display().to_string()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
