//! Postgres refuses to run as root, and should: another account runs it.
//!
//! The account keeps one capability where it must: `CAP_DAC_READ_SEARCH` lets it pass through
//! directories that are closed to it, such as `/root`, on the way to its own.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};

/// An account that is not root.
pub struct Account {
    /// Its user id.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
    name: String,
    search: bool,
}

impl Account {
    /// `postgres`, else `nobody`, with no more than it needs to reach `directory`.
    pub fn choose(directory: &Path) -> Outcome<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut account = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| find(&passwd, name))
            .ok_or_else(|| {
                Failure::new("Postgres has no account to run under")
                    .why("it does not run as root, and there is no user postgres or nobody")
                    .next("run refwarden up as an ordinary user, or set DATABASE_URL")
            })?;
        for search in [false, true] {
            account.search = search;
            if account.reaches(directory) {
                return Ok(account);
            }
        }
        Err(Failure::new(format!(
            "the user {} cannot reach {}",
            account.name,
            directory.display()
        ))
        .why(
            "Postgres does not run as root, a directory above is closed to others, and\n\
             setpriv could not pass on CAP_DAC_READ_SEARCH (a container may withhold it)",
        )
        .next(
            "choose a --data-dir that others may pass through, such as /var/lib/refwarden;\n\
             or run refwarden up as an ordinary user; or set DATABASE_URL",
        ))
    }

    fn reaches(&self, directory: &Path) -> bool {
        // Not `test -x`: access(2) leaves capabilities out of account.
        let mut command = command(Some(self), Path::new("ls"));
        command.arg("-d").arg(directory.join(".")).current_dir("/");
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }
}

/// A command, under the account where there is one.
pub fn command(account: Option<&Account>, program: &Path) -> Command {
    let Some(account) = account else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", account.uid))
        .arg(format!("--regid={}", account.gid))
        .arg("--clear-groups");
    if account.search {
        command.args([
            "--inh-caps=-all,+dac_read_search",
            "--ambient-caps=-all,+dac_read_search",
            "--bounding-set=-all,+dac_read_search",
        ]);
    }
    command.arg("--").arg(program);
    command
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account {
            uid,
            gid,
            name: name.to_owned(),
            search: false,
        })
    })
}
