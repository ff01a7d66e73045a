//! Sizes and spans of time as policy files write them.

/// Bytes of a size such as `500`, `64 KiB` or `10MiB`; none for anything else.
pub fn bytes(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Seconds of a span such as `30m`, `12h` or `7d`, from one minute to ten years; none for
/// anything else.
pub fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let span = number.parse::<u64>().ok().filter(|_| digits)?;
    let span = span.checked_mul(factor)?;
    (60..=86_400 * 3650).contains(&span).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_have_units() {
        for (text, expected) in [
            ("500", Some(500)),
            ("64 KiB", Some(65_536)),
            ("10MiB", Some(10 << 20)),
            ("1 GiB", Some(1 << 30)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1 MB", None),
            ("99999999999999999999", None),
            ("99999999999999 GiB", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
        for (text, expected) in [
            ("30m", Some(1800)),
            ("7d", Some(604_800)),
            ("0m", None),
            ("+1d", None),
            ("", None),
            ("d", None),
            ("9999d", None),
            ("7", None),
            ("1é", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
