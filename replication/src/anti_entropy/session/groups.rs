//! Which replicas agree on a piece.

use std::sync::Arc;

/// What a replica has of a piece: the sum of the hashes and the rows.
pub(super) type Sum = (u128, u64);

/// Sets of replicas, by their places among the session's. Those of a set had the same digest, of a piece or of one
/// around it: so one of them, the set's speaker, can be asked for all.
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

    /// What the speakers said makes one set of those that said the same. Returns what each new set has.
    pub(super) fn merged(&self, said: &[Sum]) -> (Self, Vec<Sum>) {
        assert_eq!(said.len(), self.len(), "each set has one answer");
        let mut sums: Vec<Sum> = Vec::with_capacity(said.len());
        let mut sets: Vec<Vec<usize>> = Vec::with_capacity(said.len());
        for (sum, set) in said.iter().zip(self.sets()) {
            match sums.iter().position(|other| other == sum) {
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
        let (groups, sums) = groups.merged(&[(7, 1), (8, 1), (7, 1), (7, 2)]);
        let sets: Vec<&[usize]> = groups.sets().collect();
        assert_eq!(sets, [&[0, 2][..], &[1], &[3]]);
        assert_eq!(sums, [(7, 1), (8, 1), (7, 2)]);
        assert!(groups.has_speaker(0) && !groups.has_speaker(2));
        let (groups, sums) = groups.merged(&[(5, 5), (5, 5), (5, 5)]);
        assert_eq!((groups.len(), sums.len()), (1, 1));
    }
}
