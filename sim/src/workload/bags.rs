//! Writes to a table of collections, expiring values among them. Only its convergence is checked.

use super::Space;
use crate::random::Random;

/// A random write, as text.
pub(super) fn random(space: &Space, random: &mut Random) -> String {
    let p = random.below(space.partitions as u64);
    let (x, y) = (random.below(4), random.below(1000));
    let ttl = match random.below(3) {
        0 => format!(" USING TTL {}", 1 + random.below(60)),
        _ => String::new(),
    };
    let set = match random.below(12) {
        0 => format!("m[{x}] = {y}"),
        1 => format!("m = m + {{{x}: {y}}}"),
        2 => format!("m = {{{x}: {y}}}"),
        3 => format!("m = m - {{{x}}}"),
        4 => format!("t = t + {{{x}}}"),
        5 => format!("t = t - {{{x}}}"),
        6 => format!("t = {{{x}, {y}}}"),
        7 => format!("l = l + [{y}]"),
        8 => format!("l = [{y}] + l"),
        9 => format!("c = {y}"),
        10 => return format!("DELETE m, t FROM sim.bags WHERE p = {p}"),
        _ => return format!("INSERT INTO sim.bags (p, c, t) VALUES ({p}, {y}, {{{x}}}){ttl}"),
    };
    format!("UPDATE sim.bags{ttl} SET {set} WHERE p = {p}")
}
