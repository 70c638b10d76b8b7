//! Everything that a load-generating process must know.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::super::workload::{
    file::{Problem, Workload},
    script::{Overrides, Program},
};

/// Requests in flight, at least, while nothing is measured yet.
const BEFOREHAND: u32 = 64;

/// How servers are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The CQL native protocol, version 4, over TCP: any server.
    Cql,
    /// Our own client, over QUIC.
    Quic,
}

impl Protocol {
    /// For people and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cql => "cql",
            Self::Quic => "quic",
        }
    }
}

/// One process's share of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The workload's text.
    pub text: String,
    /// Its name, for messages.
    pub file: String,
    /// Where its data lies.
    pub folder: PathBuf,
    /// How the servers are spoken to.
    pub protocol: Protocol,
    /// The servers.
    pub addresses: Vec<SocketAddr>,
    /// Requests in flight, of all lanes.
    pub in_flight: u32,
    /// Lanes.
    pub connections: u32,
    /// Arrivals a second, of all lanes; `None`: closed.
    pub rate: Option<f64>,
    /// Before the measurement.
    pub warm_up: Duration,
    /// The measured time; `None` where a number of operations ends the run.
    pub duration: Option<Duration>,
    /// How many operations, warm-up included.
    pub operations: Option<u64>,
    /// A level instead of the workload's.
    pub consistency: Option<String>,
    /// Records instead of the workload's.
    pub records: Option<u64>,
    /// Which process this is.
    pub process: u64,
    /// How many there are.
    pub processes: u64,
    /// Of all chance.
    pub seed: u64,
    /// When a statement is given up.
    pub timeout: Duration,
}

impl Plan {
    /// The workload.
    ///
    /// # Errors
    /// It does not fit.
    pub fn workload(&self) -> Result<Workload, Problem> {
        Workload::parse(&self.text, &self.file)
    }

    /// The workload, ready to be drawn from.
    ///
    /// # Errors
    /// The workload, or the level, does not fit.
    pub fn program(&self) -> Result<Program, Problem> {
        let consistency = match &self.consistency {
            None => None,
            Some(level) => Some(
                level
                    .parse()
                    .map_err(|error| Problem(format!("--consistency: {error}")))?,
            ),
        };
        let overrides = Overrides {
            consistency,
            records: self.records,
        };
        Program::new(
            &self.workload()?,
            &self.folder,
            &overrides,
            (self.process, self.processes),
        )
    }

    /// The plan by which records are loaded and read beforehand: with more requests in flight, if there are few. How it is done
    /// is none of what is measured.
    #[must_use]
    pub fn beforehand(&self) -> Self {
        Self {
            in_flight: self.in_flight.max(BEFOREHAND),
            ..self.clone()
        }
    }

    /// Connections, or sessions, that this plan makes: no more than it has requests in flight.
    pub fn lanes(&self) -> u32 {
        self.connections.clamp(1, self.in_flight.max(1))
    }

    /// The same of all processes that share the plan.
    pub fn lanes_of(&self, processes: u32) -> u32 {
        let shares = (0..processes).map(|process| self.share(process, processes).lanes());
        shares.sum()
    }

    /// The share of process `process` of `processes`.
    #[must_use]
    pub fn share(&self, process: u32, processes: u32) -> Self {
        let part = |total: u32| (total / processes + u32::from(process < total % processes)).max(1);
        Self {
            in_flight: part(self.in_flight),
            connections: part(self.connections),
            rate: self.rate.map(|rate| rate / f64::from(processes)),
            operations: self.operations.map(|total| {
                total / u64::from(processes) + u64::from(u64::from(process) < total % u64::from(processes))
            }),
            process: u64::from(process),
            processes: u64::from(processes),
            seed: self.seed.wrapping_add(u64::from(process) << 32),
            ..self.clone()
        }
    }
}
