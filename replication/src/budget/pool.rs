//! One pool of bytes.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use futures::{FutureExt, channel::oneshot};
use parking_lot::{Mutex, MutexGuard};

/// A number of bytes that may be held at a time. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    limit: usize,
    /// How far those who wait may fill it.
    waited_limit: usize,
    claims: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    /// The most that was held at a time.
    peak: usize,
    /// How often somebody had to wait.
    waits: u64,
    queue: VecDeque<Waiter>,
    /// What each claim holds; only those that hold something.
    claimed: BTreeMap<Claim, usize>,
    /// The one claim that needs no room, as long as it holds something.
    privileged: Option<Claim>,
}

struct Waiter {
    bytes: usize,
    claim: Option<Claim>,
    turn: oneshot::Sender<Charge>,
}

/// All that is taken for one piece of work, which may need several parts of a pool at the same time.
/// Older ones are smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim(u64);

/// Bytes of a pool, given back when dropped.
pub struct Charge {
    pool: Pool,
    bytes: usize,
    claim: Option<Claim>,
}

/// A place in the queue. Who leaves it early may have been in the way of the next ones.
struct Place<'a> {
    pool: &'a Pool,
    turn: Option<oneshot::Receiver<Charge>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.turn.take().is_some() {
            self.pool.pass_on(self.pool.0.state.lock());
        }
    }
}

