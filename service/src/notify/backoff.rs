//! When a delivery that failed is tried again, and when it is given up.

use chrono::{DateTime, Duration, Utc};

/// The wait after the first attempt, in seconds; each further one doubles it.
const FIRST: i64 = 2;
/// The longest wait, in seconds.
const LONGEST: i64 = 3600;

/// When attempt number `attempts` (from 1) has failed: the time of the next, or none when the
/// delivery, made at `made_at`, would be older than `give_up` by then. `wait` is what the
/// receiver asked for, in seconds; `jitter` spreads attempts out, so that a target that comes
/// back is not asked by everybody at once: 0 halves the wait, 255 leaves it.
pub fn next(
    attempts: i32,
    made_at: DateTime<Utc>,
    now: DateTime<Utc>,
    give_up: Duration,
    wait: Option<u64>,
    jitter: u8,
) -> Option<DateTime<Utc>> {
    let doublings = u32::try_from(attempts.saturating_sub(1))
        .unwrap_or(0)
        .min(20);
    let full = FIRST.saturating_mul(1 << doublings).min(LONGEST) * 1000;
    let spread = full / 2 + full / 2 * i64::from(jitter) / 255;
    let asked = wait
        .and_then(|wait| i64::try_from(wait).ok())
        .unwrap_or(0)
        .min(LONGEST)
        * 1000;
    let next = now + Duration::milliseconds(spread.max(asked));
    (next - made_at <= give_up).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_end() {
        let made = DateTime::UNIX_EPOCH;
        let day = Duration::days(1);
        for (attempts, wait, jitter, expected) in [
            (1, None, 255, 2000),
            (1, None, 0, 1000),
            (2, None, 255, 4000),
            (5, None, 255, 32_000),
            (12, None, 255, 3_600_000),
            (i32::MAX, None, 255, 3_600_000),
            (1, Some(30), 255, 30_000),
            (6, Some(30), 255, 64_000),
            (1, Some(u64::MAX), 255, 2000),
            (1, Some(1_000_000), 255, 3_600_000),
        ] {
            let next = next(attempts, made, made, day, wait, jitter).unwrap();
            assert_eq!(
                (next - made).num_milliseconds(),
                expected,
                "{attempts} {wait:?} {jitter}"
            );
        }
        let late = made + day - Duration::seconds(1);
        assert_eq!(next(1, made, late, day, None, 255), None);
        assert_eq!(next(1, made, late, day, None, 0), Some(made + day));
    }
}
