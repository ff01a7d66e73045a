//! The command line.

use std::time::Duration;

use crate::plan::Share;

/// How it is called.
pub const USAGE: &str = "\
usage: chaos [--seed N] [--minutes N | --seconds N | --trials N | --trial N]
             [--only kills|faults|disks] [--jobs N] [--json] [--verbose]

  --seed N      what happens follows from it; from the clock when it is not given
  --trial N     that trial only
  --minutes N   begins no trial after so long; 2 when nothing is given
  --jobs N      so many at once, each with Refwardens of its own; 1 when it is not given

Full disks and pulled cables need root; without, they are left out and counted.";

/// The most jobs: each may have two Refwardens, which are numbered.
const JOBS: u8 = 127;

/// What was asked for.
pub struct Arguments {
    /// From which everything follows.
    pub seed: u64,
    /// This one only.
    pub trial: Option<u64>,
    /// So many.
    pub trials: Option<u64>,
    /// Otherwise so long.
    pub time: Duration,
    /// Which.
    pub share: Share,
    /// How many at once.
    pub jobs: u8,
    /// For programs.
    pub json: bool,
    /// Each trial is told.
    pub verbose: bool,
}

impl Arguments {
    /// Reads them.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let mut read = Self {
            seed: clock.map_or(1, |it| it.as_secs()),
            trial: None,
            trials: None,
            time: Duration::from_mins(2),
            share: Share::All,
            jobs: 1,
            json: false,
            verbose: false,
        };
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().and_then(|it| it.parse::<u64>().ok());
                value.ok_or_else(|| format!("{word} takes a number"))
            };
            match word.as_str() {
                "--seed" => read.seed = number()?,
                "--trial" => read.trial = Some(number()?),
                "--trials" => read.trials = Some(number()?),
                "--minutes" => read.time = Duration::from_secs(number()?.saturating_mul(60)),
                "--seconds" => read.time = Duration::from_secs(number()?),
                "--jobs" => {
                    let jobs = u8::try_from(number()?).ok();
                    let jobs = jobs.filter(|jobs| (1..=JOBS).contains(jobs));
                    read.jobs =
                        jobs.ok_or_else(|| format!("--jobs takes a number from 1 to {JOBS}"))?;
                }
                "--json" => read.json = true,
                "--verbose" => read.verbose = true,
                "--only" => {
                    read.share = match words.next().as_deref() {
                        Some("kills") => Share::Kills,
                        Some("faults") => Share::Faults,
                        Some("disks") => Share::Disks,
                        _ => return Err("--only takes kills, faults or disks".to_owned()),
                    }
                }
                _ => return Err(format!("{word} is not known")),
            }
        }
        Ok(read)
    }
}
