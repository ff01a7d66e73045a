//! Times: a span back from now, a day, or a time.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};

/// What can be read.
pub const EXPECTED: &str = "a span such as 30m, 12h, 7d or 2w, a day such as 2026-01-31, or a \
                            time such as 2026-01-31T12:00:00Z";

/// Reads a time.
pub fn read(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Some(day.and_time(NaiveTime::MIN).and_utc());
    }
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|n| *n >= 0)?;
    let span = Duration::try_seconds(number.checked_mul(seconds)?)?;
    now.checked_sub_signed(span)
}
