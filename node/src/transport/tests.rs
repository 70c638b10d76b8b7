use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::ConnectionIdGenerator;
use tokio::sync::mpsc;

use super::*;
use crate::tls::{Authority, TlsFiles};

const PATIENT: Duration = Duration::from_secs(20);

/// Answers with what it got; a request that is empty is malformed.
#[derive(Default)]
struct Echo {
    served: AtomicUsize,
    lost: AtomicUsize,
}

impl PeerService for Echo {
    fn handle(&self, _: SocketAddr, request: Bytes, _: Instant) -> BoxFuture<'static, Option<Encoded>> {
        self.served.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if &request[..] == b"never" {
                std::future::pending::<()>().await;
            }
            (!request.is_empty()).then(|| request.into())
        })
    }

    fn lost(&self, _: SocketAddr) {
        self.lost.fetch_add(1, Ordering::SeqCst);
    }
}

/// Never answers; tells when work on a request begins, and when it ends in whichever way.
struct Endless {
    begun: mpsc::UnboundedSender<Bytes>,
    ended: mpsc::UnboundedSender<Bytes>,
}

/// Tells when it is dropped.
struct Told {
    request: Bytes,
    ended: mpsc::UnboundedSender<Bytes>,
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.ended.send(self.request.clone());
    }
}

impl PeerService for Endless {
    fn handle(&self, _: SocketAddr, request: Bytes, _: Instant) -> BoxFuture<'static, Option<Encoded>> {
        let told = Told {
            request: request.clone(),
            ended: self.ended.clone(),
        };
        let begun = self.begun.clone();
        Box::pin(async move {
            let _told = told;
            let _ = begun.send(request);
            std::future::pending().await
        })
    }

    fn lost(&self, _: SocketAddr) {}
}

/// Asks, and takes what was answered out of its frame.
fn call(
    transport: &Transport,
    to: SocketAddr,
    lane: Lane,
    request: Bytes,
    timeout: Duration,
) -> impl Future<Output = Result<Bytes, CallError>> + Send + 'static {
    let answer = transport.call(to, lane, request, None, timeout);
    async move { answer.await.map(|received| received.payload) }
}

struct NoClients;

impl ClientService for NoClients {
    fn serve(&self, connection: quinn::Connection) -> BoxFuture<'static, ()> {
        connection.close(0u32.into(), b"");
        Box::pin(async {})
    }
}

struct Cluster {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Cluster {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("ca"), "test").unwrap();
        Self { dir, authority }
    }

    fn files(&self, name: &str) -> TlsFiles {
        let issued = self.authority.issue(name, &["127.0.0.1".to_owned()], 1).unwrap();
        self.authority
            .write(&self.dir.path().join(name), &issued)
            .unwrap()
    }

    fn node(&self, name: &str) -> (Transport, SocketAddr, Arc<Echo>) {
        self.node_with(name, roomy())
    }

    fn node_with(&self, name: &str, budget: Arc<Budget>) -> (Transport, SocketAddr, Arc<Echo>) {
        let echo = Arc::<Echo>::default();
        let (transport, address) = self.serving(name, Arc::clone(&echo) as Arc<dyn PeerService>, budget);
        (transport, address, echo)
    }

    /// A node whose peers are served so.
    fn serving(
        &self,
        name: &str,
        service: Arc<dyn PeerService>,
        budget: Arc<Budget>,
    ) -> (Transport, SocketAddr) {
        let credentials = Credentials::load(&self.files(name)).unwrap();
        let transport = Transport::bind("127.0.0.1:0".parse().unwrap(), &credentials, budget).unwrap();
        transport.serve(service, Arc::new(NoClients));
        let address = transport.local_addr().unwrap();
        (transport, address)
    }
}

/// More than a test needs.
fn roomy() -> Arc<Budget> {
    Arc::new(Budget::new(256 << 20))
}

