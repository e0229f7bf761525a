//! The screen: tables and lines for people, JSON for programs.
//!
//! Invariant: colours go to a terminal only, and not where NO_COLOR is set.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::CliError;
use crate::text::clean;

/// Where answers go: standard output.
pub(crate) struct Screen {
    out: BufWriter<StdoutLock<'static>>,
    json: bool,
    colour: bool,
}

/// What a word says about how things are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Good,
    Doubtful,
    Bad,
    Quiet,
    Strong,
}

impl Screen {
    /// The screen; with `json` it shows nothing but JSON.
    pub(crate) fn new(json: bool) -> Self {
        let told_not_to = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let colour = io::stdout().is_terminal() && !told_not_to;
        Self { out: BufWriter::new(io::stdout().lock()), json, colour }
    }

    /// Whether a program reads.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Shows data as JSON.
    pub(crate) fn json(&mut self, data: &impl Serialize) -> Result<(), CliError> {
        serde_json::to_writer_pretty(&mut self.out, data).map_err(io::Error::from)?;
        self.line("")
    }

    /// Shows a line as it is: what came from outside must be clean already.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }

    /// Shows "name  value" lines, the values below each other. Values must be clean already.
    pub(crate) fn facts<'a>(
        &mut self,
        facts: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<(), CliError> {
        let facts: Vec<_> = facts.into_iter().collect();
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (name, value) in facts {
            let gap = " ".repeat(width - name.chars().count() + 2);
            let name = self.toned(name, Tone::Quiet);
            writeln!(self.out, "{name}{gap}{value}")?;
        }
        Ok(self.out.flush()?)
    }

    /// Shows a table.
    pub(crate) fn table(
        &mut self,
        head: &[&str],
        rows: impl IntoIterator<Item = Vec<Cell>>,
    ) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        let head = head.iter().map(|name| Cell::new(clean(name)).add_attribute(Attribute::Bold));
        table.set_header(head.collect::<Vec<_>>());
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        if let Some(width) = table.width() {
            table.set_width(width);
        }
        table.force_no_tty();
        if self.colour {
            table.enforce_styling();
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(self.out.flush()?)
    }

    /// Text in the colour of a tone.
    pub(crate) fn toned(&self, text: &str, tone: Tone) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Shows bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }
}

/// A cell of text from outside, cut at a width that keeps tables narrow.
pub(crate) fn cell(text: &str) -> Cell {
    /// Wide enough for most names, narrow enough for three beside each other.
    const WIDTH: usize = 40;
    Cell::new(crate::text::clean_in(text, WIDTH))
}

/// A cell with a number, at the right.
pub(crate) fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(comfy_table::CellAlignment::Right)
}

/// A cell in the colour of a tone.
pub(crate) fn toned(cell: Cell, tone: Tone) -> Cell {
    match tone {
        Tone::Good => cell.fg(Color::Green),
        Tone::Doubtful => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Quiet => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

/// Tells the person something beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    // What nobody reads is no reason to fail.
    let _ = writeln!(anstream::stderr(), "{text}");
}
