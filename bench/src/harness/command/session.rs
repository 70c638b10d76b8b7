//! One run, from the schema to the verdict.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc::channel},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use starling_model::Consistency;

use super::{
    super::{
        drive::{
            answer::gives,
            cql,
            generator::Generator,
            lane::Pass,
            plan::{Plan, Protocol},
            quic,
        },
        evidence::{
            live::Live,
            process::machine,
            quiet,
            recorder::News,
            result::{RunResult, RunSettings, Settled, Verification},
        },
        local::{
            binary,
            cluster::{LocalCluster, Wishes},
            execution::lock,
            fault::{self, Action, Fault},
        },
        verify::{Verifier, last_reads, needed, says_nothing},
        workload::{
            file::Workload,
            ready,
            script::{Prepared, Program, Role},
        },
    },
    arguments::{LoadArguments, Neighbours},
    measurement::{Measurement, Watched},
    target::{Servers, Target},
};
use crate::{cluster::server_beside_this_program, connection::Connection, error::Error};

/// How long nodes may take to learn of the workload's tables.
const SCHEMA_WITHIN: Duration = Duration::from_secs(20);

/// What is missing for servers that somebody else set up.
const NO_REPLICAS: &str = "say with --replication-factor how many replicas each row is to have on these servers, or leave their \
                           tables as they are with --no-load";

/// Operations a second that can be asked for.
const RATES: RangeInclusive<f64> = 1e-3..=1e7;

/// A target that is ready, a workload that fits, and how it is driven.
#[derive(Debug)]
pub struct Session {
    arguments: LoadArguments,
    target: Target,
    neighbours: Neighbours,
    label: String,
    workload: Workload,
    plan: Plan,
    cluster: Option<Mutex<LocalCluster>>,
    /// Which build the cluster is of.
    server: Option<String>,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    /// Checks everything that can be checked beforehand, and starts the cluster if it is our own.
    ///
    /// # Errors
    /// Something does not fit; or the cluster does not start.
    pub fn new(
        arguments: &LoadArguments,
        target: Target,
        neighbours: &Neighbours,
        label: String,
    ) -> Result<Self, Error> {
        let workload = check(arguments, &target, neighbours)?;
        let plan = plan(arguments, &target)?;
        plan.program()?;
        let (cluster, server) = match &target.servers {
            Servers::Given(_) => (None, None),
            Servers::Own(binary) => {
                let binary = binary.clone().or_else(|| arguments.server.clone());
                let binary = binary.map_or_else(server_beside_this_program, Ok)?;
                let wishes = Wishes {
                    nodes: arguments.nodes,
                    extra: &arguments.node_argument,
                    partitions: fault::needs_relay(&faults(arguments)?),
                };
                let cluster = LocalCluster::start(&binary, wishes)?;
                (Some(Mutex::new(cluster)), Some(binary::described(&binary)?))
            }
        };
        let mut session = Self {
            arguments: arguments.clone(),
            target,
            neighbours: neighbours.clone(),
            label,
            workload,
            plan,
            cluster,
            server,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        };
        session.plan.addresses = session.addresses();
        Ok(session)
    }

    /// Makes the tables, loads them, drives the workload, verifies.
    ///
    /// # Errors
    /// The servers refuse the workload, or can't be reached. Errors in the run are part of the result.
    pub fn run(&self) -> Result<RunResult, Error> {
        let program = self.plan.program()?;
        let records = program.growth.loaded();
        let replicas = self.replication_factor();
        let known = || replicas.ok_or_else(|| Error::Usage(NO_REPLICAS.to_owned()));
        let verifier = if self.arguments.verify {
            Some(Self::verifier(&program, known()?)?)
        } else {
            None
        };
        let loaded_payload = if self.arguments.no_load {
            0
        } else {
            self.make_tables(known()?)?;
            self.wait_for_tables(&program)?;
            self.before_the_run(Pass::Load, records)?.payload_bytes
        };
        let settled = self.arguments.settle.then(|| self.settle(records)).transpose()?;
        let faults = faults(&self.arguments)?;
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let measurement = Measurement {
            plan: &self.plan,
            verifier: verifier.clone(),
            processes: self.arguments.processes,
            faults: &faults,
            watched: self.watched(),
            loaded_payload,
            probe_disk: self.arguments.probe_disk,
            quiet: self.arguments.quiet,
        };
        let measured = measurement.run(&program)?;
        let verification = verifier.map(|verifier| self.verified(&verifier, &measured.gone));
        Ok(RunResult {
            format: super::super::evidence::result::FORMAT,
            label: self.label.clone(),
            workload: self.arguments.workload.clone(),
            started,
            settings: self.settings(&program, replicas),
            machine: machine(),
            settled,
            seconds: measured.seconds,
            total: measured.total,
            operations: measured.operations,
            begun_late_p99_us: measured.begun_late_p99_us,
            timeline: measured.timeline,
            server: measured.server,
            generator_cores: measured.generator_cores,
            disk_syncs_per_second: measured.disk_syncs_per_second,
            faults: measured.faults,
            availability: measured.availability,
            verification,
            examples: measured.examples,
        })
    }

