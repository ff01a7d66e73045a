//! What each scanner finds: of tokens that are made from the formats that providers publish, in
//! ten kinds of file, among texts that come near and are none; and on source that holds none.
//!
//! Each case is a file of its own, so a scanner's answer is the names of the files in its report,
//! whatever the report's form.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use refwarden_scan::example;

use super::peers::{Job, Peer};
use super::process;

/// Name of a variable that would hold it, template, and how much of the value is the prefix that
/// placeholders keep.
const FORMATS: [(&str, &str, usize); 40] = [
    ("GITHUB_TOKEN", "ghp_{base62:30}{crc32}", 4),
    ("GH_OAUTH", "gho_{base62:30}{crc32}", 4),
    ("GITHUB_PAT", "github_pat_{base62:22}_{base62:59}", 11),
    ("GITLAB_TOKEN", "glpat-{base64url:20}", 6),
    ("NPM_TOKEN", "npm_{base62:30}{crc32}", 4),
    ("PYPI_TOKEN", "pypi-AgEIcHlwaS5vcmc{base64url:160}", 20),
    ("RUBYGEMS_KEY", "rubygems_{hex:48}", 9),
    ("DOCKER_PAT", "dckr_pat_{base64url:27}", 9),
    ("AWS_ACCESS_KEY_ID", "AKIA{base32:16}", 4),
    ("AWS_SECRET_ACCESS_KEY", "{base64:40}", 0),
    ("GOOGLE_API_KEY", "AIza{base64url:35}", 4),
    ("GOOGLE_CLIENT_SECRET", "GOCSPX-{base64url:28}", 7),
    ("STRIPE_KEY", "sk_live_{base62:24}", 8),
    ("STRIPE_RESTRICTED", "rk_live_{base62:99}", 8),
    (
        "SLACK_BOT_TOKEN",
        "xoxb-{digits:12}-{digits:13}-{base62:24}",
        5,
    ),
    (
        "SLACK_WEBHOOK",
        "https://hooks.slack.com/services/T{uppernum:10}/B{uppernum:10}/{base62:24}",
        33,
    ),
    ("SENDGRID_API_KEY", "SG.{base64url:22}.{base64url:43}", 3),
    ("MAILCHIMP_KEY", "{hex:32}-us12", 0),
    ("TWILIO_API_KEY", "SK{hex:32}", 2),
    ("SHOPIFY_TOKEN", "shpat_{hex:32}", 6),
    ("SQUARE_TOKEN", "sq0atp-{base64url:22}", 7),
    ("DIGITALOCEAN_TOKEN", "dop_v1_{hex:64}", 7),
    ("HF_TOKEN", "hf_{alpha:34}", 3),
    ("ANTHROPIC_API_KEY", "sk-ant-api03-{base64url:93}AA", 13),
    (
        "OPENAI_API_KEY",
        "sk-proj-{base64url:74}T3BlbkFJ{base64url:74}",
        8,
    ),
    ("GROQ_API_KEY", "gsk_{base62:52}", 4),
    ("REPLICATE_API_TOKEN", "r8_{base62:37}", 3),
    ("LINEAR_API_KEY", "lin_api_{base62:40}", 8),
    ("NOTION_TOKEN", "ntn_{digits:11}{base62:35}", 4),
    ("VAULT_TOKEN", "hvs.{base64url:92}", 4),
    ("DATABRICKS_TOKEN", "dapi{hex:32}", 4),
    ("GRAFANA_TOKEN", "glsa_{base62:32}_{hex:8}", 5),
    ("NEW_RELIC_KEY", "NRAK-{uppernum:27}", 5),
    ("DOPPLER_TOKEN", "dp.pt.{base62:43}", 6),
    ("POSTMAN_API_KEY", "PMAK-{hex:24}-{hex:34}", 5),
    ("PULUMI_ACCESS_TOKEN", "pul-{hex:40}", 4),
    ("TELEGRAM_BOT_TOKEN", "{digits:10}:AA{base64url:33}", 0),
    (
        "DISCORD_WEBHOOK",
        "https://discord.com/api/webhooks/{digits:18}/{base64url:68}",
        33,
    ),
    ("ID_TOKEN", "{jwt}", 3),
    (
        "DATABASE_URL",
        "postgres://app:{base62:24}@db.internal:5432/app",
        15,
    ),
];

/// How a file of this kind holds a value: what stands before the name, between, and behind.
const KINDS: [(&str, &str); 10] = [
    ("env", "# settings\nNAME=VALUE\nDEBUG=0\n"),
    (
        "json",
        "{\n  \"region\": \"eu\",\n  \"NAME\": \"VALUE\"\n}\n",
    ),
    ("yaml", "env:\n  - name: NAME\n    value: \"VALUE\"\n"),
    (
        "py",
        "import os\n\nNAME = \"VALUE\"\n\ndef main():\n    pass\n",
    ),
    (
        "js",
        "const client = connect({ NAME: 'VALUE', retries: 3 });\n",
    ),
    ("properties", "server.port=8080\nNAME=VALUE\n"),
    ("toml", "[service]\nNAME = \"VALUE\"\n"),
    ("sh", "#!/bin/sh\nexport NAME=VALUE\nexec app\n"),
    ("tf", "variable \"NAME\" {\n  default = \"VALUE\"\n}\n"),
    (
        "xml",
        "<config>\n  <add key=\"NAME\" value=\"VALUE\"/>\n</config>\n",
    ),
];

