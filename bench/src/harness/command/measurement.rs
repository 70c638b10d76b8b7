//! The measured part of a run: load, faults and samples at the same time.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    time::{Duration, Instant},
};

use super::super::{
    drive::{generator::Generator, part::Parts, plan::Plan},
    evidence::{
        availability,
        collector::Collector,
        disk_probe::DiskProbe,
        generators::Generators,
        live::Live,
        process::{Meter, Sample, size_of_tree},
        recorder::News,
        result::{Availability, FaultEvent, OperationResult, Second, ServerCost},
        window::Window,
    },
    local::{
        cluster::LocalCluster,
        execution::{carry_out, lock},
        fault::Fault,
        waiting_hints,
    },
    verify::Verifier,
    workload::script::Program,
};
use crate::error::Error;

/// How often the terminal and the samples are looked after.
const TICK: Duration = Duration::from_millis(100);

/// The servers' processes and files, where they are of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// Ours.
    pub cluster: Option<&'a Mutex<LocalCluster>>,
    /// Others'.
    pub processes: &'a [u32],
    /// Others'.
    pub directories: &'a [PathBuf],
}

impl Watched<'_> {
    /// All of them that run.
    pub(super) fn processes(&self) -> Vec<u32> {
        let mut all = self.processes.to_vec();
        all.extend(
            self.cluster
                .map(|cluster| lock(cluster).processes())
                .unwrap_or_default(),
        );
        all
    }

    fn sample(&self, meter: &mut Meter) -> Sample {
        if let Some(cluster) = self.cluster {
            for (process, last) in lock(cluster).take_ended() {
                meter.ended(process, last);
            }
        }
        meter.sample(&self.processes())
    }

    fn disk_bytes(&self) -> Option<u64> {
        let own = self
            .cluster
            .map(|cluster| size_of_tree(lock(cluster).directory()));
        let others: u64 = self.directories.iter().map(|dir| size_of_tree(dir)).sum();
        match own {
            None if self.directories.is_empty() => None,
            own => Some(own.unwrap_or(0) + others),
        }
    }
}

/// What is done.
#[derive(Debug)]
pub struct Measurement<'a> {
    /// The load.
    pub plan: &'a Plan,
    /// Who judges what is read.
    pub verifier: Option<Arc<Verifier>>,
    /// Load-generating processes.
    pub processes: u32,
    /// What is done to the servers.
    pub faults: &'a [Fault],
    /// The servers.
    pub watched: Watched<'a>,
    /// Bytes of values that were loaded before.
    pub loaded_payload: u64,
    /// The disk of a cluster of our own is asked how slow it is.
    pub probe_disk: bool,
    /// Nothing is shown.
    pub quiet: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    /// The measured time, in seconds.
    pub seconds: f64,
    /// All operations together.
    pub total: OperationResult,
    /// Each operation.
    pub operations: Vec<OperationResult>,
    /// How late operations were begun.
    pub begun_late_p99_us: Option<u64>,
    /// Each second.
    pub timeline: Vec<Second>,
    /// What the servers spent.
    pub server: Option<ServerCost>,
    /// Cores that each load-generating process used.
    pub generator_cores: Vec<f64>,
    /// Syncs a second of the disk alone.
    pub disk_syncs_per_second: Option<f64>,
    /// What was done to them.
    pub faults: Vec<FaultEvent>,
    /// Whether they could be used.
    pub availability: Availability,
    /// For each kind of error the first message.
    pub examples: BTreeMap<String, String>,
    /// Nodes that left.
    pub gone: Vec<u32>,
}

/// What the servers had spent when the measured time began and ended, and when the load did.
struct Spent {
    /// Absent if no server could be looked at.
    servers: Option<(Sample, Sample)>,
    generator_cores: Vec<f64>,
    ended: Instant,
}

