//! Comparisons as a picture: bars for what was measured, and the worst write in each moment of a load.

use std::fmt::Write;

use super::{
    compare::{Comparison, Row},
    run::Outcome,
    session::Store,
    timeline::INTERVAL_MS,
};

const WIDTH: f64 = 900.0;
/// Where bars start.
const LEFT: f64 = 280.0;
/// The longest bar.
const LONGEST: f64 = 480.0;
const BAR: f64 = 13.0;
const PLOT: f64 = 150.0;
/// What a timeline shows, in nanoseconds: from a microsecond to a second.
const DECADES: [f64; 2] = [3.0, 9.0];

/// Draws all comparisons, one below the other.
pub fn draw(comparisons: &[Comparison]) -> String {
    let mut chart = Chart {
        body: String::new(),
        y: 30.0,
    };
    for comparison in comparisons {
        chart.title(&comparison.title);
        for row in comparison.rows() {
            chart.row(&row);
        }
        if comparison.plan.writers == 0 {
            chart.timelines(comparison);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
        chart.y, chart.body
    )
}

fn colour(store: Store) -> &'static str {
    match store {
        Store::Starling => "#1b6ca8",
        Store::Rocksdb => "#c98b2b",
        Store::Fjall => "#8a8f98",
    }
}

struct Chart {
    body: String,
    y: f64,
}

impl Chart {
    fn text(&mut self, x: f64, y: f64, style: &str, text: &str) {
        // Writing to a string can't fail.
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{text}</text>");
    }

    fn title(&mut self, title: &str) {
        self.y += 14.0;
        self.text(20.0, self.y, "font-size=\"16\" font-weight=\"bold\"", title);
        self.y += 14.0;
    }

    fn row(&mut self, row: &Row) {
        let longest = row.stores.values().map(|store| store.median).fold(0.0, f64::max);
        if longest <= 0.0 {
            return;
        }
        let middle = self.y + BAR * row.stores.len() as f64 / 2.0 + 4.0;
        self.text(LEFT - 8.0, middle, "text-anchor=\"end\"", &row.name);
        for (store, measured) in &row.stores {
            let length = LONGEST * measured.median / longest;
            let _ = writeln!(
                self.body,
                "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                self.y,
                BAR - 2.0,
                colour(*store)
            );
            let label = format!("{} {}", store.name(), quantity(measured.median));
            self.text(
                LEFT + length + 5.0,
                self.y + BAR - 3.0,
                "font-size=\"10\"",
                &label,
            );
            self.y += BAR;
        }
        self.y += 7.0;
    }

    /// One plot a store: the worst put in each tenth of a second of its first run.
    fn timelines(&mut self, comparison: &Comparison) {
        let mut firsts: Vec<&Outcome> = Vec::new();
        for outcome in &comparison.outcomes {
            if firsts.iter().all(|first| first.store != outcome.store) {
                firsts.push(outcome);
            }
        }
        firsts.sort_by_key(|outcome| outcome.store);
        let longest = firsts
            .iter()
            .map(|first| first.timeline.len())
            .max()
            .unwrap_or(0)
            .max(1);
        self.y += 16.0;
        self.text(
            20.0,
            self.y,
            "font-weight=\"bold\"",
            "worst put in each tenth of a second of the load",
        );
        self.y += 8.0;
        for outcome in firsts {
            self.timeline(outcome, longest);
        }
    }

    fn timeline(&mut self, outcome: &Outcome, longest: usize) {
        let (top, bottom) = (self.y, self.y + PLOT - 20.0);
        let place = |ns: f64| {
            let decade = ns.max(1.0).log10().clamp(DECADES[0], DECADES[1]);
            bottom - (bottom - top) * (decade - DECADES[0]) / (DECADES[1] - DECADES[0])
        };
        self.text(20.0, f64::midpoint(top, bottom), "", outcome.store.name());
        for (ns, name) in [
            (1e3, "1 us"),
            (1e6, "1 ms"),
            (5e6, "5 ms"),
            (1e8, "100 ms"),
            (1e9, "1 s"),
        ] {
            let y = place(ns);
            let _ = writeln!(
                self.body,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
                LEFT + LONGEST
            );
            self.text(LEFT - 8.0, y + 4.0, "text-anchor=\"end\" font-size=\"10\"", name);
        }
        let points: Vec<String> = outcome
            .timeline
            .iter()
            .enumerate()
            .map(|(place_in_time, interval)| {
                let x = LEFT + LONGEST * place_in_time as f64 / longest as f64;
                format!("{x:.1},{:.1}", place(interval.worst_ns as f64))
            })
            .collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\"/>",
            points.join(" "),
            colour(outcome.store)
        );
        let seconds = outcome.timeline.len() as f64 * INTERVAL_MS as f64 / 1e3;
        self.text(
            LEFT + LONGEST + 6.0,
            bottom,
            "font-size=\"10\"",
            &format!("{seconds:.0} s"),
        );
        self.y += PLOT;
    }
}

/// Three digits of a number.
pub(super) fn quantity(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
