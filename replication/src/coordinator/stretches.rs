//! Damaged tokens of this node, cut into stretches that each of the other replicas has whole, or has not.
//!
//! Two replicas that are damaged need not be damaged in the same place: one may give back what the other lacks. So the tokens are cut where
//! other replicas begin, and where damage begins and ends that those know of. What they do not know of yet shows when it is read.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use starling_model::{NodeId, TableId, Token, TokenRange, TokenSet};
use starling_ring::Placement;

use super::Coordinator;
use crate::{
    env::{Damaged, Env},
    message::{DamageRequest, Request, Response},
    placements::Placements,
    snapshot::{Peer, Snapshot},
    topology::Stamp,
    tracing::Tracer,
};

/// How another replica stands to a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It can read all of it, as far as it knows.
    Whole,
    /// It is damaged there, too.
    Damaged,
    /// It is alive, and did not tell.
    Silent,
    /// It is not alive.
    Down,
}

/// Another replica of a stretch.
#[derive(Debug, Clone)]
pub(super) struct Other {
    pub(super) peer: Arc<Peer>,
    pub(super) standing: Standing,
}

/// Damaged tokens of which the other replicas are the same throughout, and stand to all of them alike.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) tokens: TokenRange,
    /// By id.
    pub(super) others: Vec<Other>,
    /// The ring by which these are the others.
    pub(super) planned: Stamp,
    needed: Needed,
}

/// How many of the other replicas have together what a quorum acknowledged.
///
/// Of the `f` replicas that are asked for at most `f - quorum` missed it: of one more, one has it, whoever else is damaged. There may
/// be fewer replicas than `f` for want of nodes: as many may have missed it all the same. Then all others are read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Needed {
    all: usize,
    /// In this node's own datacenter.
    near: usize,
    datacenter: String,
}

impl Stretch {
    /// The other replicas that stand to it in one of these ways.
    pub(super) fn those(&self, standings: &'static [Standing]) -> impl Iterator<Item = &Arc<Peer>> {
        let those = self.others.iter();
        let those = those.filter(move |other| standings.contains(&other.standing));
        those.map(|other| &other.peer)
    }

    /// Whether enough others may have all of it to give it back.
    pub(super) fn heals(&self) -> bool {
        self.would_heal_with(self.those(&[Standing::Whole, Standing::Silent]))
    }

    /// Whether these others are enough.
    pub(super) fn would_heal_with<'a>(&self, peers: impl IntoIterator<Item = &'a Arc<Peer>>) -> bool {
        let (mut all, mut near) = (0, 0);
        for peer in peers {
            all += 1;
            near += usize::from(peer.datacenter == self.needed.datacenter);
        }
        all > 0 && all >= self.needed.all && near >= self.needed.near
    }

    fn is_like(&self, other: &Self) -> bool {
        let alike = |(a, b): (&Other, &Other)| a.peer.id == b.peer.id && a.standing == b.standing;
        self.needed == other.needed
            && self.others.len() == other.others.len()
            && self.others.iter().zip(&other.others).all(alike)
    }
}

/// Who said what is damaged there; `None` is who is alive, and did not.
type Told = BTreeMap<NodeId, Option<TokenSet>>;

impl<E: Env> Coordinator<E> {
    /// Cuts damaged tokens of this node, which do not wrap or overlap, into stretches. Of what this node is no replica of, there
    /// are none. Asks the other replicas.
    pub(super) async fn stretches(
        &self,
        snapshot: &Snapshot,
        placement: &Placement,
        table: TableId,
        pieces: &[TokenRange],
    ) -> Vec<Stretch> {
        let owned = owned(snapshot, placement, pieces);
        let others = owned.iter().flatten().flat_map(|(_, peers)| peers);
        let alive = others.filter(|peer| peer.alive);
        let asked: BTreeMap<NodeId, &Arc<Peer>> = alive.map(|peer| (peer.id, peer)).collect();
        let asked = asked.into_iter().map(|(id, peer)| async move {
            let told = self.ask_for_damage(peer, table).await;
            (id, told)
        });
        let told: Told = join_all(asked).await.into_iter().collect();
        let mut stretches = Vec::new();
        for arcs in owned {
            let first = stretches.len();
            for (tokens, peers) in arcs {
                let needed = needed(snapshot, placement, &peers);
                for tokens in cut(tokens, &told, &peers) {
                    let stretch = Stretch {
                        tokens,
                        others: peers.iter().map(|peer| stand(peer, &told, tokens)).collect(),
                        planned: snapshot.cluster.stamp,
                        needed: needed.clone(),
                    };
                    join_on(&mut stretches, first, stretch);
                }
            }
        }
        stretches
    }

    /// Which tokens of a table another replica knows that it can't read.
    async fn ask_for_damage(&self, peer: &Peer, table: TableId) -> Option<TokenSet> {
        if !self.waiting.may_ask(peer.id, self.env.monotonic()) {
            return None;
        }
        let body = Request::Damage(DamageRequest::Tell(table));
        let answer = self.peers.ask(peer, body, self.timeouts.read, &Tracer::OFF).await;
        match answer {
            Ok(Response::Damaged(ranges)) => Some(ranges.into()),
            Ok(_) | Err(_) => {
                self.waiting.was_silent(peer.id, self.env.monotonic());
                None
            }
        }
    }
}

