//! Plots as SVG.

use std::fmt::Write;

/// What distinguishes up to eight targets, also for those who don't see all colours (Okabe and Ito, 2008).
pub const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442",
];

/// How all plots look, on a page or by themselves.
pub const STYLE: &str = "svg text{font-size:11px;fill:#444}\
    svg .t{font-size:14px;fill:#222;font-weight:600}svg .e{text-anchor:end}svg .m{text-anchor:middle}svg .n{fill:#a00}\
    svg polyline{fill:none;stroke-width:1.6}svg .g{stroke:#e5e5e5}svg .f{stroke:#a00;stroke-dasharray:4 3}";

/// How wide a plot is, in its own units.
pub const WIDTH: f64 = 860.0;
/// How high.
pub const HEIGHT: f64 = 260.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 40.0;

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its colour.
    pub colour: &'static str,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What goes to the right.
    pub x: String,
    /// Places on the x axis with their names; evenly spaced numbers if there is none.
    pub ticks: Vec<(f64, String)>,
    /// Whether the y axis is logarithmic.
    pub logarithmic: bool,
    /// The lines.
    pub series: Vec<Series>,
    /// Vertical marks with their names.
    pub marks: Vec<(f64, String)>,
}

impl Plot {
    /// The SVG element; empty if there is nothing to show.
    pub fn svg(&self) -> String {
        self.body().map_or_else(String::new, |body| {
            format!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}</title>{body}</svg>\n",
                escape(&self.title)
            )
        })
    }

    /// What is drawn, for an element of that size; `None` if there is nothing to show.
    pub fn body(&self) -> Option<String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let finite = |value: &f64| value.is_finite() && (!self.logarithmic || *value > 0.0);
        let ys: Vec<f64> = points().map(|(_, y)| *y).filter(finite).collect();
        let (x_low, x_high) = (
            least(points().map(|(x, _)| *x))?,
            greatest(points().map(|(x, _)| *x))?,
        );
        let (y_low, y_high) = self.y_range(least(ys.iter().copied())?, greatest(ys.iter().copied())?);
        let x_span = (x_high - x_low).max(1e-9);
        let x_at = |x: f64| LEFT + (x - x_low) / x_span * (WIDTH - LEFT - RIGHT);
        let y_at = |y: f64| {
            let share = if self.logarithmic {
                (y / y_low).ln() / (y_high / y_low).ln()
            } else {
                (y - y_low) / (y_high - y_low)
            };
            HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        };
        let mut out = format!(
            "<text x=\"{LEFT}\" y=\"18\" class=\"t\">{}</text>\n",
            escape(&self.title)
        );
        for y in self.y_ticks(y_low, y_high) {
            let at = y_at(y);
            line(&mut out, "g", (LEFT, at), (WIDTH - RIGHT, at));
            text(&mut out, "e", (LEFT - 6.0, at + 4.0), &short(y));
        }
        let even = (0..=10)
            .map(|step| x_low + x_span * f64::from(step) / 10.0)
            .map(|x| (x, short(x)));
        let ticks: Vec<(f64, String)> = if self.ticks.is_empty() {
            even.collect()
        } else {
            self.ticks.clone()
        };
        for (x, name) in ticks.iter().filter(|(x, _)| (x_low..=x_high).contains(x)) {
            text(&mut out, "m", (x_at(*x), HEIGHT - BOTTOM + 16.0), name);
        }
        text(&mut out, "m", (f64::midpoint(LEFT, WIDTH), HEIGHT - 6.0), &self.x);
        for (x, name) in self.marks.iter().filter(|(x, _)| (x_low..=x_high).contains(x)) {
            line(&mut out, "f", (x_at(*x), TOP), (x_at(*x), HEIGHT - BOTTOM));
            text(&mut out, "n", (x_at(*x) + 3.0, TOP + 10.0), name);
        }
        for series in &self.series {
            let places: Vec<String> = series
                .points
                .iter()
                .filter(|(_, y)| finite(y))
                .map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y)))
                .collect();
            let _infallible = writeln!(
                out,
                "<polyline points=\"{}\" style=\"stroke:{}\"/>",
                places.join(" "),
                series.colour
            );
        }
        Some(out)
    }

    fn y_range(&self, low: f64, high: f64) -> (f64, f64) {
        if self.logarithmic {
            let low = 10_f64.powf(low.log10().floor());
            (low, 10_f64.powf(high.log10().ceil()).max(low * 10.0))
        } else {
            (0.0, if high > 0.0 { high * 1.05 } else { 1.0 })
        }
    }

    fn y_ticks(&self, low: f64, high: f64) -> Vec<f64> {
        if self.logarithmic {
            let decades = (high / low).log10().round() as i32;
            return (0..=decades).map(|decade| low * 10_f64.powi(decade)).collect();
        }
        let rough = high / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|by| by * power)
            .find(|step| *step >= rough);
        let step = step.unwrap_or(power);
        let mut ticks = Vec::new();
        while ticks.len() as f64 * step <= high {
            ticks.push(ticks.len() as f64 * step);
        }
        ticks
    }
}

fn least(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.min_by(f64::total_cmp)
}

fn greatest(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.max_by(f64::total_cmp)
}

fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let _infallible = writeln!(
        out,
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, class: &str, at: (f64, f64), words: &str) {
    let _infallible = writeln!(
        out,
        "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        at.0,
        at.1,
        escape(words)
    );
}

/// A number in few characters.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{}M", trimmed(value / 1e6)),
        size if size >= 1e3 => format!("{}k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { 1 };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Text as HTML has it.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
