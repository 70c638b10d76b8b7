//! Why a node does not start.

use std::net::SocketAddr;

use starling_model::Timestamp;

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
    /// The node founded a cluster because nobody answered, and met one that has tables.
    #[error(
        "this node founded a cluster of its own and then met one that already has tables; start it with the data directory that it had, or with an empty one and a seed that is another node, so that it joins (or takes a dead node's place with --replace)"
    )]
    SecondCluster,
    /// The node was taken out of the ring while it was away.
    #[error(
        "this node was removed from the cluster at {} (seconds since 1970), and others have its data now; start it with an empty data directory to join again", .0.seconds().0
    )]
    Removed(Timestamp),
    /// The others say that they removed the node.
    #[error(
        "the other nodes removed this node from the cluster and refuse it, and have its data now; start it with an empty data directory to join again"
    )]
    Expelled,
    /// The node was decommissioned.
    #[error("this node left the cluster; start it with an empty data directory to join again")]
    Left,
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
