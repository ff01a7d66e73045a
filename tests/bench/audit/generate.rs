//! A ledger as it might look after a year: skewed, and written with COPY.
//!
//! Five hundred repositories and eight hundred people, of whom few do most. Each push has its ref update,
//! its changed files, its findings where it was refused, and its events.

use std::io::{BufWriter, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

/// What there is of some kinds, for questions to ask about.
pub const REPOSITORIES: u64 = 500;
const PEOPLE: u64 = 800;
const RULES: u64 = 120;
const FILES: u64 = 20_000;
/// A year, in microseconds.
const YEAR: u64 = 365 * 86_400 * 1_000_000;
/// 2025-01-01T00:00:00Z.
const BEGIN: u64 = 1_735_689_600_000_000;
const KINDS: [(&str, &str); 8] = [
    ("src", "rs"),
    ("src", "ts"),
    ("lib", "py"),
    ("docs", "md"),
    ("infra", "tf"),
    ("tests", "rs"),
    ("app", "go"),
    ("pkg", "json"),
];

/// xorshift64*: the same ledger every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end
    }

    /// The first ones far more often than the last: the cube of an even number.
    fn skewed(&mut self, end: u64) -> u64 {
        let thousandths = self.below(1000);
        let cube = thousandths * thousandths * thousandths;
        (cube * end + self.below(1_000_000_000).min(cube + 1_000_000) * end / 1000) / 1_000_000_000
            % end
    }
}

/// A table that is written with COPY by a client of its own.
struct Table {
    child: Child,
    out: BufWriter<ChildStdin>,
}

impl Table {
    fn open(database: &str, columns: &str) -> Self {
        let copy = format!("COPY {columns} FROM STDIN");
        let mut child = psql(database)
            .args(["-c", "SET session_replication_role = replica", "-c", &copy])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufWriter::with_capacity(1 << 16, child.stdin.take().unwrap());
        Self { child, out }
    }

    fn row(&mut self, cells: std::fmt::Arguments<'_>) {
        self.out.write_fmt(cells).unwrap();
        self.out.write_all(b"\n").unwrap();
    }

    fn end(mut self) {
        self.out.flush().unwrap();
        drop(self.out);
        assert!(self.child.wait().unwrap().success(), "COPY failed");
    }
}

/// psql, which stops at the first error.
pub fn psql(database: &str) -> Command {
    let mut command = Command::new("psql");
    command.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        database,
    ]);
    command
}

