//! A node's outside, simulated: what `node` builds of tokio and quinn is here virtual time and chance.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use starling_model::Timestamp;
use starling_replication::{
    PeerRequest, PeerResponse,
    env::{CallError, Env},
};
use starling_sstable::fs::Fs;

use crate::{
    executor::{Group, Handle},
    network::Network,
    random::Random,
    store::SimStore,
};

/// The wall clock at the start of every simulation: 2026-01-01 00:00:00 UTC, in microseconds.
const EPOCH_MICROS: i64 = 1_767_225_600_000_000;

/// What a perfect wall clock reads.
pub fn true_time(now: Duration) -> Timestamp {
    Timestamp(EPOCH_MICROS + now.as_micros() as i64)
}

/// A node's wall clock, which may be wrong. It lasts over restarts.
#[derive(Debug, Default)]
pub struct Clock {
    skew: Mutex<i64>,
}

impl Clock {
    /// Sets how far the clock is ahead of true time, in microseconds.
    pub fn set_skew(&self, micros: i64) {
        *self.skew.lock() = micros;
    }

    /// What the clock reads.
    pub fn read(&self, now: Duration) -> Timestamp {
        Timestamp(true_time(now).0 + *self.skew.lock())
    }
}

/// One incarnation of a node, from its start to its crash.
#[derive(Clone)]
pub struct SimEnv {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    group: Group,
    address: SocketAddr,
    network: Network,
    clock: Arc<Clock>,
    random: Mutex<Random>,
    store: SimStore,
    fs: Arc<dyn Fs>,
}

impl SimEnv {
    /// The outside of the node at `address`, whose tasks belong to `group`.
    pub fn new(
        handle: Handle,
        group: Group,
        address: SocketAddr,
        network: Network,
        clock: Arc<Clock>,
        store: SimStore,
        fs: Arc<dyn Fs>,
    ) -> Self {
        let random = Mutex::new(handle.fork_random());
        Self {
            inner: Arc::new(Inner {
                handle,
                group,
                address,
                network,
                clock,
                random,
                store,
                fs,
            }),
        }
    }
}

impl Env for SimEnv {
    type Store = SimStore;

    fn monotonic(&self) -> Duration {
        self.inner.handle.now()
    }

    fn wall(&self) -> Timestamp {
        self.inner.clock.read(self.inner.handle.now())
    }

    fn random(&self) -> u64 {
        self.inner.random.lock().bits()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.inner.handle.sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.handle.spawn(self.inner.group, task);
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        // The simulated disk takes no time that other tasks could use.
        std::future::ready(work())
    }

    fn call(
        &self,
        to: SocketAddr,
        request: PeerRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static {
        let bytes = request.encode();
        let call = self.inner.network.call(self.inner.address, to, bytes, timeout);
        async move {
            let answer = call.await?;
            let answer = PeerResponse::decode(answer);
            Ok(answer.unwrap_or_else(|error| panic!("a peer's answer can't be decoded: {error}")))
        }
    }

    fn cast(&self, to: SocketAddr, request: PeerRequest) {
        self.inner.network.cast(self.inner.address, to, request.encode());
    }

    fn store(&self) -> &SimStore {
        &self.inner.store
    }

    fn fs(&self) -> &Arc<dyn Fs> {
        &self.inner.fs
    }
}
