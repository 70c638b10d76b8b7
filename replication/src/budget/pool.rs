//! One pool of bytes.

use std::{collections::VecDeque, fmt, sync::Arc};

use futures::channel::oneshot;
use parking_lot::Mutex;

/// A number of bytes that may be held at a time. Cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    limit: usize,
    /// How far those who wait may fill it.
    waited_limit: usize,
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
}

struct Waiter {
    bytes: usize,
    turn: oneshot::Sender<Charge>,
}

/// Bytes of a pool, given back when dropped.
pub struct Charge {
    pool: Pool,
    bytes: usize,
}

impl Pool {
    /// A pool of `limit` bytes, of which those who wait may take up to `waited_limit`.
    pub fn new(limit: usize, waited_limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            waited_limit: waited_limit.min(limit),
            state: Mutex::default(),
        }))
    }

    /// `bytes`, as soon as there is room and all who asked before have had their turn. Dropping the future
    /// gives up the place in the queue.
    pub async fn take(&self, bytes: usize) -> Charge {
        let turn = {
            let mut state = self.0.state.lock();
            if state.queue.is_empty() && self.has_room(&state, bytes) {
                return self.grant(&mut state, bytes);
            }
            state.waits += 1;
            let (turn, mine) = oneshot::channel();
            state.queue.push_back(Waiter { bytes, turn });
            mine
        };
        match turn.await {
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
        fits.then(|| self.grant(&mut state, bytes))
    }

    /// `bytes`, whether there is room or not: for who holds a part already, and could not give it back
    /// before it gets this.
    pub fn owe(&self, bytes: usize) -> Charge {
        self.grant(&mut self.0.state.lock(), bytes)
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

    /// Whether who could do without should take no more.
    pub fn is_full(&self) -> bool {
        self.held() >= self.0.limit
    }

    fn has_room(&self, state: &State, bytes: usize) -> bool {
        state.held == 0
            || state
                .held
                .checked_add(bytes)
                .is_some_and(|all| all <= self.0.waited_limit)
    }

    fn grant(&self, state: &mut State, bytes: usize) -> Charge {
        state.held += bytes;
        state.peak = state.peak.max(state.held);
        Charge {
            pool: self.clone(),
            bytes,
        }
    }

    fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.0.state.lock();
        debug_assert!(state.held >= bytes);
        state.held -= bytes;
        let mut turns = Vec::new();
        while let Some(next) = state.queue.front() {
            let gone = next.turn.is_canceled();
            if !gone && !self.has_room(&state, next.bytes) {
                break;
            }
            let Some(Waiter { bytes, turn }) = state.queue.pop_front() else {
                break;
            };
            if !gone {
                turns.push((turn, self.grant(&mut state, bytes)));
            }
        }
        drop(state);
        for (turn, charge) in turns {
            // Who gave up at this very moment drops its charge here, and the next one gets its turn.
            let _ = turn.send(charge);
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
        debug_assert!(Arc::ptr_eq(&self.pool.0, &other.pool.0));
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Holds `bytes` from now on, whether there is room or not: what was a guess turned out.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            let mut more = self.pool.owe(bytes - self.bytes);
            self.bytes += std::mem::take(&mut more.bytes);
        } else {
            self.pool.give_back(self.bytes - bytes);
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
        self.pool.give_back(self.bytes);
    }
}
