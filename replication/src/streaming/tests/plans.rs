//! Random rings, random changes: every gain has a way to come, and what comes is enough.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use proptest::{collection::vec, prelude::*, sample::subsequence, strategy::Strategy as Draw};
use starling_model::{NodeId, Token, TokenSet};
use starling_ring::{Member, Partitioner, Placement, Ring, Strategy};

use crate::streaming::plan::{Gain, Rings, Strategies, Way, by_way, far_apart};

fn member(id: u128, rack: u8, tokens: Vec<i64>) -> Member {
    Member {
        id: NodeId(id),
        datacenter: if id.is_multiple_of(2) { "east" } else { "west" }.to_owned(),
        rack: format!("r{}", rack % 3),
        tokens: tokens.into_iter().map(Token).collect(),
    }
}

fn members() -> impl Draw<Value = Vec<Member>> {
    vec((any::<u8>(), vec(any::<i64>(), 1..6)), 2..9).prop_map(|all| {
        let numbered = all.into_iter().zip(1_u128..);
        numbered
            .map(|((rack, tokens), id)| member(id, rack, tokens))
            .collect()
    })
}

fn strategy() -> impl Draw<Value = Strategy> {
    let factors = |east: u32, west: u32| Strategy::NetworkTopology {
        factors: BTreeMap::from([("east".to_owned(), east), ("west".to_owned(), west)]),
        others: None,
    };
    prop_oneof![
        (1_u32..5).prop_map(|factor| Strategy::Simple { factor }),
        (0_u32..4, 1_u32..4).prop_map(move |(east, west)| factors(east, west)),
    ]
}

/// Members before and after: some stay, some go (of those some dead), some come.
fn change() -> impl Draw<Value = (Vec<Member>, Vec<Member>, BTreeSet<NodeId>)> {
    members().prop_flat_map(|all| {
        let ids: Vec<NodeId> = all.iter().map(|member| member.id).collect();
        let most = ids.len() - 1;
        (
            Just(all),
            subsequence(ids.clone(), 0..=most.min(2)),
            subsequence(ids, 0..=most.min(2)),
            any::<bool>(),
        )
            .prop_map(|(all, going, coming, are_dead)| {
                let is = |set: &[NodeId], member: &Member| set.contains(&member.id);
                let coming: Vec<NodeId> = coming.into_iter().filter(|id| !going.contains(id)).collect();
                let before = all
                    .iter()
                    .filter(|member| !is(&coming, member))
                    .cloned()
                    .collect();
                let after = all.iter().filter(|member| !is(&going, member)).cloned().collect();
                let gone = if are_dead {
                    going.into_iter().collect()
                } else {
                    BTreeSet::new()
                };
                (before, after, gone)
            })
    })
}

fn rings(before: Vec<Member>, after: Vec<Member>, gone: BTreeSet<NodeId>) -> Rings {
    Rings {
        current: Arc::new(Ring::new(Partitioner::Murmur3, before)),
        next: Arc::new(Ring::new(Partitioner::Murmur3, after)),
        gone,
    }
}

/// Tokens on both sides of every boundary.
fn probes(rings: &Rings) -> BTreeSet<Token> {
    let tokens = rings.current.tokens().chain(rings.next.tokens());
    let around = tokens.flat_map(|(token, _)| [token.0, token.0.saturating_add(1)]);
    around
        .chain([i64::MIN + 1, 0, i64::MAX])
        .filter(|token| *token != i64::MIN)
        .map(Token)
        .collect()
}

/// Whose copies a node has together after it has fetched all that it is to; its own if it was a replica.
fn has_copies_of(fetches: &[Gain], old: &[NodeId], node: NodeId, token: Token) -> BTreeSet<NodeId> {
    let own = old.contains(&node).then_some(node);
    let of_node = fetches
        .iter()
        .filter(|fetch| fetch.node == node && fetch.tokens.contains(token));
    let fetched = of_node.flat_map(|fetch| match &fetch.way {
        Way::Partner(partner) => vec![*partner],
        Way::Quorum(quorum) => quorum.choose(node, |_| true).expect("all are there"),
    });
    own.into_iter().chain(fetched).collect()
}

/// All ways in which some of these have a write.
fn holders(replicas: &[NodeId]) -> Vec<BTreeSet<NodeId>> {
    let sets = (0_u32..1 << replicas.len()).map(|bits| {
        let chosen = (0..replicas.len()).filter(|at| bits >> at & 1 == 1);
        chosen.map(|at| replicas[at]).collect::<BTreeSet<_>>()
    });
    sets.filter(|set| !set.is_empty()).collect()
}

/// How many of so many replicas may lack a write that a quorum acknowledged.
fn borne(factor: usize) -> usize {
    factor.saturating_sub(factor / 2 + 1)
}

