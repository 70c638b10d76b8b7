//! What goes wrong: crashes, cuts, bad weather, wrong clocks, disks that are full or rot.

use std::time::Duration;

use crate::{
    cluster::{Cluster, Role},
    executor::{First, Handle, first},
    network::Weather,
    random::Random,
    reach::Factors,
    trace::Place,
    workload::Recorder,
};

/// How often a node that does not come up is started again, at most.
const ATTEMPTS: usize = 20;

/// Which evils a run knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evils {
    /// Nodes lose their power and get it back.
    pub crashes: bool,
    /// Links and nodes are cut off.
    pub partitions: bool,
    /// Messages are late, lost, doubled and refused.
    pub weather: bool,
    /// Wall clocks are wrong.
    pub clocks: bool,
    /// Disks are full for a while.
    pub full_disks: bool,
    /// What disks store rots.
    pub rot: bool,
}

impl Evils {
    /// Everything.
    pub const ALL: Self = Self {
        crashes: true,
        partitions: true,
        weather: true,
        clocks: true,
        full_disks: true,
        rot: true,
    };

    /// Nothing.
    pub const NONE: Self = Self {
        crashes: false,
        partitions: false,
        weather: false,
        clocks: false,
        full_disks: false,
        rot: false,
    };

    /// A random choice; often all.
    pub fn random(random: &mut Random) -> Self {
        if random.chance(400) {
            return Self::ALL;
        }
        let (crashes, partitions) = (random.chance(700), random.chance(500));
        let (weather, clocks) = (random.chance(600), random.chance(300));
        let disks = random.chance(300);
        Self {
            crashes,
            partitions,
            weather,
            clocks,
            full_disks: disks,
            rot: disks,
        }
    }
}

/// Who rots beside the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decay {
    /// On so many nodes at most what they store rots.
    pub nodes: usize,
    /// What one token has rots on so many of them at most, from the beginning of the run to its end. So the others can give it
    /// back at all times.
    pub overlap: usize,
}

/// The source of all evil.
pub struct Nemesis {
    handle: Handle,
    cluster: Cluster,
    random: Random,
    evils: Evils,
    /// The longest pause between two evils.
    pace: Duration,
    /// A node that stays away until all evil ends.
    exile: Option<usize>,
    /// Whose stored tables rot. Where there are few replicas they don't while another node is dead for good, so that the others still
    /// have what they held.
    rots: Vec<usize>,
    /// On so many of them at most anything of one token does.
    overlap: usize,
    recorder: Recorder,
}

impl Nemesis {
    /// A nemesis that knows certain evils.
    pub fn new(
        handle: &Handle,
        cluster: &Cluster,
        (evils, decay): (Evils, Decay),
        factors: Factors,
        recorder: &Recorder,
    ) -> Self {
        let mut random = handle.fork_random();
        let pace = Duration::from_millis(300 + random.below(4_000));
        let first =
            (evils.rot && factors.least() >= 3 && random.chance(500)).then(|| random.index(cluster.len()));
        let count = decay.nodes.min(cluster.len());
        let rots = first.map_or_else(Vec::new, |first| {
            (first..first + count)
                .map(|number| number % cluster.len())
                .collect()
        });
        Self {
            handle: handle.clone(),
            cluster: cluster.clone(),
            random,
            evils,
            pace,
            exile: None,
            rots,
            overlap: decay.overlap,
            recorder: recorder.clone(),
        }
    }

    /// Never ends; drop it when there was enough of it.
    pub async fn run(mut self) {
        loop {
            let pause = self.random.between(Duration::from_millis(20), self.pace);
            self.handle.sleep(pause).await;
            match self.random.below(12) {
                0..=2 if self.evils.crashes => self.crash().await,
                3 if self.evils.crashes => self.crash_all(),
                4..=5 if self.evils.partitions => self.partition(),
                6 if self.evils.partitions => self.heal(),
                7 if self.evils.partitions => self.slow_down(),
                8 if self.evils.weather => self.weather(),
                9 if self.evils.clocks => self.skew(),
                10 if self.evils.full_disks => self.fill_disk(),
                11 if self.evils.rot => self.rot(),
                _ => {}
            }
        }
    }

    /// Ends all evil but wrong clocks, and starts every node; who can't be started stays down. A node that does not
    /// start with what rotted gets it mended. Those that run open what rotted anew: otherwise they would never find it, though who
    /// fetches their files does.
    pub async fn relent(handle: &Handle, cluster: &Cluster) {
        note(handle, "relent", String::new);
        cluster.network().set_weather(Weather::default());
        cluster.network().heal();
        for number in cluster.residents() {
            cluster.disk(number).stay_alive();
            cluster.disk(number).set_capacity(None);
            // It died, and whoever waited for that is gone.
            if cluster.disk(number).is_dead() {
                cluster.crash(number);
            }
            if !cluster.disk(number).rotted().is_empty() {
                cluster.kill(number);
            }
        }
        for number in cluster.residents() {
            cluster
                .start_surely(number, ATTEMPTS, Duration::from_millis(200))
                .await;
        }
    }

