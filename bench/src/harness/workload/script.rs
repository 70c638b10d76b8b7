//! The operations of one lane, in the order of its seed.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use starling_client::ColumnSpec;
use starling_cql::Values;
use starling_model::Consistency;

use super::{
    field::{Datum, Field, From, Pools, Subject},
    file::{Expect, Problem, Statement, Workload},
    growth::Growth,
    keys::{KeyChooser, Keys},
    random::Random,
    samples::Samples,
    version,
};

/// A workload with its names turned into places, and what all lanes of a process share.
#[derive(Debug)]
pub struct Program {
    /// The statements, by place.
    pub statements: Vec<Prepared>,
    /// The operations, by place.
    pub operations: Vec<Task>,
    /// The statements, by place, that load a record.
    pub load: Vec<usize>,
    /// The statements, by place, by which operations read a record, each once.
    pub reads: Vec<usize>,
    /// The records that there are.
    pub growth: Arc<Growth>,
    turns: Vec<Arc<AtomicU64>>,
    versions: AtomicU64,
    process: u64,
    processes: u64,
    pools: Pools,
    total_weight: f64,
}

/// A statement to be prepared.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Its name in the file.
    pub name: String,
    /// Its text.
    pub cql: String,
    /// Its level.
    pub consistency: Consistency,
    /// Of conditional writes.
    pub serial_consistency: Option<Consistency>,
    /// What its answer must be.
    pub expect: Option<Expect>,
    /// Rows a page.
    pub page_size: Option<u32>,
    /// Whether it changes data: if its outcome is unknown, it may have been carried out.
    pub writes: bool,
    /// What its markers are bound to.
    pub fields: Vec<Field>,
    /// Its part in `--verify`.
    pub role: Role,
    /// What is looked at in its answer.
    pub look: Look,
}

/// What is looked at in an answer: decoding rows costs the load-generating process its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Nothing but errors.
    Nothing,
    /// How many rows there are.
    Rows,
    /// And the version in this column of the first one.
    Version(String),
    /// Whether a conditional write was carried out.
    Applied,
}

/// A statement's part in `--verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// None.
    None,
    /// It writes a version.
    Write,
    /// It writes a version if its condition holds.
    Swap {
        /// The condition: whether the record has the version that was read; otherwise, that there is no record.
        expects_read: bool,
    },
    /// It reads the version.
    Read,
}

/// An operation to be drawn.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name in the file.
    pub name: String,
    /// Its share.
    pub weight: f64,
    /// The statements' places.
    pub steps: Vec<usize>,
    /// How it chooses its record.
    pub keys: Keys,
}

/// What the command line sets instead of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// The level of all statements.
    pub consistency: Option<Consistency>,
    /// How many records are loaded.
    pub records: Option<u64>,
}

impl Program {
    /// For process `process` of `processes`. `folder` is where the file's data lies.
    ///
    /// # Errors
    /// The sample data can't be read.
    pub fn new(
        workload: &Workload,
        folder: &Path,
        overrides: &Overrides,
        (process, processes): (u64, u64),
    ) -> Result<Self, Problem> {
        let samples = match &workload.data {
            Some(name) => Some(Arc::new(Samples::named(name, folder)?)),
            None => None,
        };
        check_columns(workload, samples.as_deref())?;
        let places: BTreeMap<&str, usize> = workload
            .statements
            .keys()
            .enumerate()
            .map(|(place, name)| (name.as_str(), place))
            .collect();
        let default_keys = workload
            .keys
            .as_ref()
            .map(|keys| *keys.get_ref())
            .unwrap_or_default();
        let operations: Vec<Task> = workload
            .operations
            .iter()
            .map(|(name, operation)| Task {
                name: name.clone(),
                weight: operation.get_ref().weight,
                steps: operation
                    .get_ref()
                    .steps
                    .iter()
                    .map(|step| places[step.as_str()])
                    .collect(),
                keys: operation.get_ref().keys.unwrap_or(default_keys),
            })
            .collect();
        let statements = statements(workload, overrides);
        let mut reads: Vec<usize> = operations.iter().flat_map(|task| task.steps.clone()).collect();
        reads.retain(|&place| !statements[place].writes);
        reads.sort_unstable();
        reads.dedup();
        let records = overrides.records.unwrap_or(workload.records).max(1);
        Ok(Self {
            statements,
            reads,
            load: workload
                .load
                .iter()
                .map(|name| places[name.get_ref().as_str()])
                .collect(),
            growth: Arc::new(Growth::new(records, process, processes)),
            turns: operations
                .iter()
                .map(|_| Arc::new(AtomicU64::new(process)))
                .collect(),
            total_weight: operations.iter().map(|task| task.weight).sum(),
            operations,
            versions: AtomicU64::new(1),
            process,
            processes: processes.max(1),
            pools: Pools::new(1, samples),
        })
    }

    /// A version for a write to a record that no other write has, above what loading writes.
    pub fn next_version(&self, record: u64) -> u64 {
        let serial = self.versions.fetch_add(1, Ordering::Relaxed) * self.processes + self.process;
        version::of(record, serial)
    }

