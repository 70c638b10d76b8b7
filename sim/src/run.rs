//! One seed: a cluster is made, used, tormented, healed, and judged.

mod acts;
mod forgetting;
mod schema;
mod verdict;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use starling_cql::QueryParameters;
use starling_model::Consistency;

use crate::{
    alterer::Alterer,
    bug::Bug,
    checkers::{Promise, Violation, atomicity, causality, registers, truncation},
    cluster::{Cluster, ClusterSettings, Limits, Request, Role},
    executor::{Executor, Group, Handle},
    history::Outcome,
    nemesis::{Decay, Evils, Nemesis},
    network::Network,
    operator::Operator,
    quarrel::Quarrel,
    random::Random,
    reach::{DATACENTERS, Factors},
    side_by_side::panic_text,
    store::StoreSettings,
    trace::{Sink, Trace},
    workload::{Client, Recorder, Space},
};

/// Polls of tasks after which a run is given up, for each step of the workload.
const POLLS_PER_STEP: u64 = 40_000;

/// Sets the randomness of the operator apart from the rest.
const UPHEAVAL: u64 = 0x005E_ED0F_0417_0A57;

/// The same for who alters the keyspace.
const ALTERATIONS: u64 = 0x00A1_7E2A_7104;
/// The same for those who quarrel about the schema.
const QUARREL: u64 = 0x000D_15A6_4EE5_0417;

/// The same for where the nodes stand.
const PLACES: u64 = 0x0DA7_ACE4_7E45_0417;

/// The same for what rots on several nodes.
const DECAY: u64 = 0x0DEC_A4ED_B10C_0417;

/// The same for anti-entropy.
const REPAIR: u64 = 0xA717_E417_0991;

/// The same for how much nodes bear, how long clients wait, and how often reads repair beside what they must.
const STRAIN: u64 = 0x0005_74A1_4E55;

/// How long hints are kept in runs in which none may be too old.
const LASTING_HINTS: Duration = Duration::from_hours(3);

/// How long the cluster may take to become whole, without any fault, in virtual time.
const PATIENCE: Duration = Duration::from_secs(250);

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Determines everything that the plan leaves open.
    pub seed: u64,
    /// How many nodes; by the seed, if absent.
    pub nodes: Option<usize>,
    /// What goes wrong; by the seed, if absent.
    pub evils: Option<Evils>,
    /// How many things the clients do.
    pub steps: usize,
    /// Whether the ring changes meanwhile; by the seed, if absent.
    pub upheaval: Option<bool>,
    /// Nothing goes wrong but that the ring changes, and no request may fail.
    pub calm: bool,
    /// A bug to be found.
    pub bug: Option<Bug>,
}

impl Plan {
    /// A seed with everything else as usual.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            nodes: None,
            evils: None,
            steps: 300,
            upheaval: None,
            calm: false,
            bug: None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How many nodes there were at first.
    pub nodes: usize,
    /// The hash over all events.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much virtual time passed.
    pub time: Duration,
    /// What happened, in numbers.
    pub figures: Figures,
    /// What must not happen, and did.
    pub violations: Vec<Violation>,
}

/// What happened in a run, in numbers: a run in which nothing happens proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Writes that were refused.
    pub refused: usize,
    /// Writes with an unknown outcome.
    pub unknown: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Messages that the network lost.
    pub lost: u64,
    /// Messages that the network carried twice.
    pub duplicated: u64,
    /// Appends to files that crashes lost, whole or in part.
    pub lost_appends: u64,
    /// Changes of names that crashes undid.
    pub undone_names: u64,
    /// Bits of tables that rotted.
    pub rotten_bits: u64,
    /// Stretches of damaged tokens that were written anew after several nodes had rotted.
    pub healed: u64,
    /// Flushes that were installed by the nodes' last incarnations.
    pub flushes: u64,
    /// Compactions that were installed by the nodes' last incarnations.
    pub compactions: u64,
    /// Changes of the ring that were done or given up.
    pub ring_changes: u64,
    /// Nodes that died for good.
    pub dooms: usize,
    /// Pairs of changes of the schema that contradict each other and were done both.
    pub contradictions: usize,
    /// Datacenters in which replicas stand.
    pub datacenters: usize,
    /// Requests that must not fail, as nothing was wrong but that the ring changed.
    pub owed: u64,
    /// Those of them that all replicas have to answer.
    pub owed_at_all: u64,
    /// Requests that nodes had no room for.
    pub overloaded: u64,
    /// Requests whose clients went away early.
    pub given_up: u64,
}

impl Report {
    /// What there is to say of a seed that panicked where no run could be judged any more.
    pub fn of_panic(seed: u64, text: String) -> Self {
        Self {
            seed,
            nodes: 0,
            hash: 0,
            events: 0,
            time: Duration::ZERO,
            figures: Figures::default(),
            violations: vec![violation(Promise::NoPanic, text)],
        }
    }
}

