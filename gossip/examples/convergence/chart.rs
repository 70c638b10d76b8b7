//! A small chart as SVG: lines, marks, and what they are.

use std::fmt::Write;

const SIZE: (f64, f64) = (720.0, 360.0);
const MARGIN: (f64, f64) = (60.0, 40.0);
const LINE: f64 = 14.0;
const COLOURS: [&str; 6] = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#444444"];

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// Joined by a line.
    Line,
    /// Joined by a dashed line.
    Dashes,
    /// Each by a circle.
    Circles,
    /// Each by a square.
    Squares,
}

/// Points of one kind, and their name.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) drawn: Drawn,
    pub(crate) points: Vec<(f64, f64)>,
}

/// A linear axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) step: f64,
}

impl Axis {
    fn marks(self) -> impl Iterator<Item = f64> {
        let count = ((self.to - self.from) / self.step).round() as u32;
        (0..=count).map(move |nth| self.from + f64::from(nth) * self.step)
    }

    /// How far along it a value is, from 0 to 1.
    fn at(self, value: f64) -> f64 {
        (value.clamp(self.from, self.to) - self.from) / (self.to - self.from)
    }
}

/// Draws the series over the axes, the horizontal one first. The notes stand below.
pub(crate) fn svg(title: &str, all: &[Series], (x, y): (Axis, Axis), notes: &[&str]) -> String {
    let (width, height) = SIZE;
    let (left, top) = MARGIN;
    let at = |(px, py): (f64, f64)| {
        let across = left + x.at(px) * (width - 2.0 * left);
        let down = height - top - y.at(py) * (height - 2.0 * top);
        (across, down)
    };
    let whole = height + LINE * notes.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {whole}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{left}\" y=\"20\" font-size=\"13\">{title}</text>\n"
    );
    for mark in y.marks() {
        let (from, down) = at((x.from, mark));
        let (to, _) = at((x.to, mark));
        let _ = writeln!(
            out,
            "<path d=\"M{from:.0} {down:.1}H{to:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
            from - 5.0,
            down + 4.0,
        );
    }
    for mark in x.marks() {
        let (across, down) = at((mark, y.from));
        let _ = writeln!(
            out,
            "<text x=\"{across:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{mark}</text>",
            down + 16.0
        );
    }
    for (nth, series) in all.iter().enumerate() {
        let points: Vec<(f64, f64)> = series.points.iter().map(|point| at(*point)).collect();
        draw(&mut out, series, &points, (COLOURS[nth % COLOURS.len()], nth));
    }
    for (nth, note) in notes.iter().enumerate() {
        let down = height - 10.0 + LINE * nth as f64;
        let _ = writeln!(
            out,
            "<text x=\"{left}\" y=\"{down:.0}\" fill=\"#444\">{note}</text>"
        );
    }
    out.push_str("</svg>\n");
    out
}

/// The points of a series in the picture, and its name in the legend.
fn draw(out: &mut String, series: &Series, points: &[(f64, f64)], (colour, nth): (&str, usize)) {
    let (left, down) = (MARGIN.0 + 10.0, MARGIN.1 + LINE * (nth + 1) as f64);
    let key = (left + 8.0, down - 4.0);
    match series.drawn {
        Drawn::Line | Drawn::Dashes => {
            let dashes = if series.drawn == Drawn::Dashes {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            for line in [&[(left, key.1), (left + 16.0, key.1)], points] {
                let path: Vec<String> = line.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
                let _ = writeln!(
                    out,
                    "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>",
                    path.join("L"),
                );
            }
        }
        Drawn::Circles => {
            for (x, y) in points.iter().chain([&key]) {
                let _ = writeln!(
                    out,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
                );
            }
        }
        Drawn::Squares => {
            for (x, y) in points.iter().chain([&key]) {
                let _ = writeln!(
                    out,
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                    x - 4.0,
                    y - 4.0
                );
            }
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.0}\" y=\"{down:.0}\" fill=\"{colour}\">{}</text>",
        left + 22.0,
        series.name
    );
}