    fn settings(&self, program: &Program, replicas: Option<u32>) -> RunSettings {
        let mut levels: Vec<String> = Vec::new();
        for statement in &program.statements {
            let level = statement.consistency.to_string();
            if !levels.contains(&level) {
                levels.push(level);
            }
        }
        RunSettings {
            target: self.target.text.clone(),
            protocol: self.plan.protocol.name().to_owned(),
            in_flight: self.arguments.in_flight(),
            connections: self.plan.lanes_of(self.arguments.processes),
            rate: self.arguments.rate,
            processes: self.arguments.processes,
            warm_up: self.plan.warm_up.as_secs_f64(),
            duration: self.plan.duration.map(|duration| duration.as_secs_f64()),
            operations: self.plan.operations,
            timeout: self.plan.timeout.as_secs_f64(),
            nodes: self.cluster.as_ref().map(|_| self.arguments.nodes),
            node_arguments: self.arguments.node_argument.clone(),
            server: self.server.clone(),
            verified: self.arguments.verify,
            disk_probed: self.arguments.probe_disk,
            settled: self.arguments.settle,
            workload_hash: binary::hash_of(&self.plan.text),
            records: program.growth.loaded(),
            replication_factor: replicas,
            levels,
            fault: self.arguments.fault.clone(),
            consistency: self.arguments.consistency.clone(),
            seed: self.arguments.seed,
        }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        match (&self.target.servers, &self.cluster) {
            (Servers::Given(addresses), _) => addresses.clone(),
            (Servers::Own(_), None) => Vec::new(),
            (Servers::Own(_), Some(cluster)) => match self.target.protocol {
                Protocol::Cql => lock(cluster).cql_addresses(),
                Protocol::Quic => lock(cluster).quic_addresses(),
            },
        }
    }

    /// Unknown of tables that are there, unless it was said.
    fn replication_factor(&self) -> Option<u32> {
        let own = matches!(self.target.servers, Servers::Own(_));
        let usual = own.then(|| self.arguments.nodes.min(3));
        self.arguments.replication_factor.or(usual)
    }

    fn verifier(program: &Program, replicas: u32) -> Result<Arc<Verifier>, Error> {
        // The weakest of several decides what is promised.
        let level = |of: &dyn Fn(&Prepared) -> Option<Consistency>| {
            let levels = program.statements.iter().filter_map(of);
            levels.min_by_key(|level| needed(*level, replicas))
        };
        let write = level(&|statement| match statement.role {
            Role::Write => Some(statement.consistency),
            Role::Swap { .. } => Some(statement.serial_consistency.unwrap_or(Consistency::Serial)),
            Role::Read | Role::None => None,
        });
        let read = level(&|statement| (statement.role == Role::Read).then_some(statement.consistency));
        let (Some(write), Some(read)) = (write, read) else {
            return Err(Error::Usage("the workload's [verify] names no statement".into()));
        };
        // Records that nothing loads are not there at first.
        let loaded = if program.load.is_empty() {
            0
        } else {
            program.growth.loaded()
        };
        Ok(Arc::new(Verifier::new(loaded, write, read, replicas)))
    }

    fn make_tables(&self, replicas: u32) -> Result<(), Error> {
        let statements = self.workload.schema_statements(replicas);
        self.runtime.block_on(async {
            match self.plan.protocol {
                Protocol::Cql => {
                    let mut connection = Connection::open(self.plan.addresses[0]).await?;
                    for statement in &statements {
                        connection.run(statement).await?;
                    }
                }
                Protocol::Quic => {
                    let session = quic::connect(&self.contacts(), self.plan.timeout).await?;
                    for statement in &statements {
                        let outcome = session.query(statement.as_str()).await;
                        outcome.map_err(|error| Error::Statement(error.to_string()))?;
                    }
                }
            }
            Ok(())
        })
    }

