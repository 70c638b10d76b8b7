//! Several load-generating processes: one can use one core at most.
//!
//! The parent starts each with its plan on standard input. It says `"Ready"` once it knows its workload, begins when it
//! reads another line, and from then on prints what it measured, one JSON document a line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Sender, channel},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    super::evidence::{
        recorder::News,
        slice::{Slice, Total},
    },
    generator::Generator,
    plan::Plan,
};
use crate::error::Error;

/// A line from a part.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Ready,
    Slice(Slice),
    Total(Total),
    Failed(String),
    /// Everything was said.
    Done,
}

/// Is such a process.
///
/// # Errors
/// The parent is gone, or the plan is none.
pub fn run() -> Result<(), Error> {
    let mut input = std::io::stdin().lines();
    let mut line = || {
        input
            .next()
            .unwrap_or_else(|| Err(std::io::ErrorKind::UnexpectedEof.into()))
    };
    let plan: Plan = serde_json::from_str(&line()?).map_err(std::io::Error::from)?;
    let generator = Generator::new(plan, None)?;
    say(&Line::Ready)?;
    line()?;
    drop(input);
    // The parent keeps its end open while it lives: a load that nobody measures must not go on.
    std::thread::spawn(|| {
        let _closed = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (news, received) = channel();
    let printer = std::thread::spawn(move || {
        for news in received {
            let line = match news {
                News::Slice(slice) => Line::Slice(slice),
                News::Total(total) => Line::Total(total),
            };
            // A parent that is gone reads nothing more.
            if say(&line).is_err() {
                return;
            }
        }
    });
    let outcome = runtime.block_on(generator.run(Instant::now(), &news));
    drop(news);
    let _printed = printer.join();
    match outcome {
        Ok(()) => say(&Line::Done),
        Err(error) => say(&Line::Failed(error.to_string())),
    }
}

fn say(line: &Line) -> Result<(), Error> {
    let text = serde_json::to_string(line).map_err(std::io::Error::from)?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}

/// Processes that are ready to begin. Dropping them ends them.
#[derive(Debug)]
pub struct Parts(Vec<(Child, Option<BufReader<std::process::ChildStdout>>)>);

impl Parts {
    /// Starts `processes` of this program, each with its share of the plan.
    ///
    /// # Errors
    /// One does not start, or refuses its plan.
    pub fn start(plan: &Plan, processes: u32) -> Result<Self, Error> {
        let mut parts = Self(Vec::new());
        for process in 0..processes {
            let mut child = Command::new(std::env::current_exe()?)
                .arg("part")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let output = BufReader::new(child.stdout.take().expect("the output was asked for"));
            let share =
                serde_json::to_string(&plan.share(process, processes)).map_err(std::io::Error::from)?;
            let mut input = child.stdin.take().expect("the input was asked for");
            writeln!(input, "{share}")?;
            child.stdin = Some(input);
            parts.0.push((child, Some(output)));
        }
        for output in parts.0.iter_mut().filter_map(|(_, output)| output.as_mut()) {
            match next(output)? {
                Some(Line::Ready) => {}
                Some(Line::Failed(message)) => return Err(Error::Usage(message)),
                _ => {
                    return Err(Error::Protocol(
                        "a load-generating process ended before it began".into(),
                    ));
                }
            }
        }
        Ok(parts)
    }

    /// Their ids.
    pub fn processes(&self) -> Vec<u32> {
        self.0.iter().map(|(child, _)| child.id()).collect()
    }

    /// Lets all begin, and hands on what they say until they end.
    ///
    /// # Errors
    /// One failed, or ended early.
    pub fn run(mut self, news: &Sender<News>) -> Result<(), Error> {
        for (child, _) in &mut self.0 {
            writeln!(child.stdin.as_mut().expect("it is kept until the end"), "go")?;
        }
        let (ended, outcomes) = channel();
        for mut output in self.0.iter_mut().filter_map(|(_, output)| output.take()) {
            let (news, ended) = (news.clone(), ended.clone());
            std::thread::spawn(move || {
                // Nobody waits any more once another one failed.
                let _failed = ended.send(forward(&mut output, &news));
            });
        }
        drop(ended);
        // The first that fails ends all: what the others do is no whole load.
        outcomes.iter().collect()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for (child, _) in &mut self.0 {
            drop(child.stdin.take());
            // It may have ended by itself.
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn next(output: &mut impl BufRead) -> Result<Option<Line>, Error> {
    let mut text = String::new();
    if output.read_line(&mut text)? == 0 {
        return Ok(None);
    }
    let line = serde_json::from_str(&text).map_err(|error| {
        Error::Protocol(format!(
            "a load-generating process said '{}': {error}",
            text.trim()
        ))
    })?;
    Ok(Some(line))
}

/// Hands on what a process says until it has said everything.
///
/// # Errors
/// It failed, or ended before: what it did would be missing from the result.
fn forward(output: &mut impl BufRead, news: &Sender<News>) -> Result<(), Error> {
    while let Some(line) = next(output)? {
        let sent = match line {
            Line::Done => return Ok(()),
            Line::Ready => Ok(()),
            Line::Slice(slice) => news.send(News::Slice(slice)),
            Line::Total(total) => news.send(News::Total(total)),
            Line::Failed(message) => return Err(Error::Statement(message)),
        };
        if sent.is_err() {
            return Ok(());
        }
    }
    Err(Error::Protocol(
        "a load-generating process ended in the middle of the run".into(),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Line, Total, forward};

    #[test]
    fn a_process_that_ends_early_is_an_error() {
        let text = |lines: &[Line]| {
            let lines = lines
                .iter()
                .map(|line| serde_json::to_string(line).expect("JSON") + "\n");
            lines.collect::<String>()
        };
        let (news, received) = channel();
        let total = || Line::Total(Total::default());
        forward(&mut text(&[total(), Line::Done]).as_bytes(), &news).expect("it said all");
        for died in [
            text(&[]),
            text(&[total()]),
            text(&[total(), Line::Failed("x".into())]),
        ] {
            forward(&mut died.as_bytes(), &news).expect_err("it did not end as it should");
        }
        drop(news);
        assert_eq!(received.iter().count(), 3);
    }
}
