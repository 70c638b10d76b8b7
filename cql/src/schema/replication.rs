//! A keyspace's replication options.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

const PACKAGE: &str = "org.apache.cassandra.locator.";
/// The most replicas in a datacenter.
const MAX_FACTOR: u32 = 1_000;
/// The most datacenters that can be named.
const MAX_DATACENTERS: usize = 256;
const FACTOR: &str = "replication_factor";

/// How a keyspace is replicated: the strategy and its options, as CQL has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Replication {
    /// The full class name, as Cassandra returns it: `org.apache.cassandra.locator.SimpleStrategy`.
    pub class: String,
    /// `replication_factor`, or a factor for each datacenter.
    pub options: BTreeMap<String, String>,
}

impl Replication {
    /// The data of each node is its own.
    pub fn local() -> Self {
        Self {
            class: format!("{PACKAGE}LocalStrategy"),
            options: BTreeMap::new(),
        }
    }

    /// `SimpleStrategy` with a factor.
    pub fn simple(factor: u32) -> Self {
        Self {
            class: format!("{PACKAGE}SimpleStrategy"),
            options: BTreeMap::from([(FACTOR.to_owned(), factor.to_string())]),
        }
    }

    /// Checks what a statement says. `datacenters` are those that a factor for all of them is spread to
    /// (`NetworkTopologyStrategy` with `replication_factor`).
    pub fn parse(map: &[(String, String)], datacenters: &[String]) -> Result<Self, Error> {
        let mut options = BTreeMap::new();
        for (key, value) in map {
            if options.insert(key.clone(), value.clone()).is_some() {
                return Err(Error::invalid(format!(
                    "Multiple definitions for replication option '{key}'"
                )));
            }
        }
        let class = options.remove("class").ok_or_else(|| {
            config("Missing mandatory replication strategy class: name it in 'class' of the replication map")
        })?;
        let short = class.strip_prefix(PACKAGE).unwrap_or(&class);
        match short {
            "SimpleStrategy" => simple_options(&options)?,
            "NetworkTopologyStrategy" => options = topology_options(options, datacenters)?,
            "LocalStrategy" => {
                return Err(config(
                    "Unable to use given strategy class: LocalStrategy is reserved for internal use.",
                ));
            }
            _ => {
                return Err(config(format!(
                    "Unable to find replication strategy class '{class}'; use SimpleStrategy or NetworkTopologyStrategy"
                )));
            }
        }
        Ok(Self {
            class: format!("{PACKAGE}{short}"),
            options,
        })
    }

    /// The class name without its package.
    pub fn short_class(&self) -> &str {
        self.class.strip_prefix(PACKAGE).unwrap_or(&self.class)
    }

    /// Class and options as one map, as `system_schema.keyspaces` has it.
    pub fn map(&self) -> BTreeMap<String, String> {
        let mut map = self.options.clone();
        map.insert("class".to_owned(), self.class.clone());
        map
    }
}

impl fmt::Display for Replication {
    /// For people: `SimpleStrategy (replication_factor 3)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options.iter().map(|(name, value)| format!("{name} {value}"));
        let options: Vec<String> = options.collect();
        write!(f, "{} ({})", self.short_class(), options.join(", "))
    }
}

fn simple_options(options: &BTreeMap<String, String>) -> Result<(), Error> {
    let Some(text) = options.get(FACTOR) else {
        return Err(config(
            "SimpleStrategy requires a replication_factor strategy option.",
        ));
    };
    factor(text)?;
    match options.keys().find(|key| *key != FACTOR) {
        Some(key) => Err(config(format!(
            "Unrecognized strategy option {{{key}}} passed to SimpleStrategy; it takes replication_factor only"
        ))),
        None => Ok(()),
    }
}

fn topology_options(
    mut options: BTreeMap<String, String>,
    datacenters: &[String],
) -> Result<BTreeMap<String, String>, Error> {
    if let Some(all) = options.remove(FACTOR) {
        factor(&all)?;
        if datacenters.is_empty() {
            return Err(config(
                "replication_factor of NetworkTopologyStrategy needs to know the datacenters; name each one with its factor",
            ));
        }
        for datacenter in datacenters {
            options.entry(datacenter.clone()).or_insert_with(|| all.clone());
        }
    }
    if options.is_empty() {
        return Err(config(
            "Configuration for at least one datacenter must be present",
        ));
    }
    if options.len() > MAX_DATACENTERS {
        return Err(config(format!(
            "at most {MAX_DATACENTERS} datacenters can be named"
        )));
    }
    for (datacenter, text) in &options {
        if datacenter.is_empty() {
            return Err(config("the name of a datacenter is empty"));
        }
        factor(text)?;
    }
    Ok(options)
}

fn factor(text: &str) -> Result<u32, Error> {
    if text.contains('/') {
        return Err(Error::unsupported("transient replication"));
    }
    let number: i64 = text.parse().map_err(|_| {
        config(format!(
            "Replication factor must be numeric and non-negative, found '{text}'"
        ))
    })?;
    u32::try_from(number)
        .ok()
        .filter(|factor| (1..=MAX_FACTOR).contains(factor))
        .ok_or_else(|| {
            config(format!(
                "Replication factor must be from 1 to {MAX_FACTOR}, found {number}"
            ))
        })
}

fn config(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}
