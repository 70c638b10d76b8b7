//! The outside that a test's nodes share: time, randomness, the network.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, Either, FutureExt, select};
use parking_lot::Mutex;
use starling_model::Timestamp;
use starling_sstable::fs::{Fs, MemoryFs};

use super::{Executor, MapStore};
use crate::{
    anti_entropy::wire::SessionRequest,
    env::{CallError, Env},
    message::{PeerRequest, PeerResponse, Request, Response},
};

/// One-way delay on a healthy link.
const DELAY: Duration = Duration::from_micros(200);

/// The wall clock at virtual time zero, in microseconds.
const EPOCH: i64 = 1_700_000_000_000_000;

/// The state of the network between two nodes, or of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Link {
    #[default]
    Good,
    /// Connections are refused.
    Refused,
    /// What is sent is lost.
    Silent,
    /// Requests arrive, answers are lost.
    Deaf,
    /// Takes so long each way.
    Slow(Duration),
}

type Handler = Arc<dyn Fn(SocketAddr, PeerRequest) -> BoxFuture<'static, PeerResponse> + Send + Sync>;

#[derive(Default)]
struct Network {
    handlers: BTreeMap<SocketAddr, Handler>,
    links: BTreeMap<(SocketAddr, SocketAddr), Link>,
    /// Requests and answers other than gossip, for transcripts.
    log: Option<Vec<String>>,
    /// Bytes of requests and answers other than gossip.
    bytes: u64,
}

#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) executor: Executor,
    network: Arc<Mutex<Network>>,
    random: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn listen(&self, address: SocketAddr, handler: Handler) {
        self.network.lock().handlers.insert(address, handler);
    }

    /// Nobody listens there any more.
    pub(crate) fn hang_up(&self, address: SocketAddr) {
        self.network.lock().handlers.remove(&address);
    }

    pub(crate) fn set_link(&self, from: SocketAddr, to: SocketAddr, link: Link) {
        self.network.lock().links.insert((from, to), link);
    }

    /// Begins to note what is sent.
    pub(crate) fn start_log(&self) {
        self.network.lock().log = Some(Vec::new());
    }

    /// What was sent since [`start_log`](Self::start_log).
    pub(crate) fn take_log(&self) -> Vec<String> {
        self.network.lock().log.take().unwrap_or_default()
    }

    /// How many bytes other than gossip went over the wire.
    pub(crate) fn bytes(&self) -> u64 {
        self.network.lock().bytes
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.network.lock().log {
            log.push(line());
        }
    }

    /// Whether an answer does not arrive: who gave it has died meanwhile, or was cut off.
    fn is_lost(&self, from: SocketAddr, to: SocketAddr, handler: &Handler) -> bool {
        let network = self.network.lock();
        let lives = network
            .handlers
            .get(&to)
            .is_some_and(|now| Arc::ptr_eq(now, handler));
        !lives || network.links.get(&(to, from)) == Some(&Link::Silent)
    }

    async fn carry(
        &self,
        from: SocketAddr,
        to: SocketAddr,
        request: PeerRequest,
    ) -> Result<PeerResponse, CallError> {
        let is_gossip = matches!(request.body, Request::Gossip { .. });
        if !is_gossip {
            self.note(|| format!("{} -> {}: {}", name(from), name(to), describe(&request.body)));
        }
        let (handler, link) = {
            let network = self.network.lock();
            let link = network.links.get(&(from, to)).copied().unwrap_or_default();
            (network.handlers.get(&to).cloned(), link)
        };
        let delay = match link {
            Link::Refused => return Err(CallError::NotSent(to)),
            Link::Silent => return std::future::pending().await,
            Link::Slow(delay) => delay,
            Link::Good | Link::Deaf => DELAY,
        };
        let Some(handler) = handler else {
            return Err(CallError::NotSent(to));
        };
        self.executor.sleep(delay).await;
        // The wire carries bytes.
        let request = request.encode();
        if !is_gossip {
            self.network.lock().bytes += request.len() as u64;
        }
        let request = PeerRequest::decode(request).expect("what was encoded can be decoded");
        let response = handler(from, request).await;
        self.executor.sleep(delay).await;
        if link == Link::Deaf || self.is_lost(from, to, &handler) {
            return std::future::pending().await;
        }
        let response = response.encode();
        if !is_gossip {
            self.network.lock().bytes += response.len() as u64;
        }
        let response = PeerResponse::decode(response).expect("what was encoded can be decoded");
        if !is_gossip {
            self.note(|| {
                format!(
                    "{} -> {}: {}",
                    name(to),
                    name(from),
                    describe_answer(&response.body)
                )
            });
        }
        Ok(response)
    }
}

/// Nodes are told apart by the last byte of their address.
fn name(address: SocketAddr) -> String {
    match address.ip() {
        std::net::IpAddr::V4(v4) => format!("n{}", v4.octets()[3]),
        std::net::IpAddr::V6(v6) => v6.to_string(),
    }
}

fn describe(request: &Request) -> String {
    match request {
        Request::Write { mutations, reason } => format!("write {} ({reason:?})", mutations.len()),
        Request::Hints(hints) => format!("hints {}", hints.len()),
        Request::WriteStamped { mutations, .. } => format!("write {} (stamped)", mutations.len()),
        Request::Read { digest: true, .. } => "read digest".to_owned(),
        Request::Read { digest: false, .. } => "read data".to_owned(),
        Request::Join(_) => "join".to_owned(),
        Request::ForgetHints { .. } => "forget hints".to_owned(),
        Request::Truncate { .. } => "truncate".to_owned(),
        Request::Truncated { .. } => "truncated".to_owned(),
        Request::SchemaPush(_) => "push schema".to_owned(),
        Request::SchemaPull => "pull schema".to_owned(),
        Request::Ping => "ping".to_owned(),
        Request::BatchStore { mutations, .. } => format!("keep batch of {}", mutations.len()),
        Request::BatchRemove(_) => "forget batch".to_owned(),
        Request::Trace(_) => "trace".to_owned(),
        Request::Stream(_) => "stream".to_owned(),
        Request::Damage(request) => format!("damage {request:?}"),
        Request::Gossip { .. } => "gossip".to_owned(),
        Request::Topology(request) => format!("topology {request:?}"),
        Request::AntiEntropy(request) => describe_session(request),
    }
}

