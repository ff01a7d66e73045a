//! Times at which a rule speaks: weekdays, hours, freeze windows, in a time zone.
//!
//! The time is a parameter and the zones are compiled in, so a recorded push is judged again as
//! it was. An instant is turned into the zone's local time and compared there, so an hour that
//! a change of the clock repeats is inside both times.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde::Serialize;

/// When a rule speaks. All that is given has to hold; nothing given always holds.
#[derive(Clone, Debug, Serialize)]
pub struct When {
    /// The time zone's IANA name.
    zone: String,
    #[serde(skip)]
    tz: Tz,
    weekdays: Vec<Weekday>,
    hours: Vec<Hours>,
    windows: Vec<Window>,
    /// Whether it speaks at all other times instead.
    outside: bool,
}

/// A span of the day. One whose end is not after its start goes past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hours {
    start: NaiveTime,
    end: NaiveTime,
}

/// A span of local time, its end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Window {
    from: NaiveDateTime,
    until: NaiveDateTime,
}

impl Hours {
    /// Parses `09:00-17:30`; `24:00` is the end of a day.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let end = match end.trim() {
            "24:00" => NaiveTime::MIN,
            end => time(end)?,
        };
        Some(Self {
            start: time(start)?,
            end,
        })
    }

    fn holds(self, time: NaiveTime) -> bool {
        if self.start < self.end {
            (self.start..self.end).contains(&time)
        } else {
            time >= self.start || time < self.end
        }
    }
}

impl Window {
    /// Parses two dates or local times such as `2026-12-20` and `2027-01-02T08:00`. None where
    /// one is neither, or the end is not after the start.
    pub fn parse(from: &str, until: &str) -> Option<Self> {
        let (from, until) = (local(from)?, local(until)?);
        (from < until).then_some(Self { from, until })
    }
}

fn local(text: &str) -> Option<NaiveDateTime> {
    let date = || {
        NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
    };
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(date)
}

/// A weekday by its first three letters, lower case.
pub fn weekday(text: &str) -> Option<Weekday> {
    match text {
        "mon" => Some(Weekday::Mon),
        "tue" => Some(Weekday::Tue),
        "wed" => Some(Weekday::Wed),
        "thu" => Some(Weekday::Thu),
        "fri" => Some(Weekday::Fri),
        "sat" => Some(Weekday::Sat),
        "sun" => Some(Weekday::Sun),
        _ => None,
    }
}

impl When {
    /// Puts conditions together. None where the zone is not in the IANA database.
    pub fn new(
        zone: &str,
        weekdays: Vec<Weekday>,
        hours: Vec<Hours>,
        windows: Vec<Window>,
        outside: bool,
    ) -> Option<Self> {
        Some(Self {
            zone: zone.to_owned(),
            tz: zone.parse().ok()?,
            weekdays,
            hours,
            windows,
            outside,
        })
    }

    /// Whether it speaks at that time.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        let local = now.with_timezone(&self.tz).naive_local();
        let day = self.weekdays.is_empty() || self.weekdays.contains(&local.weekday());
        let hour = self.hours.is_empty() || self.hours.iter().any(|span| span.holds(local.time()));
        let window = self.windows.is_empty()
            || self
                .windows
                .iter()
                .any(|window| (window.from..window.until).contains(&local));
        (day && hour && window) != self.outside
    }

    /// Says what time it is there, and on which side of the rule's times.
    pub fn describe(&self, now: DateTime<Utc>) -> String {
        let local = now.with_timezone(&self.tz).format("%a %Y-%m-%d %H:%M");
        let side = if self.outside { "outside" } else { "within" };
        format!("{local} in {} is {side} the rule's times", self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_local_and_hours_may_pass_midnight() {
        let office = When::new(
            "Europe/Berlin",
            ["mon", "fri"]
                .iter()
                .filter_map(|day| weekday(day))
                .collect(),
            vec![Hours::parse("09:00-17:30").unwrap()],
            vec![],
            true,
        )
        .unwrap();
        // 2026-06-01 is a Monday; Berlin is two hours ahead in summer, one in winter.
        for (time, expected) in [
            ("2026-06-01T07:00:00Z", false),
            ("2026-06-01T06:59:00Z", true),
            ("2026-06-01T15:30:00Z", true),
            ("2026-06-02T08:00:00Z", true),
            ("2026-01-05T08:00:00Z", false),
            ("2026-01-05T07:30:00Z", true),
        ] {
            assert_eq!(office.holds(at(time)), expected, "{time}");
        }
        let hours = Hours::parse("22:00-06:00").unwrap();
        let night = When::new("UTC", vec![], vec![hours], vec![], false).unwrap();
        for (time, expected) in [
            ("2026-06-01T22:00:00Z", true),
            ("2026-06-01T05:59:59Z", true),
            ("2026-06-01T06:00:00Z", false),
        ] {
            assert_eq!(night.holds(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn a_freeze_ends_with_its_last_moment() {
        let window = Window::parse("2026-12-20", "2027-01-02T08:00").unwrap();
        let freeze = When::new("America/New_York", vec![], vec![], vec![window], false).unwrap();
        for (time, expected) in [
            ("2026-12-20T04:59:59Z", false),
            ("2026-12-20T05:00:00Z", true),
            ("2027-01-02T12:59:59Z", true),
            ("2027-01-02T13:00:00Z", false),
        ] {
            assert_eq!(freeze.holds(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "9-17", "09:00", "25:00-26:00", "09:00-17:61", "a-b"] {
            assert!(Hours::parse(bad).is_none(), "{bad}");
        }
        assert!(Hours::parse("00:00-24:00").unwrap().holds(NaiveTime::MIN));
        assert!(Window::parse("2026-12-20", "2026-12-20").is_none());
        assert!(Window::parse("2026-02-30", "2026-12-20").is_none());
        assert!(When::new("Berlin/Europe", vec![], vec![], vec![], false).is_none());
    }
}
