//! The rings by which a node may hold data, in its file.

use std::path::Path;

use serde::{Deserialize, Serialize};
use starling_cql::schema::Replications;
use starling_ring::Member;
use starling_sstable::fs::Fs;

use crate::{
    durable_file, message::decode_value, snapshot::Cluster, start_error::StartError, topology::Change,
};

const PATH: &str = "node/held";
const MAGIC: [u8; 8] = *b"STRLHELD";

/// What a node's replicas follow from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layout {
    pub(super) members: Vec<Member>,
    pub(super) replications: Replications,
}

impl Layout {
    pub(super) fn of(cluster: &Cluster) -> Self {
        Self {
            members: cluster.ring.members().to_vec(),
            replications: cluster.replications.clone(),
        }
    }

    pub(super) fn after(change: &Change, cluster: &Cluster) -> Self {
        Self {
            members: change.next(cluster.ring.members()),
            replications: change.kind.next_replications(&cluster.replications),
        }
    }
}

/// The rings that a node may hold data of, the latest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held(Vec<Layout>);

impl Held {
    pub(super) fn load(fs: &dyn Fs) -> Result<Self, StartError> {
        let Some(content) = durable_file::read(fs, Path::new(PATH), MAGIC)? else {
            return Ok(Self::default());
        };
        Self::decode(&content).map_err(|problem| StartError::Damaged {
            file: PATH.to_owned(),
            problem,
        })
    }

    fn decode(content: &[u8]) -> Result<Self, String> {
        decode_value(content).or_else(|problem| {
            // Releases before keyspaces could be altered knew of members alone.
            let rings: Vec<Vec<Member>> = decode_value(content).map_err(|_| problem)?;
            let layouts = rings.into_iter().map(|members| Layout {
                members,
                replications: Replications::default(),
            });
            Ok(Self(layouts.collect()))
        })
    }

    /// Nothing but this.
    pub(super) fn only(layout: Layout) -> Self {
        Self(vec![layout])
    }

    pub(super) fn layouts(&self) -> &[Layout] {
        &self.0
    }

    pub(super) fn add(&mut self, layout: Layout) {
        if !self.0.contains(&layout) {
            self.0.push(layout);
        }
    }

    pub(super) fn store(&self, fs: &dyn Fs) -> Result<(), String> {
        let content = rmp_serde::to_vec(self).map_err(|error| error.to_string())?;
        durable_file::replace(fs, Path::new(PATH), MAGIC, &content).map_err(|error| error.to_string())
    }
}
