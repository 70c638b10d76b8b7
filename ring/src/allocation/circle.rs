//! The tokens of a datacenter while one of its members chooses: who holds how much, and what a cut would change.

use starling_model::Token;

/// The size of the token space.
pub(super) const SPACE: f64 = (1_u128 << 64) as f64;

/// How many arcs before a cut are looked at for replicas that it moves. More are moved only where racks are
/// so unequal that a walk passes this many tokens to find the next one.
const MAX_BACK: usize = 64;

/// Tokens with their owners, and how many replicas a walk along them collects.
#[derive(Debug, Clone)]
pub(super) struct Circle {
    /// In order; the number is the owner's place in `racks`. No token occurs twice.
    tokens: Vec<(u64, u32)>,
    /// For each arc, by its end, how many tokens a walk from there passes until it has all replicas.
    reach: Vec<u32>,
    /// For each node the number of its rack.
    racks: Vec<u32>,
    /// Replicas of each arc.
    replicas: usize,
    /// How many of them may come from a rack that has one already.
    repeats: usize,
    /// How many racks there are, if stocks are kept; 0 if they are not.
    stocked: u32,
    /// For each node the share of the space that it holds a replica of.
    pub(super) loads: Vec<f64>,
    /// For each node and rack the share that the node is the last replica of and that the rack has no replica of: what a newcomer
    /// in that rack can relieve the node of. Empty if stocks are not kept.
    pub(super) stocks: Vec<f64>,
}

/// What changes by a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    /// The load of this node.
    Load(u32),
    /// The stock at this place.
    Stock(u32),
}

/// What a cut does to a share: `fixed + slope * at`, where `at` is the cut's place in the given arc, from
/// 0 at its start to 1 at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Effect {
    pub(super) share: Share,
    pub(super) fixed: f64,
    pub(super) slope: f64,
}

/// A token that is not there yet.
#[derive(Clone, Copy)]
struct Cut {
    /// The place of the token after it.
    before: usize,
    owner: u32,
}

/// Lists that are used again and again.
#[derive(Debug, Default)]
pub(super) struct Lists {
    old: Vec<u32>,
    new: Vec<u32>,
}

impl Circle {
    /// A circle of nodes on these racks, without tokens.
    pub(super) fn new(racks: Vec<u32>, replicas: usize, repeats: usize) -> Self {
        let loads = vec![0.0; racks.len()];
        Self {
            tokens: Vec::new(),
            reach: Vec::new(),
            racks,
            replicas,
            repeats,
            stocked: 0,
            loads,
            stocks: Vec::new(),
        }
    }

    /// Keeps stocks too; there are so many racks.
    pub(super) fn with_stocks(mut self, racks: u32) -> Self {
        self.stocked = racks;
        self.stocks = vec![0.0; self.racks.len() * racks as usize];
        self
    }

    /// The node whose stock is at this place.
    pub(super) fn holder(&self, stock: u32) -> u32 {
        stock / self.stocked
    }

    /// Puts these tokens in; of those that are doubled the first owner keeps them.
    pub(super) fn fill(&mut self, mut tokens: Vec<(u64, u32)>) {
        tokens.sort_unstable();
        tokens.dedup_by_key(|(token, _)| *token);
        self.tokens = tokens;
        self.measure();
    }

    /// How many tokens, and arcs, there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The arc that ends in the token at this place: its start, width and owner.
    pub(super) fn arc(&self, at: usize) -> (u64, u64, u32) {
        let (end, owner) = self.tokens[at];
        let start = self.tokens[self.back(at)].0;
        // A single token's arc goes all around.
        let width = match end.wrapping_sub(start) {
            0 => u64::MAX,
            width => width,
        };
        (start, width, owner)
    }

    /// Puts a token in, and measures anew.
    pub(super) fn insert(&mut self, token: u64, owner: u32) {
        let at = self.tokens.partition_point(|(other, _)| *other < token);
        self.tokens.insert(at, (token, owner));
        self.measure();
    }

    /// Takes a token out, and measures anew.
    pub(super) fn remove(&mut self, token: u64) {
        self.tokens.retain(|(other, _)| *other != token);
        self.measure();
    }

    fn measure(&mut self) {
        self.loads.fill(0.0);
        self.stocks.fill(0.0);
        self.reach.clear();
        let mut replicas = Vec::new();
        for at in 0..self.tokens.len() {
            let passed = self.walk(at, None, &mut replicas);
            self.reach.push(passed as u32);
            let share = self.arc(at).1 as f64 / SPACE;
            for node in &replicas {
                self.loads[*node as usize] += share;
            }
            for stock in stocks(&self.racks, self.stocked, &replicas) {
                self.stocks[stock as usize] += share;
            }
        }
    }

