//! Why a node does not start.

use std::net::SocketAddr;

/// Why a node does not start, or stopped itself. The message tells the operator what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A setting is out of its range.
    #[error("{0}")]
    Config(String),
    /// The data directory was made with other settings.
    #[error(
        "the data directory was made with {what} '{stored}', and the settings say '{configured}'; start with the stored setting, or with an empty data directory"
    )]
    Mismatch {
        /// Which setting.
        what: &'static str,
        /// What the data directory has.
        stored: String,
        /// What the settings have.
        configured: String,
    },
    /// The cluster that answered is another one.
    #[error(
        "the node at {peer} belongs to a cluster whose {what} is '{theirs}', this node's is '{ours}'; correct the settings or the seeds"
    )]
    OtherCluster {
        /// Who answered.
        peer: SocketAddr,
        /// Which setting differs.
        what: &'static str,
        /// What the cluster has.
        theirs: String,
        /// What this node has.
        ours: String,
    },
    /// The node is new and the cluster has data that it would have to take over.
    #[error(
        "this node is new and the cluster already has tables: moving data to new nodes is not supported yet, so it would answer for rows that it does not have; start it with the data directory it had, or join before the first table is created"
    )]
    HasTables,
    /// No seed answered.
    #[error("none of the seeds {0} answered; check that they run and that this node can reach them")]
    NoSeed(String),
    /// The disk failed.
    #[error("the data directory can't be used: {0}")]
    Disk(String),
    /// A file in the data directory is damaged.
    #[error("the file {file} in the data directory is damaged: {problem}; restore it from a copy")]
    Damaged {
        /// Which.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}
