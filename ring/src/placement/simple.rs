//! SimpleStrategy: the next nodes on the ring.

use starling_model::Token;

/// Collects the first `factor` distinct owners from a token on.
pub(super) struct Walker<'a> {
    tokens: &'a [(Token, u32)],
    factor: usize,
}

impl<'a> Walker<'a> {
    pub(super) fn new(tokens: &'a [(Token, u32)], factor: u32) -> Self {
        let mut owners: Vec<u32> = tokens.iter().map(|(_, owner)| *owner).collect();
        owners.sort_unstable();
        owners.dedup();
        // Never look for more than there are: the walk would go all around the ring each time.
        Self {
            tokens,
            factor: owners.len().min(factor as usize),
        }
    }

    pub(super) fn replicas_from(&mut self, start: usize, replicas: &mut Vec<u32>) {
        let (before, after) = self.tokens.split_at(start);
        for (_, owner) in after.iter().chain(before) {
            if replicas.len() == self.factor {
                return;
            }
            if !replicas.contains(owner) {
                replicas.push(*owner);
            }
        }
    }
}
