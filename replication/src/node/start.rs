//! How a node comes to be: what it finds on its disk, its parts put together, and its work in the background.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use futures::channel::mpsc;
use starling_cql::schema::Schema;
use starling_model::NodeId;

use super::Node;
use crate::{
    anti_entropy::AntiEntropy,
    batch::{BatchLog, KeptBatches},
    clock::Clock,
    clock_floor::{ClockFloor, Now},
    config::Config,
    coordinator::{Coordinator, chance, waiting::Waiting},
    env::{CallError, Env},
    events::Listeners,
    gate::Gate,
    hints::Hints,
    identity::Identity,
    membership::{
        Membership,
        join::first_contact,
        known::{self, Known},
    },
    peer_clocks::PeerClocks,
    peers::Peers,
    query::prepared::PreparedStatements,
    replica::Replica,
    schema_agreement::{self, Parts, SchemaAgreement},
    snapshot::{Cluster, Peer, Views},
    start_error::StartError,
    status::Counters,
    streaming::Streaming,
    topology::{self, Book, Place, RingState, Stamp, Topology},
    tracing::TraceRing,
    truncations::Truncations,
};

/// How often hints and kept batches are looked after.
const MAINTENANCE: Duration = Duration::from_secs(1);

impl<E: Env> Node<E> {
    /// Starts the node: reads its identity, ring and schema from disk, asks the seeds for the ring if it is new, and
    /// spawns its background work, joining among it. Ends when peers and clients may be let in;
    /// [`Node::is_ready`] says when it serves.
    ///
    /// After an error the data directory holds the node's identity and nothing else that is new.
    pub async fn start(env: E, config: Config) -> Result<Arc<Self>, StartError> {
        if !(1..=256).contains(&config.vnodes) {
            return Err(StartError::Config(format!(
                "{} virtual nodes; a node has 1 to 256 of them",
                config.vnodes
            )));
        }
        let fs = &**env.fs();
        let state = Book::stored(fs)?;
        let in_ring = !state.members().is_empty();
        let identity = Identity::load(fs, &config, in_ring, env.wall(), || env.random())?;
        check_place(&state, identity.id)?;
        let schema = schema_agreement::load(fs)?;
        let known = known::load(fs)?;
        let clock = Arc::new(Clock::default());
        let clock_floor = Arc::new(ClockFloor::load(fs, &clock, Now::of(&env))?);
        for entry in schema.entries() {
            clock.observe(entry.version, env.wall());
        }
        let cluster = first_cluster(&config, &identity, &known);
        let book = Arc::new(Book::new(state));
        let views = Arc::new(Views::new(cluster, schema));
        let listeners = Arc::new(Listeners::default());
        let shared = (
            Arc::clone(&clock),
            Arc::clone(&views),
            Arc::clone(&listeners),
            Arc::new(Counters::default()),
        );
        let (membership, woken) = Membership::new(
            env.clone(),
            config.clone(),
            &identity,
            shared,
            Arc::clone(&book),
            known,
        );
        let membership = Arc::new(membership);
        let suspects = Arc::clone(&membership);
        let truncations = Arc::new(Truncations::new(identity.generation));
        let peers = Arc::new(Peers::new(
            env.clone(),
            identity.id,
            Arc::clone(&clock),
            Arc::clone(&views),
            Arc::clone(&truncations),
            Box::new(move |peer, error| match error {
                CallError::Broken(_) => suspects.suspect(peer.id, peer.address),
                _ => suspects.report_unreachable(peer.id),
            }),
        ));
        if !in_ring {
            let state = first_contact(&env, &config, &identity, &peers, &clock).await?;
            check_place(&state, identity.id)?;
            Book::save(&**env.fs(), &state)?;
            for member in state.members() {
                state
                    .address(member.id)
                    .into_iter()
                    .for_each(|seed| membership.add_seed(seed));
            }
            book.merge(&state, None);
        }
        membership.ring_changed();
        let node = Self::assemble(
            env,
            config,
            identity.id,
            (clock, clock_floor),
            (views, book),
            listeners,
            membership,
            (peers, truncations),
        )
        .await?;
        node.begin(woken);
        Ok(node)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a node, once, where it is put together"
    )]
    async fn assemble(
        env: E,
        config: Config,
        id: NodeId,
        (clock, clock_floor): (Arc<Clock>, Arc<ClockFloor>),
        (views, book): (Arc<Views>, Arc<Book>),
        listeners: Arc<Listeners>,
        membership: Arc<Membership<E>>,
        (peers, truncations): (Arc<Peers<E>>, Arc<Truncations>),
    ) -> Result<Arc<Self>, StartError> {
        let bounds = config.bounds;
        let counters = Arc::clone(&membership.counters);
        let hints = Arc::new(Hints::open(env.clone(), bounds, Arc::clone(&counters)));
        let kept = Arc::new(KeptBatches::open(env.clone(), &config).await?);
        let replica = Arc::new(Replica::new(
            env.clone(),
            Arc::clone(&views),
            Arc::clone(&counters),
            Arc::clone(&clock_floor),
            truncations,
        ));
        let ring_changes = Arc::new(Topology::new(topology::Parts {
            env: env.clone(),
            config: config.clone(),
            me: id,
            clock: Arc::clone(&clock),
            views: Arc::clone(&views),
            membership: Arc::clone(&membership),
            peers: Arc::clone(&peers),
            book: Arc::clone(&book),
        }));
        let streaming = Arc::new(Streaming::open(
            env.clone(),
            (id, config.shards),
            bounds.stream_rate,
            Arc::clone(&views),
            Arc::clone(&peers),
            Arc::clone(&replica),
            Arc::clone(&counters),
        )?);
        let coordinator = Arc::new(Coordinator {
            env: env.clone(),
            clock: Arc::clone(&clock),
            views: Arc::clone(&views),
            peers: Arc::clone(&peers),
            replica: Arc::clone(&replica),
            hints: Arc::clone(&hints),
            kept: Arc::clone(&kept),
            topology: Arc::clone(&ring_changes),
            counters: Arc::clone(&counters),
            budget: Arc::clone(&config.budget),
            datacenter: config.datacenter.clone(),
            timeouts: config.timeouts,
            healing: AtomicBool::new(false),
            waiting: Waiting::default(),
            comparisons: Gate::new(chance::AT_ONCE),
        });
        let told = Arc::clone(&membership);
        let agreement = Arc::new(SchemaAgreement::new(
            Parts {
                env: env.clone(),
                views: Arc::clone(&views),
                peers: Arc::clone(&peers),
                clock: Arc::clone(&clock),
                counters: Arc::clone(&counters),
                listeners: Arc::clone(&listeners),
            },
            Box::new(move || {
                told.say_schema();
                told.observe();
            }),
        ));
        agreement.hand_down(&Schema::default());
        ring_changes.link(&streaming, &agreement);
        let anti_entropy =
            AntiEntropy::open(Arc::clone(&coordinator), id, config.repair, bounds.hint_horizon())?;
        Ok(Arc::new(Self {
            id,
            book,
            ring_changes,
            anti_entropy: Arc::new(anti_entropy),
            batch_log: Arc::new(BatchLog::new(
                env.clone(),
                Arc::clone(&coordinator),
                Arc::clone(&kept),
            )),
            prepared: PreparedStatements::new(bounds.prepared, bounds.prepared_bytes),
            traces: TraceRing::new(bounds.traces),
            coordinated: Gate::new(bounds.coordinated),
            served: Gate::new(bounds.served),
            hints_served: Gate::new(bounds.hints_served),
            stopping: AtomicBool::new(false),
            agreement,
            clock,
            clock_floor,
            peer_clocks: PeerClocks::default(),
            views,
            counters,
            listeners,
            membership,
            peers,
            replica,
            hints,
            coordinator,
            streaming,
            kept,
            env,
            config,
        }))
    }

    /// Spawns the background work.
    fn begin(self: &Arc<Self>, woken: mpsc::Receiver<()>) {
        self.env.spawn(Arc::clone(&self.ring_changes).begin());
        let node = Arc::clone(self);
        let membership = Arc::clone(&self.membership);
        self.env.spawn(membership.run(woken, move || node.catch_up()));
        self.env.spawn(Arc::clone(&self.anti_entropy).run());
        let node = Arc::clone(self);
        self.env.spawn(async move {
            while !node.is_stopping() {
                node.env.sleep(MAINTENANCE).await;
                let keeper = Arc::clone(&node);
                let store = move || keeper.store_clock();
                node.env.blocking(store).await;
                node.coordinator.deliver_hints();
                node.coordinator.forget_lost_truncations();
                let snapshot = node.views.load();
                snapshot
                    .cluster
                    .live_others()
                    .for_each(|peer| peer.latency.forgive());
                node.streaming.maintain();
                node.coordinator.heal_damage().await;
                node.batch_log.begin_replay();
            }
        });
    }

    fn catch_up(&self) {
        self.ring_changes.catch_up();
        for peer in self.membership.disagreeing() {
            self.agreement.pull_from(&peer, self.config.timeouts.schema);
        }
    }
}

/// What is known before gossip begins: this node, not in the ring yet, and those that were.
fn first_cluster(config: &Config, identity: &Identity, known: &[Known]) -> Cluster {
    let (latency, calls) = Peer::fresh_state();
    let own = Peer {
        id: identity.id,
        address: config.listen,
        cql: Some(config.cql),
        datacenter: config.datacenter.clone(),
        rack: config.rack.clone(),
        tokens: Vec::new(),
        alive: true,
        joined: false,
        replaces: None,
        schema_version: None,
        ring: Stamp::default(),
        release: Some(config.release.clone()),
        latency,
        calls,
    };
    let mut peers: Vec<Peer> = known.iter().map(Known::as_peer).collect();
    peers.push(own);
    Cluster::new(config.partitioner, identity.id, peers, &RingState::default())
}

/// A node that is out of the ring for good does not start.
fn check_place(state: &RingState, me: NodeId) -> Result<(), StartError> {
    match (state.refused_since(me), state.place(me)) {
        (Some(at), _) => Err(StartError::Removed(at)),
        (None, Some(Place::Gone { .. })) => Err(StartError::Left),
        _ => Ok(()),
    }
}
