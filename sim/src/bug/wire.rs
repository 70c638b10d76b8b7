//! What a node does wrong with what its peers ask.

use starling_cql::schema::{Schema, SchemaEntry};
use starling_model::{CellValue, Mutation, NodeId, Page, Row, Timestamp, range_tombstone::RangeTombstones};
use starling_replication::{
    Node, PeerRequest, PeerResponse,
    anti_entropy::wire::SessionAnswer,
    message::{Failure, Request, Response, WriteReason},
    streaming::{StreamReply, StreamRequest},
    topology::{TopologyRequest, TopologyResponse},
};

use super::Bug;
use crate::env::SimEnv;

/// One write in so many is lost.
const LOST_ONE_IN: i64 = 8;

/// What is done with a request.
pub(crate) enum Treatment {
    /// The node gets it, perhaps changed.
    Serve(PeerRequest, Kind),
    /// The node does not get it; its peer is told this.
    Pretend(PeerRequest, Response),
}

/// What its sender had asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A write.
    Write,
    /// Anything else.
    Other,
}

/// What a node with a bug does with a request; `wall` is its clock.
pub(crate) fn treat(
    bug: Option<Bug>,
    mut request: PeerRequest,
    wall: Timestamp,
    node: &Node<SimEnv>,
) -> Treatment {
    let kind = match request.body {
        Request::Write { .. } | Request::WriteStamped { .. } => Kind::Write,
        _ => Kind::Other,
    };
    let Some(bug) = bug else {
        return Treatment::Serve(request, kind);
    };
    if bug == Bug::NeverBehind {
        request.clock = DEAF;
    }
    if bug == Bug::TakeLateWrites {
        request.era = u64::MAX;
    }
    if bug == Bug::ReadOnOldRing && matches!(request.body, Request::Read { .. }) {
        let known = node.ring_state().stamp();
        if request.epoch <= known.epoch {
            (request.ring, request.epoch) = (known.digest, known.epoch);
        }
    }
    let instead = match (&mut request.body, bug) {
        (Request::Write { reason, .. }, Bug::DropRepairs) if *reason == WriteReason::Repair => {
            Some(Response::Done)
        }
        (Request::Write { reason, .. }, Bug::LoseWrites)
            if *reason == WriteReason::Client && request.clock.0 % LOST_ONE_IN == 0 =>
        {
            Some(Response::Done)
        }
        (Request::Write { reason, .. }, Bug::LoseNearWrites)
            if *reason == WriteReason::Client
                && request.clock.0 % LOST_ONE_IN == 0
                && is_near(node, request.sender) =>
        {
            Some(Response::Done)
        }
        (Request::Write { reason, .. }, Bug::RefuseAsNewcomer)
            if *reason == WriteReason::Client && !node.ring_state().serves(node.status().id) =>
        {
            Some(Response::Failed(Failure::Overloaded))
        }
        (Request::WriteStamped { .. }, Bug::LoseWrites) if request.clock.0 % LOST_ONE_IN == 0 => {
            Some(Response::Done)
        }
        (Request::Hints(_), Bug::DropHints)
        | (Request::SchemaPush(_), Bug::KeepSchemaSecret)
        | (Request::Truncate { .. } | Request::Truncated { .. }, Bug::IgnoreTruncation)
        | (Request::BatchStore { .. }, Bug::ForgetBatches) => Some(Response::Done),
        (
            Request::Stream(StreamRequest::Open { .. } | StreamRequest::OpenAnew { .. }),
            Bug::StreamNothing,
        ) => Some(Response::Stream(StreamReply::Files(Vec::new()))),
        // It says that it has the step durably, and that nothing is under way on an older ring.
        (Request::Topology(TopologyRequest::Push(state)), Bug::SkipBarrier) => {
            Some(Response::Topology(TopologyResponse::State(state.clone())))
        }
        (Request::SchemaPull, Bug::KeepSchemaSecret) => Some(Response::Schema(NO_ENTRIES.into())),
        (Request::SchemaPush(entries), Bug::FirstSchemaWins) => {
            leave_out_seconds(&node.schema(), entries);
            None
        }
        (Request::Hints(hints), Bug::RestampHints) => {
            for hint in hints {
                hint.mutation = anew(&hint.mutation, wall);
            }
            None
        }
        _ => None,
    };
    match instead {
        Some(response) => Treatment::Pretend(request, response),
        None => Treatment::Serve(request, kind),
    }
}

