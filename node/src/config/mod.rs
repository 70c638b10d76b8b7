//! A node's settings: a TOML file, flags that override it, and what they must be to make sense.

mod address;
mod settings;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use starling_replication::config::{
    DEFAULT_BUDGET_BYTES, DEFAULT_HINT_BYTES, DEFAULT_HINT_BYTES_PER_NODE, DEFAULT_HINT_RATE,
};
use starling_ring::Partitioner;

pub use address::{ADMIN_PORT, CQL_PORT, LISTEN_PORT, Seed};
pub use settings::Settings;

use crate::{store::CommitLogSync, tls::TlsFiles};

/// Memory for memtables unless it is set, in MiB.
pub const DEFAULT_MEMTABLE_MIB: usize = 256;

/// Memory for requests and results that are under way unless it is set, in MiB.
pub const DEFAULT_IN_FLIGHT_MIB: usize = DEFAULT_BUDGET_BYTES >> 20;

/// How long hints are kept unless it is set, in seconds.
pub const DEFAULT_HINT_WINDOW_S: u64 = 3 * 60 * 60;

/// Bytes of hints for one node unless it is set, in MiB.
pub const DEFAULT_HINT_MIB_PER_NODE: u64 = DEFAULT_HINT_BYTES_PER_NODE >> 20;

/// Bytes of all hints unless it is set, in MiB.
pub const DEFAULT_HINT_MIB: u64 = DEFAULT_HINT_BYTES >> 20;

/// How fast hints go to a node unless it is set, in MiB a second.
pub const DEFAULT_HINT_RATE_MIB: u64 = DEFAULT_HINT_RATE >> 20;

/// The most of each: 64 TiB.
const MAX_HINT_MIB: u64 = 64 << 20;

/// How long a round of repair takes unless it is set, in seconds.
pub const DEFAULT_REPAIR_INTERVAL_S: u64 = 10 * 60;

/// The longest of both: thirty days.
const MAX_WINDOW_S: u64 = 30 * 24 * 60 * 60;

/// Settings that make sense.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The node's name, for people: in logs and in its certificate.
    pub name: String,
    /// The data directory.
    pub dir: PathBuf,
    /// The cluster's name.
    pub cluster: String,
    /// The datacenter.
    pub datacenter: String,
    /// The rack.
    pub rack: String,
    /// Where QUIC listens, for peers and native clients: an exact address.
    pub listen: SocketAddr,
    /// Where peers and native clients reach this node, if not where it listens.
    pub advertise: Option<SocketAddr>,
    /// Where CQL listens: an exact address.
    pub cql: SocketAddr,
    /// Where the admin pages are; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// Nodes to ask for the cluster.
    pub seeds: Vec<Seed>,
    /// Tokens of a new node.
    pub vnodes: u32,
    /// How keys become tokens.
    pub partitioner: Partitioner,
    /// Shards of a new data directory; one that exists keeps its own.
    pub shards: Option<u32>,
    /// When writes are acknowledged.
    pub commitlog_sync: CommitLogSync,
    /// How long hints are kept.
    pub hint_window: Duration,
    /// Bytes of hints for one node.
    pub hint_bytes_per_node: u64,
    /// Bytes of hints for all nodes.
    pub hint_bytes: u64,
    /// Bytes of hints a second that one node gets, from all together; each counts as 2 KiB at least.
    pub hint_rate: u64,
    /// How long a round of repair takes; `None`: only what operators ask for.
    pub repair_interval: Option<Duration>,
    /// Memory for memtables, in bytes.
    pub memtable_bytes: usize,
    /// Memory for requests and results that are under way, in bytes.
    pub in_flight_bytes: usize,
    /// The dead node whose place this one takes, by host id or address.
    pub replace: Option<String>,
    /// Bytes a second that it fetches of what it gains; 0: as fast as it goes.
    pub stream_rate: u64,
    /// Whether tables get links in `backups/`.
    pub incremental_backups: bool,
    /// The certificates; `None`: made for this node alone, which then is a cluster of its own.
    pub tls: Option<TlsFiles>,
}

