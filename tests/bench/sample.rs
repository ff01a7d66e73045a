//! Runs of competitors, and what is said of them.

use std::time::Duration;

/// Times of one competitor, in milliseconds.
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Every run, in the order of the rounds.
    pub times: Vec<f64>,
}

/// Runs every competitor once a round, and begins each round with another one. The first round
/// warms up and is not counted.
pub fn alternate(
    names: &[&str],
    rounds: usize,
    mut run: impl FnMut(usize) -> Duration,
) -> Vec<Sample> {
    let sample = |name: &&str| Sample {
        name: (*name).to_owned(),
        times: Vec::with_capacity(rounds),
    };
    let mut samples: Vec<Sample> = names.iter().map(sample).collect();
    for round in 0..=rounds {
        for step in 0..samples.len() {
            let which = (round + step) % samples.len();
            let took = run(which);
            if round > 0 {
                samples[which].times.push(took.as_secs_f64() * 1000.0);
            }
        }
        if round % 20 == 0 {
            eprintln!("  round {round} of {rounds}");
        }
    }
    samples
}

impl Sample {
    /// The time that a share of the runs did not exceed.
    pub fn quantile(&self, share: f64) -> f64 {
        quantile(&self.times, share)
    }

    /// Median of the ratios of each round's run to the same round's run of another.
    pub fn ratio(&self, other: &Self) -> (f64, f64, f64) {
        let ratios = self
            .times
            .iter()
            .zip(&other.times)
            .map(|(mine, theirs)| mine / theirs);
        let ratios: Vec<_> = ratios.collect();
        (
            quantile(&ratios, 0.5),
            quantile(&ratios, 0.25),
            quantile(&ratios, 0.75),
        )
    }
}

/// Prints a table; ratios are to the first.
pub fn table(title: &str, samples: &[Sample]) {
    let runs = samples[0].times.len();
    println!("### {title}\n\n{runs} rounds, milliseconds.\n");
    println!("| what | median | quartiles | p99 | ratio to the first (quartiles) |");
    println!("|---|---|---|---|---|");
    for sample in samples {
        let (median, low, high) = sample.ratio(&samples[0]);
        println!(
            "| {} | {:.1} | {:.1}-{:.1} | {:.1} | {median:.3} ({low:.3}-{high:.3}) |",
            sample.name,
            sample.quantile(0.5),
            sample.quantile(0.25),
            sample.quantile(0.75),
            sample.quantile(0.99),
        );
    }
    println!();
}

/// The value that a share of all values does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count of runs"
)]
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[at]
}
