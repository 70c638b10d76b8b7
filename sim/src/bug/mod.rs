//! Bugs that the checkers must find: each lives in the simulator's own shims, never in the product.
//!
//! - `door`: what a node does wrong with what its clients ask;
//! - `store`: what a replica's storage does wrong;
//! - `wire`: what a node does wrong with what its peers ask;
//! - `restart`: what is wrong with a disk, or missing from it after a restart;
//! - [`table`]: all of them, and which checkers find them in how many seeds.

mod door;
mod restart;
mod store;
pub mod table;
mod wire;

use crate::{checkers::Promise, nemesis::Evils};

pub(crate) use door::refuses;
pub(crate) use restart::{forget, spoil};
pub(crate) use store::{
    Stale, changes, forgets_changes, gives_up_damage, hides_damage, keeps_foreign, purges_at_once,
    reads_early, stops_at_shard,
};
pub(crate) use wire::{Treatment, spoil_answer, treat};

/// A bug in one simulated cluster: all nodes have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Replicas acknowledge writes before the log is synced.
    AcknowledgeBeforeSync,
    /// Files are not synced, whoever asks for it.
    SkipSync,
    /// Directories are not synced: names may be undone.
    SkipDirectorySync,
    /// Replicas acknowledge clients' writes and do nothing, once in a while.
    LoseWrites,
    /// Replicas say that a write went well when it failed.
    AcknowledgeFailures,
    /// Of a write to several rows, replicas leave out the last.
    LoseLastRow,
    /// Replicas say that they took a read's repair, and drop it.
    DropRepairs,
    /// Replicas say that they took hints, and drop them.
    DropHints,
    /// Replicas take hints for new writes: what is delivered twice is not the same as once.
    RestampHints,
    /// Hints don't outlast a restart.
    ForgetHints,
    /// Of two cells with equal timestamps, the replica keeps the one that came first.
    FirstOfEqualsWins,
    /// The replica ignores deletions of clustering ranges.
    IgnoreRangeDeletions,
    /// Pages for peers leave deletions out.
    HideDeletions,
    /// Compactions purge tombstones at once, whether or not all replicas have them.
    PurgeTooEarly,
    /// Replicas do not tell in which cells they were written to.
    ForgetChanges,
    /// Reads show what is not durable yet.
    ReadBeforeSync,
    /// Reads are answered from a cache that writes do not update, once in a while.
    StaleCache,
    /// Reads of a range end with the first shard that has anything.
    StopAtShard,
    /// Replicas do not say that a coordinator's timestamp is too old, and nodes do not learn of each other's clocks.
    NeverBehind,
    /// Restarts forget how far the clock had got.
    ForgetClock,
    /// Nodes do not pass on the schema.
    KeepSchemaSecret,
    /// Replicas say that they truncated a table, and don't.
    IgnoreTruncation,
    /// Replicas take writes that began before they were truncated.
    TakeLateWrites,
    /// Nodes that part with data as the ring changes say that they have none.
    StreamNothing,
    /// Nodes that are to forget what is not their own any more say that they did, and don't.
    KeepForeign,
    /// Nodes say that they keep a logged batch, and don't.
    ForgetBatches,
    /// Replicas carry out reads that were planned on a ring older than theirs.
    ReadOnOldRing,
    /// Nodes confirm steps of a change of the ring that they have not taken.
    SkipBarrier,
    /// Of two changes of one object of the schema within a second, each node keeps the one that it heard of first.
    FirstSchemaWins,
    /// Replicas acknowledge clients' writes that come from their own datacenter and do nothing, once in a while.
    LoseNearWrites,
    /// Replicas give up what is damaged before the others' data is there.
    GiveUpDamage,
    /// Replicas do not say what is damaged.
    HideDamage,
    /// Pages for peers give the first two rows of a partition each other's content.
    SwapRows,
    /// Reads are refused as invalid, once in a while.
    RefuseReads,
    /// Replicas panic where all that they would answer with are deletions.
    PanicAtDeletions,
    /// Nodes refuse clients' writes until they are in the ring, though they are about to have them.
    RefuseAsNewcomer,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 36] = [
        Self::AcknowledgeBeforeSync,
        Self::SkipSync,
        Self::SkipDirectorySync,
        Self::LoseWrites,
        Self::AcknowledgeFailures,
        Self::LoseLastRow,
        Self::DropRepairs,
        Self::DropHints,
        Self::RestampHints,
        Self::ForgetHints,
        Self::FirstOfEqualsWins,
        Self::IgnoreRangeDeletions,
        Self::HideDeletions,
        Self::PurgeTooEarly,
        Self::ForgetChanges,
        Self::ReadBeforeSync,
        Self::StaleCache,
        Self::StopAtShard,
        Self::NeverBehind,
        Self::ForgetClock,
        Self::KeepSchemaSecret,
        Self::IgnoreTruncation,
        Self::TakeLateWrites,
        Self::StreamNothing,
        Self::KeepForeign,
        Self::ForgetBatches,
        Self::ReadOnOldRing,
        Self::SkipBarrier,
        Self::FirstSchemaWins,
        Self::LoseNearWrites,
        Self::GiveUpDamage,
        Self::HideDamage,
        Self::SwapRows,
        Self::RefuseReads,
        Self::PanicAtDeletions,
        Self::RefuseAsNewcomer,
    ];

    /// The bug of a name, as `{:?}` writes it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| format!("{bug:?}") == name)
    }

    /// What it is, in a few words.
    pub fn what(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeSync => "a write is acknowledged before its log is synced",
            Self::SkipSync => "syncs of files do nothing",
            Self::SkipDirectorySync => "syncs of directories do nothing",
            Self::LoseWrites => "a replica acknowledges one write in eight and does nothing",
            Self::AcknowledgeFailures => "a replica acknowledges writes that failed",
            Self::LoseLastRow => "a replica leaves out the last row of a write to several",
            Self::DropRepairs => "a replica acknowledges read repairs and does nothing",
            Self::DropHints => "a replica acknowledges hints and does nothing",
            Self::RestampHints => "a replica takes hints for new writes",
            Self::ForgetHints => "hints do not outlast a restart",
            Self::FirstOfEqualsWins => "of equal timestamps the first one to come wins",
            Self::IgnoreRangeDeletions => "deletions of ranges are ignored",
            Self::HideDeletions => "pages for coordinators leave deletions out",
            Self::PurgeTooEarly => "compactions purge tombstones at once",
            Self::ForgetChanges => "repair is not told what was written to since it looked last",
            Self::ReadBeforeSync => "reads show what is not durable yet",
            Self::StaleCache => "reads are answered from a cache that is not kept up to date",
            Self::StopAtShard => "reads of a range end with the first shard that has anything",
            Self::NeverBehind => "nodes know nothing of each other's clocks and timestamps",
            Self::ForgetClock => "restarts forget how far the clock had got",
            Self::KeepSchemaSecret => "nodes do not tell each other of the schema",
            Self::IgnoreTruncation => "a replica says that it truncated a table and does not",
            Self::TakeLateWrites => "a replica takes what began before it was truncated",
            Self::StreamNothing => "old replicas have nothing to give to new ones",
            Self::KeepForeign => "a node says that it forgot what is not its own any more and did not",
            Self::ForgetBatches => "a node says that it keeps a logged batch and does not",
            Self::ReadOnOldRing => "a replica carries out reads that were planned on an older ring",
            Self::LoseNearWrites => {
                "of two datacenters' replicas those near the coordinator acknowledge one write in eight and do nothing"
            }
            Self::GiveUpDamage => "a replica gives up what is damaged before the others' data is there",
            Self::HideDamage => "a replica does not say what is damaged",
            Self::SwapRows => {
                "pages for coordinators give the first two rows of a partition each other's content"
            }
            Self::RefuseReads => "one read in eight is refused as invalid",
            Self::PanicAtDeletions => "a replica panics where all that it would answer with are deletions",
            Self::RefuseAsNewcomer => "a node refuses writes until it is in the ring",
            Self::SkipBarrier => "a node confirms steps of a change of the ring that it has not taken",
            Self::FirstSchemaWins => "of two schema changes within a second the first one to come wins",
        }
    }

    /// What goes wrong beside it, where it needs more than chance gives.
    pub fn evils(self) -> Option<Evils> {
        let usual = Evils {
            full_disks: false,
            rot: false,
            ..Evils::ALL
        };
        match self {
            // Without crashes, hints alone bring everything everywhere.
            Self::DropHints => Some(Evils {
                crashes: false,
                ..usual
            }),
            // Killed nodes keep all else that they had.
            Self::ForgetHints => Some(Evils {
                crashes: false,
                ..usual
            }),
            // A full disk makes writes fail.
            Self::AcknowledgeFailures => Some(Evils::ALL),
            Self::GiveUpDamage | Self::HideDamage => Some(Evils { rot: true, ..usual }),
            _ => Some(usual),
        }
    }

    /// Whether anti-entropy mends what it does before anybody sees it: there is none in runs with it.
    pub fn is_hidden_by_repair(self) -> bool {
        matches!(
            self,
            Self::DropRepairs | Self::HideDeletions | Self::StreamNothing
        )
    }

    /// Whether it shows only while the ring changes.
    pub fn needs_upheaval(self) -> bool {
        matches!(
            self,
            Self::StreamNothing | Self::KeepForeign | Self::ReadOnOldRing | Self::SkipBarrier
        )
    }

    /// Whether it shows only while the schema is changed in ways that contradict each other.
    pub fn needs_quarrels(self) -> bool {
        self == Self::FirstSchemaWins
    }

    /// Whether it shows only where what nodes store rots.
    pub fn needs_decay(self) -> bool {
        matches!(self, Self::GiveUpDamage | Self::HideDamage)
    }

    /// Whether it shows only where nothing is wrong but that the ring changes.
    pub fn needs_calm(self) -> bool {
        self == Self::RefuseAsNewcomer
    }

    /// Whether it shows only where replicas stand in two datacenters.
    pub fn needs_datacenters(self) -> bool {
        self == Self::LoseNearWrites
    }

    /// The promises that it may break.
    pub fn breaks(self) -> &'static [Promise] {
        use Promise::{
            Atomicity, Causality, Convergence, Forgetting, Handoff, Mending, MonotonicReads, NoInvention,
            NoLostWrite, NoPanic, Ownership, Recovery, SchemaAgreement, Service, Truncation, Validity,
        };
        match self {
            Self::AcknowledgeBeforeSync
            | Self::ReadBeforeSync
            | Self::StaleCache
            | Self::AcknowledgeFailures => &[NoLostWrite, MonotonicReads, Causality],
            Self::SkipSync | Self::SkipDirectorySync => &[NoLostWrite, MonotonicReads, Causality, Recovery],
            Self::LoseWrites | Self::IgnoreRangeDeletions | Self::HideDeletions | Self::StopAtShard => {
                &[NoLostWrite, Causality]
            }
            Self::LoseLastRow | Self::FirstOfEqualsWins | Self::PurgeTooEarly => {
                &[NoLostWrite, MonotonicReads, Convergence]
            }
            Self::DropRepairs => &[MonotonicReads, Convergence],
            Self::ForgetChanges => &[Convergence],
            Self::DropHints => &[Handoff, NoLostWrite],
            Self::RestampHints => &[NoLostWrite, MonotonicReads, Causality, NoInvention],
            Self::ForgetHints => &[Handoff, NoLostWrite],
            Self::StreamNothing => &[NoLostWrite, MonotonicReads, Causality],
            Self::NeverBehind | Self::ForgetClock => &[Causality],
            Self::KeepSchemaSecret => &[SchemaAgreement, Recovery],
            Self::IgnoreTruncation | Self::TakeLateWrites => &[Truncation],
            Self::KeepForeign => &[Forgetting],
            Self::ForgetBatches => &[Atomicity],
            Self::ReadOnOldRing => &[Ownership],
            Self::FirstSchemaWins => &[SchemaAgreement],
            Self::LoseNearWrites => &[NoLostWrite, Causality],
            Self::GiveUpDamage => &[NoLostWrite, MonotonicReads, Causality],
            Self::HideDamage => &[Mending],
            Self::SwapRows => &[NoInvention],
            Self::RefuseReads => &[Validity],
            Self::PanicAtDeletions => &[NoPanic],
            Self::RefuseAsNewcomer => &[Service],
            Self::SkipBarrier => &[Ownership, NoLostWrite, MonotonicReads, Causality],
        }
    }
}