/// A setting that makes no sense. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl NodeConfig {
    /// Checks settings and fills in the defaults.
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        let listen = address::exact(
            settings.listen.as_deref().unwrap_or("127.0.0.1"),
            LISTEN_PORT,
            "--listen",
        )?;
        let advertise = settings
            .advertise
            .as_deref()
            .map(|text| address::exact(text, LISTEN_PORT, "--advertise"))
            .transpose()?;
        let cql = match &settings.cql {
            Some(text) => address::exact(text, CQL_PORT, "--cql")?,
            None => SocketAddr::new(listen.ip(), CQL_PORT),
        };
        let admin = match settings.admin.as_deref() {
            Some("off") => None,
            Some(text) => Some(address::parse(text, ADMIN_PORT, "--admin")?),
            None => Some(SocketAddr::from(([127, 0, 0, 1], ADMIN_PORT))),
        };
        if listen.port() != 0 && (admin == Some(cql)) {
            return Err(ConfigError::new(format!(
                "--cql and --admin are both {cql}; give each its own port"
            )));
        }
        let seeds = seeds(&settings.seeds.unwrap_or_default())?;
        let tls = settings.tls.map(|dir| TlsFiles::in_directory(&dir));
        let itself = Seed::Address(advertise.unwrap_or(listen));
        if tls.is_none() && seeds.iter().any(|seed| *seed != itself) {
            return Err(ConfigError::new(
                "a node that joins others needs a certificate of their cluster: make one with `starling ca \
                 issue` and give its directory with --tls",
            ));
        }
        Ok(Self {
            name: name(settings.name.unwrap_or_else(|| "node".to_owned()), "--name")?,
            dir: settings.dir.unwrap_or_else(|| PathBuf::from("starling-data")),
            cluster: name(
                settings.cluster.unwrap_or_else(|| "starling".to_owned()),
                "--cluster",
            )?,
            datacenter: name(settings.dc.unwrap_or_else(|| "datacenter1".to_owned()), "--dc")?,
            rack: name(settings.rack.unwrap_or_else(|| "rack1".to_owned()), "--rack")?,
            listen,
            advertise,
            cql,
            admin,
            seeds,
            vnodes: within(settings.vnodes.unwrap_or(16), 1..=256, "--vnodes")?,
            partitioner: partitioner(settings.partitioner.as_deref())?,
            shards: settings
                .shards
                .map(|n| within(n, 1..=1024, "--shards"))
                .transpose()?,
            commitlog_sync: commitlog_sync(
                settings.commitlog_sync.as_deref(),
                settings.commitlog_sync_period_ms,
            )?,
            hint_window: seconds(settings.hint_window_s, DEFAULT_HINT_WINDOW_S, "--hint-window-s")?,
            hint_bytes_per_node: mib(
                settings.hint_mib_per_node,
                DEFAULT_HINT_MIB_PER_NODE,
                0..=MAX_HINT_MIB,
                "--hint-mib-per-node",
            )?,
            hint_bytes: mib(
                settings.hint_mib,
                DEFAULT_HINT_MIB,
                0..=MAX_HINT_MIB,
                "--hint-mib",
            )?,
            hint_rate: mib(
                settings.hint_rate,
                DEFAULT_HINT_RATE_MIB,
                1..=1 << 20,
                "--hint-rate",
            )?,
            repair_interval: repair_interval(settings.repair_interval_s)?,
            memtable_bytes: within(
                settings.memtable_mib.unwrap_or(DEFAULT_MEMTABLE_MIB),
                16..=1 << 20,
                "--memtable-mib",
            )? << 20,
            in_flight_bytes: within(
                settings.in_flight_mib.unwrap_or(DEFAULT_IN_FLIGHT_MIB),
                16..=1 << 20,
                "--in-flight-mib",
            )? << 20,
            replace: settings.replace.map(|node| node.trim().to_owned()),
            stream_rate: within(settings.stream_rate.unwrap_or(0), 0..=1 << 20, "--stream-rate")? << 20,
            incremental_backups: settings.incremental_backups.unwrap_or(false),
            tls,
        })
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    value: T,
    range: std::ops::RangeInclusive<T>,
    flag: &str,
) -> Result<T, ConfigError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::new(format!(
        "{flag} is {value}; it must be {} to {}",
        range.start(),
        range.end()
    )))
}

/// A number of MiB, in bytes.
fn mib(
    setting: Option<u64>,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
    flag: &str,
) -> Result<u64, ConfigError> {
    within(setting.unwrap_or(default), range, flag).map(|mib| mib << 20)
}

fn seeds(texts: &[String]) -> Result<Vec<Seed>, ConfigError> {
    let seeds = texts
        .iter()
        .map(|seed| address::seed(seed, LISTEN_PORT, "--seeds"));
    seeds.collect()
}

fn seconds(setting: Option<u64>, default: u64, flag: &str) -> Result<Duration, ConfigError> {
    within(setting.unwrap_or(default), 0..=MAX_WINDOW_S, flag).map(Duration::from_secs)
}

fn repair_interval(setting: Option<u64>) -> Result<Option<Duration>, ConfigError> {
    let interval = seconds(setting, DEFAULT_REPAIR_INTERVAL_S, "--repair-interval-s")?;
    Ok(Some(interval).filter(|interval| !interval.is_zero()))
}

/// Names travel in gossip and in certificates: short, and without what would need quoting.
fn name(text: String, flag: &str) -> Result<String, ConfigError> {
    let fine = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
    if (1..=64).contains(&text.len()) && text.chars().all(fine) {
        return Ok(text);
    }
    Err(ConfigError::new(format!(
        "{flag} is '{text}'; a name has 1 to 64 bytes of letters, digits, spaces, '_', '-' and '.'"
    )))
}

fn partitioner(text: Option<&str>) -> Result<Partitioner, ConfigError> {
    match text {
        None => Ok(Partitioner::Murmur3),
        Some(text) => text
            .parse()
            .map_err(|_| ConfigError::new(format!("--partitioner is '{text}'; it must be murmur3 or xxh3"))),
    }
}

fn commitlog_sync(mode: Option<&str>, period_ms: Option<u64>) -> Result<CommitLogSync, ConfigError> {
    match mode.unwrap_or("group") {
        "group" if period_ms.is_some() => Err(ConfigError::new(
            "--commitlog-sync-period-ms goes with --commitlog-sync periodic; with group every write is synced",
        )),
        "group" => Ok(CommitLogSync::Group),
        "periodic" => {
            let period = within(
                period_ms.unwrap_or(1000),
                1..=60_000,
                "--commitlog-sync-period-ms",
            )?;
            Ok(CommitLogSync::Periodic(Duration::from_millis(period)))
        }
        other => Err(ConfigError::new(format!(
            "--commitlog-sync is '{other}'; it must be group (a write is acknowledged once it is on disk) or \
             periodic (at once, and a crash of the machine loses the last moments)"
        ))),
    }
}
