//! `system_traces`: the traces that this node remembers, and those that others do.

use bytes::Bytes;
use futures::future::join_all;
use starling_cql::{
    Error,
    schema::{Table, system::SystemRow},
    value,
};
use starling_model::{KeyRange, ReadCommand, Timestamp};

use super::system_tables::{inet, int, text, uuid};
use crate::{
    env::Env,
    message::{Request, Response, TraceQuery},
    node::Node,
    tracing::{Trace, TraceEvent, Tracer, micros_between},
};

/// Drivers ask for a trace right after the request: a peer that is slow is not waited for.
const ASK: std::time::Duration = std::time::Duration::from_secs(1);

impl<E: Env> Node<E> {
    /// The rows of a table of `system_traces`.
    pub(super) async fn trace_rows(&self, table: &Table, command: &ReadCommand) -> Vec<SystemRow> {
        let query = match &command.keys {
            KeyRange::Partition(key) => match <[u8; 16]>::try_from(&key.key[..]) {
                Ok(id) => TraceQuery::Session(u128::from_be_bytes(id)),
                Err(_) => return Vec::new(),
            },
            KeyRange::Tokens(_) => TraceQuery::All,
        };
        let traces = self.find_traces(query).await;
        let rows = traces.iter();
        if table.name == "sessions" {
            rows.map(session_row).collect()
        } else {
            rows.flat_map(event_rows).collect()
        }
    }

    async fn find_traces(&self, query: TraceQuery) -> Vec<Trace> {
        let mut traces = match query {
            TraceQuery::Session(session) => match self.traces.get(session) {
                Some(trace) => return vec![trace],
                None => Vec::new(),
            },
            TraceQuery::All => self.traces.all(),
        };
        let snapshot = self.views.load();
        let asks = snapshot
            .cluster
            .live_others()
            .map(|peer| self.peers.ask(peer, Request::Trace(query), ASK, &Tracer::OFF));
        for answer in join_all(asks).await {
            if let Ok(Response::Traces(theirs)) = answer {
                traces.extend(theirs);
            }
        }
        traces
    }

    /// A tracer for a request that begins now, and its session's id; one that is off if no trace is wanted.
    pub(super) fn begin_trace(&self, wanted: bool) -> (Option<(u128, Timestamp)>, Tracer) {
        if !wanted {
            return (None, Tracer::OFF);
        }
        let started = self.env.wall();
        let micros = self.clock.tick(started).0;
        let session = self.timeuuid(micros);
        (
            Some((session, started)),
            Tracer::recording(self.config.cql, started),
        )
    }

    /// Keeps a trace that is complete but for what late replicas still do.
    pub(super) fn end_trace(
        &self,
        begun: Option<(u128, Timestamp)>,
        tracer: &Tracer,
        request: &str,
        parameters: impl FnOnce() -> Vec<(String, String)>,
        outcome: Result<(), &Error>,
    ) {
        let Some((session, started)) = begun else { return };
        tracer.note(
            || self.env.wall(),
            || match outcome {
                Ok(()) => "Request complete".to_owned(),
                Err(error) => format!("Request failed: {error}"),
            },
        );
        self.traces.push(Trace {
            session,
            coordinator: self.config.cql,
            client: None,
            started,
            duration: micros_between(started, self.env.wall()),
            request: request.to_owned(),
            parameters: parameters(),
            events: tracer.take(),
        });
    }

    /// A version 1 UUID of this node.
    pub(super) fn timeuuid(&self, micros: i64) -> u128 {
        let sequence = self.env.random() & 0x3FFF;
        let node = (self.id.0 as u64 & 0xFFFF_FFFF_FFFF) | (1 << 40);
        value::timeuuid_parts(micros, 0, 0b10 << 62 | sequence << 48 | node)
    }
}

fn session_row(trace: &Trace) -> SystemRow {
    let parameters = trace
        .parameters
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    vec![
        ("session_id", uuid(trace.session)),
        ("client", trace.client.and_then(inet)),
        ("command", text("QUERY")),
        ("coordinator", inet(trace.coordinator.ip())),
        ("coordinator_port", int(i32::from(trace.coordinator.port()))),
        ("duration", int(i32::try_from(trace.duration).unwrap_or(i32::MAX))),
        (
            "parameters",
            Some(value::write_elements(trace.parameters.len(), parameters)),
        ),
        ("request", text(&trace.request)),
        (
            "started_at",
            Some(Bytes::copy_from_slice(&(trace.started.0 / 1_000).to_be_bytes())),
        ),
    ]
}

fn event_rows(trace: &Trace) -> impl Iterator<Item = SystemRow> + '_ {
    trace
        .events
        .iter()
        .enumerate()
        .map(|(at, event)| event_row(trace.session, at, event))
}

fn event_row(session: u128, at: usize, event: &TraceEvent) -> SystemRow {
    // Distinct, and in the order of time and then of hearing: the number stands in the clock sequence.
    let lower = 0b10 << 62 | (at as u64 & 0x3FFF) << 48 | (session as u64 & 0xFFFF_FFFF_FFFF);
    vec![
        ("session_id", uuid(session)),
        ("event_id", uuid(value::timeuuid_parts(event.at.0, 0, lower))),
        ("activity", text(&event.activity)),
        ("source", inet(event.source.ip())),
        (
            "source_elapsed",
            int(i32::try_from(event.elapsed).unwrap_or(i32::MAX)),
        ),
        ("source_port", int(i32::from(event.source.port()))),
        ("thread", text("starling")),
    ]
}
