//! `run`, and two targets in turn.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use super::{
    super::evidence::result::RunResult,
    arguments::{CompareArguments, Neighbours, ReportArguments, RunArguments},
    report,
    session::{self, Session},
    summary,
    target::Target,
};
use crate::error::Error;

/// `starling-bench run`.
///
/// # Errors
/// The run can't be made; or it was, and `--verify` found a violation, or a fault was not carried out.
pub fn run(arguments: &RunArguments) -> Result<(), Error> {
    let target = Target::parse(&arguments.target)?;
    let label = arguments.label.clone().unwrap_or_else(|| target.text.clone());
    if let Some(path) = &arguments.json {
        writable(path)?;
    }
    let neighbours = Neighbours {
        processes: arguments.pid.clone(),
        directories: arguments.data_dir.clone(),
    };
    let result = Session::new(&arguments.load, target, &neighbours, label)?.run()?;
    print!("{}", summary::text(&result));
    if let Some(path) = &arguments.json {
        write(&result, path)?;
    }
    holds(&result)
}

/// `starling-bench compare`.
///
/// # Errors
/// A run can't be made; or `--verify` found a violation in one, or a fault was not carried out. Results of earlier runs are kept.
pub fn compare(arguments: &CompareArguments) -> Result<(), Error> {
    let targets = [labelled(&arguments.a)?, labelled(&arguments.b)?];
    if targets[0].0 == targets[1].0 {
        return Err(Error::Usage(
            "both targets have the same label; write --a old=TARGET --b new=TARGET".into(),
        ));
    }
    let neighbours = [
        (&arguments.pid_a, &arguments.data_dir_a),
        (&arguments.pid_b, &arguments.data_dir_b),
    ]
    .map(|(processes, directories)| Neighbours {
        processes: processes.clone(),
        directories: directories.clone(),
    });
    for ((_, target), neighbours) in targets.iter().zip(&neighbours) {
        session::check(&arguments.load, target, neighbours)?;
    }
    fs::create_dir_all(&arguments.results).map_err(Error::file(&arguments.results))?;
    writable(&arguments.output)?;
    let mut files = vec![Vec::new(), Vec::new()];
    for run in 0..arguments.runs {
        // Who goes first changes, so that neither always has the warmer machine.
        let order = if run % 2 == 0 { [0, 1] } else { [1, 0] };
        for place in order {
            let (label, target) = &targets[place];
            let session = Session::new(&arguments.load, target.clone(), &neighbours[place], label.clone())?;
            let result = session.run()?;
            print!(
                "run {} of {}: {}",
                run + 1,
                arguments.runs,
                summary::text(&result)
            );
            let path = arguments.results.join(format!("{label}-{}.json", run + 1));
            write(&result, &path)?;
            files[place].push(path);
            holds(&result)?;
        }
    }
    let [first, second] = [files.remove(0), files.remove(0)];
    let arguments = ReportArguments {
        results: first.into_iter().chain(second).collect(),
        output: arguments.output.clone(),
        chart: None,
    };
    report::run(&arguments)
}

/// `LABEL=TARGET`, or a target that is its own label.
fn labelled(text: &str) -> Result<(String, Target), Error> {
    let (label, target) = text.split_once('=').unwrap_or((text, text));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let label: String = label.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    Ok((label, Target::parse(target)?))
}

fn write(result: &RunResult, path: &Path) -> Result<(), Error> {
    let text = serde_json::to_vec(result).map_err(std::io::Error::from)?;
    fs::write(path, text).map_err(Error::file(path))
}

/// Whether a file can be written: known before the run, not after it. What it holds stays.
fn writable(path: &Path) -> Result<(), Error> {
    let mut file = OpenOptions::new();
    let opened = file.create(true).append(true).open(path);
    opened.map(drop).map_err(Error::file(path))
}

/// A figure whose check failed is no figure, and neither is one of nothing, or one without the faults that it is of.
fn holds(result: &RunResult) -> Result<(), Error> {
    if result.total.count == 0 && result.total.answered == 0 {
        let first = result.examples.iter().next();
        return Err(Error::Nothing(first.map_or_else(
            || "no operation was answered".to_owned(),
            |(kind, message)| format!("{kind}: {message}"),
        )));
    }
    match &result.verification {
        Some(verification) if !verification.passed => {
            let missing = verification.not_verified.as_ref();
            let missing = missing.map(|reason| format!("it could not be made: {reason}"));
            let first = missing.or_else(|| verification.examples.first().cloned());
            return Err(Error::Verification(
                first.unwrap_or_else(|| "see the result".to_owned()),
            ));
        }
        _ => {}
    }
    match result.faults.iter().find(|fault| !fault.done) {
        Some(fault) => Err(Error::Fault(format!("{}: {}", fault.action, fault.outcome))),
        None => Ok(()),
    }
}