    /// Kills one node's process or cuts its power, perhaps in the middle of a write to its disk, and restores it in a while.
    async fn crash(&mut self) {
        let victim = *self.random.pick(&self.cluster.residents());
        if self.random.chance(600) {
            let changes = self.random.below(40);
            let dies = self.cluster.crash_in_the_middle(victim, changes);
            let limit = self.handle.sleep(Duration::from_secs(2));
            if let First::Left(_) = first(dies, limit).await {
                note(&self.handle, "torn", || format!("n{victim} dies while it writes"));
            }
        }
        if self.random.chance(300) {
            self.cluster.kill(victim);
        } else {
            self.cluster.crash(victim);
        }
        if self.exile.is_none() && self.cluster.settings().spares == 0 && self.random.chance(100) {
            note(&self.handle, "exile", || format!("n{victim} stays away"));
            self.exile = Some(victim);
        }
        self.revive_later(vec![victim]);
    }

    /// Cuts everyone's power at once.
    fn crash_all(&mut self) {
        if !self.random.chance(400) {
            return;
        }
        let mut all = self.cluster.residents();
        self.random.shuffle(&mut all);
        for number in &all {
            self.cluster.crash(*number);
        }
        self.revive_later(all);
    }

    fn revive_later(&mut self, numbers: Vec<usize>) {
        for number in numbers {
            if self.exile == Some(number) {
                continue;
            }
            let delay = match self.random.below(3) {
                0 => Duration::from_secs(self.random.below(20)),
                _ => Duration::from_millis(self.random.below(3000)),
            };
            let (handle, cluster) = (self.handle.clone(), self.cluster.clone());
            self.handle.spawn(crate::executor::Group::WORLD, async move {
                handle.sleep(delay).await;
                cluster
                    .start_surely(number, ATTEMPTS, Duration::from_millis(500))
                    .await;
            });
        }
    }

    /// Cuts the nodes into two halves, or some links in one direction.
    fn partition(&mut self) {
        let mut order = self.cluster.residents();
        let count = order.len();
        self.random.shuffle(&mut order);
        let mut at = 1 + self.random.index(count);
        if self.cluster.settings().factors.datacenters() > 1 && self.random.chance(300) {
            // What lies between the datacenters is cut.
            order.sort_by_key(|number| self.cluster.datacenter(*number));
            at = order.partition_point(|number| self.cluster.datacenter(*number) == 0);
        }
        let (left, right) = order.split_at(at);
        let one_way = self.random.chance(300);
        let partial = self.random.chance(300);
        note(&self.handle, "cut", || {
            format!("{left:?} from {right:?}, one way: {one_way}, partial: {partial}")
        });
        let network = self.cluster.network().clone();
        for from in left {
            for to in right {
                if partial && self.random.chance(500) {
                    continue;
                }
                let (from, to) = (self.cluster.address(*from), self.cluster.address(*to));
                network.block(from, to);
                if !one_way {
                    network.block(to, from);
                }
            }
        }
    }

    fn heal(&mut self) {
        note(&self.handle, "heal", String::new);
        self.cluster.network().heal();
    }

    fn slow_down(&mut self) {
        let slow = *self.random.pick(&self.cluster.residents());
        let by = Duration::from_millis(self.random.below(2500));
        note(&self.handle, "slow", || format!("n{slow} by {by:?}"));
        for other in 0..self.cluster.len() {
            let (from, to) = (self.cluster.address(slow), self.cluster.address(other));
            self.cluster.network().slow_down(from, to, by);
        }
    }

    fn weather(&mut self) {
        let weather = Weather::random(&mut self.random);
        note(&self.handle, "weather", || format!("{weather:?}"));
        self.cluster.network().set_weather(weather);
    }

    /// There is little room on one node's disk for a while.
    fn fill_disk(&mut self) {
        let number = *self.random.pick(&self.cluster.residents());
        let disk = self.cluster.disk(number).clone();
        let room = self.random.below(8192);
        disk.set_capacity(Some(disk.used() + room));
        note(&self.handle, "full", || {
            format!("n{number} has room for {room} bytes")
        });
        let length = self
            .random
            .between(Duration::from_millis(100), Duration::from_secs(8));
        let handle = self.handle.clone();
        self.handle.spawn(crate::executor::Group::WORLD, async move {
            handle.sleep(length).await;
            disk.set_capacity(None);
            note(&handle, "room", || format!("n{number} has room again"));
        });
    }

    fn rot(&mut self) {
        let number = match self.rots[..] {
            [] => return,
            [number] => number,
            _ => *self.random.pick(&self.rots),
        };
        // The copies of a node that died may be anew on this one alone, or be waited for.
        let bears_both = self.cluster.settings().factors.bear_rot_and_death();
        if !bears_both && !self.cluster.with_role(Role::Doomed).is_empty() {
            return;
        }
        let mut random = self.random.fork();
        let may = |tokens| self.cluster.rotted_elsewhere(number, tokens) < self.overlap;
        if self.cluster.disk(number).rot(&mut random, may) {
            note(&self.handle, "rot", || format!("of what n{number} stores"));
            self.recorder.rot(self.overlap);
        }
    }

    fn skew(&mut self) {
        let number = *self.random.pick(&self.cluster.residents());
        let most = self.cluster.settings().clock_skew.as_micros() as u64 / 2;
        let widest = (*self.random.pick(&[1_000_u64, 500_000, 10_000_000, 300_000_000])).min(most);
        let micros = self.random.below(2 * widest) as i64 - widest as i64;
        note(&self.handle, "skew", || format!("n{number} by {micros} us"));
        self.cluster.set_skew(number, micros);
    }
}

fn note(handle: &Handle, kind: &str, text: impl FnOnce() -> String) {
    handle.trace().event(handle.now(), Place::World, kind, &[], text);
}
