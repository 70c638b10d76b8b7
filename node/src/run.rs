//! A node from its start to its stop.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use starling_replication::{Budget, Config, Node, has_joined};
use starling_sstable::fs::Fs;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};

use crate::{
    admin::Admin,
    config::NodeConfig,
    cql_server,
    data_dir::DataDir,
    env::{Peers, TokioEnv},
    failure::Failure,
    maps,
    native_server::NativeServer,
    open_files,
    seeds::{Lookup, Starter},
    snapshots::{About, Snapshots, backups},
    store::{ShardedStore, StoreOptions},
    tls::{Authority, Credentials, TlsFiles},
    transport::{BindError, Transport},
};

/// Threads that carry flushes, and as many that carry compactions and the like.
const BACKGROUND_THREADS: usize = 2;

/// Threads for requests: little is done there, the work is in the shards.
const WORKER_THREADS: usize = 2;

/// How long clients' requests in flight may take when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How often a node that serves looks whether it still may.
const PLACE_CHECK: Duration = Duration::from_secs(1);

/// How often the schema is looked at for incremental backups.
const SCHEMA_CHECK: Duration = Duration::from_secs(1);

/// How long the whole stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a certificate that a node makes for itself is good for, in days.
const OWN_CERTIFICATE_DAYS: u32 = 3650;

