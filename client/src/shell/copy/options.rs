//! The options of COPY, by cqlsh's names.

use crate::load::LoadOptions;

/// How CSV is read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shell) struct CopyOptions {
    pub(in crate::shell) header: bool,
    pub(in crate::shell) delimiter: u8,
    pub(in crate::shell) quote: u8,
    pub(in crate::shell) escape: u8,
    pub(in crate::shell) null: String,
    /// Rows a page of an export.
    pub(in crate::shell) page_size: u32,
    pub(in crate::shell) skip_rows: u64,
    pub(in crate::shell) max_rows: Option<u64>,
    pub(in crate::shell) max_errors: Option<u64>,
    pub(in crate::shell) attempts: u32,
    /// Rows in flight of an import.
    pub(in crate::shell) max_requests: usize,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            header: false,
            delimiter: b',',
            quote: b'"',
            escape: b'\\',
            null: String::new(),
            page_size: 1000,
            skip_rows: 0,
            max_rows: None,
            max_errors: Some(1000),
            attempts: 5,
            max_requests: 128,
        }
    }
}

impl CopyOptions {
    /// Sets one option.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name.to_ascii_uppercase().as_str() {
            "HEADER" => self.header = truth(name, value)?,
            "DELIMITER" => self.delimiter = one_byte(name, value)?,
            "QUOTE" => self.quote = one_byte(name, value)?,
            "ESCAPE" => self.escape = one_byte(name, value)?,
            "NULL" | "NULLVAL" => value.clone_into(&mut self.null),
            "PAGESIZE" => self.page_size = number(name, value, 1)?,
            "SKIPROWS" => self.skip_rows = number(name, value, 0)?,
            "MAXROWS" => self.max_rows = unlimited(name, value)?,
            "MAXERRORS" => self.max_errors = unlimited(name, value)?,
            "MAXATTEMPTS" | "ATTEMPTS" => self.attempts = number(name, value, 1)?,
            "MAXREQUESTS" => self.max_requests = number(name, value, 1)?,
            "ENCODING" if value.eq_ignore_ascii_case("utf8") || value.eq_ignore_ascii_case("utf-8") => {}
            other => {
                return Err(format!(
                    "COPY has no option {other} = {value}, or it is not supported yet"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn for_load(&self) -> LoadOptions {
        LoadOptions {
            header: self.header,
            delimiter: self.delimiter,
            quote: self.quote,
            // The same character as the quote: written twice, which is always read.
            escape: (self.escape != self.quote).then_some(self.escape),
            null: self.null.clone(),
            skip_rows: self.skip_rows,
            max_rows: self.max_rows,
            concurrency: self.max_requests,
            max_errors: self.max_errors,
            consistency: None,
            attempts: self.attempts,
        }
    }
}

fn truth(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{name} is true or false, not '{value}'")),
    }
}

fn one_byte(name: &str, value: &str) -> Result<u8, String> {
    match value {
        "\\t" => Ok(b'\t'),
        _ => match value.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => Err(format!("{name} is one ASCII character, not '{value}'")),
        },
    }
}

fn number<T: TryFrom<u64>>(name: &str, value: &str, least: u64) -> Result<T, String> {
    let number = value.parse::<u64>().ok().filter(|number| *number >= least);
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{name} is a whole number of at least {least}, not '{value}'"))
}

/// A count, or -1 for no limit.
fn unlimited(name: &str, value: &str) -> Result<Option<u64>, String> {
    if value == "-1" {
        Ok(None)
    } else {
        number(name, value, 0).map(Some)
    }
}
