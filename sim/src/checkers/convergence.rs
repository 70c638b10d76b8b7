//! After healing, all replicas hold the same.

use std::collections::{BTreeMap, BTreeSet};

use starling_model::{DecoratedKey, NodeId, Partition, PartitionPage};

use super::{Promise, Violation};

/// What each node stores of one table.
pub type Dumps = BTreeMap<NodeId, Vec<PartitionPage>>;

/// Compares the replicas of every partition. `replicas` says who holds a key.
pub fn check(table: &str, dumps: &Dumps, replicas: impl Fn(&DecoratedKey) -> Vec<NodeId>) -> Vec<Violation> {
    let mut stored: BTreeMap<NodeId, BTreeMap<&DecoratedKey, Partition>> = BTreeMap::new();
    for (node, pages) in dumps {
        let partitions = stored.entry(*node).or_default();
        for page in pages {
            // A partition that was cut into pages has its tombstones and static row in each.
            partitions
                .entry(&page.key)
                .or_default()
                .merge(page.partition.clone());
        }
    }
    let keys: BTreeSet<&DecoratedKey> = stored.values().flat_map(BTreeMap::keys).copied().collect();
    let nothing = Partition::default();
    let mut violations = Vec::new();
    for key in keys {
        let owners = replicas(key);
        let Some((first, others)) = owners.split_first() else {
            continue;
        };
        let content = |node: &NodeId| stored.get(node).and_then(|all| all.get(key)).unwrap_or(&nothing);
        for other in others {
            if content(first) != content(other) {
                violations.push(different(
                    table,
                    key,
                    (*first, content(first)),
                    (*other, content(other)),
                ));
            }
        }
    }
    violations
}

fn different(
    table: &str,
    key: &DecoratedKey,
    (first, left): (NodeId, &Partition),
    (other, right): (NodeId, &Partition),
) -> Violation {
    Violation {
        promise: Promise::Convergence,
        text: format!(
            "partition {:?} of {table} differs: {first} has {:?} that {other} lacks, which has {:?}",
            key.key,
            left.missing_from(right),
            right.missing_from(left)
        ),
    }
}
