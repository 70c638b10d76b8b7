//! Serving peers: each kind of request to the part of the node that answers it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use starling_model::{EncodedPage, Mutation, NodeId, TableId, Timestamp, TokenSet};

use crate::{
    budget::{SMALL_BYTES, hold},
    clock_floor::Now,
    deadline::Deadline,
    env::{Env, Store},
    hints::table_of,
    membership::join,
    message::{
        DamageRequest, Failure, Hint, PeerRequest, PeerResponse, Request, Response, TraceQuery, WriteReason,
        page_digest,
    },
    node::Node,
    replica::failure,
    schema_agreement::encode_entries,
    topology::{
        Stamp,
        fence::{Admission, Pass},
    },
    tracing::Tracer,
    truncations::Origin,
};

/// How many hints are applied together: they share the syncs of the log, and clients' requests wait for them, a millisecond
/// or so. Who delivers sends no more in a message; this does not count on it.
const HINTS_AT_ONCE: usize = 64;

/// With more requests of clients under way, nodes that fetch data wait a little for each piece.
const BUSY: usize = 32;

impl<E: Env> Node<E> {
    /// Answers a request that arrived at `arrived`, on the monotonic clock: its time counts from then.
    pub(crate) async fn serve(
        &self,
        from: SocketAddr,
        request: PeerRequest,
        arrived: Duration,
    ) -> PeerResponse {
        let wall = self.env.wall();
        self.clock.observe(request.clock, wall);
        if matches!(request.body, Request::Gossip { .. }) {
            self.note_clock(request.sender, request.clock);
            self.coordinator
                .replica
                .truncations
                .note_run(request.sender, request.era);
        }
        let timeout = Duration::from_millis(u64::from(request.deadline_ms));
        let deadline = Deadline::since(arrived, timeout);
        let tracer = if request.tracing {
            Tracer::recording(self.config.cql, wall)
        } else {
            Tracer::OFF
        };
        let sender = request.sender;
        let planned = Stamp {
            digest: request.ring,
            epoch: request.epoch,
        };
        let origin = Origin {
            sender,
            era: request.era,
        };
        let body = match self
            .answer(from, (origin, planned), request.body, deadline, &tracer)
            .await
        {
            Ok(body) => body,
            Err(failure) => {
                if let Failure::UnknownTable(table) = failure {
                    self.learn_of_table(table, sender);
                }
                Response::Failed(failure)
            }
        };
        PeerResponse {
            sender: self.id,
            clock: self.clock.latest(self.env.wall()),
            trace: tracer.take(),
            body,
        }
    }

    /// Once a second from each member, and no more often: that is enough to know its clock.
    fn note_clock(&self, sender: NodeId, clock: Timestamp) {
        if sender != self.id && self.views.load().cluster.peers.contains_key(&sender) {
            self.peer_clocks.note(sender, clock, Now::of(&self.env));
        }
    }

    /// News is worth having however late it is. Work is not once whoever asked for it has given it up.
    fn check_time(&self, request: &Request, deadline: Deadline) -> Result<(), Failure> {
        let is_news = matches!(
            request,
            Request::BatchRemove(_)
                | Request::SchemaPush(_)
                | Request::Topology(_)
                | Request::Truncated { .. }
        );
        if is_news || !deadline.is_over(&self.env) {
            return Ok(());
        }
        self.counters.late.one();
        Err(Failure::Late)
    }

