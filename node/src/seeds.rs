//! From the seeds' names to their addresses.
//!
//! Where nodes are started together by an orchestrator a name often can't be looked up yet. That is no reason to
//! end: what can be done is done with the seeds that are found, and the others are looked up until they are.
//!
//! - A node that was in the ring before goes on at once: it remembers the members.
//! - A new node needs one other seed to ask. One that is a seed itself waits for all of them: with a seed missing
//!   it could take itself for the first node, and found a second cluster.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use futures::future::join_all;
use tracing::{info, warn};

use crate::config::Seed;

/// How often a name is looked up.
const RETRY: Duration = Duration::from_secs(1);

/// How many tries lie between two warnings.
const QUIET_TRIES: u32 = 15;

/// What a node that starts knows about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Starter {
    /// Its own address.
    pub(crate) listen: SocketAddr,
    /// It was in the ring before.
    pub(crate) has_joined: bool,
}

impl Starter {
    /// Whether it can start with the seeds that were found so far.
    fn can_start(self, found: &[SocketAddr], missing: usize) -> bool {
        let is_seed = found.contains(&self.listen);
        missing == 0 || self.has_joined || (!found.is_empty() && !is_seed)
    }
}

/// Seeds, found and missing.
pub(crate) struct Lookup {
    found: Vec<SocketAddr>,
    missing: Vec<(String, u16)>,
    tries: u32,
}

impl Lookup {
    /// Nothing is looked up yet.
    pub(crate) fn new(seeds: &[Seed]) -> Self {
        let mut lookup = Self {
            found: Vec::new(),
            missing: Vec::new(),
            tries: 0,
        };
        for seed in seeds {
            match seed {
                Seed::Address(address) => lookup.found.push(*address),
                Seed::Name(host, port) => lookup.missing.push((host.clone(), *port)),
            }
        }
        lookup
    }

    /// The seeds that are found.
    pub(crate) fn found(&self) -> &[SocketAddr] {
        &self.found
    }

    /// Looks names up until the node can start.
    pub(crate) async fn until_enough(&mut self, starter: Starter) {
        self.look(system).await;
        while !starter.can_start(&self.found, self.missing.len()) {
            tokio::time::sleep(RETRY).await;
            self.look(system).await;
        }
    }

    /// Looks the missing names up until all are found, and tells each.
    pub(crate) async fn until_all(mut self, tell: impl Fn(SocketAddr)) {
        while !self.missing.is_empty() {
            tokio::time::sleep(RETRY).await;
            let known = self.found.len();
            self.look(system).await;
            for address in &self.found[known..] {
                tell(*address);
            }
        }
    }

    /// Looks all missing names up, once.
    async fn look<L>(&mut self, lookup: impl Fn(String, u16) -> L)
    where
        L: Future<Output = io::Result<Vec<SocketAddr>>>,
    {
        let names = std::mem::take(&mut self.missing);
        let asked = join_all(names.iter().map(|(host, port)| lookup(host.clone(), *port))).await;
        let mut problems = BTreeMap::new();
        for ((host, port), answer) in names.into_iter().zip(asked) {
            match answer.map(|addresses| addresses.first().copied()) {
                Ok(Some(address)) => {
                    if self.tries > 0 {
                        info!(seed = host, %address, "a seed's name was found");
                    }
                    self.found.push(address);
                    continue;
                }
                Ok(None) => problems.insert(host.clone(), "it has no address".to_owned()),
                Err(error) => problems.insert(host.clone(), error.to_string()),
            };
            self.missing.push((host, port));
        }
        if self.tries.is_multiple_of(QUIET_TRIES) {
            for (seed, problem) in problems {
                warn!(seed, problem, "a seed's name can't be looked up; trying again");
            }
        }
        self.tries = self.tries.wrapping_add(1);
    }
}

async fn system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests;
