//! One run at servers that are there and loaded, and what it cost them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use clap::Parser;

use super::{
    super::{
        command::{
            arguments::{LoadArguments, Neighbours},
            session::Session,
            target::Target,
        },
        evidence::{quiet, result::RunResult},
    },
    messages::{self, Messages},
    profile, syscalls,
    threads::{self, Spent},
};
use crate::error::Error;

/// Before `perf` looks, so that connections are made and caches warm.
const SETTLE: Duration = Duration::from_secs(2);

/// What is driven, and how.
#[derive(Debug, Clone)]
pub struct Drive {
    /// The workload's name.
    pub workload: &'static str,
    /// As for `run`: `cql:...` or `quic:...`.
    pub target: String,
    /// The level of all statements.
    pub consistency: &'static str,
    /// Rows that there are.
    pub rows: u64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Connections.
    pub connections: u32,
    /// How long, in seconds.
    pub seconds: u64,
    /// Whether what is left to do after the run belongs to it: flushes and compactions of what it wrote.
    pub settles: bool,
    /// The servers' processes.
    pub processes: Vec<u32>,
    /// Their admin pages.
    pub admins: Vec<SocketAddr>,
}

/// What a run gave.
#[derive(Debug)]
pub struct Driven {
    /// Everything that any run measures.
    pub result: RunResult,
    /// What the servers' threads spent.
    pub threads: BTreeMap<String, Spent>,
    /// Messages of all servers for an operation; or why they are not known.
    pub messages: Result<Messages, String>,
    /// Whether what the run left to do was done when its threads were looked at, or did not belong to it.
    pub settled: bool,
}

/// The arguments of a run, as on the command line.
#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: LoadArguments,
}

impl Drive {
    /// Makes the table, fills it and does nothing more.
    ///
    /// # Errors
    /// The servers refuse it.
    pub fn load(&self) -> Result<(), Error> {
        self.session(&["--operations", "1"])?.run().map(drop)
    }

    /// Drives, and measures what the servers' threads spend.
    ///
    /// # Errors
    /// The servers can't be reached, or a statement failed.
    pub fn run(&self) -> Result<Driven, Error> {
        let seconds = format!("{}s", self.seconds);
        let session = self.session(&["--no-load", "--warm-up", "0s", "--duration", &seconds])?;
        let said = messages::sample(&self.admins);
        let before = threads::sample(&self.processes);
        let result = session.run()?;
        let ended = Instant::now();
        let messages = said.and_then(|before| {
            let after = messages::sample(&self.admins)?;
            Ok(messages::each(&before, &after, result.total.count))
        });
        let settled = !self.settles || quiet::wait(&self.processes);
        let waited = ended.elapsed().as_secs_f64();
        let mut threads = threads::between(&before, &threads::sample(&self.processes));
        if self.settles {
            // The wait itself is none of the run's.
            threads = threads::without_idle(&threads, &threads::idle_second(&self.processes), waited);
        }
        match result.examples.iter().next() {
            Some((kind, message)) if result.total.failed() > 0 => {
                Err(Error::Statement(format!("{kind}: {message}")))
            }
            _ => Ok(Driven {
                result,
                threads,
                messages,
                settled,
            }),
        }
    }

    /// System calls for each operation, by name.
    ///
    /// # Errors
    /// As of [`Drive::run`]. Where they can't be counted the reason comes instead of them.
    pub fn system_calls(&self) -> Result<Result<BTreeMap<String, f64>, String>, Error> {
        let (driven, counted) = self.beside(syscalls::count)?;
        let window = driven.result.total.per_second * self.window() as f64;
        Ok(counted.map(|counted| {
            let each = |(name, count): (String, u64)| (name, count as f64 / window.max(1.0));
            counted.into_iter().map(each).collect()
        }))
    }

    /// Where the servers' CPU goes: shares of parts.
    ///
    /// # Errors
    /// As of [`Drive::run`]. Where nothing can be sampled the reason comes instead of them.
    pub fn parts(&self) -> Result<Result<BTreeMap<String, f64>, String>, Error> {
        let (_, parts) = self.beside(profile::parts)?;
        Ok(parts)
    }

    /// Seconds that `perf` looks.
    fn window(&self) -> u64 {
        self.seconds.saturating_sub(SETTLE.as_secs() + 1).max(1)
    }

    /// Drives while somebody looks.
    fn beside<T: Send>(&self, look: impl Fn(&[u32], u64) -> T + Sync) -> Result<(Driven, T), Error> {
        std::thread::scope(|scope| {
            let looker = scope.spawn(|| {
                std::thread::sleep(SETTLE);
                look(&self.processes, self.window())
            });
            let driven = self.run()?;
            let seen = looker
                .join()
                .map_err(|_| Error::Protocol("the thread that looks at the servers ended".into()))?;
            Ok((driven, seen))
        })
    }

    fn session(&self, further: &[&str]) -> Result<Session, Error> {
        let (rows, in_flight, connections) = (
            self.rows.to_string(),
            self.in_flight.to_string(),
            self.connections.to_string(),
        );
        let mut line = vec!["costs", self.workload, "--quiet", "--records", &rows];
        line.extend(["--in-flight", &in_flight, "--connections", &connections]);
        line.extend(["--consistency", self.consistency]);
        let replicas = self.target.split(',').count().min(3).to_string();
        line.extend(["--replication-factor", &replicas]);
        line.extend(further);
        let line = Line::try_parse_from(line).map_err(|error| Error::Usage(error.to_string()))?;
        let servers = Neighbours {
            processes: self.processes.clone(),
            directories: Vec::new(),
        };
        let target = Target::parse(&self.target)?;
        Session::new(&line.arguments, target, &servers, self.target.clone())
    }
}
