//! Random choices that come out the same for the same seed and trial.

/// A `SplitMix64` generator (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
/// OOPSLA 2014). Not for secrets.
pub struct Dice(u64);

impl Dice {
    /// The dice of one trial: what it rolls depends on nothing but the two numbers.
    pub fn of(seed: u64, trial: u64) -> Self {
        let mut dice = Self(seed);
        let first = dice.next();
        Self(first ^ trial.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of several, each with its weight.
    pub fn pick<T: Copy>(&mut self, weighted: &[(u64, T)]) -> T {
        let mut roll = self.below(weighted.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in weighted {
            if roll < *weight {
                return *choice;
            }
            roll -= weight;
        }
        weighted[0].1
    }
}
