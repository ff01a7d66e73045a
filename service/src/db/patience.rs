//! How long the service waits for a database that does not answer.
//!
//! The server bounds its own statements; what it cannot bound is silence. libpq waits for ever for a
//! server that accepts a connection and says nothing, and nearly for ever for packets that nobody
//! acknowledges, unless its connection string says otherwise (documentation of Postgres, "Database
//! Connection Control Functions").

/// What is added where the configuration does not say it: seconds to connect; milliseconds until
/// sent data must be acknowledged; seconds until a silent connection is probed, between two
/// probes, and how many may be lost.
const SETTINGS: [(&str, &str); 5] = [
    ("connect_timeout", "2"),
    ("tcp_user_timeout", "5000"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "2"),
];

/// A connection string, a URL or a list of `name=value`, with the settings that it lacks.
pub fn bounded(connection: &str) -> String {
    let is_url = connection.starts_with("postgresql://") || connection.starts_with("postgres://");
    let mut bounded = connection.to_owned();
    for (name, value) in SETTINGS {
        if connection.contains(&format!("{name}=")) || connection.contains(&format!("{name} =")) {
            continue;
        }
        let before = match (is_url, bounded.contains('?')) {
            (false, _) => ' ',
            (true, false) => '?',
            (true, true) => '&',
        };
        bounded.push(before);
        bounded.extend([name, "=", value]);
    }
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_already_stays() {
        let all = "connect_timeout=2&tcp_user_timeout=5000&keepalives_idle=5&\
                   keepalives_interval=2&keepalives_count=2";
        for (given, expected) in [
            ("postgresql://h/d", format!("postgresql://h/d?{all}")),
            (
                "postgres:///d?host=/x",
                format!("postgres:///d?host=/x&{all}"),
            ),
            (
                "host=h dbname=d",
                format!("host=h dbname=d {}", all.replace('&', " ")),
            ),
            (
                "postgresql://h/d?connect_timeout=9",
                format!(
                    "postgresql://h/d?connect_timeout=9&{}",
                    all.trim_start_matches("connect_timeout=2&")
                ),
            ),
        ] {
            assert_eq!(bounded(given), expected);
        }
    }
}