/// Runs a plan; a panic anywhere in it is a violation too.
pub fn run(plan: &Plan, sink: Option<Sink>) -> Report {
    let trace = Arc::new(Trace::new(sink));
    let mut random = Random::new(plan.seed);
    let scene = Scene::new(plan, &mut random);
    let nodes = scene.settings.nodes;
    let budget = POLLS_PER_STEP * (plan.steps as u64 + 100);
    let progress = Arc::new(Mutex::new(Progress::default()));
    let shared = progress.clone();
    let traced = trace.clone();
    let outcome = catch_unwind(AssertUnwindSafe(move || {
        let mut executor = Executor::new(random.fork(), traced, budget);
        let handle = executor.handle().clone();
        let time = handle.clone();
        let result = executor.run(scene.play(handle, random, shared.clone()));
        shared.lock().time = time.now();
        result
    }));
    let mut violations = match outcome {
        Ok(Ok(violations)) => violations,
        Ok(Err(stuck)) => vec![violation(Promise::Recovery, stuck.to_string())],
        Err(panic) => vec![violation(Promise::NoPanic, panic_text(&*panic))],
    };
    violations.sort();
    let progress = progress.lock();
    Report {
        seed: plan.seed,
        nodes,
        hash: trace.hash(),
        events: trace.events(),
        time: progress.time,
        figures: progress.figures,
        violations,
    }
}

#[derive(Default)]
struct Progress {
    time: Duration,
    figures: Figures,
}

/// Everything that the seed decides beforehand.
struct Scene {
    space: Space,
    evils: Evils,
    decay: Decay,
    /// Whether several nodes rot once everything is healed.
    decays: bool,
    /// Hints alone make the replicas equal: there is no anti-entropy.
    only_hints: bool,
    clients: usize,
    steps: usize,
    /// Nothing is wrong but that the ring changes.
    calm: bool,
    /// What the operator draws from, who changes the ring; nobody does, if absent.
    upheaval: Option<Random>,
    /// What is drawn from by who alters the keyspace.
    alterations: Option<Random>,
    /// What those draw from who change the schema in ways that contradict each other; nobody does, if absent.
    quarrel: Option<Random>,
    settings: ClusterSettings,
}

impl Scene {
    /// Draws what the plan leaves open.
    fn new(plan: &Plan, random: &mut Random) -> Self {
        let replication = *random.pick(&[3, 3, 3, 3, 1, 2, 5]);
        let nodes = plan.nodes.unwrap_or_else(|| replication + random.index(3)).max(1);
        let mut factors = Factors::simple(replication.min(nodes));
        if plan.bug.is_some_and(Bug::needs_datacenters) {
            factors = Factors::by_datacenter([3, 3]);
        } else if plan.nodes.is_none() && plan.bug.is_none() {
            factors = spread(&mut Random::new(plan.seed ^ PLACES), factors);
        }
        // In each datacenter there are as many as in the other, or one more.
        let most = (0..DATACENTERS).map(|there| factors.there(there)).max();
        let nodes = match factors.datacenters() {
            1 => nodes,
            count => most.unwrap_or(1) * count + nodes - replication,
        };
        // Drawn apart, so that a seed is what it was in all else.
        let mut upheaval = Random::new(plan.seed ^ UPHEAVAL);
        let changes = upheaval.chance(500);
        let changes = plan.upheaval.unwrap_or(changes) || plan.calm;
        let spares = if changes { 1 + upheaval.index(4) } else { 0 };
        let mut alterations = Random::new(plan.seed ^ ALTERATIONS);
        // A bug has its own seeds.
        let alters = changes && alterations.chance(600) && plan.bug.is_none();
        // It knows one number of replicas, not one for each datacenter.
        let alters = alters && factors.name(0).is_none() && !plan.calm;
        let mut quarrel = Random::new(plan.seed ^ QUARREL);
        let quarrels = quarrel.chance(300);
        let quarrels = plan.bug.map_or(quarrels, Bug::needs_quarrels) && !plan.calm;
        let mut repair = Random::new(plan.seed ^ REPAIR);
        let mut strain = Random::new(plan.seed ^ STRAIN);
        let strains = !plan.calm && plan.bug.is_none();
        let limits = (strain.chance(300) && strains).then(|| Limits::random(&mut strain));
        let impatience = if strain.chance(400) && strains { 60 } else { 0 };
        let repair_chance = if strain.chance(300) && strains { 30 } else { 0 };
        let space = Space {
            disputed: quarrels,
            impatience,
            repair_chance,
            grace: *repair.pick(&[0, 10, 100]),
            ..Space::random(random, factors)
        };
        let evils = Evils::random(random);
        let evils = plan.evils.unwrap_or(evils);
        let evils = if plan.calm { Evils::NONE } else { evils };
        // With fewer replicas rot and death are too much together.
        let alters = alters && !(evils.rot && factors.bear_rot_and_death());
        let mut decay = Random::new(plan.seed ^ DECAY);
        let decays = decay.chance(500);
        let decays = plan.bug.map_or(decays, Bug::needs_decay) && evils.rot && factors.least() >= 3;
        let several = decay.chance(600) && plan.bug.is_none();
        // Where none dies for good two may rot in the same place.
        let overlap = if factors.bear_rot_and_death() && !changes {
            2
        } else {
            1
        };
        let decay = Decay {
            nodes: if several { 2 + decay.index(3) } else { 1 },
            overlap: if several { overlap } else { 1 },
        };
        // Nothing that happens can keep a hint from being kept and delivered; nothing else is needed then.
        let only_hints = !evils.crashes && !evils.full_disks && !evils.rot && !changes;
        let hint_age = Duration::from_secs(1 + repair.below(60));
        // Where clocks are minutes apart tombstones are kept for too long to see them go.
        let clock_skew = Duration::from_secs(if repair.chance(250) { 610 } else { 22 });
        let repair_interval = Duration::from_secs(5 + repair.below(15));
        let leaf_rows = 1 + repair.below(6);
        let lasting = only_hints || repair.chance(300);
        let hint_age = if lasting { LASTING_HINTS } else { hint_age };
        // Where hints do not last and nothing is repaired in the background, reads alone make the replicas equal.
        let only_reads = repair.chance(150) || plan.bug.is_some_and(Bug::is_hidden_by_repair);
        let repair_interval = (!only_hints && !only_reads).then_some(repair_interval);
        Self {
            space,
            evils,
            decay,
            decays,
            only_hints,
            clients: 1 + random.index(6),
            steps: plan.steps,
            calm: plan.calm,
            upheaval: changes.then_some(upheaval),
            alterations: alters.then_some(alterations),
            quarrel: quarrels.then_some(quarrel),
            settings: ClusterSettings {
                nodes,
                spares,
                factors,
                store: StoreSettings::random(random),
                vnodes: 1 + random.below(8) as u32,
                hint_age,
                clock_skew,
                repair_interval,
                leaf_rows,
                limits,
                bug: plan.bug,
            },
        }
    }