impl Pool {
    /// A pool of `limit` bytes, of which those who wait may take up to `waited_limit`.
    pub fn new(limit: usize, waited_limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            waited_limit: waited_limit.min(limit),
            claims: AtomicU64::new(0),
            state: Mutex::default(),
        }))
    }

    /// A claim that is younger than all before.
    pub fn claim(&self) -> Claim {
        Claim(self.0.claims.fetch_add(1, Ordering::Relaxed))
    }

    /// `bytes`, as soon as there is room and all who asked before have had their turn. Dropping the future
    /// gives up the place in the queue.
    pub async fn take(&self, bytes: usize) -> Charge {
        self.take_in_turn(bytes, None).await
    }

    /// The same for a piece of work that may hold a part already. Many such could hold all there is, and each
    /// wait for more: so the oldest of those that hold something and wait gets what it waits for without
    /// room, until it has given everything back.
    pub async fn take_for(&self, claim: Claim, bytes: usize) -> Charge {
        self.take_in_turn(bytes, Some(claim)).await
    }

    async fn take_in_turn(&self, bytes: usize, claim: Option<Claim>) -> Charge {
        let mut place = {
            let mut state = self.0.state.lock();
            if state.queue.is_empty() && self.has_room(&state, bytes) {
                return self.grant(&mut state, bytes, claim);
            }
            state.waits += 1;
            let (turn, mine) = oneshot::channel();
            state.queue.push_back(Waiter { bytes, claim, turn });
            // It may be its turn even so: if nobody before it is left, or by privilege.
            self.pass_on(state);
            Place {
                pool: self,
                turn: Some(mine),
            }
        };
        let turn = std::future::poll_fn(|context| match &mut place.turn {
            Some(turn) => turn.poll_unpin(context),
            None => Poll::Pending,
        });
        let granted = turn.await;
        place.turn = None;
        match granted {
            Ok(charge) => charge,
            // A waiter leaves the queue by its turn only, and the pool lives as long as `self`.
            Err(oneshot::Canceled) => self.owe(bytes),
        }
    }

    /// `bytes`, if they fit the whole limit now. Does not wait its turn: for what is small.
    pub fn try_take(&self, bytes: usize) -> Option<Charge> {
        let mut state = self.0.state.lock();
        let fits = state
            .held
            .checked_add(bytes)
            .is_some_and(|all| all <= self.0.limit);
        fits.then(|| self.grant(&mut state, bytes, None))
    }

    /// `bytes`, whether there is room or not: for who holds a part already, and could not give it back
    /// before it gets this.
    pub fn owe(&self, bytes: usize) -> Charge {
        self.grant(&mut self.0.state.lock(), bytes, None)
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.0.state.lock().held
    }

    /// The most bytes that were held at a time.
    pub fn peak(&self) -> usize {
        self.0.state.lock().peak
    }

    /// How often somebody had to wait.
    pub fn waits(&self) -> u64 {
        self.0.state.lock().waits
    }

    /// How many wait now; some may have given up.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().queue.len()
    }

    /// How many bytes it has.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    fn has_room(&self, state: &State, bytes: usize) -> bool {
        state.held == 0
            || state
                .held
                .checked_add(bytes)
                .is_some_and(|all| all <= self.0.waited_limit)
    }

    fn grant(&self, state: &mut State, bytes: usize, claim: Option<Claim>) -> Charge {
        state.held += bytes;
        state.peak = state.peak.max(state.held);
        if let Some(claim) = claim {
            *state.claimed.entry(claim).or_default() += bytes;
        }
        Charge {
            pool: self.clone(),
            bytes,
            claim,
        }
    }

    fn give_back(&self, bytes: usize, claim: Option<Claim>) {
        if bytes == 0 {
            return;
        }
        let mut state = self.0.state.lock();
        debug_assert!(state.held >= bytes);
        state.held -= bytes;
        if let Some(claim) = claim
            && let Some(left) = state.claimed.get_mut(&claim)
        {
            *left -= bytes;
            if *left == 0 {
                state.claimed.remove(&claim);
                state.privileged = state.privileged.filter(|privileged| *privileged != claim);
            }
        }
        self.pass_on(state);
    }

    /// Gives everybody whose turn it is what they wait for.
    fn pass_on(&self, mut state: MutexGuard<'_, State>) {
        let mut turns = Vec::new();
        while let Some(next) = state.queue.front() {
            let gone = next.turn.is_canceled();
            if !gone && !self.has_room(&state, next.bytes) {
                break;
            }
            let Some(Waiter { bytes, claim, turn }) = state.queue.pop_front() else {
                break;
            };
            if !gone {
                turns.push((turn, self.grant(&mut state, bytes, claim)));
            }
        }
        self.pass_to_privileged(&mut state, &mut turns);
        drop(state);
        for (turn, charge) in turns {
            // Who gave up at this very moment drops its charge here, and the next one gets its turn.
            let _ = turn.send(charge);
        }
    }

    fn pass_to_privileged(&self, state: &mut State, turns: &mut Vec<(oneshot::Sender<Charge>, Charge)>) {
        if state.claimed.is_empty() || state.queue.is_empty() {
            return;
        }
        let holds_and_waits = |waiter: &Waiter| {
            let claim = waiter.claim?;
            (state.claimed.contains_key(&claim) && !waiter.turn.is_canceled()).then_some(claim)
        };
        let privileged = state
            .privileged
            .or_else(|| state.queue.iter().filter_map(holds_and_waits).min());
        state.privileged = privileged;
        if privileged.is_none() {
            return;
        }
        let mut at = 0;
        while at < state.queue.len() {
            if state.queue[at].claim != privileged {
                at += 1;
            } else if let Some(Waiter { bytes, claim, turn }) = state.queue.remove(at)
                && !turn.is_canceled()
            {
                turns.push((turn, self.grant(state, bytes, claim)));
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        f.debug_struct("Pool")
            .field("limit", &self.0.limit)
            .field("held", &state.held)
            .field("waiting", &state.queue.len())
            .finish_non_exhaustive()
    }
}

impl Charge {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes over what another charge of the same pool holds.
    pub fn merge(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.pool.0, &other.pool.0) && self.claim == other.claim);
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Holds `bytes` from now on, whether there is room or not: what was a guess turned out.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            let more = self.pool.grant(&mut self.pool.0.state.lock(), more, self.claim);
            self.merge(more);
        } else {
            self.pool.give_back(self.bytes - bytes, self.claim);
            self.bytes = bytes;
        }
    }
}

impl fmt::Debug for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Charge({})", self.bytes)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes, self.claim);
    }
}
