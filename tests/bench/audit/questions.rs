//! Every filter of the grammar, dense and rare and empty, alone and in pairs.

use std::time::Instant;

use reqwest::blocking::Client;

use crate::sample::quantile;

/// Of each key, what many events meet, what some do, what hardly any does, and what none does.
const SINGLE: [(&str, &[&str]); 14] = [
    (
        "repo",
        &[
            "team0/service-0",
            "team7/service-487",
            "team3/*",
            "team?/service-4*",
            "none",
        ],
    ),
    (
        "ref",
        &[
            "refs/heads/main",
            "refs/heads/release/7",
            "refs/heads/release/*",
            "refs/heads/feature/user799-*",
            "refs/tags/v100",
            "**/main",
            "**/none",
        ],
    ),
    (
        "actor",
        &["user0", "user790", "agent3", "user79*", "nobody"],
    ),
    ("kind-of-actor", &["human", "agent", "ci"]),
    ("on-behalf-of", &["user0", "user790", "user7*", "nobody"]),
    (
        "state",
        &[
            "refused",
            "waiting",
            "released",
            "cancelled",
            "committed",
            "prepared",
            "not-moved",
        ],
    ),
    ("rule", &["rule-0", "rule-118", "rule-11*", "none"]),
    (
        "path",
        &[
            "src/m0/file0.rs",
            "infra/m9/file19990.tf",
            "**/*.tf",
            "infra/**",
            "docs/m1/*",
            "**/file19999.json",
            "none/**",
        ],
    ),
    (
        "kind",
        &[
            "push",
            "ref.committed",
            "push.denied",
            "push.cancelled",
            "grant",
        ],
    ),
    ("code", &["rw301", "rw201", "rw999"]),
    ("push", &["00000000-0000-7000-8000-000000000001"]),
    ("event", &["1", "1000000"]),
    ("since", &["2025-12-01", "2030-01-01"]),
    ("until", &["2025-01-02", "2020-01-01"]),
];

fn term(key: &str, value: &str) -> String {
    match key {
        "kind-of-actor" => format!("actor:kind={value}"),
        _ => format!("{key}:{value}"),
    }
}

/// Asks as the API's clients do.
pub struct Asker<'a> {
    /// The service.
    pub url: &'a str,
    /// An auditor's.
    pub token: &'a str,
    /// The HTTP client.
    pub client: &'a Client,
}

impl Asker<'_> {
    /// Milliseconds until the first page of the answer is there.
    fn time(&self, query: &str, newest: bool) -> f64 {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/events", self.url)).unwrap();
        url.query_pairs_mut()
            .append_pair("q", query)
            .append_pair("limit", "50")
            .append_pair("newest", if newest { "true" } else { "false" });
        let begun = Instant::now();
        let answer = self.client.get(url).bearer_auth(self.token).send().unwrap();
        let status = answer.status();
        let text = answer.text().unwrap();
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        if !status.is_success() {
            eprintln!("{query}: {status}: {text}");
        }
        took
    }

    /// Asks every question both ways round and prints how long that took.
    fn all(&self, title: &str, queries: &[String], rounds: usize) {
        let mut times = Vec::new();
        for query in queries {
            for newest in [false, true] {
                for _ in 0..rounds {
                    times.push((self.time(query, newest), query));
                }
            }
        }
        let all: Vec<f64> = times.iter().map(|it| it.0).collect();
        times.sort_by(|one, other| other.0.total_cmp(&one.0));
        let slowest = times.first().map(|it| it.1.as_str()).unwrap_or_default();
        println!(
            "| {title} | {} | {:.1} | {:.1} | {:.1} | `{slowest}` |",
            all.len(),
            quantile(&all, 0.5),
            quantile(&all, 0.95),
            quantile(&all, 1.0),
        );
        for (time, query) in times.iter().take(12) {
            eprintln!("  {time:.1} ms: {query}");
        }
    }

    /// Prints one row for single filters and one for pairs.
    pub fn measure(&self, size: &str) {
        let singles: Vec<String> = SINGLE
            .iter()
            .flat_map(|(key, values)| values.iter().map(move |value| term(key, value)))
            .collect();
        // Of the times, two that make a span: the others are refused.
        let mut pairs = vec!["since:2025-01-02 until:2025-12-01".to_owned()];
        for (at, (key, values)) in SINGLE.iter().enumerate() {
            if *key == "since" {
                continue;
            }
            for (other, others) in &SINGLE[at + 1..] {
                // The densest and the rarest of each.
                for value in [values[0], values[values.len() - 1]] {
                    for second in [others[0], others[others.len() - 1]] {
                        pairs.push(format!("{} {}", term(key, value), term(other, second)));
                    }
                }
            }
        }
        self.all(&format!("{size}, one filter"), &singles, 3);
        self.all(&format!("{size}, two filters"), &pairs, 1);
    }
}
