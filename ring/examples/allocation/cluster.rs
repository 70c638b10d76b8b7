//! A cluster that grows and shrinks, and what its nodes hold.

use std::collections::BTreeMap;

use starling_model::NodeId;
use starling_ring::{Member, Newcomer, Partitioner, Ring, Strategy, USUAL_FACTOR, allocate_tokens};

/// The tokens of a node.
pub(crate) const TOKENS: usize = 16;

const DATACENTER: &str = "dc";

/// Nodes of one datacenter.
#[derive(Default)]
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    /// How many have ever joined.
    joined: u128,
}

impl Cluster {
    /// One more, on the rack with the fewest of `racks` racks.
    pub(crate) fn join(&mut self, racks: usize, random: &mut dyn FnMut() -> u64) {
        let names = (0..racks).map(|rack| format!("r{rack}"));
        let size = |name: &String| self.members.iter().filter(|member| member.rack == *name).count();
        let rack = names.min_by_key(size).expect("there is a rack");
        let newcomer = Newcomer {
            datacenter: DATACENTER,
            rack: &rack,
            tokens: TOKENS,
            factor: USUAL_FACTOR,
        };
        let tokens = allocate_tokens(&self.members, newcomer, random);
        self.joined += 1;
        self.members.push(Member {
            id: NodeId(self.joined),
            datacenter: DATACENTER.to_owned(),
            rack,
            tokens,
        });
    }

    /// One of the fullest rack leaves, whichever.
    pub(crate) fn leave(&mut self, random: &mut dyn FnMut() -> u64) {
        let size = |at: usize| {
            let same = self
                .members
                .iter()
                .filter(|member| member.rack == self.members[at].rack);
            same.count()
        };
        let largest = (0..self.members.len()).map(size).max();
        let candidates: Vec<usize> = (0..self.members.len())
            .filter(|at| Some(size(*at)) == largest)
            .collect();
        let gone = (u128::from(random()) * candidates.len() as u128) >> 64;
        self.members.remove(candidates[gone as usize]);
    }
}

/// What the fullest node holds, in means.
pub(crate) fn fullest(members: &[Member], factor: u32) -> f64 {
    let factors = BTreeMap::from([(DATACENTER.to_owned(), factor)]);
    let strategy = Strategy::NetworkTopology {
        factors,
        others: None,
    };
    let mut shares: BTreeMap<NodeId, f64> = BTreeMap::new();
    let ring = Ring::new(Partitioner::Murmur3, members.to_vec());
    for (range, replicas) in ring.placement(&strategy).ranges() {
        for replica in replicas {
            *shares.entry(*replica).or_default() += range.end.0.abs_diff(range.start.0) as f64;
        }
    }
    let mean = shares.values().sum::<f64>() / members.len() as f64;
    shares
        .values()
        .fold(0.0, |most: f64, share| most.max(share / mean))
}

/// What the fullest node must hold at least, in means, whatever the tokens are: a rack has at least one replica of everything
/// where there are not more racks than replicas, and at most one where there are not fewer.
pub(crate) fn forced(members: &[Member], factor: u32) -> f64 {
    let mut sizes: BTreeMap<&str, f64> = BTreeMap::new();
    for member in members {
        *sizes.entry(&member.rack).or_default() += 1.0;
    }
    let (racks, factor) = (sizes.len() as f64, f64::from(factor).min(members.len() as f64));
    let least = if racks <= factor { 1.0 } else { 0.0 };
    let most = (factor - racks + 1.0).max(1.0);
    let held = |level: f64, size: f64| (level * size).clamp(least, most.min(size));
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let level = f64::midpoint(low, high);
        if sizes.values().map(|size| held(level, *size)).sum::<f64>() < factor {
            low = level;
        } else {
            high = level;
        }
    }
    let fullest = sizes.values().map(|size| held(high, *size) / size);
    fullest.fold(0.0, f64::max) * members.len() as f64 / factor
}

/// splitmix64.
pub(crate) fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
