//! Whom to talk to in a round.

use std::net::SocketAddr;

/// Who could be talked to.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Members that are alive, without this node.
    pub live: Vec<SocketAddr>,
    /// Members that are not.
    pub dead: Vec<SocketAddr>,
    /// Seeds that are the address of no member yet.
    pub seeds: Vec<SocketAddr>,
}

/// One in so many rounds tries a seed that was never reached, while there are live members.
const SEED_ROUNDS: u64 = 4;

/// Chooses `fanout` live members; beside them a dead one, the likelier the more are dead; and seeds that are
/// unknown: all (up to `fanout`) while nobody is alive, later one now and then, so that
/// two halves that found each other's members first still meet.
pub fn choose(mut of: Candidates, fanout: usize, random: &mut dyn FnMut() -> u64) -> Vec<SocketAddr> {
    let alone = of.live.is_empty();
    let one_dead = below(of.live.len() as u64 + 1, random) < of.dead.len() as u64;
    let one_seed = below(SEED_ROUNDS, random) == 0;
    let seeds = match (alone, one_seed) {
        (true, _) => fanout.max(1),
        (false, true) => 1,
        (false, false) => 0,
    };
    let mut chosen = Vec::with_capacity(fanout + 2);
    draw(&mut of.live, fanout, random, &mut chosen);
    draw(&mut of.dead, usize::from(one_dead), random, &mut chosen);
    draw(&mut of.seeds, seeds, random, &mut chosen);
    chosen
}

/// Moves up to `count` random items over.
fn draw(from: &mut Vec<SocketAddr>, count: usize, random: &mut dyn FnMut() -> u64, to: &mut Vec<SocketAddr>) {
    for _ in 0..count.min(from.len()) {
        let at = below(from.len() as u64, random) as usize;
        to.push(from.swap_remove(at));
    }
}

/// A random number below `bound`, which is not 0.
pub(crate) fn below(bound: u64, random: &mut dyn FnMut() -> u64) -> u64 {
    ((u128::from(random()) * u128::from(bound)) >> 64) as u64
}
