//! Rules on one source file's text. `rustfmt` has laid it out, so that indentation tells structure.

/// The longest file, in lines, tests apart. One concept each.
pub const MAX_FILE_LINES: usize = 600;

/// The longest function, in lines.
pub const MAX_FUNCTION_LINES: usize = 110;

/// Marks of work that was put off, or of a test that was switched off. Split, so that this file has none.
const PUT_OFF: [&str; 7] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("#[ig", "nore"),
    concat!("allow(dead_", "code"),
];

/// Marks of put-off work, with their line numbers.
pub fn put_off(text: &str) -> Vec<(usize, &'static str)> {
    text.lines()
        .enumerate()
        .filter_map(|(at, line)| Some((at + 1, PUT_OFF.into_iter().find(|mark| line.contains(mark))?)))
        .collect()
}

/// Functions longer than [`MAX_FUNCTION_LINES`]: line number and length.
pub fn long_functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !begins_function(line) {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        if let Some(length) = lines[at..].iter().position(|line| *line == close)
            && length + 1 > MAX_FUNCTION_LINES
        {
            long.push((at + 1, length + 1));
        }
    }
    long
}

fn begins_function(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().take(5).collect();
    let before_fn = words.iter().position(|word| *word == "fn");
    !line.trim_end().ends_with(';')
        && before_fn.is_some_and(|at| {
            words[..at]
                .iter()
                .all(|word| matches!(*word, "async" | "const" | "unsafe") || word.starts_with("pub"))
        })
}