    fn acts(&self) -> verdict::Acts {
        verdict::Acts {
            only_hints: self.only_hints,
            decays: self.decays,
            outages: self.evils.crashes,
            full_disks: self.evils.full_disks,
            clocks: self.evils.clocks,
        }
    }

    async fn play(
        self,
        handle: Handle,
        mut random: Random,
        progress: Arc<Mutex<Progress>>,
    ) -> Vec<Violation> {
        let network = Network::new(handle.clone());
        let cluster = Cluster::new(
            handle.clone(),
            network.clone(),
            &mut random,
            self.settings.clone(),
        );
        let _cleaning = Cleaning(cluster.clone());
        let recorder = Recorder::default();
        if let Err(violation) = self.prepare(&handle, &cluster).await {
            return vec![violation];
        }
        self.torment(&handle, &cluster, &recorder).await;
        Nemesis::relent(&handle, &cluster).await;
        Operator::finish(&handle, &cluster, PATIENCE).await;
        let usual = self.space.factors.total();
        if self.alterations.is_some() && !Alterer::finish(&handle, &cluster, usual, PATIENCE).await {
            let text = "the keyspace can't be altered after healing".to_owned();
            return vec![violation(Promise::Recovery, text)];
        }
        let stage = acts::Stage {
            handle: &handle,
            cluster: &cluster,
            space: self.space,
            recorder: &recorder,
        };
        let mut violations = verdict::heal_and_compare(stage, self.acts()).await;
        violations.extend(recorder.violations());
        violations.extend(cluster.watch().violations());
        let failures = cluster.failures().into_iter();
        violations.extend(failures.map(|text| violation(Promise::Recovery, text)));
        let dooms = cluster.with_role(Role::Doomed).len();
        let history = recorder.history(self.space.factors, dooms);
        violations.extend(registers::check(&history));
        violations.extend(causality::check(&history));
        violations.extend(atomicity::check(&history));
        violations.extend(truncation::check(&history));
        let (overloaded, given_up) = recorder.strains();
        progress.lock().figures = Figures {
            overloaded,
            given_up,
            owed: recorder.debts().values().sum(),
            owed_at_all: recorder.debts().get(&Consistency::All).copied().unwrap_or(0),
            ..figures(&cluster, &history)
        };
        violations
    }