/// The replicas that are asked for, in all or in a datacenter; where the strategy names none those that are there.
fn asked(placement: &Placement, east: Option<bool>, there: usize) -> usize {
    let replication = placement.replication();
    let Some(east) = east else {
        return replication.total() as usize;
    };
    let name = if east { "east" } else { "west" };
    replication.by_datacenter().map_or(there, |factors| {
        factors.get(name).map_or(0, |factor| *factor as usize)
    })
}

proptest! {
    /// Every write that a quorum acknowledged is missed by no more of the new replicas than a quorum bears, whether or not there
    /// are nodes for all of them: in all, and in each datacenter that keeps replicas. And one that a single replica has some
    /// new one has.
    #[test]
    fn an_altered_keyspace_loses_no_write_of_a_quorum(
        members in members(),
        (before, after) in (strategy(), strategy()),
    ) {
        let rings = rings(members.clone(), members, BTreeSet::new());
        let strategies = Strategies { before, after };
        let fetches = rings.fetches(&strategies);
        let current = rings.current.placement(&strategies.before);
        let next = rings.next.placement(&strategies.after);
        let within = |nodes: &[NodeId], east: Option<bool>| -> Vec<NodeId> {
            let is_in = |node: &&NodeId| east.is_none_or(|east| node.0.is_multiple_of(2) == east);
            nodes.iter().filter(is_in).copied().collect()
        };
        for token in probes(&rings) {
            let (old, new) = (current.replicas(token), next.replicas(token));
            let copies: BTreeMap<NodeId, BTreeSet<NodeId>> = new
                .iter()
                .map(|node| (*node, has_copies_of(&fetches, old, *node, token)))
                .collect();
            for scope in [None, Some(true), Some(false)] {
                let is_short = old.len() < current.replication().total() as usize;
                let (old, new) = (within(old, scope), within(new, scope));
                // Without a factor for each datacenter nothing says how many may lack a write there.
                let is_told = current.replication().by_datacenter().is_some() && next.replication().by_datacenter().is_some();
                if old.is_empty() || new.is_empty() || (scope.is_some() && is_short && !is_told) {
                    continue;
                }
                let may_lack = borne(asked(&current, scope, old.len()));
                let may_lack_then = borne(asked(&next, scope, new.len()));
                for write in holders(&old) {
                    let have = new.iter().filter(|node| !copies[node].is_disjoint(&write)).count();
                    let is_acknowledged = old.len() - write.len() <= may_lack;
                    let is_seen = new.len() - have <= may_lack_then;
                    prop_assert!(!is_acknowledged || is_seen, "{write:?} of {old:?} for {new:?}");
                    prop_assert!(scope.is_some() || have > 0, "{write:?} of {old:?} for {new:?}");
                }
            }
        }
        // What is to be forgotten before is no more than what comes.
        let gains = rings.gains(&strategies);
        prop_assert!(gains.iter().all(|gain| fetches.contains(gain)));
        for gain in &gains {
            prop_assert!(!current.replicas(gain.tokens.end).contains(&gain.node));
        }
    }

    /// The ring may have had more nodes before, and may get more again.
    #[test]
    fn no_quorum_loses_sight_of_a_write_when_nodes_come_and_go(
        (before, after, gone) in change(),
        strategy in strategy(),
    ) {
        let rings = rings(before, after, gone);
        let fetches = rings.fetches(&strategy.clone().into());
        let (current, next) = (rings.current.placement(&strategy), rings.next.placement(&strategy));
        let may_lack = borne(current.replication().total() as usize);
        for token in probes(&rings) {
            let (old, new) = (current.replicas(token), next.replicas(token));
            let left: Vec<NodeId> = old.iter().filter(|id| !rings.gone.contains(id)).copied().collect();
            for write in holders(&left) {
                let has = |node: &&NodeId| !has_copies_of(&fetches, old, **node, token).is_disjoint(&write);
                let lack = new.len() - new.iter().filter(has).count();
                let lacked = left.len() - write.len();
                prop_assert!(lacked > may_lack || lack <= lacked, "{write:?} of {left:?} for {new:?}");
            }
        }
    }

    #[test]
    fn every_gain_has_one_way_that_brings_every_write_of_a_quorum(
        (before, after, gone) in change(),
        strategy in strategy(),
    ) {
        let rings = rings(before, after, gone);
        let gains = rings.gains(&strategy.clone().into());
        let (current, next) = (rings.current.placement(&strategy), rings.next.placement(&strategy));
        for token in probes(&rings) {
            let (old, new) = (current.replicas(token), next.replicas(token));
            let mut partners = BTreeSet::new();
            for node in new {
                let ways: Vec<&Way> = gains
                    .iter()
                    .filter(|gain| gain.node == *node && gain.tokens.contains(token))
                    .map(|gain| &gain.way)
                    .collect();
                if old.contains(node) {
                    prop_assert!(ways.is_empty());
                    continue;
                }
                prop_assert_eq!(ways.len(), 1);
                match ways[0] {
                    Way::Partner(partner) => {
                        prop_assert!(old.contains(partner) && !new.contains(partner));
                        prop_assert!(!rings.gone.contains(partner));
                        prop_assert!(partners.insert(*partner), "nobody has two partners");
                    }
                    Way::Quorum(quorum) => {
                        let chosen = quorum.choose(*node, |_| true).expect("all are there");
                        let distinct: BTreeSet<NodeId> = chosen.iter().copied().collect();
                        prop_assert_eq!(distinct.len(), chosen.len());
                        prop_assert!(chosen.iter().all(|id| old.contains(id) && !rings.gone.contains(id)));
                        // A write that `old / 2 + 1` acknowledged missed fewer than were asked.
                        if quorum.needed == quorum.safe {
                            prop_assert!(chosen.len() + (old.len() / 2 + 1) > old.len());
                        } else {
                            let left = old.iter().filter(|id| !rings.gone.contains(id)).count();
                            prop_assert_eq!(chosen.len(), left, "it takes what there is");
                        }
                        prop_assert_eq!(quorum.is_lost(), !old.is_empty() && chosen.is_empty());
                    }
                }
            }
        }
        // By way or by arc, it is the same.
        for node in rings.next.members() {
            let own: TokenSet = gains.iter().filter(|gain| gain.node == node.id).map(|gain| gain.tokens).collect();
            let mut sum = TokenSet::default();
            for tokens in by_way(&gains, node.id).into_values() {
                prop_assert!(sum.intersection(&tokens).is_empty());
                sum = sum.union(&tokens);
            }
            prop_assert_eq!(sum, own);
        }
    }

    #[test]
    fn what_is_lost_is_what_was_had_and_is_not(
        (before, after, gone) in change(),
        strategy in strategy(),
    ) {
        let rings = rings(before, after, gone);
        let losses = rings.losses(&strategy.clone().into());
        let (current, next) = (rings.current.placement(&strategy), rings.next.placement(&strategy));
        for token in probes(&rings) {
            for member in rings.current.members() {
                let lost = losses.get(&member.id).is_some_and(|tokens| tokens.contains(token));
                let had = current.replicas(token).contains(&member.id);
                let has = next.replicas(token).contains(&member.id);
                let anybody_has = !next.replicas(token).is_empty();
                prop_assert_eq!(lost, had && !has && anybody_has);
            }
        }
    }

    #[test]
    fn a_newcomer_in_the_same_rack_has_partners_for_all_it_gains(tokens in vec(vec(any::<i64>(), 1..6), 3..7)) {
        let all: Vec<Member> = tokens.into_iter().zip(1_u128..).map(|(tokens, id)| member(2 * id, 0, tokens)).collect();
        let rings = rings(all[1..].to_vec(), all.clone(), BTreeSet::new());
        let factor = 2;
        let gains = rings.gains(&Strategy::Simple { factor }.into());
        prop_assert!(gains.iter().all(|gain| gain.node == all[0].id));
        prop_assert!(gains.iter().all(|gain| matches!(gain.way, Way::Partner(_))));
    }
}

#[test]
fn the_third_dead_node_of_three_leaves_too_few_to_be_sure() {
    let all: Vec<Member> = (1..=4)
        .map(|id| member(2 * id, 0, vec![id as i64 * 100]))
        .collect();
    let gone = BTreeSet::from([NodeId(2), NodeId(4)]);
    let left = all
        .iter()
        .filter(|member| !gone.contains(&member.id))
        .cloned()
        .collect();
    let gains = rings(all, left, gone).gains(&Strategy::Simple { factor: 3 }.into());
    let quorums: Vec<(usize, usize)> = gains
        .iter()
        .filter_map(|gain| match &gain.way {
            Way::Quorum(quorum) => Some((quorum.needed, quorum.safe)),
            Way::Partner(_) => None,
        })
        .collect();
    assert!(quorums.contains(&(1, 2)), "{quorums:?}");
}

#[test]
fn parts_that_follow_each_other_are_far_apart() {
    assert_eq!(far_apart(Vec::<u8>::new()), []);
    assert_eq!(far_apart(vec![7]), [7]);
    assert_eq!(far_apart((0..8).collect()), [0, 4, 2, 6, 1, 5, 3, 7]);
    assert_eq!(far_apart((0..5).collect()), [0, 4, 2, 1, 3]);
}
