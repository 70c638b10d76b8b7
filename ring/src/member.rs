//! A node as the ring sees it.

use serde::{Deserialize, Serialize};
use starling_model::{NodeId, Token};

/// A node, where it stands, and the tokens that it owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which node.
    pub id: NodeId,
    /// Its datacenter.
    pub datacenter: String,
    /// Its rack. Racks of one name in two datacenters are two racks.
    pub rack: String,
    /// Its virtual nodes: it is the first replica of each arc that ends in one of them. None: the node
    /// is known and holds nothing.
    pub tokens: Vec<Token>,
}
