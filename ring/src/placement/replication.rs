//! How many replicas a strategy asks for, once the datacenters are known.

use std::collections::{BTreeMap, BTreeSet};

use crate::strategy::Strategy;

/// The replication factors that consistency levels are computed from: what the strategy asks for, not
/// what the cluster has nodes for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    total: u32,
    by_datacenter: Option<BTreeMap<String, u32>>,
}

impl Replication {
    /// The factors of a strategy in a cluster with these datacenters.
    pub fn new(strategy: &Strategy, datacenters: &BTreeSet<&str>) -> Self {
        match strategy {
            Strategy::Local => Self {
                total: 1,
                by_datacenter: None,
            },
            Strategy::Simple { factor } => Self {
                total: *factor,
                by_datacenter: None,
            },
            Strategy::NetworkTopology { factors, others } => {
                let mut factors = factors.clone();
                if let Some(others) = others {
                    for datacenter in datacenters {
                        factors.entry((*datacenter).to_owned()).or_insert(*others);
                    }
                }
                factors.retain(|_, factor| *factor > 0);
                Self {
                    total: factors.values().sum(),
                    by_datacenter: Some(factors),
                }
            }
        }
    }

    /// Replicas in the whole cluster.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Replicas by datacenter, without those that have none; `None` if the strategy knows no datacenters.
    pub fn by_datacenter(&self) -> Option<&BTreeMap<String, u32>> {
        self.by_datacenter.as_ref()
    }
}
