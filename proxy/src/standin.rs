//! Stands in for `refwarden_gitio` until that has what is needed here.

use std::path::Path;
use std::process::Command;

use refwarden_model::RepositoryId;

pub struct Settings {
    pub repository: RepositoryId,
}

impl Settings {
    pub fn read(directory: &Path) -> Result<Self, String> {
        let output = git()
            .args(["config", "--file"])
            .arg(directory.join("config"))
            .args(["--get", "refwarden.repository"])
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let repository = text.trim().parse().map_err(|_| "no id".to_owned())?;
        Ok(Self { repository })
    }
}

pub fn git() -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    command.env(
        "PATH",
        std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
    );
    command.env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env("GIT_NO_REPLACE_OBJECTS", "1");
    command.env("GIT_GRAFT_FILE", "/dev/null/none");
    command.env("LC_ALL", "C");
    command
}
