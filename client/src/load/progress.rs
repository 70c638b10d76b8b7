//! Telling a person how far it is.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::LoadReport;

/// Hears how far a load or an export is, some times a second.
pub trait Progress: Send {
    /// What was done so far.
    fn update(&mut self, report: &LoadReport);
    /// It is over.
    fn finish(&mut self, report: &LoadReport) {
        self.update(report);
    }
}

impl<F: FnMut(&LoadReport) + Send> Progress for F {
    fn update(&mut self, report: &LoadReport) {
        self(report);
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _: &LoadReport) {}
}

/// A bar with rows and rows/s on standard error; nothing if that is no terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar with a title; `total` rows, if that is known.
    pub fn new(title: impl Into<Cow<'static, str>>, total: Option<u64>) -> Self {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{msg} {wide_bar:.cyan/blue} {pos}/{len} rows  {per_sec}  {eta}",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {msg} {human_pos} rows  {per_sec}",
            ),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(title);
        Self { bar }
    }
}

impl Progress for Bar {
    fn update(&mut self, report: &LoadReport) {
        self.bar.set_position(report.rows + report.failed);
    }

    fn finish(&mut self, _: &LoadReport) {
        self.bar.finish_and_clear();
    }
}