/// Runs a node until it is told to stop: by SIGINT, SIGTERM, or, with `until_stdin_ends`, by the end of
/// standard input, which is how a parent's death is noticed; or until it finds that it has no place in the cluster, which
/// is an error.
pub fn run(config: &NodeConfig, until_stdin_ends: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .thread_name("worker")
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::work(format!(
                "cannot start threads: {error}; raise the limit on processes"
            ))
        })?;
    let outcome = runtime.block_on(async {
        let stop = survive_file_limits()
            .and_then(|()| stop_signal(until_stdin_ends))
            .map_err(|error| Failure::work(format!("cannot listen for signals: {error}")))?;
        let mut stop = pin!(stop);
        let running = tokio::select! {
            running = Running::start(config) => running?,
            // It may be waiting for its seeds, and has let nobody in yet.
            reason = &mut stop => {
                info!(reason, "stopped before it served");
                return Ok(());
            }
        };
        info!(
            name = config.name, listen = %config.listen, cql = %config.cql, admin = ?config.admin,
            "serving"
        );
        let node = Arc::clone(&running.node);
        let lost = tokio::select! {
            reason = &mut stop => {
                info!(reason, "stopping");
                Ok(())
            }
            failure = no_place(node) => Err(failure),
        };
        let stopped = tokio::time::timeout(STOP_TIMEOUT, running.stop())
            .await
            .unwrap_or_else(|_| {
                Err(Failure::work(
                    "the node did not stop in time and was cut off; what was acknowledged is in its log",
                ))
            });
        lost.and(stopped)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Ends when the node has found out that it can't be part of the cluster.
async fn no_place(node: Arc<Node<TokioEnv>>) -> Failure {
    loop {
        if let Some(reason) = node.failure() {
            return Failure::work(reason);
        }
        tokio::time::sleep(PLACE_CHECK).await;
    }
}

/// A node that serves.
struct Running {
    node: Arc<Node<TokioEnv>>,
    transport: Transport,
    store: ShardedStore,
    cql: cql_server::Server,
    admin: Option<tokio::task::JoinHandle<()>>,
    lookup: tokio::task::JoinHandle<()>,
    /// Looks how many maps the process has left.
    maps: tokio::task::JoinHandle<()>,
    /// Keeps the schema beside incremental backups.
    backups: Option<tokio::task::JoinHandle<()>>,
    _dir: DataDir,
}

impl Running {
    async fn start(config: &NodeConfig) -> Result<Self, Failure> {
        let started = Instant::now();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = config
            .shards
            .unwrap_or(u32::try_from(cores).unwrap_or(1).min(1024));
        let dir = DataDir::open(&config.dir, shards, config.shards.is_some()).map_err(Failure::work)?;
        let credentials = credentials(config, &dir)?;
        let budget = Arc::new(Budget::new(config.in_flight_bytes));
        // Addresses first: a port that is taken is told before the logs are replayed.
        let transport = Transport::bind(config.listen, &credentials, Arc::clone(&budget)).map_err(
            |error| match error {
                BindError::Socket(error) => Failure::work(bind_error(config.listen, "--listen", &error)),
                BindError::Tls(error) => Failure::work(error),
            },
        )?;
        let cql_listener = listen(config.cql, "--cql").await?;
        let admin_listener = match config.admin {
            Some(address) => Some(listen(address, "--admin").await?),
            None => None,
        };
        let (cql_address, listen_address) = addresses(&cql_listener, &transport)?;
        let store = open_store(config, &dir).await?;
        let maps = tokio::spawn(maps::watch());
        let starter = Starter {
            listen: config.advertise.unwrap_or(listen_address),
            has_joined: has_joined(&**dir.fs()).map_err(Failure::work)?,
        };
        let mut lookup = Lookup::new(&config.seeds);
        lookup.until_enough(starter).await;
        let env = TokioEnv::new(transport.clone(), store.clone(), Arc::clone(dir.fs()));
        let advertised = config.advertise.unwrap_or(listen_address);
        let mut settings = Config::new(&config.cluster, advertised, cql_address);
        settings.datacenter.clone_from(&config.datacenter);
        settings.rack.clone_from(&config.rack);
        settings.seeds = lookup.found().to_vec();
        settings.vnodes = config.vnodes;
        settings.partitioner = config.partitioner;
        settings.shards = store.shards();
        settings.budget = Arc::clone(&budget);
        settings.bounds.hint_age = config.hint_window;
        settings.bounds.hint_bytes_per_node = config.hint_bytes_per_node;
        settings.bounds.hint_bytes = config.hint_bytes;
        settings.bounds.hint_rate = config.hint_rate;
        settings.repair.enabled = config.repair_interval.is_some();
        settings.repair.interval = config.repair_interval.unwrap_or(settings.repair.interval);
        settings.replace.clone_from(&config.replace);
        settings.bounds.stream_rate = config.stream_rate;
        let release = settings.release.clone();
        let node = Node::start(env, settings).await.map_err(Failure::work)?;
        let backups = config
            .incremental_backups
            .then(|| tokio::spawn(keep_schema(Arc::clone(&node), Arc::clone(dir.fs()))));
        let seeded = Arc::clone(&node);
        let lookup = tokio::spawn(lookup.until_all(move |seed| seeded.add_seed(seed)));
        transport.serve(
            Arc::new(Peers(Arc::clone(&node))),
            Arc::new(NativeServer::new(Arc::clone(&node), release, Arc::clone(&budget))),
        );
        let options = cql_options(&budget);
        let cql = cql_server::serve(cql_listener, Arc::clone(&node), options)
            .map_err(|error| Failure::work(format!("cannot serve CQL on {cql_address}: {error}")))?;
        let admin = admin_listener.map(|listener| {
            let admin = Admin {
                name: config.name.clone(),
                node: Arc::clone(&node),
                store: store.clone(),
                snapshots: snapshots(config, &dir, &node, &store),
                budget: Arc::clone(&budget),
                cql: Arc::clone(cql.counters()),
                traffic: Arc::clone(transport.traffic()),
                started,
                order: parking_lot::Mutex::default(),
            };
            admin.serve(listener)
        });
        Ok(Self {
            node,
            transport,
            store,
            cql,
            admin,
            lookup,
            maps,
            backups,
            _dir: dir,
        })
    }

    /// Lets clients finish, tells peers, and makes everything durable.
    async fn stop(self) -> Result<(), Failure> {
        self.lookup.abort();
        self.maps.abort();
        if let Some(backups) = self.backups {
            backups.abort();
        }
        if let Some(admin) = self.admin {
            admin.abort();
        }
        if !self.cql.stop(STOP_GRACE).await {
            warn!("some clients' requests were cut off");
        }
        self.node.shutdown().await;
        self.transport.close().await;
        let stopped = self.store.stop().await;
        stopped
            .map_err(|error| Failure::work(format!("the node did not stop cleanly: {error}; see its log")))?;
        info!("stopped");
        Ok(())
    }
}

/// Keeps the present schema beside incremental backups.
async fn keep_schema(node: Arc<Node<TokioEnv>>, fs: Arc<dyn Fs>) {
    let mut kept = None;
    loop {
        let (schema, disk) = (node.schema(), Arc::clone(&fs));
        let stored = tokio::task::spawn_blocking(move || {
            let outcome = backups::keep_schema(&*disk, &schema, &mut kept);
            (kept, outcome)
        });
        match stored.await {
            Ok((now, outcome)) => {
                kept = now;
                if let Err(error) = outcome {
                    warn!(%error, "the schema is not stored beside the incremental backups; it is tried again");
                }
            }
            Err(panic) => warn!(%panic, "storing the schema beside the incremental backups broke off"),
        }
        tokio::time::sleep(SCHEMA_CHECK).await;
    }
}

fn snapshots(config: &NodeConfig, dir: &DataDir, node: &Node<TokioEnv>, store: &ShardedStore) -> Snapshots {
    let status = node.status();
    let about = About {
        cluster: config.cluster.clone(),
        name: config.name.clone(),
        node: status.id.to_string(),
        partitioner: status.partitioner,
    };
    Snapshots::open(Arc::clone(dir.fs()), dir.path().to_owned(), store.clone(), about)
}

fn cql_options(budget: &Arc<Budget>) -> cql_server::Options {
    let options = cql_server::Options::default();
    cql_server::Options {
        max_connections: open_files::connections(open_files::raise_limit(), options.max_connections),
        budget: Arc::clone(budget),
        ..options
    }
}

/// The certificates of the settings; or, for a node that is a cluster of its own, ones made in its directory.
fn credentials(config: &NodeConfig, dir: &DataDir) -> Result<Credentials, Failure> {
    let files = match &config.tls {
        Some(files) => files.clone(),
        None => own_certificate(config, dir)?,
    };
    Credentials::load(&files).map_err(Failure::work)
}

fn own_certificate(config: &NodeConfig, dir: &DataDir) -> Result<TlsFiles, Failure> {
    let tls = dir.path().join("tls");
    let files = TlsFiles::in_directory(&tls);
    if !files.certificate.exists() {
        let authority = Authority::open_or_create(&tls, &config.cluster).map_err(Failure::work)?;
        let address = config.advertise.unwrap_or(config.listen).ip().to_string();
        let issued = authority
            .issue(
                &config.name,
                &[address, "localhost".to_owned()],
                OWN_CERTIFICATE_DAYS,
            )
            .map_err(Failure::work)?;
        authority.write(&tls, &issued).map_err(Failure::work)?;
    }
    Ok(files)
}

async fn open_store(config: &NodeConfig, dir: &DataDir) -> Result<ShardedStore, Failure> {
    let options = StoreOptions {
        shards: dir.layout().shards,
        commitlog_sync: config.commitlog_sync,
        memtable_bytes: config.memtable_bytes,
        background_threads: BACKGROUND_THREADS,
        incremental_backups: config.incremental_backups,
    };
    let fs = Arc::clone(dir.fs());
    let path = dir.path().display().to_string();
    tokio::task::spawn_blocking(move || ShardedStore::open(&fs, &options))
        .await
        .map_err(|error| Failure::work(format!("opening the data directory {path} panicked: {error}")))?
        .map_err(|error| Failure::work(format!("cannot open the data in {path}: {error}")))
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Failure::work(bind_error(address, flag, &error)))
}

/// What listeners are bound to, which differs from the settings where these have port 0.
fn addresses(cql: &TcpListener, transport: &Transport) -> Result<(SocketAddr, SocketAddr), Failure> {
    let both = cql
        .local_addr()
        .and_then(|cql| Ok((cql, transport.local_addr()?)));
    both.map_err(|error| Failure::work(format!("cannot tell which address is bound: {error}")))
}

fn bind_error(address: SocketAddr, flag: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process; stop it or choose another address with {flag}")
        }
        io::ErrorKind::PermissionDenied => format!(
            "this user may not listen on {address}; choose a port above 1023 with {flag}, or give the process the right"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine; choose one that is with {flag}")
        }
        _ => format!("cannot listen on {address}: {error}; choose another address with {flag}"),
    }
}

/// Has a file that reaches the limit on the size of files (`ulimit -f`) be an error of the write, as a full disk is, and
/// not the end of the process.
fn survive_file_limits() -> io::Result<()> {
    // Whoever installs a handler gets no default action; that nobody asks the handler is all that is needed.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Ends when the node is to stop, with the reason.
fn stop_signal(until_stdin_ends: bool) -> io::Result<impl Future<Output = &'static str>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stdin: BoxFuture<'static, ()> = if until_stdin_ends {
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || {
                // Nothing is expected; an error is as good as the end.
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                let _ = ended.send(());
            })?;
        Box::pin(async move { end.await.unwrap_or_default() })
    } else {
        Box::pin(std::future::pending())
    };
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
            () = stdin => "the parent process is gone",
        }
    })
}
