//! The workload file: its shape, and what is wrong with one that does not fit.

use std::{collections::BTreeMap, fmt, fs, ops::Range, path::Path};

use serde::Deserialize;
use starling_model::Consistency;
use toml::Spanned;

use super::{
    field::{Field, From},
    keys::Keys,
    ready,
};

/// Why a workload can't be used: one sentence, with file and line where there is one. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(pub String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A workload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// What it is like, in one sentence.
    pub description: String,
    /// The keyspace; it is dropped and made anew. `{keyspace}` in statements stands for it.
    pub keyspace: String,
    /// The statements that make tables, in order. The keyspace is made before.
    pub schema: Vec<String>,
    /// How many records are loaded before the run.
    pub records: u64,
    /// The level of all statements that have none of their own; ONE unless given.
    pub consistency: Option<Spanned<String>>,
    /// Sample data for fields with `from = "column"`: `flights`, or a CSV file beside this file.
    pub data: Option<String>,
    /// How operations choose their records, where they don't say themselves.
    #[serde(default)]
    pub keys: Option<Spanned<Keys>>,
    /// The statements that are carried out once for each record, before the run.
    #[serde(default)]
    pub load: Vec<Spanned<String>>,
    /// What markers are bound to, by name.
    #[serde(default)]
    pub fields: BTreeMap<String, Spanned<Field>>,
    /// The statements, by name.
    pub statements: BTreeMap<String, Spanned<Statement>>,
    /// What is done in the run, by name.
    pub operations: BTreeMap<String, Spanned<Operation>>,
    /// How `--verify` follows the records' versions.
    pub verify: Option<Spanned<Verify>>,
}

/// A statement: `[statements.NAME]`. It is prepared once on each connection.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The text, with `?` for each value.
    pub cql: String,
    /// The fields that the markers are bound to, in order.
    #[serde(default)]
    pub values: Vec<String>,
    /// Its level.
    pub consistency: Option<String>,
    /// SERIAL or LOCAL_SERIAL, of conditional writes.
    pub serial_consistency: Option<String>,
    /// A read that finds no row is an error: `row`. Otherwise any number of rows is right.
    pub expect: Option<Expect>,
    /// Rows a page; the first page is read. All rows in one page unless given.
    pub page_size: Option<u32>,
}

/// What a statement's answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// At least one row.
    Row,
}

/// An operation: `[operations.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Its share of all operations, in proportion to the others' weights.
    pub weight: f64,
    /// The statements, one after the other, on the same record. Its latency is that of all together.
    pub steps: Vec<String>,
    /// How it chooses its record.
    pub keys: Option<Keys>,
}

/// Which statements write and read the versions that `--verify` follows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verify {
    /// Statements that write a whole record, with a `version` field among their values.
    #[serde(default)]
    pub write: Vec<String>,
    /// Conditional statements that do, if the record has the version of their `read` field, or none where they have no
    /// such field (`IF NOT EXISTS`).
    #[serde(default)]
    pub swap: Vec<String>,
    /// The statement that reads one record, by its key.
    pub read: String,
    /// The column of its result that holds the version.
    pub column: String,
}

impl Workload {
    /// A ready-made workload's name, or a file.
    ///
    /// # Errors
    /// File, line, what is wrong and what is allowed.
    pub fn open(name: &str) -> Result<Self, Problem> {
        if let Some(text) = ready::text(name) {
            return Self::parse(text, &format!("{name}.toml"));
        }
        let path = Path::new(name);
        let text = fs::read_to_string(path).map_err(|error| {
            Problem(format!(
                "cannot read the workload {name}: {error}; give a file, or one of {}",
                ready::names().collect::<Vec<_>>().join(", ")
            ))
        })?;
        Self::parse(&text, name)
    }

    /// Reads a workload's text. `file` is for messages.
    ///
    /// # Errors
    /// File, line, what is wrong and what is allowed.
    pub fn parse(text: &str, file: &str) -> Result<Self, Problem> {
        let at = |span: Range<usize>, message: &str| {
            let line = 1 + text[..span.start.min(text.len())].matches('\n').count();
            Problem(format!("{file}, line {line}: {message}"))
        };
        let workload: Self =
            toml::from_str(text).map_err(|error| at(error.span().unwrap_or(0..0), error.message()))?;
        match workload.fault() {
            Some((span, message)) => Err(at(span, &message)),
            None => Ok(workload),
        }
    }