    fn wait_for_tables(&self, program: &Program) -> Result<(), Error> {
        self.runtime.block_on(async {
            match self.plan.protocol {
                Protocol::Cql => {
                    for &address in &self.plan.addresses {
                        cql::accepts(address, program, SCHEMA_WITHIN).await?;
                    }
                    Ok(())
                }
                Protocol::Quic => {
                    let session = quic::connect(&self.contacts(), self.plan.timeout).await?;
                    let prepared = quic::prepare(&session, program).await?;
                    let mut all = program.statements.iter().zip(&prepared);
                    all.try_for_each(|(statement, prepared)| gives(statement, &prepared.columns()))
                }
            }
        })
    }

    fn watched(&self) -> Watched<'_> {
        Watched {
            cluster: self.cluster.as_ref(),
            processes: &self.neighbours.processes,
            directories: &self.neighbours.directories,
        }
    }

    /// Waits until the servers have nothing left to flush and compact, and reads every record: otherwise what loading left to
    /// do, and pages that nobody had read, would be measured, the more of them the more records there are.
    fn settle(&self, records: u64) -> Result<Settled, Error> {
        let quiet = quiet::wait(&self.watched().processes());
        let records_read = self.before_the_run(Pass::Read, records)?.records;
        Ok(Settled { quiet, records_read })
    }

    /// Loads the records, or reads them.
    fn before_the_run(&self, pass: Pass, records: u64) -> Result<Passed, Error> {
        let generator = Generator::new(self.plan.beforehand(), None)?;
        let (news, received) = channel();
        let live = Live::new(pass.name(), Some(records), self.arguments.quiet);
        let counter = std::thread::spawn(move || {
            let mut passed = Passed::default();
            for news in received {
                match news {
                    News::Slice(slice) => {
                        passed.records += slice.latencies.iter().map(|(_, count)| count).sum::<u64>();
                        live.at(passed.records);
                    }
                    News::Total(total) => passed.payload_bytes += total.payload_bytes,
                }
            }
            live.end();
            passed
        });
        let outcome = self.runtime.block_on(generator.each(pass, records, &news));
        drop(news);
        let passed = counter.join().unwrap_or_default();
        outcome.map(|()| passed)
    }

    /// Brings back what faults took away, so that the last reads see what all nodes have.
    fn heal(&self, gone: &[u32]) -> Result<(), Error> {
        match &self.cluster {
            Some(cluster) if self.arguments.fault.is_some() => lock(cluster).heal(gone),
            _ => Ok(()),
        }
    }

    /// The verdict, after every record was read once more. That this fails does not take the measurement away.
    fn verified(&self, verifier: &Verifier, gone: &[u32]) -> Verification {
        verifier.follow_untouched();
        let healed = self
            .heal(gone)
            .map_err(|error| format!("healing the cluster: {error}"));
        let read = healed.and_then(|()| self.runtime.block_on(self.read_all(verifier)));
        let mut verification = verifier.verdict();
        match read {
            Ok(how) => {
                verification.last_reads = how;
                // What was found stays found.
                if verification.passed {
                    verification.not_verified = says_nothing(&verification);
                }
            }
            Err(reason) => verification.not_verified = Some(reason),
        }
        verification.passed &= verification.not_verified.is_none();
        verification
    }

    /// Reads every record that was followed: at ALL, or, where that can't be had, at the reads' own level if that meets every
    /// acknowledged write too. Says how.
    async fn read_all(&self, verifier: &Verifier) -> Result<String, String> {
        let mut plan = self.plan.clone();
        plan.consistency = Some(Consistency::All.to_string());
        let Err(strict) = last_reads::read(&plan, verifier).await else {
            return Ok("at ALL".to_owned());
        };
        let (left, promise) = (verifier.unread().len(), verifier.promise());
        let strict = format!("{left} records could not be read at ALL: {strict}");
        if !promise.overlap {
            return Err(strict);
        }
        plan.consistency.clone_from(&self.plan.consistency);
        match last_reads::read(&plan, verifier).await {
            Ok(()) => Ok(format!("at ALL, but for these at {}: {strict}", promise.read)),
            Err(own) => Err(format!("{strict}; nor at {}: {own}", promise.read)),
        }
    }

    fn contacts(&self) -> Vec<String> {
        self.plan.addresses.iter().map(ToString::to_string).collect()
    }
}

/// What was done with records before the run.
#[derive(Debug, Clone, Copy, Default)]
struct Passed {
    records: u64,
    /// Of the values that were written.
    payload_bytes: u64,
}

fn faults(arguments: &LoadArguments) -> Result<Vec<Fault>, Error> {
    match &arguments.fault {
        Some(text) => fault::parse(text, arguments.nodes).map_err(Error::Usage),
        None => Ok(Vec::new()),
    }
}

