//! What a node may hold of its own under an ordinary load, as `docs/ARCHITECTURE.md` states it ("What a node may take").

/// Memtables and what is under way of requests and results, with the usual settings; a node that rests; and what has no setting.
const NODE_MIB: u32 = 256 + 256 + 40 + 100;

/// QUIC's windows: two connections, each with two directions of 19 MiB.
const PEER_MIB: u32 = 2 * 2 * 19;

/// The bound for each node of a cluster of so many, in MiB.
pub fn stated_mib(nodes: u32) -> u32 {
    NODE_MIB + PEER_MIB * nodes.saturating_sub(1)
}
