//! Who a node is, across restarts: its host id, and the settings that must not change.

use std::path::Path;

use serde::{Deserialize, Serialize};
use starling_model::{NodeId, Timestamp};
use starling_sstable::fs::Fs;

use crate::{config::Config, durable_file, message::decode_value, start_error::StartError, topology::Book};

const PATH: &str = "node/identity";
const MAGIC: [u8; 8] = *b"STRLNODE";

/// What a data directory says about its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The host id.
    pub(crate) id: NodeId,
    /// Counts the starts: gossip tells a restarted node's state from its old one by it.
    pub(crate) generation: u64,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The partitioner's class name.
    pub(crate) partitioner: String,
    /// How many shards the directory's data is cut into.
    pub(crate) shards: u32,
    /// The datacenter: data was placed by it.
    pub(crate) datacenter: String,
    /// The rack of the last start. The ring says which one data is placed by.
    pub(crate) rack: String,
}

/// Whether the node of this data directory was in a ring before: then it comes back without being asked.
pub fn has_joined(fs: &dyn Fs) -> Result<bool, StartError> {
    Ok(!Book::stored(fs)?.members().is_empty())
}

impl Identity {
    /// The identity on disk, if there is one.
    fn stored(fs: &dyn Fs) -> Result<Option<Self>, StartError> {
        let Some(content) = durable_file::read(fs, Path::new(PATH), MAGIC)? else {
            return Ok(None);
        };
        let identity = decode_value(&content).map_err(|problem| StartError::Damaged {
            file: PATH.to_owned(),
            problem,
        })?;
        Ok(Some(identity))
    }

    /// Reads the identity from disk, or makes a new one; counts the start; makes it durable.
    ///
    /// `random` draws a new host id; `in_ring`: data was placed by the datacenter. The generation also follows the wall clock, so that it grows even
    /// if the data directory was restored from an old copy.
    pub(crate) fn load(
        fs: &dyn Fs,
        config: &Config,
        in_ring: bool,
        wall: Timestamp,
        mut random: impl FnMut() -> u64,
    ) -> Result<Self, StartError> {
        let floor = u64::from(wall.seconds().0);
        let mut identity = match Self::stored(fs)? {
            Some(identity) => {
                identity.check(config, in_ring)?;
                Self {
                    rack: config.rack.clone(),
                    ..identity
                }
            }
            None => Self {
                id: NodeId(uuid_v4(random(), random())),
                generation: 0,
                cluster: config.cluster.clone(),
                partitioner: config.partitioner.name().to_owned(),
                shards: config.shards,
                datacenter: config.datacenter.clone(),
                rack: config.rack.clone(),
            },
        };
        identity.generation = (identity.generation + 1).max(floor);
        identity.save(fs)?;
        Ok(identity)
    }

    /// Makes the identity durable.
    pub(crate) fn save(&self, fs: &dyn Fs) -> Result<(), StartError> {
        let content = rmp_serde::to_vec(self).map_err(|error| StartError::Disk(error.to_string()))?;
        durable_file::replace(fs, Path::new(PATH), MAGIC, &content)
            .map_err(|error| durable_file::disk(Path::new(PATH), &error))
    }

    fn check(&self, config: &Config, in_ring: bool) -> Result<(), StartError> {
        let same = |what, stored: &str, configured: &str| {
            if stored == configured {
                return Ok(());
            }
            Err(StartError::Mismatch {
                what,
                stored: stored.to_owned(),
                configured: configured.to_owned(),
            })
        };
        same("cluster name", &self.cluster, &config.cluster)?;
        same("partitioner", &self.partitioner, config.partitioner.name())?;
        same(
            "shard count",
            &self.shards.to_string(),
            &config.shards.to_string(),
        )?;
        if in_ring {
            same("datacenter", &self.datacenter, &config.datacenter)?;
        }
        Ok(())
    }
}

/// A random UUID (RFC 9562, version 4) of 128 random bits.
pub(crate) fn uuid_v4(high: u64, low: u64) -> u128 {
    let bits = u128::from(high) << 64 | u128::from(low);
    let version = bits & !(0xF << 76) | (4 << 76);
    version & !(0b11 << 62) | (0b10 << 62)
}