/// Runs statements and answers what they say.
pub fn ask(database: &str, statements: &str) -> String {
    let output = psql(database).args(["-c", statements]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{statements}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What happens to a push.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Refused,
    GivenUp,
    NotMoved,
    Moved,
}

/// Adds events of as many pushes as it takes, and lets the service have them.
pub fn generate(database: &str, events: u64) {
    let pushes = events * 10 / 37;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    ask(
        database,
        &format!(
            "SET session_replication_role = replica;
            INSERT INTO repositories (id, name, object_format, host, epoch, adopted_at)
            SELECT md5('r' || r)::uuid, 'team' || r % 40 || '/service-' || r, 'sha1', 'h', 1,
                '2025-01-01' FROM generate_series(0, {REPOSITORIES} - 1) AS r"
        ),
    );
    // As Postgres makes them above.
    let ids = ask(
        database,
        "SELECT substr(name, strpos(name, '-') + 1), id FROM repositories \
        WHERE host = 'h' AND name LIKE 'team%/service-%' ORDER BY substr(name, strpos(name, '-') + 1)::int",
    );
    let ids: Vec<&str> = ids
        .lines()
        .filter_map(|line| Some(line.split_once('|')?.1))
        .collect();
    let mut next = vec![1_u64; ids.len()];
    let mut push = Table::open(
        database,
        "pushes (id, repository_id, host, received_at, boot_id, pid_namespace, pid, start_ticks, \
         transport, hook_version, pusher_subject, pusher_kind, behalf_subject, push_options, \
         policy_hash, ruleset_id, verdict, codes, state, commits_total, findings_total, \
         objects_scanned, timings)",
    );
    let mut update = Table::open(
        database,
        "ref_updates (push_id, ordinal, repository_id, ref_name, ref_name_text, target, \
         claimed_old, actual_old, new_oid, kind, gained, lost, state)",
    );
    let mut change = Table::open(
        database,
        "changes (push_id, commit_ordinal, ordinal, path, path_text, old_mode, new_mode, old_oid, \
         new_oid, status, patch, patch_cut)",
    );
    let mut finding = Table::open(
        database,
        "findings (push_id, ordinal, rule_id, fingerprint, place, line, column_, redacted, \
         pre_existing)",
    );
    let mut event = Table::open(
        database,
        "events (repository_id, seq, recorded_at, kind, actor, push_id, ref_name, ref_name_text, \
         old_oid, new_oid, codes, summary)",
    );
    for number in 0..pushes {
        let repository = usize::try_from(dice.skewed(REPOSITORIES)).unwrap();
        let id = format!("{:08x}-0000-7000-8000-{number:012x}", dice.below(1 << 32));
        let person = dice.skewed(PEOPLE);
        let (kind, actor, behalf) = match dice.below(20) {
            0..6 => {
                let agent = person % 30;
                let actor = format!("agent{agent} for user{person}");
                ("agent", actor, format!("user{person}"))
            }
            6 => ("ci", format!("ci{}", person % 10), "\\N".to_owned()),
            _ => ("human", format!("user{person}"), "\\N".to_owned()),
        };
        let fate = match dice.below(1000) {
            0..80 => Fate::Refused,
            80..82 => Fate::GivenUp,
            82..90 => Fate::NotMoved,
            _ => Fate::Moved,
        };
        let name = match dice.below(100) {
            0..35 => "refs/heads/main".to_owned(),
            35..37 => format!("refs/tags/v{number}"),
            37..40 => format!("refs/heads/release/{}", dice.below(40)),
            _ => format!("refs/heads/feature/user{person}-{}", number / 20_000),
        };
        let (old, new) = (
            format!("{number:040x}"),
            format!("{:040x}", number + (1 << 60)),
        );
        let at = BEGIN + number * (YEAR / pushes);
        let (state, moved, codes) = match fate {
            Fate::Refused => ("denied", "claimed", "{RW301}"),
            Fate::GivenUp => ("cancelled", "claimed", "{RW201}"),
            Fate::NotMoved => ("granted", "not_moved", "{}"),
            Fate::Moved => ("granted", "committed", "{}"),
        };
        let of = ids[repository];
        push.row(format_args!(
            "{id}\t{of}\th\t{}\tbench\t1\t{number}\t{number}\tssh\t1\t{actor}\t{kind}\t{behalf}\t\
             []\tx\ty\t{{}}\t{codes}\t{state}\t1\t{}\t9\t{{}}",
            time(at),
            u8::from(fate == Fate::Refused)
        ));
        update.row(format_args!(
            "{id}\t0\t{of}\t{name}\t{name}\t{name}\t{old}\t{old}\t{new}\tfast-forward\t1\t0\t{moved}"
        ));
        let files = match dice.below(100) {
            0..97 => 1 + dice.skewed(12),
            _ => 30 + dice.below(200),
        };
        for ordinal in 0..files {
            let file = dice.skewed(FILES);
            let (top, ending) = KINDS[usize::try_from(file / 7 % 8).unwrap()];
            let path = format!("{top}/m{}/file{file}.{ending}", file % 97);
            change.row(format_args!(
                "{id}\t0\t{ordinal}\t{path}\t{path}\t100644\t100644\t{old}\t{new}\tM\t\tf"
            ));
        }
        if fate == Fate::Refused && dice.below(5) > 0 {
            let rule = dice.skewed(RULES);
            finding.row(format_args!(
                "{id}\t0\trule-{rule}\t{number:064x}\tfile\t1\t1\t***\tf"
            ));
        }
        let mut tell = |after: u64, kind: &str, who: &str, name: &str, codes: &str, said: &str| {
            let seq = next[repository];
            next[repository] += 1;
            event.row(format_args!(
                "{of}\t{seq}\t{}\t{kind}\t{who}\t{id}\t{name}\t{name}\t{old}\t{new}\t{codes}\t{said}",
                time(at + after)
            ));
        };
        match fate {
            Fate::Refused => {
                let said = "a secret was found, see the findings";
                tell(0, "push.denied", &actor, &name, codes, said);
            }
            Fate::GivenUp => {
                let said = "the push waits for approval";
                tell(0, "push.waiting", &actor, &name, codes, said);
                let said = "the client went away while the push was held";
                tell(9_000_000, "push.cancelled", &actor, "\\N", "{}", said);
            }
            Fate::NotMoved | Fate::Moved => {
                let said = "1 ref update(s) released";
                tell(0, "push.released", &actor, &name, codes, said);
                let said = format!("{name} is about to move");
                tell(20_000, "ref.prepared", &actor, &name, "{}", &said);
                let is_moved = fate == Fate::Moved;
                let (kind, end) = if is_moved {
                    ("ref.committed", "has moved")
                } else {
                    ("ref.not_moved", "has not moved")
                };
                tell(30_000, kind, &actor, &name, "{}", &format!("{name} {end}"));
                let said = format!("{} of 1 ref(s) moved", u8::from(is_moved));
                tell(40_000, "push.completed", &actor, "\\N", "{}", &said);
            }
        }
    }
    for table in [push, update, change, finding, event] {
        table.end();
    }
    ask(
        database,
        "ANALYZE; UPDATE repositories SET next_seq = 1 + coalesce((SELECT max(seq) FROM events
            WHERE repository_id = repositories.id), 0) WHERE host = 'h'",
    );
}

/// As Postgres reads a time.
fn time(at: u64) -> String {
    let (seconds, rest) = (at / 1_000_000, at % 1_000_000);
    let (day, of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days, for days
    // after 1970.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}.{rest:06}+00")
}
