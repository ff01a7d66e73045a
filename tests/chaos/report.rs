//! What is told in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::plan::{Blow, Fault, Plan};
use crate::trial::Told;

/// What does not hold after a trial.
struct Broken {
    trial: u64,
    what: String,
    plan: String,
}

/// Counts of everything.
#[derive(Default)]
pub struct Report {
    seed: u64,
    trials: u64,
    missed: u64,
    passed: u64,
    kills: BTreeMap<String, u64>,
    steps: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    masked_reads: BTreeMap<String, u64>,
    left_out: BTreeMap<String, u64>,
    why_left_out: String,
    fault_steps: BTreeMap<&'static str, u64>,
    slowest: Duration,
    broken: Vec<Broken>,
}

impl Report {
    /// Of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Takes a trial in.
    pub fn add(&mut self, trial: u64, plan: &Plan, told: &Told) {
        self.trials += 1;
        self.passed += u64::from(told.passed);
        let Some(step) = told.step.map(crate::step::Step::name) else {
            self.missed += 1;
            self.violations(trial, plan, told);
            return;
        };
        match plan.blow {
            Blow::Kill(victim, _) => {
                *self.kills.entry(format!("{victim:?}")).or_default() += 1;
                *self.steps.entry(step).or_default() += 1;
            }
            Blow::Fault(fault, _) => {
                *self.faults.entry(format!("{fault:?}")).or_default() += 1;
                *self.refused.entry(format!("{fault:?}")).or_default() += told.refused;
                if plan.masked {
                    let reads = self.masked_reads.entry(format!("{fault:?}")).or_default();
                    *reads += told.masked_reads;
                }
                *self.fault_steps.entry(step).or_default() += 1;
                self.slowest = self.slowest.max(told.took);
            }
        }
        self.violations(trial, plan, told);
    }

    /// Takes in that a trial was not made.
    pub fn leave_out(&mut self, fault: Fault, why: &str) {
        *self.left_out.entry(format!("{fault:?}")).or_default() += 1;
        why.clone_into(&mut self.why_left_out);
    }

    fn violations(&mut self, trial: u64, plan: &Plan, told: &Told) {
        for what in &told.violations {
            let plan = format!("{plan:?}");
            eprintln!(
                "violation: seed {} trial {trial}: {what}\n  {plan}",
                self.seed
            );
            let what = what.clone();
            self.broken.push(Broken { trial, what, plan });
        }
    }

    /// Whether everything holds.
    pub fn is_whole(&self) -> bool {
        self.broken.is_empty()
    }

    /// How many trials there were.
    pub fn trials(&self) -> u64 {
        self.trials
    }

    fn count(counts: &BTreeMap<String, u64>) -> u64 {
        counts.values().sum()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let broken = self.broken.iter().map(
            |it| json!({"seed": self.seed, "trial": it.trial, "what": it.what, "plan": it.plan}),
        );
        json!({
            "seed": self.seed,
            "trials": self.trials,
            "missed": self.missed,
            "pushes_passed": self.passed,
            "kills": Self::count(&self.kills),
            "kills_by_victim": self.kills,
            "kills_by_step": self.steps,
            "faults": Self::count(&self.faults),
            "faults_by_kind": self.faults,
            "faults_by_step": self.fault_steps,
            "pushes_refused_while_a_fault_lasted": self.refused,
            "masked_reads_while_a_fault_lasted": self.masked_reads,
            "left_out": self.left_out,
            "slowest_push_of_a_fault_ms": u64::try_from(self.slowest.as_millis()).unwrap_or(u64::MAX),
            "violations": broken.collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub fn print(&self) {
        println!(
            "seed {}: {} trials, {} kills, {} faults, {} that came after the push had ended, {} violations",
            self.seed,
            self.trials,
            Self::count(&self.kills),
            Self::count(&self.faults),
            self.missed,
            self.broken.len()
        );
        println!("{} of the pushes passed all the same", self.passed);
        if !self.left_out.is_empty() {
            let count = Self::count(&self.left_out);
            println!("left out: {count} trials, each {}", self.why_left_out);
            table(&self.left_out);
        }
        println!("\nkills by victim");
        table(&self.kills);
        println!("\nkills by step");
        table(&self.steps);
        println!("\nfaults by kind");
        table(&self.faults);
        println!("\nother pushes refused while it lasted");
        table(&self.refused);
        println!("\nclones of a masked view made while it lasted");
        table(&self.masked_reads);
        println!("\nfaults by the step in which they began");
        table(&self.fault_steps);
        for it in &self.broken {
            println!(
                "\nviolation: {}\n  once more: target/release/chaos --seed {} --trial {}\n  {}",
                it.what, self.seed, it.trial, it.plan
            );
        }
    }
}

fn table<N: std::fmt::Display>(rows: &BTreeMap<N, u64>) {
    for (name, count) in rows {
        println!("  {name:28} {count:6}");
    }
}