/// Faults that could not happen: a run would be reported as one that they were part of.
fn check_faults(arguments: &LoadArguments) -> Result<(), Error> {
    let faults = faults(arguments)?;
    let over = |fault: &&Fault| arguments.operations.is_none() && fault.at >= arguments.duration;
    if let Some(late) = faults.iter().find(over) {
        return Err(Error::Usage(format!(
            "--fault: '{late}' is to happen {:?} after the warm-up, when the run is over: raise --duration, which is {:?}",
            late.at, arguments.duration
        )));
    }
    let mut nodes = arguments.nodes;
    for fault in &faults {
        match fault.action {
            Action::Join => nodes += 1,
            Action::Partition if nodes == 1 => {
                return Err(Error::Usage(
                    "--fault: a partition needs others to be cut off from: --nodes 2 or more".into(),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Servers that are not there would count for nothing, and those beside a cluster of our own for it.
fn check_neighbours(neighbours: &Neighbours, own: bool) -> Result<(), Error> {
    let named = !neighbours.processes.is_empty() || !neighbours.directories.is_empty();
    if own && named {
        return Err(Error::Usage(
            "--pid and --data-dir are of servers that are not of our own; what a cluster of our own spends is known".into(),
        ));
    }
    for process in &neighbours.processes {
        if !Path::new(&format!("/proc/{process}")).exists() {
            return Err(Error::Usage(format!("--pid {process}: there is no such process")));
        }
    }
    for directory in &neighbours.directories {
        if !directory.is_dir() {
            return Err(Error::Usage(format!(
                "--data-dir {}: there is no such directory",
                directory.display()
            )));
        }
    }
    Ok(())
}

/// Everything that can be checked before anything is started. Gives the workload.
///
/// # Errors
/// What does not fit, or does not go together.
pub fn check(arguments: &LoadArguments, target: &Target, neighbours: &Neighbours) -> Result<Workload, Error> {
    let workload = Workload::open(&arguments.workload)?;
    let refuse = |message: &str| Err(Error::Usage(message.to_owned()));
    let own = matches!(target.servers, Servers::Own(_));
    if !own && arguments.fault.is_some() {
        return refuse("--fault needs a cluster of our own: --target own-cql or own-quic");
    }
    check_faults(arguments)?;
    if !own && !arguments.no_load && arguments.replication_factor.is_none() {
        return refuse(NO_REPLICAS);
    }
    let least = arguments.in_flight().min(arguments.connections);
    if least < arguments.processes {
        return refuse(
            "each of --processes needs a connection and a request in flight: raise --connections and --in-flight",
        );
    }
    check_neighbours(neighbours, own)?;
    if arguments.settle && !own && neighbours.processes.is_empty() {
        return refuse(
            "--settle waits until the servers have nothing left to do, and must know their processes: --pid",
        );
    }
    if arguments.verify && workload.verify.is_none() {
        return refuse(
            "the workload has no [verify] section, so that nothing can be verified; 'registers', 'hot-keys', and YCSB A, B \
             and F have one",
        );
    }
    if arguments.verify && arguments.processes > 1 {
        return refuse("--verify needs all operations in one process: leave --processes away");
    }
    if arguments.verify && arguments.no_load {
        return refuse("--verify must know what was loaded: leave --no-load away");
    }
    if arguments.rate.is_some_and(|rate| !RATES.contains(&rate)) {
        return refuse("--rate must be from 0.001 to 10000000 operations a second");
    }
    if own && arguments.no_load {
        return refuse("a cluster of our own is empty: leave --no-load away");
    }
    Ok(workload)
}

fn plan(arguments: &LoadArguments, target: &Target) -> Result<Plan, Error> {
    let ready = ready::text(&arguments.workload);
    let text = match ready {
        Some(text) => text.to_owned(),
        None => {
            let path = Path::new(&arguments.workload);
            std::fs::read_to_string(path).map_err(Error::file(path))?
        }
    };
    let folder = match ready {
        Some(_) => PathBuf::new(),
        None => Path::new(&arguments.workload)
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default(),
    };
    Ok(Plan {
        text,
        file: arguments.workload.clone(),
        folder,
        protocol: target.protocol,
        addresses: Vec::new(),
        in_flight: arguments.in_flight(),
        connections: arguments.connections,
        rate: arguments.rate,
        warm_up: if arguments.operations.is_some() {
            Duration::ZERO
        } else {
            arguments.warm_up
        },
        duration: arguments.operations.is_none().then_some(arguments.duration),
        operations: arguments.operations,
        consistency: arguments.consistency.clone(),
        records: arguments.records,
        process: 0,
        processes: 1,
        seed: arguments.seed,
        timeout: arguments.timeout,
    })
}
