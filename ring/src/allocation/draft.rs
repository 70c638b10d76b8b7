//! All tokens of a newcomer: a first draft, and how it gets better.

use super::choice::{Choice, Scratch};

/// How many times every token is taken back and chosen anew, once all are there.
const PASSES: usize = 2;

/// At most so many tokens are chosen anew together.
const FEW: u64 = 4;

/// By what a place is chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// An excess of `1 / severity` counts twice as much as a lack of the same size.
    pub(super) severity: f64,
    /// For each token about half of the arcs are looked at, drawn anew: so drafts differ.
    pub(super) by_chance: bool,
}

/// A newcomer's tokens, and the loads with them.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    choice: Choice,
    places: Vec<u64>,
    /// What is wrong with it.
    pub(super) cost: f64,
}

impl Draft {
    /// One token after another is put where it helps most, the newcomer's own goal growing with each; then each is
    /// taken back and put again.
    pub(super) fn new(mut choice: Choice, manner: Manner, random: &mut dyn FnMut() -> u64) -> Self {
        let mut scratch = Scratch::default();
        let mut places = Vec::with_capacity(choice.count());
        for at in 1..=choice.count() {
            let goal = at as f64 / choice.count() as f64;
            let Some(place) = choice.pick(goal, manner, &mut scratch, random) else {
                break;
            };
            choice.insert(place);
            places.push(place);
        }
        for _ in 0..PASSES {
            for place in &mut places {
                choice.remove(*place);
                if let Some(better) = choice.pick(1.0, manner, &mut scratch, random) {
                    *place = better;
                }
                choice.insert(*place);
            }
        }
        let cost = choice.cost();
        Self { choice, places, cost }
    }

    /// Takes a few tokens back that are drawn by chance, and chooses them anew; keeps what is no worse. So many times, with these
    /// manners in turn.
    pub(super) fn refine(&mut self, rounds: usize, manners: &[Manner], random: &mut dyn FnMut() -> u64) {
        let mut scratch = Scratch::default();
        for (_, manner) in (0..rounds).zip(manners.iter().cycle()) {
            if self.cost <= 0.0 || self.places.is_empty() {
                return;
            }
            let mut other = self.clone();
            let few = 1 + random() % FEW;
            let mut again: Vec<usize> = (0..few)
                .map(|_| (random() % self.places.len() as u64) as usize)
                .collect();
            again.sort_unstable();
            again.dedup();
            for at in &again {
                other.choice.remove(other.places[*at]);
            }
            for at in again {
                if let Some(place) = other.choice.pick(1.0, *manner, &mut scratch, random) {
                    other.places[at] = place;
                }
                other.choice.insert(other.places[at]);
            }
            other.cost = other.choice.cost();
            if other.cost <= self.cost {
                *self = other;
            }
        }
    }

    /// The places of the tokens; fewer than asked for if the arcs are too narrow to be cut.
    pub(super) fn into_places(self) -> Vec<u64> {
        self.places
    }
}
