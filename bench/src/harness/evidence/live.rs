//! The terminal, while a run goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::result::Second;

/// A line with progress and the newest second, on standard error if that is a terminal.
#[derive(Debug)]
pub struct Live {
    bar: ProgressBar,
}

impl Live {
    /// Of `steps` steps (seconds, records); `None` if nobody knows how many. Nothing is shown if `quiet`.
    pub fn new(what: &str, steps: Option<u64>, quiet: bool) -> Self {
        let bar = steps.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        // Not a terminal: indicatif shows nothing.
        bar.set_draw_target(if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr_with_hz(4)
        });
        let template = if steps.is_some() {
            "{prefix} [{bar:30}] {pos}/{len} {msg}"
        } else {
            "{prefix} {spinner} {elapsed} {msg}"
        };
        bar.set_style(
            ProgressStyle::with_template(template).expect("the templates are constants that are right"),
        );
        bar.set_prefix(what.to_owned());
        Self { bar }
    }

    /// So many steps are done.
    pub fn at(&self, steps: u64) {
        self.bar.set_position(steps);
    }

    /// Shows a second.
    pub fn show(&self, second: &Second) {
        let errors: u64 = second.errors.values().sum();
        let cpu = second
            .server_cpu_seconds
            .map_or_else(String::new, |cpu| format!(" · server CPU {:.0} %", cpu * 100.0));
        self.bar.set_message(format!(
            "{}/s · p50 {} · p99 {} · p99.9 {} · errors {errors}{cpu}",
            second.done,
            latency(second.p50_us),
            latency(second.p99_us),
            latency(second.p999_us),
        ));
    }

    /// A line that stays, above the progress.
    pub fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Microseconds for people.
pub fn latency(micros: u64) -> String {
    let duration = Duration::from_micros(micros);
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.2} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}
