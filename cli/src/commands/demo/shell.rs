//! Shows commands, runs them, shows what they say, and checks it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Context as _, Failure, Outcome};
use crate::output::{self, printable};

/// Lines of one command's output that are shown.
const SHOWN: usize = 30;

/// What a command came to.
pub struct Ran {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Standard output and error together, in that order.
    pub text: String,
    /// Standard output.
    pub stdout: String,
}

/// The narrator.
pub struct Shell {
    program: PathBuf,
    directory: PathBuf,
    style: output::Style,
}

impl Shell {
    /// A narrator in the current directory.
    pub fn new() -> Outcome<Self> {
        Ok(Self {
            program: crate::process::part::beside("refwarden")?,
            directory: std::env::current_dir()
                .context(|| "the current directory is not known".to_owned())?,
            style: output::style(output::Stream::Output),
        })
    }

    /// A heading.
    pub fn title(&self, text: &str) -> Outcome<()> {
        output::line(&format!("\n{}{text}{}", self.style.bold, self.style.reset))
    }

    /// A path as a person here would write it.
    pub fn short(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.directory);
        let shown = relative.unwrap_or(path).display().to_string();
        if shown.is_empty() {
            ".".to_owned()
        } else {
            shown
        }
    }

    /// Shows a command.
    pub fn typed(&self, line: &str) -> Outcome<()> {
        let line = printable(line);
        output::line(&format!("  {}$ {line}{}", self.style.dim, self.style.reset))
    }

    /// Says what must hold, and stops unless it does.
    pub fn check(&self, holds: bool, what: &str) -> Outcome<()> {
        let style = self.style;
        if holds {
            return output::line(&format!("  {}PASS{} {what}", style.green, style.reset));
        }
        output::line(&format!("  {}FAIL{} {what}", style.red, style.reset))?;
        Err(
            Failure::refused(format!("a step did not do what it must: {what}"))
                .why("what was seen stands above"),
        )
    }

    /// Runs `refwarden` with these arguments, shown as typed.
    pub fn refwarden(&self, args: &[&str]) -> Outcome<Ran> {
        let words: Vec<String> = args.iter().map(|word| output::quoted(word)).collect();
        self.typed(&format!("refwarden {}", words.join(" ")))?;
        let ran = self.quietly(args)?;
        saw(&ran.text)?;
        Ok(ran)
    }

    /// Runs `refwarden` and shows nothing: for tokens.
    pub fn quietly(&self, args: &[&str]) -> Outcome<Ran> {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.directory);
        run(command)
    }

    /// Runs a command shown as `typed` and shows what it says.
    pub fn run(&self, typed: &str, command: Command) -> Outcome<Ran> {
        self.typed(typed)?;
        let ran = run(command)?;
        saw(&ran.text)?;
        Ok(ran)
    }
}

/// Shows what a person saw.
pub fn saw(text: &str) -> Outcome<()> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    for line in lines.iter().filter(|line| !line.is_empty()).take(SHOWN) {
        // Of a line that was written over itself, the last state.
        let line = line.rsplit('\r').next().unwrap_or(line);
        output::line(&format!("      {}", printable(line)))?;
    }
    if lines.len() > SHOWN {
        output::line(&format!("      … {} more lines", lines.len() - SHOWN))?;
    }
    Ok(())
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Outcome<Ran> {
    let name = command.get_program().to_owned();
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .context(|| format!("{} cannot be started", OsStr::to_string_lossy(&name)))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    Ok(Ran {
        ok: output.status.success(),
        text: format!("{stdout}{stderr}"),
        stdout,
    })
}