fn describe_session(request: &SessionRequest) -> String {
    match request {
        SessionRequest::Digests { pieces, .. } => format!("digests of {}", pieces.len()),
        SessionRequest::Parts { ranges, .. } => format!("digests of the parts of {}", ranges.len()),
        SessionRequest::Prints { ranges, .. } => format!("prints of {}", ranges.len()),
        SessionRequest::Read { pieces, .. } => format!("read {}", pieces.len()),
        SessionRequest::Split { .. } => "split".to_owned(),
        SessionRequest::Write { mutations, .. } => format!("repair {}", mutations.len()),
        SessionRequest::Repaired { .. } => "repaired".to_owned(),
    }
}

fn describe_answer(response: &Response) -> String {
    match response {
        Response::Done => "done".to_owned(),
        Response::Behind(_) => "done, behind".to_owned(),
        Response::Page(_) => "page".to_owned(),
        Response::Digest(_) => "digest".to_owned(),
        Response::Join(reply) => format!("join: {} members", reply.members.len()),
        Response::Schema(_) => "schema".to_owned(),
        Response::Traces(traces) => format!("{} traces", traces.len()),
        Response::Stream(_) => "stream".to_owned(),
        Response::Failed(failure) => format!("failed: {failure}"),
        Response::Topology(response) => format!("topology {response:?}"),
        Response::Damaged(ranges) => format!("damaged {}", ranges.len()),
        Response::AntiEntropy(_) => "session".to_owned(),
        Response::Forgotten(_) => "forgotten".to_owned(),
    }
}

/// One node's outside.
#[derive(Clone)]
pub(crate) struct TestEnv {
    pub(crate) world: World,
    pub(crate) address: SocketAddr,
    pub(crate) store: MapStore,
    pub(crate) memory: MemoryFs,
    disk: Arc<dyn Fs>,
    /// How long blocking work takes.
    disk_delay: Arc<Mutex<Duration>>,
    /// Of the wall clock, in microseconds.
    pub(crate) skew: i64,
    /// Whether the process has died that this is the outside of.
    dead: Arc<AtomicBool>,
}

impl TestEnv {
    pub(crate) fn new(world: &World, address: SocketAddr) -> Self {
        let memory = MemoryFs::new();
        let disk: Arc<dyn Fs> = Arc::new(memory.clone());
        let store = MapStore::default();
        store.set_disk(Arc::clone(&disk));
        Self {
            world: world.clone(),
            address,
            store,
            disk,
            memory,
            disk_delay: Arc::default(),
            skew: 0,
            dead: Arc::default(),
        }
    }

    /// From now on blocking work takes so long.
    pub(crate) fn set_disk_delay(&self, delay: Duration) {
        *self.disk_delay.lock() = delay;
    }

    /// What the process does ends with the next thing that it wants of its outside. What is left of the disk is what was synced.
    pub(crate) fn crash(&mut self) {
        self.dead.store(true, Ordering::Relaxed);
        self.dead = Arc::default();
        self.memory = self.memory.after_crash(&mut |_, _| 0);
        self.disk = Arc::new(self.memory.clone());
        self.store.set_disk(Arc::clone(&self.disk));
    }

    /// Ends as `work` does, or never if the process has died by then.
    fn while_alive<T: Send>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let dead = Arc::clone(&self.dead);
        async move {
            let done = work.await;
            if dead.load(Ordering::Relaxed) {
                return std::future::pending().await;
            }
            done
        }
    }
}

impl Env for TestEnv {
    type Store = MapStore;

    fn monotonic(&self) -> Duration {
        self.world.executor.now()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(EPOCH + self.skew + self.world.executor.now().as_micros() as i64)
    }

    fn random(&self) -> u64 {
        // SplitMix64 (Steele et al., 2014).
        let state = self
            .world
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        self.while_alive(self.world.executor.sleep(duration))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.world.executor.spawn(task);
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let (executor, delay) = (self.world.executor.clone(), *self.disk_delay.lock());
        let turn = self.while_alive(async move {
            if !delay.is_zero() {
                executor.sleep(delay).await;
            }
        });
        async move {
            turn.await;
            work()
        }
    }

    fn call(
        &self,
        to: SocketAddr,
        request: PeerRequest,
        timeout: Duration,
    ) -> impl Future<Output = Result<PeerResponse, CallError>> + Send + 'static {
        let (world, from) = (self.world.clone(), self.address);
        self.while_alive(async move {
            let sleep = world.executor.sleep(timeout);
            match select(pin!(world.carry(from, to, request)), pin!(sleep)).await {
                Either::Left((answer, _)) => answer,
                Either::Right(((), _)) => Err(CallError::Timeout(to)),
            }
        })
    }

    fn cast(&self, to: SocketAddr, request: PeerRequest) {
        let call = self.call(to, request, Duration::from_secs(1));
        self.spawn(call.map(drop));
    }

    fn store(&self) -> &MapStore {
        &self.store
    }

    fn fs(&self) -> &Arc<dyn Fs> {
        &self.disk
    }
}
