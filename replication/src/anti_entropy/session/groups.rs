//! Which replicas agree on a piece.

use std::sync::Arc;

use crate::anti_entropy::{prints::Print, wire::Summed};

/// What a replica says that it has of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    /// The sum of the hashes.
    pub(super) hash: u128,
    pub(super) rows: u64,
    /// Whether it has something besides that may be purged.
    pub(super) leaves_out: bool,
}

impl From<Print> for Sum {
    fn from(print: Print) -> Self {
        Self {
            hash: print.sum,
            rows: print.rows,
            leaves_out: print.leaves_out,
        }
    }
}

impl Sum {
    pub(super) const NOTHING: Self = Self {
        hash: 0,
        rows: 0,
        leaves_out: false,
    };

    /// Adds what it has of another part.
    pub(super) fn add(&mut self, part: &Summed) {
        self.hash = self.hash.wrapping_add(part.sum);
        self.rows = self.rows.saturating_add(part.rows);
        self.leaves_out |= part.leaves_out;
    }

    /// Whether the digests are the same.
    fn agrees(&self, other: &Self) -> bool {
        (self.hash, self.rows) == (other.hash, other.rows)
    }

    /// Whether the data is, so that the one can speak for the other.
    fn equals(&self, other: &Self) -> bool {
        self.agrees(other) && !self.leaves_out && !other.leaves_out
    }
}

/// Whether all digests are the same.
pub(super) fn all_agree(said: &[Sum]) -> bool {
    said.windows(2).all(|pair| pair[0].agrees(&pair[1]))
}

/// Sets of replicas, by their places among the session's. Those of a set had the same data, of a piece or of one
/// around it: so one of them, the set's speaker, can be asked for all.
///
/// The same digest is not enough. A deletion that may be purged is in no digest: of two replicas with the same one
/// the first may have it, and the second be asked for both. Then what the deletion covers, and a third replica still
/// has, would be given to both, and seen at the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Groups(Arc<[Vec<usize>]>);

impl Groups {
    /// Nothing is known of so many replicas.
    pub(super) fn apart(replicas: usize) -> Self {
        Self((0..replicas).map(|replica| vec![replica]).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one of each set that is asked: the first.
    pub(super) fn speakers(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|group| group[0])
    }

    /// Whether the replica speaks for a set.
    pub(super) fn has_speaker(&self, replica: usize) -> bool {
        self.speakers().any(|speaker| speaker == replica)
    }

    /// The sets, in the order of their speakers' answers.
    pub(super) fn sets(&self) -> impl Iterator<Item = &[usize]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// What the speakers said makes one set of those that have the same. Returns what each new set has.
    pub(super) fn merged(&self, said: &[Sum]) -> (Self, Vec<Sum>) {
        assert_eq!(said.len(), self.len(), "each set has one answer");
        let mut sums: Vec<Sum> = Vec::with_capacity(said.len());
        let mut sets: Vec<Vec<usize>> = Vec::with_capacity(said.len());
        for (sum, set) in said.iter().zip(self.sets()) {
            match sums.iter().position(|other| other.equals(sum)) {
                Some(at) => sets[at].extend(set),
                None => {
                    sums.push(*sum);
                    sets.push(set.to_vec());
                }
            }
        }
        if sets.len() == self.len() {
            return (self.clone(), sums);
        }
        (Self(sets.into()), sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_say_the_same_are_one_set() {
        let groups = Groups::apart(4);
        let said = [sum(7, 1), sum(8, 1), sum(7, 1), sum(7, 2)];
        let (groups, sums) = groups.merged(&said);
        let sets: Vec<&[usize]> = groups.sets().collect();
        assert_eq!(sets, [&[0, 2][..], &[1], &[3]]);
        assert_eq!(sums, [sum(7, 1), sum(8, 1), sum(7, 2)]);
        assert!(groups.has_speaker(0) && !groups.has_speaker(2));
        let (groups, sums) = groups.merged(&[sum(5, 5), sum(5, 5), sum(5, 5)]);
        assert_eq!((groups.len(), sums.len()), (1, 1));
    }

    #[test]
    fn who_leaves_something_out_speaks_for_itself() {
        let besides = Sum {
            leaves_out: true,
            ..sum(7, 1)
        };
        let said = [sum(7, 1), besides, sum(7, 1), besides];
        assert!(all_agree(&said));
        let (groups, _) = Groups::apart(4).merged(&said);
        let sets: Vec<&[usize]> = groups.sets().collect();
        assert_eq!(sets, [&[0, 2][..], &[1], &[3]]);
    }

    fn sum(hash: u128, rows: u64) -> Sum {
        Sum {
            hash,
            rows,
            leaves_out: false,
        }
    }
}
