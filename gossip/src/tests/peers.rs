//! Whom a round talks to.

use super::cluster::{address, random};
use crate::peers::{Candidates, choose};

fn candidates(live: u16, dead: u16, seeds: u16) -> Candidates {
    let addresses = |from: u16, count: u16| (from..from + count).map(address).collect();
    Candidates {
        live: addresses(1_000, live),
        dead: addresses(2_000, dead),
        seeds: addresses(3_000, seeds),
    }
}

/// How often each kind is chosen in 1,000 rounds: live, dead, seeds.
fn shares(live: u16, dead: u16, seeds: u16) -> [usize; 3] {
    let mut random = random(1);
    let mut shares = [0; 3];
    for _ in 0..1_000 {
        let chosen = choose(candidates(live, dead, seeds), 3, &mut random);
        let mut distinct = chosen.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), chosen.len(), "nobody twice");
        let of = candidates(live, dead, seeds);
        shares[0] += chosen.iter().filter(|it| of.live.contains(it)).count();
        shares[1] += chosen.iter().filter(|it| of.dead.contains(it)).count();
        shares[2] += chosen.iter().filter(|it| of.seeds.contains(it)).count();
    }
    shares
}

#[test]
fn three_live_members_and_now_and_then_another() {
    assert_eq!(shares(10, 0, 0), [3_000, 0, 0]);
    assert_eq!(shares(2, 0, 0), [2_000, 0, 0]);
    let [live, dead, seeds] = shares(9, 2, 1);
    assert_eq!(live, 3_000);
    assert!(
        (150..250).contains(&dead),
        "2 of 10 rounds try a dead one: {dead}"
    );
    assert!(
        (200..300).contains(&seeds),
        "1 of 4 rounds tries an unknown seed: {seeds}"
    );
}

#[test]
fn alone_the_seeds_are_asked() {
    assert_eq!(shares(0, 0, 2), [0, 0, 2_000]);
    assert_eq!(shares(0, 0, 5), [0, 0, 3_000]);
    assert_eq!(shares(0, 3, 1), [0, 1_000, 1_000]);
    assert_eq!(shares(0, 0, 0), [0, 0, 0]);
}
