//! Replication strategies, as CREATE KEYSPACE names them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The largest replication factor that a strategy accepts for one datacenter.
pub const MAX_FACTOR: u32 = 255;

/// The most datacenters that a strategy names.
pub const MAX_DATACENTERS: usize = 255;

/// The package that Cassandra's own class names carry.
const PACKAGE: &str = "org.apache.cassandra.locator.";

/// The option of SimpleStrategy, and the shorthand of NetworkTopologyStrategy.
const FACTOR: &str = "replication_factor";

/// How a keyspace is replicated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Strategy {
    /// The next `factor` nodes on the ring, whatever their datacenter.
    Simple {
        /// Replicas in the whole cluster; at least 1.
        factor: u32,
    },
    /// For each datacenter its own number of replicas, on distinct racks as far as there are enough.
    NetworkTopology {
        /// Replicas by datacenter. 0 keeps a datacenter free of the keyspace's data.
        factors: BTreeMap<String, u32>,
        /// The shorthand `replication_factor`: replicas in every datacenter that `factors` does not name.
        /// [`Strategy::expand`] turns it into named factors, as Cassandra does on CREATE KEYSPACE.
        others: Option<u32>,
    },
    /// Each node has its own: the system keyspaces.
    Local,
}

/// Replication options that can't be used. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// The class is none of the known ones.
    #[error("unknown replication strategy '{0}'; use SimpleStrategy or NetworkTopologyStrategy")]
    UnknownClass(String),
    /// SimpleStrategy without its option.
    #[error("SimpleStrategy needs the option 'replication_factor'")]
    MissingFactor,
    /// NetworkTopologyStrategy without any datacenter.
    #[error(
        "NetworkTopologyStrategy needs at least one datacenter with its number of replicas, or 'replication_factor'"
    )]
    MissingDatacenter,
    /// The options ask for no replica at all.
    #[error("at least one replica is needed; with none the keyspace could not hold any data")]
    NoReplicas,
    /// An option's value is no number in range.
    #[error(
        "'{value}' is not a replication factor for '{option}'; use a whole number from 0 to {MAX_FACTOR}"
    )]
    BadFactor {
        /// The option, or the datacenter.
        option: String,
        /// What was given.
        value: String,
    },
    /// `total/transient`, which Cassandra marks as experimental.
    #[error("transient replication ('{value}' for '{option}') is not supported yet; use a whole number")]
    Transient {
        /// The option, or the datacenter.
        option: String,
        /// What was given.
        value: String,
    },
    /// An option that the strategy does not have.
    #[error("{class} does not have an option '{option}'")]
    UnknownOption {
        /// The strategy.
        class: &'static str,
        /// The option.
        option: String,
    },
    /// No member of the cluster is in this datacenter.
    #[error("there is no datacenter '{name}' in the cluster; it has: {known}")]
    UnknownDatacenter {
        /// What was given.
        name: String,
        /// The datacenters there are, by comma.
        known: String,
    },
    /// More datacenters than [`MAX_DATACENTERS`].
    #[error("a keyspace can name at most {MAX_DATACENTERS} datacenters")]
    TooManyDatacenters,
}

impl Strategy {
    /// Reads the class (short or with Cassandra's package name) and the options beside it.
    ///
    /// An option named `class` is skipped, so the whole map of CREATE KEYSPACE can be given. Whether the
    /// datacenters exist is for [`expand`](Self::expand) to say.
    pub fn parse<K, V>(class: &str, options: impl IntoIterator<Item = (K, V)>) -> Result<Self, StrategyError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let options = options
            .into_iter()
            .filter(|(option, _)| option.as_ref() != "class");
        match class.strip_prefix(PACKAGE).unwrap_or(class) {
            "SimpleStrategy" => Self::simple(options),
            "NetworkTopologyStrategy" => Self::network_topology(options),
            "LocalStrategy" => Ok(Self::Local),
            _ => Err(StrategyError::UnknownClass(class.to_owned())),
        }
    }

    fn simple<K, V>(options: impl Iterator<Item = (K, V)>) -> Result<Self, StrategyError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut found = None;
        for (option, value) in options {
            if option.as_ref() != FACTOR {
                return Err(StrategyError::UnknownOption {
                    class: "SimpleStrategy",
                    option: option.as_ref().to_owned(),
                });
            }
            found = Some(factor(FACTOR, value.as_ref())?);
        }
        match found {
            Some(0) => Err(StrategyError::NoReplicas),
            Some(factor) => Ok(Self::Simple { factor }),
            None => Err(StrategyError::MissingFactor),
        }
    }

    fn network_topology<K, V>(options: impl Iterator<Item = (K, V)>) -> Result<Self, StrategyError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut factors = BTreeMap::new();
        for (option, value) in options {
            if factors.len() > MAX_DATACENTERS {
                return Err(StrategyError::TooManyDatacenters);
            }
            let option = option.as_ref();
            factors.insert(option.to_owned(), factor(option, value.as_ref())?);
        }
        if factors.is_empty() {
            return Err(StrategyError::MissingDatacenter);
        }
        if factors.values().all(|factor| *factor == 0) {
            return Err(StrategyError::NoReplicas);
        }
        let others = factors.remove(FACTOR);
        Ok(Self::NetworkTopology { factors, others })
    }

    /// The strategy as it is to be stored: the shorthand `replication_factor` is replaced by all
    /// `datacenters` of the cluster, and every named datacenter is checked to be one of them.
    ///
    /// A datacenter whose option was given keeps it, as in Cassandra.
    pub fn expand(self, datacenters: &BTreeSet<String>) -> Result<Self, StrategyError> {
        let Self::NetworkTopology { mut factors, others } = self else {
            return Ok(self);
        };
        if let Some(name) = factors.keys().find(|name| !datacenters.contains(*name)) {
            return Err(StrategyError::UnknownDatacenter {
                name: name.clone(),
                known: datacenters
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        if let Some(others) = others {
            for datacenter in datacenters {
                factors.entry(datacenter.clone()).or_insert(others);
            }
        }
        if factors.values().all(|factor| *factor == 0) {
            return Err(StrategyError::NoReplicas);
        }
        Ok(Self::NetworkTopology {
            factors,
            others: None,
        })
    }

    /// The full class name, as `system_schema.keyspaces` shows it.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Simple { .. } => "org.apache.cassandra.locator.SimpleStrategy",
            Self::NetworkTopology { .. } => "org.apache.cassandra.locator.NetworkTopologyStrategy",
            Self::Local => "org.apache.cassandra.locator.LocalStrategy",
        }
    }

    /// The options beside the class; [`parse`](Self::parse) reads them back.
    pub fn options(&self) -> BTreeMap<String, String> {
        match self {
            Self::Simple { factor } => BTreeMap::from([(FACTOR.to_owned(), factor.to_string())]),
            Self::NetworkTopology { factors, others } => factors
                .iter()
                .map(|(datacenter, factor)| (datacenter.clone(), factor.to_string()))
                .chain(others.map(|factor| (FACTOR.to_owned(), factor.to_string())))
                .collect(),
            Self::Local => BTreeMap::new(),
        }
    }
}

fn factor(option: &str, value: &str) -> Result<u32, StrategyError> {
    let (option, text) = (option.to_owned(), value.trim());
    let value = value.to_owned();
    if text
        .split_once('/')
        .is_some_and(|(all, transient)| is_number(all) && is_number(transient))
    {
        return Err(StrategyError::Transient { option, value });
    }
    match text.parse() {
        Ok(factor) if is_number(text) && factor <= MAX_FACTOR => Ok(factor),
        _ => Err(StrategyError::BadFactor { option, value }),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
