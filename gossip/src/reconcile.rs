//! Who lacks what, and what of it fits into a message.
//!
//! A message of at most `m` bytes is shared out so that nothing starves: an ACK's wants get a quarter; of what
//! is left for deltas the sender's own gets a half at most; the others come in the order of
//! their ids from a random start. A delta larger than a quarter of the room may be cut (the values set first go
//! first); a smaller one goes whole or not at all, so that a member never appears with
//! half of its states but if it is very large.

use std::cmp::Ordering;

use starling_model::NodeId;

use crate::{
    member::Member,
    message::{DIGEST_BYTES, Delta, Digest, Update},
    peers::below,
};

/// What comparing a digest with what is known here shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Both know the same.
    None,
    /// The other lacks what is newer than this version.
    TheyLack(u64),
    /// We lack what is newer than this.
    WeLack(Digest),
}

/// Compares the other's digest with what is known here of the same member.
pub fn compare(known: Option<&Member>, theirs: Digest) -> Difference {
    let Some(known) = known else {
        return Difference::WeLack(Digest {
            generation: 0,
            version: 0,
            ..theirs
        });
    };
    let ours = digest(known);
    match ours
        .generation
        .cmp(&theirs.generation)
        .then(ours.version.cmp(&theirs.version))
    {
        Ordering::Equal => Difference::None,
        Ordering::Greater => Difference::TheyLack(after(known, theirs)),
        Ordering::Less if ours.generation == theirs.generation => Difference::WeLack(ours),
        Ordering::Less => Difference::WeLack(Digest { version: 0, ..theirs }),
    }
}

/// From which version on a member's state is of use to who knows `theirs`.
fn after(known: &Member, theirs: Digest) -> u64 {
    if known.generation == theirs.generation {
        theirs.version
    } else {
        0
    }
}

/// How much of a member is known.
pub fn digest(member: &Member) -> Digest {
    Digest {
        id: member.id,
        generation: member.generation,
        version: member.version,
    }
}

/// The version before the member's latest change: who knows everything up to it lacks that change only.
pub fn before_last(member: &Member) -> u64 {
    let mut versions: Vec<u64> = member.states.values().map(|state| state.version).collect();
    versions.sort_unstable();
    versions.iter().rev().nth(1).copied().unwrap_or(0)
}

/// Everything about a member that is newer than `after`.
pub fn delta(member: &Member, after: u64) -> Delta {
    let mut updates: Vec<Update> = member
        .states
        .iter()
        .filter(|(_, state)| state.version > after)
        .map(|(key, state)| Update {
            key: *key,
            version: state.version,
            value: state.value.clone(),
        })
        .collect();
    updates.sort_unstable_by_key(|update| update.version);
    Delta {
        id: member.id,
        generation: member.generation,
        address: (after == 0).then_some(member.address),
        after,
        upto: member.version,
        updates,
    }
}

/// The wants that fit into `room` bytes, from a random start if not all do.
pub fn fit_wants(mut wanted: Vec<Digest>, room: usize, random: &mut dyn FnMut() -> u64) -> Vec<Digest> {
    let most = room / DIGEST_BYTES;
    if wanted.len() > most {
        let start = below(wanted.len() as u64, random) as usize;
        wanted.rotate_left(start);
        wanted.truncate(most);
    }
    wanted
}

/// What another node lacks: of a member, everything after a version.
#[derive(Debug, Clone, Copy)]
pub struct Lack<'a> {
    /// Which member.
    pub member: &'a Member,
    /// The other knows everything up to here.
    pub after: u64,
}

/// The deltas that fit into `room` bytes, `own` first, the others from a random start.
pub fn fit_deltas(
    mut lacks: Vec<Lack<'_>>,
    own: NodeId,
    room: usize,
    random: &mut dyn FnMut() -> u64,
) -> Vec<Delta> {
    if !lacks.is_empty() {
        let start = below(lacks.len() as u64, random) as usize;
        lacks.rotate_left(start);
    }
    if let Some(at) = lacks.iter().position(|lack| lack.member.id == own) {
        lacks[..=at].rotate_right(1);
    }
    let mut left = room;
    let mut deltas = Vec::new();
    for lack in lacks {
        let whole = delta(lack.member, lack.after);
        let share = if lack.member.id == own {
            left.min(room / 2)
        } else {
            left
        };
        let fitting = if whole.bytes() <= share {
            Some(whole)
        } else if whole.bytes() > room / 4 {
            cut(whole, share)
        } else {
            None
        };
        if let Some(delta) = fitting {
            left -= delta.bytes();
            deltas.push(delta);
        }
    }
    deltas
}

/// The oldest updates of a delta that fit into `room` bytes; `None` if not even one does.
fn cut(mut delta: Delta, room: usize) -> Option<Delta> {
    let empty = Delta {
        updates: Vec::new(),
        ..delta.clone()
    };
    let mut bytes = empty.bytes();
    let fitting = delta
        .updates
        .iter()
        .take_while(|update| {
            bytes += update.bytes();
            bytes <= room
        })
        .count();
    delta.updates.truncate(fitting);
    delta.upto = delta.updates.last()?.version;
    Some(delta)
}