/// Of each piece the arcs that this node is a replica of, with the other replicas by id.
type Owned = Vec<Vec<(TokenRange, Vec<Arc<Peer>>)>>;

fn owned(snapshot: &Snapshot, placement: &Placement, pieces: &[TokenRange]) -> Owned {
    let me = snapshot.cluster.me;
    let of_piece = |piece: &TokenRange| {
        let within = |arc: TokenRange| TokenRange {
            start: arc.start.max(piece.start),
            end: arc.end.min(piece.end),
        };
        let arcs = placement.ranges().map(|(arc, replicas)| (within(arc), replicas));
        let arcs = arcs.filter(|(arc, replicas)| arc.start < arc.end && replicas.contains(&me));
        let arcs = arcs.map(|(arc, replicas)| {
            let mut others = snapshot.peers_of(replicas);
            others.retain(|peer| peer.id != me);
            others.sort_unstable_by_key(|peer| peer.id);
            (arc, others)
        });
        arcs.collect()
    };
    pieces.iter().map(of_piece).collect()
}

fn needed(snapshot: &Snapshot, placement: &Placement, others: &[Arc<Peer>]) -> Needed {
    let own = snapshot.cluster.own();
    let datacenter = own.map_or_else(String::new, |own| own.datacenter.clone());
    let enough = |factor: u32, others: usize| {
        let factor = factor as usize;
        let quorum = factor / 2 + 1;
        others.min((factor + 1).saturating_sub(quorum))
    };
    let near = others.iter().filter(|peer| peer.datacenter == datacenter).count();
    let asked = placement.replication();
    let asked_near = asked.by_datacenter().and_then(|asked| asked.get(&datacenter));
    Needed {
        all: enough(asked.total(), others.len()),
        near: asked_near.map_or(0, |asked| enough(*asked, near)),
        datacenter,
    }
}

/// The parts between the ends of what is damaged elsewhere.
fn cut(tokens: TokenRange, told: &Told, peers: &[Arc<Peer>]) -> Vec<TokenRange> {
    let damaged = peers.iter().filter_map(|peer| told.get(&peer.id)?.as_ref());
    let ranges = damaged.flat_map(TokenSet::ranges);
    let ends = ranges.flat_map(|range| [range.start, range.end]);
    let mut ends: Vec<Token> = ends
        .filter(|end| tokens.start < *end && *end < tokens.end)
        .collect();
    ends.push(tokens.end);
    ends.sort_unstable();
    ends.dedup();
    let mut start = tokens.start;
    let parts = ends.into_iter().map(|end| TokenRange {
        start: std::mem::replace(&mut start, end),
        end,
    });
    parts.collect()
}

fn stand(peer: &Arc<Peer>, told: &Told, tokens: TokenRange) -> Other {
    let standing = match told.get(&peer.id) {
        None => Standing::Down,
        Some(None) => Standing::Silent,
        Some(Some(damaged)) if damaged.touches(tokens) => Standing::Damaged,
        Some(Some(_)) => Standing::Whole,
    };
    Other {
        peer: Arc::clone(peer),
        standing,
    }
}

/// Adds a stretch behind those from `first` on; it becomes one with the last if it goes on where that ends.
fn join_on(stretches: &mut Vec<Stretch>, first: usize, stretch: Stretch) {
    match stretches[first..].last_mut() {
        Some(last) if last.tokens.end == stretch.tokens.start && last.is_like(&stretch) => {
            last.tokens.end = stretch.tokens.end;
        }
        _ => stretches.push(stretch),
    }
}

/// The tokens of a table that are damaged, in order, none twice: pieces of several files may overlap.
pub(super) fn pieces_of(table: TableId, damaged: &[Damaged]) -> Vec<TokenRange> {
    let of_table = damaged.iter().filter(|piece| piece.table == table);
    let mut pieces: Vec<TokenRange> = of_table.map(|piece| piece.tokens).collect();
    pieces.sort_unstable();
    let mut end = Token::MIN;
    for piece in &mut pieces {
        piece.start = piece.start.max(end);
        end = end.max(piece.end);
    }
    pieces.retain(|piece| piece.start < piece.end);
    pieces
}

/// What of these tokens others are replicas of, and this node is not, nor will be once the change of the ring is over: nobody asks
/// it. What has no replica at all is kept: it is all that there is.
pub(super) fn foreign(placements: &Placements, pieces: &[TokenRange]) -> TokenSet {
    let placed = placements.current.ranges();
    let placed = placed.filter(|(_, replicas)| !replicas.is_empty());
    let placed: TokenSet = placed.map(|(tokens, _)| tokens).collect();
    let pieces: TokenSet = pieces.iter().copied().collect();
    pieces.intersection(&placed).without(&placements.own)
}

/// What of these tokens this node is no replica of yet, and will be once the change of the ring is over.
pub(super) fn coming(snapshot: &Snapshot, placements: &Placements, pieces: &[TokenRange]) -> TokenSet {
    let me = snapshot.cluster.me;
    let present: TokenSet = placements.current.ranges_of(me).into();
    let pieces: TokenSet = pieces.iter().copied().collect();
    pieces.intersection(&placements.own).without(&present)
}
