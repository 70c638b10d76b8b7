//! Who is no replica of a partition any more has forgotten it.
//!
//! The contract (`replication/src/streaming/ALGORITHM.md`, "Forgetting"): once the ring has been quiet for a while no node stores
//! anything, not even a deletion, of a partition that it is no replica of by the present ring and by what its keyspace is replicated by. Nobody
//! has to ask for it, and crashes on the way don't matter. What is left behind is no harm while nobody reads it; but it is room that nobody gets
//! back, and, when its node becomes a replica again, data that lacks deletions.
//!
//! Why it is sound to look at all that is stored: a write is refused by whoever knows that it is not its own, and nobody forgets before
//! that is so for everyone; so nothing comes after that.

use starling_model::{DecoratedKey, NodeId};

use super::{Promise, Violation, convergence::Dumps};

/// Looks for partitions with who is no replica of them. `replicas` says who holds a key. Of each node all is told at once.
pub fn check(table: &str, dumps: &Dumps, replicas: impl Fn(&DecoratedKey) -> Vec<NodeId>) -> Vec<Violation> {
    let kept = dumps.iter().filter_map(|(node, pages)| {
        let stored = pages.iter().filter(|page| !page.partition.is_empty());
        let mut foreign: Vec<&DecoratedKey> = stored
            .map(|page| &page.key)
            .filter(|key| !replicas(key).contains(node))
            .collect();
        // A partition that was cut has several pages.
        foreign.dedup();
        let first = *foreign.first()?;
        let text = format!(
            "{node} keeps {} partitions of {table} that are not its own; the first is {:?}, of {:?}",
            foreign.len(),
            first.key,
            replicas(first)
        );
        Some(Violation {
            promise: Promise::Forgetting,
            text,
        })
    });
    kept.collect()
}
