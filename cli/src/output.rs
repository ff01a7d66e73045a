//! How results are written: colours only on a terminal and without `NO_COLOR`, tables with
//! aligned columns, JSON one object a line. Nothing from outside reaches a terminal unescaped.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

use crate::failure::{Context as _, Outcome};

/// Where text goes.
#[derive(Clone, Copy)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Escape sequences, or nothing.
#[derive(Clone, Copy, Default)]
pub struct Style {
    /// Bold.
    pub bold: &'static str,
    /// Dim.
    pub dim: &'static str,
    /// Red.
    pub red: &'static str,
    /// Green.
    pub green: &'static str,
    /// Back to normal.
    pub reset: &'static str,
}

/// The style that suits a stream.
pub fn style(stream: Stream) -> Style {
    let terminal = match stream {
        Stream::Output => std::io::stdout().is_terminal(),
        Stream::Error => std::io::stderr().is_terminal(),
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if !terminal || plain {
        return Style::default();
    }
    Style {
        bold: "\x1b[1m",
        dim: "\x1b[2m",
        red: "\x1b[31m",
        green: "\x1b[32m",
        reset: "\x1b[0m",
    }
}

/// Writes a line to standard output. A reader that has gone away (`| head`) is no error.
pub fn line(text: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.context(|| "standard output cannot be written".to_owned()),
    }
}

/// Many lines, written together. A reader that has gone away ends the writing and is no error.
pub struct Lines {
    out: Option<std::io::BufWriter<std::io::StdoutLock<'static>>>,
}

impl Lines {
    /// Takes standard output.
    pub fn new() -> Self {
        let out = std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
        Self { out: Some(out) }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) -> Outcome<()> {
        let written = self.out.as_mut().map(|out| writeln!(out, "{text}"));
        self.look(written.unwrap_or(Ok(())))
    }

    /// Writes a value as one line of JSON, piece by piece.
    pub fn json(&mut self, value: &impl Serialize) -> Outcome<()> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        let written = serde_json::to_writer(&mut *out, value).map_err(std::io::Error::from);
        let written = written.and_then(|()| writeln!(out));
        self.look(written)
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Outcome<()> {
        let written = self.out.as_mut().map(std::io::Write::flush);
        self.look(written.unwrap_or(Ok(())))
    }

    fn look(&mut self, written: std::io::Result<()>) -> Outcome<()> {
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                // Not dropped: that would write again.
                if let Some(out) = self.out.take() {
                    let _ = out.into_parts();
                }
                Ok(())
            }
            written => written.context(|| "standard output cannot be written".to_owned()),
        }
    }
}

/// Writes a value as one line of JSON.
pub fn json(value: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string(value).context(|| "the result has no JSON form".to_owned())?;
    line(&text)
}

/// Rows under a header, each column as wide as its widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its header.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            rows: vec![header.map(str::to_owned).to_vec()],
        }
    }

    /// Adds a row; control characters in it are replaced.
    pub fn row<const N: usize>(&mut self, cells: &[String; N]) {
        self.rows
            .push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// Writes the table.
    pub fn print(&self) -> Outcome<()> {
        let style = style(Stream::Output);
        for (index, text) in self.lines().iter().enumerate() {
            if index == 0 {
                line(&format!("{}{text}{}", style.bold, style.reset))?;
            } else {
                line(text)?;
            }
        }
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let render = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths);
            let text: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            text.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(render).collect()
    }
}

/// Text without control characters and without marks that reorder it.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Text as one word of a shell.
pub fn quoted(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_escapes_do_not_survive() {
        let mut table = Table::new(["REF", "KIND"]);
        table.row(&["refs/heads/main".into(), "create".into()]);
        table.row(&["\x1b[31mx\u{202e}".into(), "delete".into()]);
        assert_eq!(
            table.lines(),
            [
                "REF              KIND",
                "refs/heads/main  create",
                "\u{fffd}[31mx\u{fffd}          delete",
            ]
        );
    }
}
