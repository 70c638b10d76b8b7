//! Members that were seen in the ring, remembered across restarts.
//!
//! A node that starts while others are down must not take their ranges for its own.

use std::{net::SocketAddr, path::Path};

use serde::{Deserialize, Serialize};
use starling_model::{NodeId, Token};
use starling_ring::Member;
use starling_sstable::fs::Fs;

use crate::{
    durable_file,
    message::decode_value,
    snapshot::{Cluster, Peer},
    start_error::StartError,
    topology::Stamp,
};

const PATH: &str = "node/members";
const MAGIC: [u8; 8] = *b"STRLMMBR";

/// A member as it was last seen in the ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) id: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) cql: Option<SocketAddr>,
    pub(crate) datacenter: String,
    pub(crate) rack: String,
    pub(crate) tokens: Vec<Token>,
}

impl Known {
    /// A member of whom only the ring is known.
    pub(crate) fn new(member: &Member, address: SocketAddr) -> Self {
        Self {
            id: member.id,
            address,
            cql: None,
            datacenter: member.datacenter.clone(),
            rack: member.rack.clone(),
            tokens: member.tokens.clone(),
        }
    }

    /// The member as a peer that is down.
    pub(crate) fn as_peer(&self) -> Peer {
        let (latency, calls) = Peer::fresh_state();
        Peer {
            id: self.id,
            address: self.address,
            cql: self.cql,
            datacenter: self.datacenter.clone(),
            rack: self.rack.clone(),
            tokens: self.tokens.clone(),
            alive: false,
            joined: true,
            replaces: None,
            schema_version: None,
            ring: Stamp::default(),
            release: None,
            latency,
            calls,
        }
    }
}

/// The members that an earlier run stored.
pub(crate) fn load(fs: &dyn Fs) -> Result<Vec<Known>, StartError> {
    match durable_file::read(fs, Path::new(PATH), MAGIC)? {
        None => Ok(Vec::new()),
        Some(content) => decode_value(&content).map_err(|problem| StartError::Damaged {
            file: PATH.to_owned(),
            problem,
        }),
    }
}

/// The members to remember of a cluster, without this node.
pub(super) fn members_of(cluster: &Cluster) -> Vec<Known> {
    cluster
        .joined()
        .filter(|peer| peer.id != cluster.me)
        .map(|peer| Known {
            id: peer.id,
            address: peer.address,
            cql: peer.cql,
            datacenter: peer.datacenter.clone(),
            rack: peer.rack.clone(),
            tokens: peer.tokens.clone(),
        })
        .collect()
}

/// Makes them durable.
pub(super) fn save(fs: &dyn Fs, members: &[Known]) -> Result<(), StartError> {
    let content = rmp_serde::to_vec(members).map_err(|error| StartError::Disk(error.to_string()))?;
    durable_file::replace(fs, Path::new(PATH), MAGIC, &content)
        .map_err(|error| durable_file::disk(Path::new(PATH), &error))
}