    /// What is rare is boxed: all that a peer may ask for would make each answer larger, which is copied on its way.
    async fn answer(
        &self,
        from: SocketAddr,
        (origin, planned): (Origin, Stamp),
        request: Request,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Response, Failure> {
        let sender = origin.sender;
        // Gossip is let through: a node that is busy is not dead.
        if let Request::Gossip { reply_to, message } = &request {
            let taken = self.membership.receive(*reply_to, message);
            return taken.map(|()| Response::Done).map_err(Failure::Invalid);
        }
        if self.is_stopping() {
            return Err(Failure::NotServing);
        }
        self.check_time(&request, deadline)?;
        let permit = self.served.enter();
        // So is the end of a truncation, for reads wait for it.
        if permit.is_none() && !matches!(request, Request::Truncated { .. }) {
            self.counters.overloaded.one();
            return Err(Failure::Overloaded);
        }
        self.counters.served.one();
        tracer.note(
            || self.env.wall(),
            || format!("A request came from node {sender} at {from}"),
        );
        match request {
            Request::Gossip { .. } | Request::Ping => Ok(Response::Done),
            Request::Join(_) => Ok(Response::Join(join::answer(
                &self.config,
                &self.book,
                &self.views,
            ))),
            Request::Topology(request) => {
                let answer = self.ring_changes.answer(sender, request, deadline);
                Box::pin(answer).await.map(Response::Topology)
            }
            Request::Write { mutations, reason } => {
                // A hint was planned long ago, and is worth having wherever it belongs.
                let hint = reason == WriteReason::Hint;
                let _pass = if hint {
                    None
                } else {
                    Some(self.let_in(sender, planned, deadline).await?)
                };
                let checked = reason == WriteReason::Client;
                self.apply(mutations, checked, origin, deadline, tracer).await
            }
            Request::WriteStamped { mutations, stamp } => {
                let _pass = self.let_in(sender, planned, deadline).await?;
                self.apply_stamped(mutations, stamp, origin, deadline, tracer)
                    .await
            }
            Request::Read { command, digest } => {
                let pass = self.let_in(sender, planned, deadline).await?;
                let page = self.replica.read(command, deadline, tracer).await?;
                drop(pass);
                if digest {
                    return Ok(Response::Digest(page_digest(&page.into_bytes())));
                }
                self.page(page, deadline).await.map(Response::Page)
            }
            Request::Hints(hints) => Box::pin(self.take_hints(hints, origin, deadline, tracer)).await,
            Request::AntiEntropy(request) => {
                let answer = Box::pin(self.anti_entropy.answer(request, deadline)).await?;
                Ok(answer.map_or(Response::Done, Response::AntiEntropy))
            }
            Request::Stream(request) => {
                let is_busy = self.coordinated.inside() > BUSY;
                self.streaming.serve(request, is_busy).await
            }
            Request::Damage(request) => {
                Box::pin(self.answer_of_damage((sender, planned), request, deadline)).await
            }
            Request::Truncated { .. } => {
                Box::pin(self.coordinator.truncate_here(request, origin, deadline)).await
            }
            Request::ForgetHints { table, .. } | Request::Truncate { table, .. } => {
                Box::pin(self.truncate_here(table, request, (origin, planned), deadline)).await
            }
            Request::SchemaPush(entries) => self
                .agreement
                .learn_encoded(&entries)
                .await
                .map(|()| Response::Done)
                .map_err(|error| Failure::Storage(error.message)),
            Request::SchemaPull => {
                let schema = &self.views.load().schema;
                Ok(Response::Schema(encode_entries(schema.entries())))
            }
            Request::BatchStore { id, mutations } => Box::pin(self.keep_batch(id, mutations, origin)).await,
            Request::BatchRemove(id) => {
                self.kept.remove(id).await;
                Ok(Response::Done)
            }
            Request::Trace(TraceQuery::Session(session)) => {
                Ok(Response::Traces(self.traces.get(session).into_iter().collect()))
            }
            Request::Trace(TraceQuery::All) => Ok(Response::Traces(self.traces.all())),
        }
    }

    async fn answer_of_damage(
        &self,
        (sender, planned): (NodeId, Stamp),
        request: DamageRequest,
        deadline: Deadline,
    ) -> Result<Response, Failure> {
        match request {
            DamageRequest::Tell(table) => {
                let damaged = self.env.store().damaged().await.map_err(failure)?;
                let of_table = damaged.into_iter().filter(|piece| piece.table == table);
                let tokens: TokenSet = of_table.map(|piece| piece.tokens).collect();
                Ok(Response::Damaged(tokens.into()))
            }
            DamageRequest::ReadRest(command) => {
                let pass = self.let_in(sender, planned, deadline).await?;
                let page = self.replica.read_rest(command, deadline).await?;
                drop(pass);
                self.page(page, deadline).await.map(Response::Page)
            }
            DamageRequest::GiveUp { table, tokens } => {
                self.coordinator.give_up_here(table, tokens).await?;
                ::tracing::warn!(
                    %table, %tokens, by = %sender,
                    "an operator has accepted that what was damaged here is lost"
                );
                Ok(Response::Done)
            }
        }
    }

    /// Lets a request in that was planned on this node's ring. One that was planned on a ring that it does not know yet
    /// waits until it does.
    async fn let_in(&self, sender: NodeId, planned: Stamp, deadline: Deadline) -> Result<Pass, Failure> {
        loop {
            match self.views.admit(planned) {
                Admission::In(pass) => return Ok(pass),
                Admission::Old { epoch } => return Err(Failure::OldRing { epoch }),
                Admission::Unknown { .. } => {}
            }
            let heard = self.ring_changes.heard_of(sender, planned.epoch);
            let heard = deadline.within(&self.env, heard).await;
            if heard.is_none() {
                self.counters.late.one();
                return Err(Failure::Late);
            }
        }
    }

    /// The page's bytes, which are counted until they are with the peer.
    async fn page(&self, page: EncodedPage, deadline: Deadline) -> Result<Bytes, Failure> {
        let bytes = page.into_bytes();
        if bytes.len() < SMALL_BYTES {
            return Ok(bytes);
        }
        let room = self.config.budget.pages.take(bytes.len());
        let Some(charge) = deadline.within(&self.env, room).await else {
            self.counters.overloaded.one();
            return Err(Failure::Overloaded);
        };
        Ok(hold(bytes, charge))
    }

    /// Applies all writes; the first failure is the answer, though the others may have been applied.
    async fn apply(
        &self,
        mutations: Vec<Bytes>,
        checked: bool,
        origin: Origin,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Response, Failure> {
        let decoded = self.decode(mutations, checked)?;
        let writes = decoded.into_iter().map(|(mutation, bytes)| async move {
            self.replica
                .write(&mutation, bytes, origin, deadline, tracer)
                .await
        });
        let mut results = join_all(writes).await.into_iter();
        results.try_for_each(|result| result)?;
        Ok(Response::Done)
    }

    /// The same for writes that the coordinator stamped.
    async fn apply_stamped(
        &self,
        mutations: Vec<Bytes>,
        stamp: Timestamp,
        origin: Origin,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Response, Failure> {
        let decoded = self.decode(mutations, true)?;
        let writes = decoded.into_iter().map(|(mutation, bytes)| async move {
            self.replica
                .write_stamped(&mutation, (bytes, stamp), origin, deadline, tracer)
                .await
        });
        let mut newest = None;
        for behind in join_all(writes).await {
            newest = newest.max(behind?);
        }
        Ok(newest.map_or(Response::Done, Response::Behind))
    }

    /// The mutations with their bytes; with `checked` none of them may be far in the future.
    fn decode(&self, mutations: Vec<Bytes>, checked: bool) -> Result<Vec<(Mutation, Bytes)>, Failure> {
        let decoded = mutations.into_iter().map(|bytes| {
            let mutation =
                Mutation::decode(bytes.clone()).map_err(|error| Failure::Invalid(error.to_string()))?;
            if checked {
                self.replica.check_time(&mutation)?;
            }
            Ok((mutation, bytes))
        });
        decoded.collect()
    }

    /// Applies hints in order, some at a time, so that clients' writes get their turns between them. Refused
    /// while there is much else to do.
    async fn take_hints(
        &self,
        hints: Vec<Hint>,
        origin: Origin,
        deadline: Deadline,
        tracer: &Tracer,
    ) -> Result<Response, Failure> {
        let is_busy = self.served.inside() * 2 > self.config.bounds.served
            || self.coordinated.inside() * 2 > self.config.bounds.coordinated;
        let permit = self.hints_served.enter().filter(|_| !is_busy);
        let Some(_permit) = permit else {
            self.counters.hints_refused.one();
            return Err(Failure::Overloaded);
        };
        let now = self.env.wall().seconds();
        let horizon = self.config.bounds.hint_horizon().as_secs();
        let (fresh, late): (Vec<Hint>, Vec<Hint>) = hints
            .into_iter()
            .partition(|hint| u64::from(now.0.saturating_sub(hint.at.0)) <= horizon);
        self.counters.hints_late.add(late.len() as u64);
        for some in fresh.chunks(HINTS_AT_ONCE) {
            let mutations = some.iter().map(|hint| hint.mutation.clone()).collect();
            self.apply(mutations, false, origin, deadline, tracer).await?;
            // Who delivered them forgets them then, and they may be all that there is of a write.
            if !self.coordinator.pass_on(some, deadline).await {
                return Err(Failure::Overloaded);
            }
            self.counters.hints_taken.add(some.len() as u64);
        }
        Ok(Response::Done)
    }

    /// This node's part of a truncation's round that another node coordinates.
    async fn truncate_here(
        &self,
        table: TableId,
        round: Request,
        (origin, planned): (Origin, Stamp),
        deadline: Deadline,
    ) -> Result<Response, Failure> {
        let _pass = self.let_in(origin.sender, planned, deadline).await?;
        // Neither what was copied before nor what is copied while it goes on is taken in.
        self.streaming.forget_table(table);
        let done = self.coordinator.truncate_here(round, origin, deadline).await;
        self.streaming.forget_table(table);
        done
    }

    /// Keeps a logged batch for its coordinator, unless it writes to a table that was truncated since it was sent.
    async fn keep_batch(&self, id: u128, mutations: Vec<Bytes>, origin: Origin) -> Result<Response, Failure> {
        let tables: BTreeSet<TableId> = mutations.iter().filter_map(|encoded| table_of(encoded)).collect();
        let truncations = &self.coordinator.replica.truncations;
        let is_refused = || tables.iter().any(|table| truncations.refuses(*table, origin));
        if is_refused() {
            return Err(Failure::Truncated);
        }
        let is_new = self.kept.store(id, mutations).await?;
        // Once more: who forgot the table may have looked for it in this batch before it was there.
        if is_new && is_refused() {
            self.kept.remove(id).await;
            return Err(Failure::Truncated);
        }
        Ok(Response::Done)
    }

    /// A peer knows a table that this node doesn't: its schema is newer, or the table was dropped.
    fn learn_of_table(&self, table: TableId, sender: NodeId) {
        ::tracing::debug!(%table, "a request for an unknown table: asking its sender for the schema");
        if let Some(peer) = self.views.load().cluster.peers.get(&sender) {
            self.agreement.pull_from(peer, self.config.timeouts.schema);
        }
    }
}
