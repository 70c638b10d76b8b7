//! Where the shell prints to.

use std::io::{self, Write};

use super::colour::Ink;

/// Rows go to one place, everything else to another.
pub(super) struct Output {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    pub(super) colours: bool,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("colours", &self.colours)
            .finish_non_exhaustive()
    }
}

impl Output {
    pub(super) fn new(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>, colours: bool) -> Self {
        Self { out, err, colours }
    }

    pub(super) fn standard(colours: bool) -> Self {
        let out = io::BufWriter::with_capacity(64 << 10, io::stdout());
        Self::new(Box::new(out), Box::new(io::stderr()), colours)
    }

    /// Where rows go.
    pub(super) fn rows(&mut self) -> &mut (dyn Write + Send) {
        &mut self.out
    }

    /// Prints a line where rows go.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Hands on what was printed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Prints one sentence of what went wrong. That standard error itself is closed can't be told to anyone.
    pub(super) fn error(&mut self, text: &str) {
        let _ = self.out.flush();
        let _ = writeln!(
            self.err,
            "{}",
            Ink::Error.paint(&format!("error: {text}"), self.colours)
        );
    }

    /// Prints what the user should know beside the result.
    pub(super) fn warning(&mut self, text: &str) {
        let _ = self.out.flush();
        let _ = writeln!(
            self.err,
            "{}",
            Ink::Warning.paint(&format!("warning: {text}"), self.colours)
        );
    }

    /// Prints a remark.
    pub(super) fn note(&mut self, text: &str) {
        let _ = self.out.flush();
        let _ = writeln!(self.err, "{}", Ink::Faint.paint(text, self.colours));
    }
}