    fn back(&self, at: usize) -> usize {
        at.checked_sub(1).unwrap_or(self.tokens.len() - 1)
    }

    /// Collects the replicas of the arc that ends in the token at `from`, or, if the cut is there, of what
    /// lies before the cut. Returns how many tokens it passed.
    fn walk(&self, from: usize, cut: Option<Cut>, replicas: &mut Vec<u32>) -> usize {
        replicas.clear();
        let mut repeats = self.repeats;
        let mut visit = |owner: u32, replicas: &mut Vec<u32>| {
            if replicas.contains(&owner) {
                return;
            }
            let rack = self.racks[owner as usize];
            if replicas.iter().any(|node| self.racks[*node as usize] == rack) {
                if repeats == 0 {
                    return;
                }
                repeats -= 1;
            }
            replicas.push(owner);
        };
        let mut at = from;
        for passed in 0..self.tokens.len() {
            if replicas.len() == self.replicas {
                return passed;
            }
            if let Some(cut) = cut
                && cut.before == at
            {
                visit(cut.owner, replicas);
                if replicas.len() == self.replicas {
                    return passed;
                }
            }
            visit(self.tokens[at].1, replicas);
            at = if at + 1 == self.tokens.len() { 0 } else { at + 1 };
        }
        self.tokens.len()
    }

    /// What it does to the loads if `owner` gets a token within the arc from `start` of this width; the
    /// arc has no token but at its end.
    pub(super) fn cut(
        &self,
        start: u64,
        width: u64,
        owner: u32,
        lists: &mut Lists,
        effects: &mut Vec<Effect>,
    ) {
        effects.clear();
        if self.tokens.is_empty() {
            return;
        }
        let first = self.tokens.partition_point(|(token, _)| *token <= start);
        let before = if first == self.tokens.len() { 0 } else { first };
        let cut = Cut { before, owner };
        let (arc_start, _, _) = self.arc(before);
        let offset = start.wrapping_sub(arc_start) as f64 / SPACE;
        self.walk(before, None, &mut lists.old);
        self.walk(before, Some(cut), &mut lists.new);
        self.differ(lists, offset, width as f64 / SPACE, effects);
        let mut at = before;
        for back in 1..=MAX_BACK.min(self.tokens.len() - 1) {
            at = self.back(at);
            if (self.reach[at] as usize) <= back {
                // A walk from here is done before the cut, and one from further back is done no later: it
                // sees all that this one sees.
                break;
            }
            self.walk(at, None, &mut lists.old);
            self.walk(at, Some(cut), &mut lists.new);
            self.differ(lists, self.arc(at).1 as f64 / SPACE, 0.0, effects);
        }
    }

    /// Moves `fixed + slope * at` of the space from the old replicas to the new ones.
    fn differ(&self, lists: &Lists, fixed: f64, slope: f64, effects: &mut Vec<Effect>) {
        let Lists { old, new } = lists;
        if old == new {
            return;
        }
        let mut add = |share: Share, sign: f64| {
            let (fixed, slope) = (sign * fixed, sign * slope);
            match effects.iter_mut().find(|effect| effect.share == share) {
                Some(effect) => {
                    effect.fixed += fixed;
                    effect.slope += slope;
                }
                None => effects.push(Effect { share, fixed, slope }),
            }
        };
        for node in new.iter().filter(|node| !old.contains(node)) {
            add(Share::Load(*node), 1.0);
        }
        for node in old.iter().filter(|node| !new.contains(node)) {
            add(Share::Load(*node), -1.0);
        }
        for stock in stocks(&self.racks, self.stocked, new) {
            add(Share::Stock(stock), 1.0);
        }
        for stock in stocks(&self.racks, self.stocked, old) {
            add(Share::Stock(stock), -1.0);
        }
    }
}

/// The places of the stocks that an arc with these replicas counts for: of its last replica, and of each rack that has none.
fn stocks<'a>(racks: &'a [u32], stocked: u32, replicas: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let last = replicas.last().copied().unwrap_or(0);
    let stocked = if replicas.is_empty() { 0 } else { stocked };
    let has_one = |rack: u32| replicas.iter().any(|node| racks[*node as usize] == rack);
    (0..stocked)
        .filter(move |rack| !has_one(*rack))
        .map(move |rack| last * stocked + rack)
}

/// A token's place in a circle.
pub(super) fn place(token: Token) -> u64 {
    u64::from_be_bytes(token.ordered_bytes())
}

/// The token of a place.
pub(super) fn token(place: u64) -> Token {
    Token::from_ordered_bytes(place.to_be_bytes())
}
