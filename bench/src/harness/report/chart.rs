//! What results show, as one picture for a document.

use std::fmt::Write;

use super::{
    super::evidence::{availability, live::latency, result::RunResult},
    groups::{Group, groups, sizes},
    growth::{self, Sizes},
    page::marks,
    plot::{HEIGHT, Plot, STYLE, Series, WIDTH, escape},
};

/// The colour of the disk itself, which is no server's.
const DISK: &str = "#999999";

/// A line of words.
const LINE: f64 = 18.0;

/// What a letter takes, about.
const LETTER: f64 = 6.2;

const LEFT: f64 = 20.0;

/// Plots, one below the other, with what their colours mean above and words below.
#[derive(Debug, Default)]
struct Chart {
    legend: Vec<(&'static str, String)>,
    plots: Vec<Plot>,
    words: Vec<String>,
}

/// Latency over records, of results that differ in those alone; otherwise the p99 of each second, and beside it the disk's own
/// worst sync where it was asked. `None` if there is nothing to draw.
pub fn svg(results: &[RunResult]) -> Option<String> {
    let groups = groups(results);
    let sizes = sizes(&groups);
    let chart = if sizes.is_empty() {
        by_seconds(&groups)
    } else {
        by_records(&sizes)
    };
    chart.svg()
}

fn by_records(sizes: &[Sizes<'_>]) -> Chart {
    Chart {
        legend: sizes
            .iter()
            .map(|sizes| (sizes.colour, sizes.label.to_owned()))
            .collect(),
        plots: growth::plots(sizes),
        words: sizes.iter().flat_map(Sizes::lines).collect(),
    }
}

fn by_seconds(groups: &[Group<'_>]) -> Chart {
    let mut chart = Chart::default();
    let mut series = Vec::new();
    let mut disk_was_asked = false;
    for group in groups {
        chart.legend.push((group.colour, group.label.clone()));
        for run in &group.runs {
            let seconds = || run.timeline.iter();
            let p99 = seconds().filter_map(|second| {
                let p99_us = second.if_any(second.p99_us)?;
                Some((second.second as f64, p99_us as f64))
            });
            series.push(Series {
                colour: group.colour,
                points: p99.collect(),
            });
            let disk = seconds()
                .filter_map(|second| Some((second.second as f64, second.disk_sync_us? as f64)))
                .collect::<Vec<_>>();
            if !disk.is_empty() {
                disk_was_asked = true;
                // Below what the servers did.
                series.insert(
                    0,
                    Series {
                        colour: DISK,
                        points: disk,
                    },
                );
            }
            if let Some((worst, median)) = availability::steadiness(&run.timeline) {
                chart.words.push(format!(
                    "{}: p99 of the worst second {}, of the median second {}: {:.1} times",
                    group.label,
                    latency(worst),
                    latency(median),
                    worst as f64 / (median.max(1) as f64)
                ));
            }
        }
    }
    let mut title = "p99 of each second, µs";
    if disk_was_asked {
        let disk = "the disk itself: the worst sync of 4 KiB beside the servers";
        chart.legend.push((DISK, disk.to_owned()));
        title = "p99 of each second, and the worst sync of the disk itself, µs";
    }
    chart.plots.push(Plot {
        title: title.to_owned(),
        x: "seconds since the run began".into(),
        ticks: Vec::new(),
        logarithmic: true,
        series,
        marks: marks(groups),
    });
    chart
}

impl Chart {
    /// A file by itself; `None` if no plot has anything to show.
    fn svg(&self) -> Option<String> {
        let plots: Vec<String> = self.plots.iter().filter_map(Plot::body).collect();
        if plots.is_empty() {
            return None;
        }
        let (mut body, mut y) = (String::new(), LINE);
        let mut x = LEFT;
        for (colour, label) in &self.legend {
            let width = 24.0 + label.chars().count() as f64 * LETTER;
            if x > LEFT && x + width > WIDTH {
                (x, y) = (LEFT, y + LINE);
            }
            let _infallible = writeln!(
                body,
                "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"12\" height=\"8\" fill=\"{colour}\"/>\
                 <text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
                y - 8.0,
                x + 18.0,
                escape(label)
            );
            x += width + LINE;
        }
        y += LINE / 2.0;
        for plot in plots {
            let _infallible = writeln!(body, "<g transform=\"translate(0 {y:.0})\">\n{plot}</g>");
            y += HEIGHT;
        }
        for words in &self.words {
            y += LINE;
            let _infallible = writeln!(
                body,
                "<text x=\"{LEFT:.0}\" y=\"{y:.0}\">{}</text>",
                escape(words)
            );
        }
        y += LINE;
        Some(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"sans-serif\">\n\
             <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
        ))
    }
}