    /// Starts all nodes in fair weather and makes the schema.
    async fn prepare(&self, handle: &Handle, cluster: &Cluster) -> Result<(), Violation> {
        for number in cluster.residents() {
            if let Err(failure) = cluster.start(number).await {
                let text = format!("node {number} of a new cluster: {failure}");
                return Err(violation(Promise::Recovery, text));
            }
        }
        if !cluster.await_whole(PATIENCE).await {
            let text = verdict::describe(cluster);
            return Err(violation(
                Promise::Recovery,
                format!("no cluster was formed: {text}"),
            ));
        }
        for text in self.space.schema() {
            let parameters = QueryParameters::with_consistency(Consistency::Quorum);
            let request = Request::Query(text.clone(), parameters);
            if let Err(error) = cluster.request(0, request, PATIENCE).await {
                return Err(violation(Promise::Validity, format!("{text}: {error:?}")));
            }
        }
        if !cluster.await_whole(PATIENCE).await {
            let text = verdict::describe(cluster);
            return Err(violation(
                Promise::SchemaAgreement,
                format!("no agreement on a new schema: {text}"),
            ));
        }
        handle.sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Clients work while things go wrong.
    async fn torment(&self, handle: &Handle, cluster: &Cluster, recorder: &Recorder) {
        let evil = handle.group();
        let factors = self.space.factors;
        let evils = (self.evils, self.decay);
        let nemesis = Nemesis::new(handle, cluster, evils, factors, recorder);
        handle.spawn(evil, nemesis.run());
        if let Some(random) = &self.upheaval {
            let operator = Operator::new(handle, cluster, random.clone(), factors);
            let operator = if self.calm { operator.tidy() } else { operator };
            handle.spawn(evil, operator.run());
        }
        if let Some(random) = &self.alterations {
            let alterer = Alterer::new(
                handle,
                cluster,
                random.clone(),
                self.space.factors.total(),
                self.evils.rot,
            );
            handle.spawn(evil, alterer.run());
        }
        if let Some(random) = &self.quarrel {
            let quarrel = Quarrel::new(handle, cluster, random.clone(), recorder);
            handle.spawn(evil, quarrel.run());
        }
        let left = Arc::new(Mutex::new(self.steps));
        let mut working = Vec::new();
        for number in 0..self.clients {
            let client = Client::new(handle, cluster, self.space, recorder, number);
            let mut client = if self.calm { client.owed() } else { client };
            let left = left.clone();
            let (sender, receiver) = crate::executor::oneshot::channel();
            handle.spawn(Group::WORLD, async move {
                loop {
                    {
                        let mut left = left.lock();
                        if *left == 0 {
                            break;
                        }
                        *left -= 1;
                    }
                    client.step().await;
                }
                sender.send(());
            });
            working.push(receiver);
        }
        for client in working {
            client.await;
        }
        handle.kill(evil);
    }
}

/// Lets racks matter in some runs, and two datacenters in others.
fn spread(random: &mut Random, simple: Factors) -> Factors {
    match random.below(10) {
        0..=1 => Factors::by_datacenter([simple.total(), 0]),
        2..=3 => Factors::by_datacenter(*random.pick(&[[2, 2], [2, 2], [3, 2], [3, 3], [3, 1]])),
        _ => simple,
    }
}

/// Takes the nodes off the network at the end: they and it hold each other.
struct Cleaning(Cluster);

impl Drop for Cleaning {
    fn drop(&mut self) {
        for number in 0..self.0.len() {
            self.0.crash(number);
        }
    }
}

fn violation(promise: Promise, text: String) -> Violation {
    Violation { promise, text }
}

fn figures(cluster: &Cluster, history: &crate::history::History) -> Figures {
    let count = |outcome| {
        history
            .writes
            .iter()
            .filter(|write| write.outcome == outcome)
            .count()
    };
    let messages = cluster.network().counts();
    let mut figures = Figures {
        acknowledged: count(Outcome::Acknowledged),
        refused: count(Outcome::Refused),
        unknown: count(Outcome::Unknown),
        reads: history.reads.len(),
        lost: messages.lost,
        duplicated: messages.duplicated,
        dooms: history.dooms,
        contradictions: history.contradictions,
        datacenters: history.factors.datacenters(),
        healed: history.healed,
        ..Figures::default()
    };
    for number in 0..cluster.len() {
        let disk = cluster.disk(number).counts();
        figures.lost_appends += disk.lost_appends;
        figures.undone_names += disk.undone_names;
        figures.rotten_bits += disk.rotten_bits;
        if let Some(store) = cluster.store(number) {
            let (flushes, compactions) = store.jobs();
            figures.flushes += flushes;
            figures.compactions += compactions;
        }
        if let Some(node) = cluster.node(number) {
            figures.ring_changes = figures.ring_changes.max(node.ring_state().decided());
        }
    }
    figures
}
