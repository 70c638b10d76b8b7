//! Bytes and time by the number of differences, both axes logarithmic.

use std::fmt::Write;

use super::report::Report;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 300.0;
/// What the left axis shows, in bytes, and the right one, in seconds: powers of ten.
const BYTES: [f64; 2] = [4.0, 9.0];
const SECONDS: [f64; 2] = [-2.0, 3.0];

/// Draws the points that have differences.
pub(super) fn draw(report: &Report) -> String {
    let points = || report.points.iter().filter(|point| point.differences > 0);
    let most = points().map(|point| point.differences).max().unwrap_or(1);
    let decades = (most as f64).log10().ceil().max(1.0);
    let x = |count: u64| LEFT + (RIGHT - LEFT) * (count as f64).log10() / decades;
    let mut body = format!(
        "<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">Repair of three replicas of {} rows, by how many of them differ</text>\n",
        grouped(report.rows)
    );
    for decade in 0..=decades as u32 {
        let at = x(10_u64.pow(decade));
        text(
            &mut body,
            at,
            BOTTOM + 18.0,
            "middle",
            "#333",
            &grouped(10_u64.pow(decade)),
        );
        line(&mut body, [at, TOP, at, BOTTOM]);
    }
    for step in 0..=5_i32 {
        let y = height(f64::from(step), [0.0, 5.0]);
        line(&mut body, [LEFT, y, RIGHT, y]);
        text(
            &mut body,
            LEFT - 6.0,
            y + 4.0,
            "end",
            BLUE,
            BYTE_LABELS[step as usize],
        );
        text(
            &mut body,
            RIGHT + 6.0,
            y + 4.0,
            "start",
            ORANGE,
            SECOND_LABELS[step as usize],
        );
    }
    let bytes: Vec<_> = points()
        .map(|point| [x(point.differences), height((point.bytes as f64).log10(), BYTES)])
        .collect();
    let seconds: Vec<_> = points()
        .map(|point| [x(point.differences), height(point.seconds.log10(), SECONDS)])
        .collect();
    polyline(&mut body, &bytes, BLUE);
    polyline(&mut body, &seconds, ORANGE);
    text(
        &mut body,
        LEFT,
        40.0,
        "start",
        BLUE,
        "bytes on the wire, headers and all",
    );
    text(&mut body, RIGHT, 40.0, "end", ORANGE, "time");
    text(
        &mut body,
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 40.0,
        "middle",
        "#333",
        "rows that differ",
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

const BLUE: &str = "#1b6ca8";
const ORANGE: &str = "#c98b2b";
const BYTE_LABELS: [&str; 6] = ["10 kB", "100 kB", "1 MB", "10 MB", "100 MB", "1 GB"];
const SECOND_LABELS: [&str; 6] = ["10 ms", "100 ms", "1 s", "10 s", "100 s", "1000 s"];

fn height(value: f64, [low, high]: [f64; 2]) -> f64 {
    BOTTOM - (BOTTOM - TOP) * ((value - low) / (high - low)).clamp(0.0, 1.0)
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(
        body,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}

fn line(body: &mut String, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = writeln!(
        body,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
    );
}

fn polyline(body: &mut String, points: &[[f64; 2]], colour: &str) {
    let places: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        body,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        places.join(" ")
    );
    for [x, y] in points {
        let _ = writeln!(
            body,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
        );
    }
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