    /// A statement's values for a record.
    ///
    /// # Errors
    /// A sentence: a marker's type can't have the field's value.
    pub fn bind(
        &self,
        statement: usize,
        markers: &[ColumnSpec],
        subject: Subject,
        random: &mut Random,
    ) -> Result<Bound, String> {
        let statement = &self.statements[statement];
        let refused = |message: String| format!("the statement '{}': {message}", statement.name);
        let mut data = Vec::with_capacity(markers.len());
        for (field, marker) in statement.fields.iter().zip(markers) {
            let datum = field.value(&marker.cql_type, subject, random, &self.pools);
            data.push(datum.map_err(refused)?);
        }
        let payload = if statement.writes {
            data.iter().map(Datum::payload).sum()
        } else {
            0
        };
        Ok(Bound { data, payload })
    }
}

/// Values that are ready to be sent.
#[derive(Debug, Clone)]
pub struct Bound {
    /// One for each marker.
    pub data: Vec<Datum>,
    /// What a write's values hold, in bytes.
    pub payload: u64,
}

impl Bound {
    /// In their CQL serialization.
    ///
    /// # Errors
    /// A sentence: a marker's type can't have such a value.
    pub fn encoded(&self, markers: &[ColumnSpec]) -> Result<Values, String> {
        starling_client::binding::bind(markers, &self.data).map_err(|error| error.to_string())
    }
}

fn statements(workload: &Workload, overrides: &Overrides) -> Vec<Prepared> {
    let verify = workload.verify.as_ref().map(toml::Spanned::get_ref);
    let role = |name: &String| match verify {
        Some(verify) if verify.read == *name => Role::Read,
        Some(verify) if verify.write.contains(name) => Role::Write,
        Some(verify) if verify.swap.contains(name) => Role::Swap {
            expects_read: workload.binds(name, From::Read),
        },
        _ => Role::None,
    };
    let look = |name: &String, statement: &Statement| match (role(name), verify) {
        (Role::Read, Some(verify)) => Look::Version(verify.column.clone()),
        (Role::Swap { .. }, _) => Look::Applied,
        _ if statement.expect.is_some() => Look::Rows,
        _ => Look::Nothing,
    };
    // A linearizable read at another level would be another kind of read.
    let level = |statement: &Statement| {
        let own = workload.level(statement);
        overrides.consistency.filter(|_| !own.is_serial()).unwrap_or(own)
    };
    workload
        .statements
        .iter()
        .map(|(name, statement)| {
            let statement = statement.get_ref();
            let first = statement.cql.split_whitespace().next().unwrap_or_default();
            Prepared {
                name: name.clone(),
                cql: workload.text_of(&statement.cql),
                consistency: level(statement),
                serial_consistency: statement
                    .serial_consistency
                    .as_deref()
                    .and_then(|level| level.parse().ok()),
                expect: statement.expect,
                page_size: statement.page_size,
                writes: !first.eq_ignore_ascii_case("select"),
                fields: statement
                    .values
                    .iter()
                    .map(|value| workload.fields[value].get_ref().clone())
                    .collect(),
                role: role(name),
                look: look(name, statement),
            }
        })
        .collect()
}

/// Columns that the data lacks are found before anything is sent.
fn check_columns(workload: &Workload, samples: Option<&Samples>) -> Result<(), Problem> {
    for (name, field) in &workload.fields {
        let Some(column) = &field.get_ref().column else {
            continue;
        };
        let outcome = match samples {
            Some(samples) => samples.value(0, column).map(drop),
            None => Err("the workload has no 'data'".to_owned()),
        };
        outcome.map_err(|message| Problem(format!("the field '{name}': {message}")))?;
    }
    Ok(())
}

/// Draws operations.
#[derive(Debug)]
pub struct Script {
    program: Arc<Program>,
    choosers: Vec<KeyChooser>,
    random: Random,
}

/// An operation that was drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// Its place in the program.
    pub operation: usize,
    /// Its record.
    pub record: u64,
}

impl Script {
    /// The same operations for the same seed, but for those that depend on what other lanes did.
    pub fn new(program: Arc<Program>, seed: u64) -> Self {
        let choosers = program
            .operations
            .iter()
            .zip(&program.turns)
            .map(|(task, turn)| KeyChooser::new(task.keys, Arc::clone(&program.growth), Arc::clone(turn)))
            .collect();
        Self {
            program,
            choosers,
            random: Random::new(seed),
        }
    }

    /// The next operation.
    pub fn draw(&mut self) -> Drawn {
        let mut left = self.random.fraction() * self.program.total_weight;
        let last = self.program.operations.len() - 1;
        let operation = self.program.operations.iter().position(|task| {
            left -= task.weight;
            left < 0.0
        });
        let operation = operation.unwrap_or(last);
        let record = self.choosers[operation].draw(&mut self.random);
        Drawn { operation, record }
    }

    /// The chance that values are drawn from.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}