/// An address where nobody listens: it was free a moment ago.
fn nowhere() -> SocketAddr {
    std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_come_back_each_with_its_own_answer() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node("b");
    let calls = (0..500u32).map(|n| {
        let request = Bytes::from(n.to_be_bytes().repeat(1 + n as usize % 50));
        let lane = if n % 2 == 0 { Lane::Requests } else { Lane::Bulk };
        let answer = call(&a, to, lane, request.clone(), PATIENT);
        async move { assert_eq!(answer.await, Ok(request)) }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn megabytes_come_back_whole() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node("b");
    let request: Bytes = (0..12u32 << 20).map(|n| (n ^ (n >> 9)) as u8).collect();
    assert_eq!(
        call(&a, to, Lane::Bulk, request.clone(), PATIENT).await,
        Ok(request)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_not_there_is_reported_and_the_request_did_not_leave() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let to = nowhere();
    let request = Bytes::from_static(b"x");
    assert_eq!(
        call(&a, to, Lane::Requests, request.clone(), PATIENT).await,
        Err(CallError::NotSent(to))
    );
    // From now on it is known, and nobody waits.
    assert_eq!(
        call(&a, to, Lane::Requests, request, PATIENT).await,
        Err(CallError::NotSent(to))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_come_is_a_timeout_and_others_go_on() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node("b");
    let never = call(
        &a,
        to,
        Lane::Requests,
        Bytes::from_static(b"never"),
        Duration::from_millis(1),
    );
    assert_eq!(never.await, Err(CallError::Timeout(to)));
    let request = Bytes::from_static(b"x");
    assert_eq!(
        call(&a, to, Lane::Requests, request.clone(), PATIENT).await,
        Ok(request)
    );
}

#[tokio::test]
async fn work_for_a_caller_that_gave_up_ends_if_it_can_be_taken_back() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (_b, to) = cluster.serving("b", Arc::new(Endless { begun, ended }), roomy());
    let claim = Budget::new(256 << 20).peer_answers.claim();

    let call = |lane, request: &'static str, claim| {
        a.call(to, lane, Bytes::from_static(request.as_bytes()), claim, PATIENT)
    };

    // What was not sent yet never is: the next request is the first one to come.
    drop(call(Lane::Requests, "too late", Some(claim)));
    // A write is not taken back.
    let write = tokio::spawn(call(Lane::Requests, "write", None));
    assert_eq!(begins.recv().await.unwrap(), "write");
    write.abort();
    for (lane, request) in [(Lane::Requests, "read"), (Lane::Bulk, "scan")] {
        let read = tokio::spawn(call(lane, request, Some(claim)));
        assert_eq!(begins.recv().await.unwrap(), request);
        read.abort();
        assert_eq!(ends.recv().await.unwrap(), request);
    }

    // Nor does anybody wait when the caller itself is gone.
    let _read = tokio::spawn(call(Lane::Requests, "last", Some(claim)));
    assert_eq!(begins.recv().await.unwrap(), "last");
    a.close().await;
    assert_eq!(ends.recv().await.unwrap(), "last");
    assert!(ends.try_recv().is_err(), "the write goes on");
}

/// Where as many requests are worked on as may be, and more wait for their turn.
#[tokio::test]
async fn a_call_is_taken_back_however_many_there_are() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let (_b, to) = cluster.serving("b", Arc::new(Endless { begun, ended }), roomy());
    let claim = Budget::new(256 << 20).peer_answers.claim();
    let patience = Duration::from_hours(1);
    let read = |n: usize| {
        let request = Bytes::from(n.to_string());
        tokio::spawn(a.call(to, Lane::Requests, request, Some(claim), patience))
    };

    let mut reads = Vec::new();
    for n in 0..served::MAX_SERVED {
        reads.push(read(n));
        if n % 256 == 255 {
            for _ in 0..256 {
                begins.recv().await.unwrap();
            }
        }
    }
    // One by one, so that they come in this order.
    for n in [served::MAX_SERVED, served::MAX_SERVED + 1] {
        reads.push(read(n));
        tokio::task::yield_now().await;
    }
    reads[7].abort();
    assert_eq!(ends.recv().await.unwrap(), "7");
    let first = begins.recv().await.unwrap();
    assert_eq!(first, served::MAX_SERVED.to_string());
    // One that waits is taken back too: what begins next is another one.
    reads[served::MAX_SERVED + 1].abort();
    reads.push(read(9999));
    reads[8].abort();
    assert_eq!(ends.recv().await.unwrap(), "8");
    assert_eq!(begins.recv().await.unwrap(), "9999");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_goes_breaks_the_calls_that_it_has() {
    let cluster = Cluster::new();
    let (a, _, asking) = cluster.node("a");
    let (b, to, echo) = cluster.node("b");
    let call = tokio::spawn(call(
        &a,
        to,
        Lane::Requests,
        Bytes::from_static(b"never"),
        PATIENT,
    ));
    while echo.served.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    b.close().await;
    assert_eq!(call.await.unwrap(), Err(CallError::Broken(to)));
    while asking.lost.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

/// A request and its answer on a lane, the same on a stream of their own, and a cast.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_is_counted_on_both_sides() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (b, to, echo) = cluster.node("b");
    for length in [10, lane::LANE_FRAME_BYTES + 1] {
        call(&a, to, Lane::Requests, vec![7; length].into(), PATIENT)
            .await
            .unwrap();
    }
    a.cast(to, Bytes::from_static(b"news"));
    while echo.served.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    let (a, b) = (a.traffic(), b.traffic());
    let of = |count: &Count| (count.frames(), count.bytes());
    let calls = (2, 12 + 10 + 12 + lane::LANE_FRAME_BYTES as u64 + 1);
    let all = [
        &a.requests_sent,
        &b.requests_received,
        &b.answers_sent,
        &a.answers_received,
    ];
    assert_eq!(all.map(of), [calls; 4]);
    assert_eq!([&a.casts_sent, &b.casts_received].map(of), [(1, 12 + 4); 2]);
    assert_eq!(a.requests_sent.batches(), 2, "one after the other");
    let none = [&b.requests_sent, &a.requests_received, &b.casts_sent];
    assert_eq!(none.map(of), [(0, 0); 3], "nobody asked A");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn casts_arrive_once_there_is_a_connection() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, echo) = cluster.node("b");
    call(&a, to, Lane::Requests, Bytes::from_static(b"x"), PATIENT)
        .await
        .unwrap();
    a.cast(to, Bytes::from_static(b"y"));
    while echo.served.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_not_let_in() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (a, _, _) = theirs.node("a");
    let (_b, to, echo) = ours.node("b");
    let refused = call(&a, to, Lane::Requests, Bytes::from_static(b"x"), PATIENT).await;
    assert_eq!(refused, Err(CallError::NotSent(to)));
    assert_eq!(echo.served.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_malformed_closes_the_connection() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node("b");
    let broken = call(&a, to, Lane::Requests, Bytes::new(), PATIENT).await;
    assert_eq!(broken, Err(CallError::Broken(to)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_port_is_ignored() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node("b");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..2000u32 {
        let garbage: Vec<u8> = (0..n % 1400)
            .map(|i| (i.wrapping_mul(n) >> 3) as u8 | 0xC0)
            .collect();
        socket.send_to(&garbage, to).unwrap();
    }
    let request = Bytes::from_static(b"x");
    assert_eq!(
        call(&a, to, Lane::Requests, request.clone(), PATIENT).await,
        Ok(request)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_may_wait_are_refused() {
    let cluster = Cluster::new();
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node("b");
    let calls: Vec<_> = (0..10_000)
        .map(|_| call(&a, to, Lane::Requests, Bytes::from_static(b"never"), PATIENT))
        .collect();
    let refused = calls
        .into_iter()
        .filter_map(futures::FutureExt::now_or_never)
        .filter(|outcome| *outcome == Err(CallError::Overloaded(to)))
        .count();
    assert!(refused >= 10_000 - 8192, "{refused}");
}

#[test]
fn a_node_knows_the_connections_of_its_earlier_process() {
    let cluster = Cluster::new();
    let (n1, n2) = (cluster.files("n1"), cluster.files("n2"));
    let ids = |files: &TlsFiles| {
        let credentials = Credentials::load(files).unwrap();
        endpoint::connection_ids(credentials.connection_id_key())
    };
    let old = ids(&n1).generate_cid();
    assert!(ids(&n1).validate(&old).is_ok(), "it resets them");
    assert!(ids(&n2).validate(&old).is_err(), "another's are garbage");
}

#[tokio::test]
async fn a_port_that_nobody_has_is_told_from_one_that_is_silent() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = probe::connect(silent.local_addr().unwrap()).await.unwrap();
    for _ in 0..3 {
        probe::probe(&socket).await.unwrap();
    }
    let socket = probe::connect(nowhere()).await.unwrap();
    let refused = tokio::time::timeout(PATIENT, async {
        loop {
            if let Err(error) = probe::probe(&socket).await {
                return error.kind();
            }
        }
    });
    assert_eq!(refused.await.unwrap(), io::ErrorKind::ConnectionRefused);
    // So it is known without waiting for QUIC's handshake to fail.
    let (silent, nowhere) = (silent.local_addr().unwrap(), nowhere());
    tokio::select! {
        told = probe::nobody_there(silent) => panic!("somebody is there: {told}"),
        told = tokio::time::timeout(PATIENT, probe::nobody_there(nowhere)) => {
            assert_eq!(told.unwrap(), "nobody listens at its port");
        }
    }
}

/// Answers a request of a few bytes with megabytes.
struct Generous;

impl PeerService for Generous {
    fn handle(&self, _: SocketAddr, request: Bytes, _: Instant) -> BoxFuture<'static, Option<Encoded>> {
        let bytes = if &request[..] == b"much" { 3 << 20 } else { 1 };
        Box::pin(async move { Some(Bytes::from(vec![9; bytes]).into()) })
    }

    fn lost(&self, _: SocketAddr) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_wait_for_room_and_small_ones_go_past_them() {
    let cluster = Cluster::new();
    // Room for one answer at a time.
    let budget = Arc::new(Budget::new(32 << 20));
    let (a, _, _) = cluster.node_with("a", Arc::clone(&budget));
    let (_b, to) = cluster.serving("b", Arc::new(Generous), Arc::default());
    let much = || a.call(to, Lane::Requests, Bytes::from_static(b"much"), None, PATIENT);
    let first = much().await.unwrap();
    assert_eq!((first.payload.len(), first.share.is_some()), (3 << 20, true));
    let others: Vec<_> = (0..20)
        .map(|_| {
            let answer = much();
            // What is done with gives its room to the next.
            tokio::spawn(async move { answer.await.unwrap().payload.len() })
        })
        .collect();
    while budget.peer_answers.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        assert!(
            call(&a, to, Lane::Requests, Bytes::from_static(b"x"), PATIENT)
                .await
                .is_ok()
        );
    }
    assert!(!others.iter().any(tokio::task::JoinHandle::is_finished));
    drop(first);
    for other in others {
        assert_eq!(other.await.unwrap(), 3 << 20);
    }
    assert_eq!(budget.peer_answers.held(), 0);
    assert!(budget.peer_answers.peak() <= budget.peer_answers.limit());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_waits_for_any_more_takes_no_room() {
    let cluster = Cluster::new();
    let budget = Arc::new(Budget::new(32 << 20));
    let (a, _, _) = cluster.node_with("a", Arc::clone(&budget));
    let (_b, to) = cluster.serving("b", Arc::new(Generous), Arc::default());
    let much = || a.call(to, Lane::Requests, Bytes::from_static(b"much"), None, PATIENT);
    let first = much().await.unwrap();
    let abandoned: Vec<_> = (0..20).map(|_| tokio::spawn(much())).collect();
    while budget.peer_answers.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    for call in &abandoned {
        call.abort();
    }
    for call in abandoned {
        let _ = call.await;
    }
    drop(first);
    assert!(much().await.is_ok());
    while budget.peer_answers.held() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Tells when each request arrived.
struct Clocked(mpsc::UnboundedSender<Instant>);

impl PeerService for Clocked {
    fn handle(&self, _: SocketAddr, _: Bytes, arrived: Instant) -> BoxFuture<'static, Option<Encoded>> {
        let _ = self.0.send(arrived);
        Box::pin(async { Some(Bytes::from_static(b"y").into()) })
    }

    fn lost(&self, _: SocketAddr) {}
}

/// Its sender's time goes on while a request waits for room at its receiver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_for_room_counts_as_arrived() {
    let cluster = Cluster::new();
    let budget = Arc::new(Budget::new(32 << 20));
    let (a, _, _) = cluster.node("a");
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let (_b, to) = cluster.serving("b", Arc::new(Clocked(arrivals)), Arc::clone(&budget));
    let full = budget.peer_requests.owe(budget.peer_requests.limit());
    let large = Bytes::from(vec![5; 3 << 20]);
    let waiting = tokio::spawn(call(&a, to, Lane::Requests, large, PATIENT));
    while budget.peer_requests.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let waits = Instant::now();
    drop(full);
    assert!(arrived.recv().await.unwrap() <= waits);
    assert!(waiting.await.unwrap().is_ok());
    let before = Instant::now();
    let small = call(&a, to, Lane::Requests, Bytes::from_static(b"x"), PATIENT);
    assert!(small.await.is_ok());
    assert!(
        arrived.recv().await.unwrap() >= before,
        "each has a time of its own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_wait_for_room_at_their_receiver() {
    let cluster = Cluster::new();
    let budget = Arc::new(Budget::new(32 << 20));
    let (a, _, _) = cluster.node("a");
    let (_b, to, _) = cluster.node_with("b", Arc::clone(&budget));
    let large = Bytes::from(vec![5; 3 << 20]);
    let full = budget.peer_requests.owe(budget.peer_requests.limit());
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(call(&a, to, Lane::Requests, large.clone(), PATIENT)))
        .collect();
    while budget.peer_requests.waiting() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        assert!(
            call(&a, to, Lane::Requests, Bytes::from_static(b"x"), PATIENT)
                .await
                .is_ok()
        );
    }
    drop(full);
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(large.clone()));
    }
    assert!(budget.peer_requests.peak() <= budget.peer_requests.limit());
}
