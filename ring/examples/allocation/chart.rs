//! A small line chart as SVG.

use std::fmt::Write;

const SIZE: (f64, f64) = (720.0, 360.0);
const MARGIN: (f64, f64) = (60.0, 40.0);
const COLOURS: [&str; 7] = [
    "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#444444", "#17becf",
];

/// A named line.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws the lines; `y` are the ends and the step of the vertical axis, `x` of the horizontal one.
pub(crate) fn svg(title: &str, lines: &[Line], x: (f64, f64, f64), y: (f64, f64, f64)) -> String {
    let (width, height) = SIZE;
    let (left, top) = MARGIN;
    let at = |(px, py): (f64, f64)| {
        let across = left + (px - x.0) / (x.1 - x.0) * (width - 2.0 * left);
        let down = height - top - (py.clamp(y.0, y.1) - y.0) / (y.1 - y.0) * (height - 2.0 * top);
        (across, down)
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{left}\" y=\"20\" font-size=\"13\">{title}</text>\n"
    );
    let mut mark = y.0;
    while mark <= y.1 + 1e-9 {
        let (from, down) = at((x.0, mark));
        let (to, _) = at((x.1, mark));
        let _ = writeln!(
            out,
            "<path d=\"M{from:.0} {down:.1}H{to:.0}\" stroke=\"#ddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            from - 5.0,
            down + 4.0,
            (mark * 100.0).round() / 100.0
        );
        mark += y.2;
    }
    let mut mark = x.0;
    while mark <= x.1 + 1e-9 {
        let (across, down) = at((mark, y.0));
        let _ = writeln!(
            out,
            "<text x=\"{across:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{mark}</text>",
            down + 16.0
        );
        mark += x.2;
    }
    for (nth, line) in lines.iter().enumerate() {
        let colour = COLOURS[nth % COLOURS.len()];
        let path: Vec<String> = line
            .points
            .iter()
            .map(|point| at(*point))
            .map(|(across, down)| format!("{across:.1} {down:.1}"))
            .collect();
        let _ = writeln!(
            out,
            "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/><text x=\"{:.0}\" y=\"{:.0}\" fill=\"{colour}\">{}</text>",
            path.join("L"),
            left + 10.0,
            top + 14.0 * (nth + 1) as f64,
            line.name
        );
    }
    out.push_str("</svg>\n");
    out
}
