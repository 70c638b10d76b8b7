//! `starling-bench report`: results as one page, and as a picture.

use std::{fs, path::Path};

use super::{
    super::{
        evidence::result::{FORMAT, RunResult},
        report::{chart, page},
    },
    arguments::ReportArguments,
};
use crate::error::Error;

/// Makes the page, and the picture.
///
/// # Errors
/// A file is no result, or of another format; or one of them can't be written. Without anything to draw there is no
/// picture, but the page.
pub fn run(arguments: &ReportArguments) -> Result<(), Error> {
    let results: Result<Vec<RunResult>, Error> = arguments.results.iter().map(|path| read(path)).collect();
    let results = results?;
    let page = page::html(&results);
    fs::write(&arguments.output, page).map_err(Error::file(&arguments.output))?;
    println!("wrote {}", arguments.output.display());
    if let Some(path) = &arguments.chart {
        let nothing = || Error::Usage(format!("{}: the results have nothing to draw", path.display()));
        let chart = chart::svg(&results).ok_or_else(nothing)?;
        fs::write(path, chart).map_err(Error::file(path))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn read(path: &Path) -> Result<RunResult, Error> {
    let refuse = |message: String| Error::Usage(format!("{}: {message}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| refuse(format!("it is no JSON: {error}")))?;
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    if format != Some(u64::from(FORMAT)) {
        return Err(refuse(format!(
            "it is no result of format {FORMAT}; make it again with `starling-bench run --json`"
        )));
    }
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}
