//! A node's outside in one process: peers are called as functions, with every message encoded and decoded on its way.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::{FutureExt, future::BoxFuture};
use starling_model::Timestamp;
use starling_replication::{CallError, Env, PeerRequest, PeerResponse};
use starling_sstable::fs::{Fs, MemoryFs};

use super::store::MapStore;

/// Answers what peers ask of a node.
pub(super) type Door = Arc<dyn Fn(SocketAddr, PeerRequest) -> BoxFuture<'static, PeerResponse> + Send + Sync>;

/// Who can be called.
#[derive(Clone, Default)]
pub(super) struct Network(Arc<RwLock<BTreeMap<SocketAddr, Door>>>);

impl Network {
    pub(super) fn open(&self, address: SocketAddr, door: Door) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        doors.insert(address, door);
    }

    fn door(&self, address: SocketAddr) -> Option<Door> {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        doors.get(&address).cloned()
    }
}

/// The system's clocks, tokio's tasks, and everything else in memory.
#[derive(Clone)]
pub(super) struct MemoryEnv(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    network: Network,
    store: MapStore,
    fs: Arc<dyn Fs>,
    began: Instant,
    random: AtomicU64,
}

impl MemoryEnv {
    pub(super) fn new(address: SocketAddr, network: &Network) -> Self {
        Self(Arc::new(Inner {
            address,
            network: network.clone(),
            store: MapStore::default(),
            fs: Arc::new(MemoryFs::new()),
            began: Instant::now(),
            random: AtomicU64::new(address.ip().to_string().bytes().map(u64::from).sum()),
        }))
    }
}

impl Env for MemoryEnv {
    type Store = MapStore;

    fn monotonic(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn wall(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(now.as_micros() as i64)
    }

    fn random(&self) -> u64 {
        // SplitMix64 (Steele et al., 2014).
        let state = self.0.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        std::future::ready(work())
    }

    // Whoever is there answers, before any deadline.
    fn call(
        &self,
        to: SocketAddr,
        request: PeerRequest,
        _timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static {
        let (door, from) = (self.0.network.door(to), self.0.address);
        let bytes = request.encode();
        async move {
            let door = door.ok_or(CallError::NotSent(to))?;
            let request = PeerRequest::decode(bytes).expect("it was encoded");
            let answer = door(from, request).await.encode();
            Ok(PeerResponse::decode(answer).expect("it was encoded"))
        }
    }

    fn cast(&self, to: SocketAddr, request: PeerRequest) {
        self.spawn(self.call(to, request, Duration::ZERO).map(drop));
    }

    fn store(&self) -> &MapStore {
        &self.0.store
    }

    fn fs(&self) -> &Arc<dyn Fs> {
        &self.0.fs
    }
}