/// Whether two members stand in one datacenter.
fn is_near(node: &Node<SimEnv>, other: NodeId) -> bool {
    let members = node.ring_state().members();
    let me = node.status().id;
    let place = |id| {
        members
            .iter()
            .find(|member| member.id == id)
            .map(|member| &member.datacenter)
    };
    place(me) == place(other)
}

/// A clock that nobody learns anything from.
const DEAF: Timestamp = Timestamp(0);

/// A schema without entries: an empty array of MessagePack.
const NO_ENTRIES: &[u8] = &[0x90];

/// The same mutation as if it were written now.
fn anew(mutation: &bytes::Bytes, now: Timestamp) -> bytes::Bytes {
    let decoded = Mutation::decode(mutation.clone()).expect("a peer's hint can be decoded");
    match decoded.partition.newest() {
        Some(newest) => decoded.restamped(newest, now).encode(),
        None => mutation.clone(),
    }
}

/// Leaves out entries whose object is known from another change in the same second.
fn leave_out_seconds(known: &Schema, entries: &mut bytes::Bytes) {
    let second = |entry: &SchemaEntry| entry.version.0.div_euclid(1_000_000);
    let decoded: Vec<SchemaEntry> = rmp_serde::from_slice(entries).expect("a peer's schema can be decoded");
    let is_first = |entry: &SchemaEntry| {
        let own = known.entry(&entry.name);
        own.is_none_or(|own| second(own) != second(entry))
    };
    let kept: Vec<SchemaEntry> = decoded.into_iter().filter(is_first).collect();
    *entries = rmp_serde::to_vec(&kept).expect("a schema can be encoded").into();
}

/// What a node with a bug answers instead, or `asker` makes of its answer.
pub(crate) fn spoil_answer(
    bug: Option<Bug>,
    kind: Kind,
    answer: &mut PeerResponse,
    asker: Option<&Node<SimEnv>>,
) {
    if bug == Some(Bug::NeverBehind) {
        answer.clock = DEAF;
    }
    match (bug, &mut answer.body) {
        (Some(Bug::AcknowledgeFailures), body @ Response::Failed(_)) if kind == Kind::Write => {
            *body = Response::Done;
        }
        (Some(Bug::NeverBehind), body @ Response::Behind(_)) => *body = Response::Done,
        (Some(Bug::FirstSchemaWins), Response::Schema(entries)) => {
            if let Some(asker) = asker {
                leave_out_seconds(&asker.schema(), entries);
            }
        }
        (Some(Bug::HideDeletions), Response::Page(bytes)) => hide_deletions_in(bytes),
        (Some(Bug::SwapRows), Response::Page(bytes)) => swap_rows_in(bytes),
        (Some(Bug::PanicAtDeletions), Response::Page(bytes)) => {
            let mut page = Page::decode(bytes.clone()).expect("a peer's page can be decoded");
            let any = !page.partitions.is_empty();
            hide_deletions(&mut page);
            assert!(!any || !page.partitions.is_empty(), "nobody expects that");
        }
        (Some(Bug::HideDeletions), Response::AntiEntropy(SessionAnswer::Pages(pages))) => {
            pages.iter_mut().for_each(hide_deletions_in);
        }
        _ => {}
    }
}

fn swap_rows_in(bytes: &mut bytes::Bytes) {
    let mut page = Page::decode(bytes.clone()).expect("a peer's page can be decoded");
    for part in &mut page.partitions {
        let mut swapped = part.partition.clone();
        let mut rows = swapped.rows.values_mut();
        if let (Some(one), Some(other)) = (rows.next(), rows.next()) {
            std::mem::swap(one, other);
        }
        // A range that is deleted may cover one of them only.
        if swapped.is_canonical() {
            part.partition = swapped;
        }
    }
    *bytes = page.encoded().into_bytes();
}

fn hide_deletions_in(bytes: &mut bytes::Bytes) {
    let mut page = Page::decode(bytes.clone()).expect("a peer's page can be decoded");
    hide_deletions(&mut page);
    *bytes = page.encoded().into_bytes();
}

fn hide_deletions(page: &mut Page) {
    let hide = |row: &mut Row| {
        row.deletion = None;
        row.cells
            .retain(|cell| matches!(cell.value, CellValue::Live { .. }));
    };
    for part in &mut page.partitions {
        let partition = &mut part.partition;
        partition.deletion = None;
        partition.ranges = RangeTombstones::default();
        hide(&mut partition.static_row);
        partition.rows.values_mut().for_each(hide);
        partition.rows.retain(|_, row| !row.is_empty());
    }
    page.partitions.retain(|part| !part.partition.is_empty());
}