impl Measurement<'_> {
    /// Drives the load until it ends.
    ///
    /// # Errors
    /// The load can't be made. What servers refuse is part of what is measured.
    pub fn run(&self, program: &Program) -> Result<Measured, Error> {
        let probe = self.disk_probe()?;
        let rate = || probe.as_ref().map(DiskProbe::rate).transpose();
        let rate_before = rate()?;
        let parts = match self.processes {
            0 | 1 => None,
            several => Some(Parts::start(self.plan, several)?),
        };
        let generators = parts
            .as_ref()
            .map_or_else(|| vec![std::process::id()], Parts::processes);
        // A second that the warm-up ends in is not a measured one.
        let warm_up = self.plan.warm_up.as_secs_f64().ceil() as u64;
        let mut meter = Meter::default();
        // Taken before the load begins: what the servers spend on a short load's first moments counts too.
        let idle = self.watched.sample(&mut meter);
        let start = Instant::now();
        let measured = start + self.plan.warm_up;
        let (news, received) = channel();
        let (sync_news, syncs_told) = channel();
        let (end_syncs, syncs_end) = channel();
        let (fault_news, faults_told) = channel();
        let (end_faults, faults_end) = channel();
        let (hint_news, hints_told) = channel();
        let (end_hints, hints_end) = channel();
        let whole = self.plan.duration.map(|duration| self.plan.warm_up + duration);
        let mut collector = Collector::new(warm_up, whole.map(|whole| whole.as_secs_f64().ceil() as u64));
        let (spent, outcome, gone) = std::thread::scope(|scope| {
            let load = scope.spawn(move || match parts {
                Some(parts) => parts.run(&news),
                None => self.generate(start, &news),
            });
            let faults = self
                .watched
                .cluster
                .filter(|_| !self.faults.is_empty())
                .map(|cluster| {
                    scope.spawn(move || {
                        carry_out(self.faults, cluster, (start, measured), &faults_end, &fault_news)
                    })
                });
            if let Some(cluster) = self.watched.cluster.filter(|_| !self.faults.is_empty()) {
                scope.spawn(move || waiting_hints::follow(cluster, start, &hints_end, &hint_news));
            }
            if let Some(probe) = &probe {
                scope.spawn(move || probe.follow(start, &syncs_end, &sync_news));
            }
            let end = self.plan.duration.map(|duration| measured + duration);
            let window = Window::new(measured, end);
            let window = if self.plan.warm_up.is_zero() {
                window.since(idle)
            } else {
                window
            };
            let generators = Generators::new(generators);
            let spent = self.watch(&mut collector, &received, start, (meter, window, generators));
            let outcome = load
                .join()
                .unwrap_or_else(|_| Err(Error::Protocol("the load ended early".into())));
            drop((end_faults, end_hints, end_syncs));
            let gone = faults.and_then(|faults| faults.join().ok()).unwrap_or_default();
            (spent, outcome, gone)
        });
        outcome?;
        // Flushes of the load may go on: the better rate is the disk's.
        let disk_syncs_per_second = rate()?.zip(rate_before).map(|(after, before)| after.max(before));
        let seconds = self
            .plan
            .duration
            .unwrap_or_else(|| spent.ended.saturating_duration_since(measured))
            .as_secs_f64();
        for (second, bytes) in hints_told.try_iter() {
            collector.hints(second, bytes);
        }
        for (second, took) in syncs_told.try_iter() {
            collector.disk_sync(second, took);
        }
        let names: Vec<String> = program.operations.iter().map(|task| task.name.clone()).collect();
        let (operations, total) = collector.operations(&names, seconds);
        let timeline = collector.timeline();
        let mut faults: Vec<FaultEvent> = faults_told.try_iter().collect();
        faults.sort_by(|a, b| a.at.total_cmp(&b.at));
        let availability = availability::judge(&timeline, &mut faults);
        Ok(Measured {
            seconds,
            server: self.cost(&spent, &collector, total.answered),
            begun_late_p99_us: collector.lateness_p99_us(),
            disk_syncs_per_second,
            generator_cores: spent.generator_cores,
            total,
            operations,
            timeline,
            faults,
            availability,
            examples: collector.examples().clone(),
            gone,
        })
    }

    fn disk_probe(&self) -> Result<Option<DiskProbe>, Error> {
        if !self.probe_disk {
            return Ok(None);
        }
        let cluster = self.watched.cluster.ok_or_else(|| {
            Error::Usage("--probe-disk asks the disk of a cluster of our own, and there is none".to_owned())
        })?;
        DiskProbe::new(lock(cluster).directory()).map(Some)
    }

    fn generate(&self, start: Instant, news: &std::sync::mpsc::Sender<News>) -> Result<(), Error> {
        let generator = Generator::new(self.plan.clone(), self.verifier.clone())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(generator.run(start, news))
    }

    /// Gathers what lanes report, samples the servers each second, shows both; ends when all lanes have.
    fn watch(
        &self,
        collector: &mut Collector,
        received: &Receiver<News>,
        start: Instant,
        (mut meter, mut window, mut generators): (Meter, Window, Generators),
    ) -> Spent {
        let steps = self
            .plan
            .duration
            .map(|duration| (self.plan.warm_up + duration).as_secs());
        let live = Live::new("running", steps, self.quiet);
        let (mut second, mut ended, mut look_at_generators) = (0, start, start);
        loop {
            // Samples fall on the end of the warm-up and that of the measured time, not on the ticks after them.
            let wait = window.next(Instant::now()).map_or(TICK, |next| next.min(TICK));
            let news = received.recv_timeout(wait);
            let now = Instant::now();
            match news {
                Ok(News::Slice(slice)) => collector.slice(&slice),
                Ok(News::Total(total)) => {
                    collector.total(total);
                    ended = now;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            window.look(now, || self.watched.sample(&mut meter));
            if window.is_open() && now >= look_at_generators {
                generators.look(now);
                look_at_generators = now + TICK;
            }
            let current = now.saturating_duration_since(start).as_secs();
            if current > second {
                let sample = self.watched.sample(&mut meter);
                collector.sample(current - 1, sample);
                second = current;
                live.at(current);
                if let Some(newest) = collector.newest(current) {
                    live.show(&newest);
                }
            }
        }
        let servers = window.close(|| self.watched.sample(&mut meter));
        live.end();
        Spent {
            servers: meter.has_seen_any().then_some(servers),
            generator_cores: generators.cores(),
            ended,
        }
    }

    fn cost(&self, spent: &Spent, collector: &Collector, operations: u64) -> Option<ServerCost> {
        let (before, after) = spent.servers?;
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let payload = collector.payload_bytes();
        let written = after.written_bytes.zip(before.written_bytes);
        let written = written.map(|(after, before)| after.saturating_sub(before));
        let disk = self.watched.disk_bytes();
        let ratio =
            |bytes: Option<u64>, of: u64| bytes.filter(|_| of > 0).map(|bytes| bytes as f64 / of as f64);
        Some(ServerCost {
            cpu_seconds: cpu,
            cpu_us_per_operation: cpu * 1e6 / (operations.max(1) as f64),
            memory_peak_bytes: collector.memory_peak().max(after.memory_bytes),
            own_memory_peak_bytes: Some(collector.own_memory_peak().max(after.own_memory_bytes)),
            disk_written_bytes: written,
            payload_bytes: payload,
            disk_bytes: disk,
            written_per_payload: ratio(written, payload),
            disk_per_payload: ratio(disk, collector.all_payload_bytes() + self.loaded_payload),
        })
    }
}