/// Everyday values that are no secrets.
const EVERYDAY: [(&str, &str); 8] = [
    ("commit", "{hex:40}"),
    ("sha256", "{hex:64}"),
    ("integrity", "sha512-{base64:86}=="),
    ("etag", "W/{hex:32}"),
    ("request_id", "{hex:8}-{hex:4}-4{hex:3}-a{hex:3}-{hex:12}"),
    ("build", "{digits:18}"),
    (
        "public_key",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{base64:43}",
    ),
    ("image", "data:image/png;base64,iVBORw0KGgo{base64:120}"),
];

/// Writes the cases; how many of them hold a secret.
pub fn plant(into: &Path) -> (usize, usize) {
    let write = |name: &str, kind: (&str, &str), variable: &str, value: &str| {
        let text = kind.1.replace("NAME", variable).replace("VALUE", value);
        fs::write(into.join(format!("{name}.{}", kind.0)), text).unwrap();
    };
    let expand =
        |template: &str, seed: u64| String::from_utf8(example::expand(template, seed)).unwrap();
    let (mut secrets, mut others) = (0, 0);
    for (index, (variable, template, prefix)) in FORMATS.iter().enumerate() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            let value = expand(template, 1000 + number as u64);
            write(
                &format!("secret-{index:03}-{number}"),
                kind,
                variable,
                &value,
            );
            secrets += 1;
            // Too short; its beginning and then nothing but one character; documentation's words.
            let head = &value[..*prefix];
            let near = match number {
                0..4 => value[..(value.len() * 3 / 5).max(prefix + 1)].to_owned(),
                4..7 => format!("{head}{}", "x".repeat(value.len() - prefix)),
                _ => format!("{head}YOUR_{variable}_HERE"),
            };
            write(&format!("near-{index:03}-{number}"), kind, variable, &near);
            others += 1;
        }
    }
    for (index, (variable, template)) in EVERYDAY.iter().enumerate() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            let value = expand(template, number as u64);
            write(
                &format!("everyday-{index:03}-{number}"),
                kind,
                variable,
                &value,
            );
            others += 1;
        }
    }
    (secrets, others)
}

/// Compares what is found of what was planted.
pub fn measure(peers: &[Peer], into: &Path) {
    let (secrets, others) = plant(into);
    println!(
        "### Detection: {secrets} tokens of {} formats, {others} that are none\n",
        FORMATS.len()
    );
    println!(
        "| what | found | recall | false | precision | formats not found |\n|---|---|---|---|---|---|"
    );
    for peer in peers {
        let Some(command) = peer.command(Job::Tree(into)) else {
            continue;
        };
        let reported = names(&process::output(command, &peer.codes));
        let of = |kind: &str| {
            reported
                .iter()
                .filter(|name| name.starts_with(kind))
                .count()
        };
        let (found, wrong) = (of("secret-"), of("near-") + of("everyday-"));
        let missed = FORMATS.iter().enumerate().filter(|(index, _)| {
            let this = format!("secret-{index:03}-");
            !reported.iter().any(|name| name.starts_with(&this))
        });
        let missed: Vec<&str> = missed.map(|(_, format)| format.0).collect();
        println!(
            "| {} | {found} | {:.3} | {wrong} | {:.3} | {} |",
            peer.name,
            share(found, secrets),
            share(found, (found + wrong).max(1)),
            missed.join(", "),
        );
    }
    println!();
}

/// Findings on source without secrets: the directories that `SCAN_BENCH_CLEAN` names, with colons
/// between them.
pub fn clean(peers: &[Peer]) {
    let Some(named) = std::env::var_os("SCAN_BENCH_CLEAN") else {
        eprintln!("scan: no SCAN_BENCH_CLEAN, so nothing is said of clean source");
        return;
    };
    println!(
        "### Findings for 1 000 files of clean source\n\n| what | tree | files | findings | for 1 000 files |\n|---|---|---|---|---|"
    );
    for tree in std::env::split_paths(&named) {
        let files = super::corpus::count(&tree);
        for peer in peers {
            let Some(command) = peer.command(Job::Tree(&tree)) else {
                continue;
            };
            let output = process::output(command, &peer.codes);
            let found = peer.findings(&output);
            println!(
                "| {} | {} | {files} | {found} | {:.2} |",
                peer.name,
                tree.file_name().unwrap_or_default().to_string_lossy(),
                1000.0 * share(found, files),
            );
        }
    }
    println!();
}

/// Names of cases in a report.
fn names(report: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words = report.split(|c| !is_name(c));
    let is_case = |word: &&str| {
        ["secret-", "near-", "everyday-"]
            .iter()
            .any(|kind| word.starts_with(kind))
    };
    words.filter(is_case).map(str::to_owned).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of files")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
