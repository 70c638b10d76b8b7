//! Events (v5 section 4.2.6) and schema changes (section 4.2.5.5).

use std::net::SocketAddr;

use super::{malformed::Malformed, reader::Reader, writer::Writer};
use crate::result::{ChangeKind, SchemaChange, SchemaTarget};

/// What a client can register for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// Nodes come and go.
    TopologyChange,
    /// Nodes go up and down.
    StatusChange,
    /// The schema changes.
    SchemaChange,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::TopologyChange, Self::StatusChange, Self::SchemaChange];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopologyChange => "TOPOLOGY_CHANGE",
            Self::StatusChange => "STATUS_CHANGE",
            Self::SchemaChange => "SCHEMA_CHANGE",
        }
    }

    /// The kind with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What happened to the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopologyChange {
    /// A node joined.
    NewNode,
    /// A node left for good.
    RemovedNode,
}

/// What happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// What is sent unasked, on stream -1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The ring changed.
    Topology {
        /// How.
        change: TopologyChange,
        /// The node's CQL address.
        address: SocketAddr,
    },
    /// A node's state changed.
    Status {
        /// To what.
        change: StatusChange,
        /// The node's CQL address.
        address: SocketAddr,
    },
    /// The schema changed.
    Schema(SchemaChange),
}

impl Event {
    /// What a client registers for to get it.
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Topology { .. } => EventKind::TopologyChange,
            Self::Status { .. } => EventKind::StatusChange,
            Self::Schema(_) => EventKind::SchemaChange,
        }
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) {
        out.string(self.kind().name());
        match self {
            Self::Topology { change, address } => {
                out.string(match change {
                    TopologyChange::NewNode => "NEW_NODE",
                    TopologyChange::RemovedNode => "REMOVED_NODE",
                });
                out.inet(*address);
            }
            Self::Status { change, address } => {
                out.string(match change {
                    StatusChange::Up => "UP",
                    StatusChange::Down => "DOWN",
                });
                out.inet(*address);
            }
            Self::Schema(change) => write_schema_change(out, change),
        }
    }

    pub(super) fn read(input: &mut Reader) -> Result<Self, Malformed> {
        let name = input.string()?;
        let kind = EventKind::named(&name).ok_or_else(|| Malformed::unknown_name("event", &name))?;
        match kind {
            EventKind::TopologyChange => {
                let change = match input.string()?.as_str() {
                    "NEW_NODE" => TopologyChange::NewNode,
                    "REMOVED_NODE" => TopologyChange::RemovedNode,
                    other => return Err(Malformed::unknown_name("topology change", other)),
                };
                Ok(Self::Topology {
                    change,
                    address: input.inet()?,
                })
            }
            EventKind::StatusChange => {
                let change = match input.string()?.as_str() {
                    "UP" => StatusChange::Up,
                    "DOWN" => StatusChange::Down,
                    other => return Err(Malformed::unknown_name("status change", other)),
                };
                Ok(Self::Status {
                    change,
                    address: input.inet()?,
                })
            }
            EventKind::SchemaChange => Ok(Self::Schema(read_schema_change(input)?)),
        }
    }
}

/// `<change_type><target><options>`.
pub(super) fn write_schema_change(out: &mut Writer<'_>, change: &SchemaChange) {
    out.string(match change.change {
        ChangeKind::Created => "CREATED",
        ChangeKind::Updated => "UPDATED",
        ChangeKind::Dropped => "DROPPED",
    });
    match &change.target {
        SchemaTarget::Keyspace => {
            out.string("KEYSPACE");
            out.string(&change.keyspace);
        }
        SchemaTarget::Table(table) => {
            out.string("TABLE");
            out.string(&change.keyspace);
            out.string(table);
        }
    }
}

/// Reads what [`write_schema_change`] wrote.
pub(super) fn read_schema_change(input: &mut Reader) -> Result<SchemaChange, Malformed> {
    let change = match input.string()?.as_str() {
        "CREATED" => ChangeKind::Created,
        "UPDATED" => ChangeKind::Updated,
        "DROPPED" => ChangeKind::Dropped,
        other => return Err(Malformed::unknown_name("schema change", other)),
    };
    let target = input.string()?;
    let keyspace = input.string()?;
    let target = match target.as_str() {
        "KEYSPACE" => SchemaTarget::Keyspace,
        "TABLE" => SchemaTarget::Table(input.string()?),
        other => return Err(Malformed::unknown_name("schema change target", other)),
    };
    Ok(SchemaChange {
        change,
        keyspace,
        target,
    })
}