    /// The first thing that does not fit, and where.
    fn fault(&self) -> Option<(Range<usize>, String)> {
        if let Some(level) = &self.consistency
            && let Some(message) = unknown_level(level.get_ref())
        {
            return Some((level.span(), message));
        }
        if let Some(keys) = &self.keys
            && let Some(message) = keys.get_ref().fault()
        {
            return Some((keys.span(), message));
        }
        for (name, field) in &self.fields {
            if let Some(message) = field.get_ref().fault() {
                return Some((field.span(), format!("the field '{name}': {message}")));
            }
        }
        for (name, statement) in &self.statements {
            if let Some(message) = self.fault_of_statement(statement.get_ref()) {
                return Some((statement.span(), format!("the statement '{name}': {message}")));
            }
        }
        for (name, operation) in &self.operations {
            if let Some(message) = self.fault_of_operation(operation.get_ref()) {
                return Some((operation.span(), format!("the operation '{name}': {message}")));
            }
        }
        for name in &self.load {
            if !self.statements.contains_key(name.get_ref()) {
                return Some((name.span(), self.no_statement(name.get_ref())));
            }
        }
        if self.operations.is_empty() {
            return Some((0..0, "there is no operation: add [operations.NAME]".into()));
        }
        let verify = self.verify.as_ref()?;
        let message = self.fault_of_verify(verify.get_ref())?;
        Some((verify.span(), format!("[verify]: {message}")))
    }

    fn fault_of_statement(&self, statement: &Statement) -> Option<String> {
        let levels = [&statement.consistency, &statement.serial_consistency];
        if let Some(message) = levels
            .into_iter()
            .flatten()
            .find_map(|level| unknown_level(level))
        {
            return Some(message);
        }
        let markers = markers(&statement.cql);
        if markers != statement.values.len() {
            return Some(format!(
                "it has {markers} markers and {} values",
                statement.values.len()
            ));
        }
        let missing = statement
            .values
            .iter()
            .find(|name| !self.fields.contains_key(*name))?;
        Some(format!(
            "there is no field '{missing}'; there are {}",
            listed(self.fields.keys())
        ))
    }

    fn fault_of_operation(&self, operation: &Operation) -> Option<String> {
        if !(operation.weight.is_finite() && operation.weight > 0.0) {
            return Some("'weight' must be above 0".into());
        }
        if operation.steps.is_empty() {
            return Some("'steps' names no statement".into());
        }
        if let Some(missing) = operation
            .steps
            .iter()
            .find(|name| !self.statements.contains_key(*name))
        {
            return Some(self.no_statement(missing));
        }
        if let Some(blind) = self.expects_what_was_not_read(operation) {
            return Some(format!(
                "'{blind}' has a field with from = \"read\": an earlier step must be [verify]'s 'read'"
            ));
        }
        operation.keys.as_ref().and_then(Keys::fault)
    }

    fn expects_what_was_not_read<'a>(&self, operation: &'a Operation) -> Option<&'a String> {
        let read = self.verify.as_ref().map(|verify| &verify.get_ref().read);
        let mut steps = operation.steps.iter().take_while(|step| Some(*step) != read);
        steps.find(|step| self.binds(step, From::Read))
    }

    /// Whether a statement has a value from there.
    pub(super) fn binds(&self, statement: &str, from: From) -> bool {
        let values = &self.statements[statement].get_ref().values;
        values
            .iter()
            .any(|value| self.fields[value].get_ref().from == from)
    }

    fn fault_of_verify(&self, verify: &Verify) -> Option<String> {
        let writes = || verify.write.iter().chain(&verify.swap);
        if writes().next().is_none() {
            return Some("'write' or 'swap' must name a statement".into());
        }
        let named = writes().chain([&verify.read]);
        if let Some(missing) = named
            .into_iter()
            .find(|name| !self.statements.contains_key(*name))
        {
            return Some(self.no_statement(missing));
        }
        let blind = writes().find(|name| !self.binds(name, From::Version))?;
        Some(format!("'{blind}' binds no field with from = \"version\""))
    }

    fn no_statement(&self, name: &str) -> String {
        format!(
            "there is no statement '{name}'; there are {}",
            listed(self.statements.keys())
        )
    }

    /// A statement's level: its own, the workload's, or ONE.
    pub fn level(&self, statement: &Statement) -> Consistency {
        let own = statement.consistency.as_deref();
        let named = own.or(self.consistency.as_ref().map(|level| level.get_ref().as_str()));
        named
            .and_then(|name| name.parse().ok())
            .unwrap_or(Consistency::One)
    }

    /// A statement's text as it goes to the server.
    pub fn text_of(&self, statement: &str) -> String {
        statement.replace("{keyspace}", &self.keyspace)
    }

    /// The statements that make the keyspace anew and its tables.
    pub fn schema_statements(&self, replication_factor: u32) -> Vec<String> {
        let keyspace = &self.keyspace;
        let mut all = vec![
            format!("DROP KEYSPACE IF EXISTS {keyspace}"),
            format!(
                "CREATE KEYSPACE {keyspace} WITH replication = \
                 {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication_factor}}}"
            ),
        ];
        all.extend(self.schema.iter().map(|statement| self.text_of(statement)));
        all
    }
}

fn unknown_level(name: &str) -> Option<String> {
    let error = name.parse::<Consistency>().err()?;
    let known = Consistency::EVERY.map(|level| level.to_string()).join(", ");
    Some(format!("{error}; allowed are {known}"))
}

fn listed<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The `?` outside of strings.
fn markers(cql: &str) -> usize {
    let outside = cql.split('\'').step_by(2);
    outside.map(|part| part.matches('?').count()).sum()
}
