//! Coordinating a read of one page from one set of replicas.

use std::{collections::VecDeque, sync::Arc, task::Poll, time::Duration};

use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
    poll,
};
use starling_cql::{Error, ErrorKind};
use starling_model::{Consistency, KeyRange, Page, ReadCommand};

use super::{
    Coordinator, Outdated, PAUSE, Task,
    alone::suffices_alone,
    answers::{Answers, Received},
};
use crate::{
    budget::Claim,
    env::Env,
    few::Few,
    message::{Failure, MAX_PAGE_BYTES, Request, Response, page_digest},
    peers::AskError,
    snapshot::{Peer, Snapshot},
    topology::quorum::Quorum,
    tracing::Tracer,
};

/// The replicas that a read may ask.
#[derive(Debug, Clone)]
pub(super) struct ReadPlan {
    pub(super) quorum: Quorum,
    /// Those that are asked at once, the preferred one first: as many as the level needs.
    pub(super) contacts: Vec<Arc<Peer>>,
    /// Those that are asked if one of the others fails or is slow.
    pub(super) spares: VecDeque<Arc<Peer>>,
}

impl ReadPlan {
    /// Takes the spares that the level needs if of those who were `asked` all answer but the late ones. While the ring changes
    /// that may be two for one: who was late may count for both its states, and each of them for one.
    fn take_needed(&mut self, answers: &Answers, asked: &[Asked]) -> Vec<Arc<Peer>> {
        let mut tally = answers.tally(&self.quorum);
        let comes = |one: &&Asked| one.late.is_zero() && !answers.came_from(one.peer.id);
        for one in asked.iter().filter(comes) {
            tally.add(one.peer.id, &one.peer.datacenter);
        }
        let mut taken = Vec::new();
        self.spares.retain(|spare| {
            let is_needed = !tally.is_met() && tally.add(spare.id, &spare.datacenter);
            if is_needed {
                taken.push(Arc::clone(spare));
            }
            !is_needed
        });
        taken
    }
}

/// A replica that was asked for an answer.
struct Asked {
    peer: Arc<Peer>,
    /// How long it had taken when the patience with it ended last; zero until then.
    late: Duration,
    /// It was asked in the place of one that failed, while the patience with others ran: that with it ends when it ends next.
    is_new: bool,
}

impl Asked {
    fn now(peer: &Arc<Peer>) -> Self {
        Self {
            peer: Arc::clone(peer),
            late: Duration::ZERO,
            is_new: false,
        }
    }

    /// The patience with those that were asked has ended, after so long.
    fn is_waited_for(&mut self, patience: Duration) {
        if std::mem::take(&mut self.is_new) {
            return;
        }
        self.late += patience;
        // So that the next reads ask others first, also if it never answers.
        self.peer.latency.record(self.late);
    }
}

/// How long the answers of these replicas are waited for before others are asked too.
fn patience_with<'a>(peers: impl IntoIterator<Item = &'a Arc<Peer>>, task: &Task) -> Duration {
    let each = peers
        .into_iter()
        .map(|peer| peer.latency.suspicious_after(task.timeout));
    each.max().unwrap_or(task.timeout)
}

/// What one replica answered.
pub(super) enum Answer {
    Page(Received),
    Digest(u128),
}

type Flight = BoxFuture<'static, (Arc<Peer>, Result<Answer, AskError>)>;

impl<E: Env> Coordinator<E> {
    /// Reads one page at a level. What it returns is durable on as many replicas as the level names.
    ///
    /// The page may hold fewer rows than the limits allow, or none, and still have a `next`. All reads of a
    /// statement have one `claim` between them. Its time counts since it `arrived`, on the monotonic clock.
    pub(crate) async fn read(
        self: &Arc<Self>,
        mut command: ReadCommand,
        consistency: Consistency,
        claim: Claim,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<Page, Error> {
        self.counters.reads.one();
        if consistency == Consistency::Any {
            return Err(Error::invalid(
                "ANY ConsistencyLevel is only supported for writes",
            ));
        }
        if consistency.is_serial() {
            return Err(Error::unsupported(format!("reading at {consistency}")));
        }
        command.limits.bytes = command.limits.bytes.min(MAX_PAGE_BYTES);
        let after = command.after.clone();
        let timeout = match &command.keys {
            KeyRange::Partition(_) => self.timeouts.read,
            KeyRange::Tokens(_) => self.timeouts.range,
        };
        let mut task = self.task_since(arrived, consistency, timeout, tracer)?;
        task.claim = claim;
        let mut truncated = None;
        let mut pause = PAUSE;
        let page = loop {
            let outcome = self.read_by_present_ring(&command, &mut task).await;
            let outdated = task.outdated.lock().take();
            match (outcome, outdated) {
                (Ok(page), _) => break page,
                // What is told when the time is over is why it had to be tried so often.
                (Err(error), None) => {
                    let timed_out = matches!(error.kind, ErrorKind::ReadTimeout { .. });
                    return Err(truncated.filter(|_| timed_out).unwrap_or(error));
                }
                (Err(error), Some(outdated)) => {
                    let was_truncated = matches!(outdated, Outdated::Table);
                    if !Box::pin(self.renew(outdated, &task, &mut pause)).await {
                        return Err(error);
                    }
                    truncated = was_truncated.then_some(error);
                }
            }
        };
        if page.next.is_some() && page.next == after {
            return Err(Error::server("a replica's page made no progress; this is a bug"));
        }
        Ok(page)
    }

    /// Reads one page from the replicas of the ring that is known now. After an error `outdated` of the task says whether it is
    /// worth trying again.
    async fn read_by_present_ring(
        self: &Arc<Self>,
        command: &ReadCommand,
        task: &mut Task,
    ) -> Result<Page, Error> {
        let snapshot = self.views.load();
        task.planned = snapshot.cluster.stamp;
        task.era = self.replica.truncations.era();
        let table = snapshot
            .schema
            .table_by_id(command.table)
            .ok_or_else(|| Error::invalid("the table was dropped meanwhile"))?;
        let placements = snapshot.placements(&table.keyspace)?;
        let requirements = self.requirements(task.consistency, placements);
        match &command.keys {
            KeyRange::Partition(key) => {
                let chance = table.options.read_repair_chance();
                let alone = suffices_alone(&snapshot, placements, &requirements, key.token);
                let plan = |requirements| {
                    let sets = placements.sets(key.token);
                    self.plan_read(&snapshot, Quorum { requirements, sets }, task.consistency)
                };
                if let Some(own) = alone.filter(|_| chance <= 0.0) {
                    return self.read_alone(own, command, || plan(requirements), task).await;
                }
                let plan = plan(requirements)?;
                let quorum = (chance > 0.0).then(|| plan.quorum.clone());
                let page = self.read_page(command.clone(), plan, task).await?;
                if let Some(quorum) = quorum {
                    self.compare_by_chance(chance, command, &quorum, task.claim);
                }
                Ok(page)
            }
            KeyRange::Tokens(range) => {
                Box::pin(self.scan(
                    &snapshot,
                    placements,
                    command.clone(),
                    *range,
                    &requirements,
                    task,
                ))
                .await
            }
        }
    }

    /// Chooses whom to ask; `Unavailable` if too few are alive.
    pub(super) fn plan_read(
        &self,
        snapshot: &Snapshot,
        quorum: Quorum,
        consistency: Consistency,
    ) -> Result<ReadPlan, Error> {
        let me = snapshot.cluster.me;
        let replicas = snapshot.peers_of(&quorum.sets.all()).into_iter();
        let mut usable: Vec<Arc<Peer>> = replicas
            .filter(|peer| peer.alive && quorum.requirements.counts(&peer.datacenter))
            .collect();
        quorum
            .check(usable.iter().map(|peer| (peer.id, peer.datacenter.as_str())))
            .map_err(|short| self.unavailable(consistency, &short, quorum.want_of_nodes().as_deref()))?;
        // Latencies by their order of magnitude, so that the choice doesn't flutter and caches stay warm.
        usable.sort_by_key(|peer| {
            let magnitude = peer.latency.usual().as_micros().max(1).ilog2();
            // While the ring changes those who stay replicas come first: they have all data, and count twice.
            let leaves = !quorum.sets.stays(peer.id);
            (
                leaves,
                peer.id != me,
                peer.datacenter != self.datacenter,
                magnitude,
            )
        });
        let mut tally = quorum.tally();
        let mut contacts = Vec::new();
        let mut spares = VecDeque::new();
        for peer in usable {
            if tally.add(peer.id, &peer.datacenter) {
                contacts.push(peer);
            } else {
                spares.push_back(peer);
            }
        }
        Ok(ReadPlan {
            quorum,
            contacts,
            spares,
        })
    }

    /// Data from the preferred replica, digests from the others; where they differ, everything from all of
    /// them, merged, and the stale ones repaired before this ends.
    pub(super) async fn read_page(
        self: &Arc<Self>,
        command: ReadCommand,
        mut plan: ReadPlan,
        task: &Task,
    ) -> Result<Page, Error> {
        let command = Arc::new(command);
        let wanted: Vec<(Arc<Peer>, bool)> = std::mem::take(&mut plan.contacts)
            .into_iter()
            .enumerate()
            .map(|(at, peer)| (peer, at > 0))
            .collect();
        let mut answers = self
            .gather(&command, wanted, &mut plan, Answers::default(), task)
            .await?;
        if answers.agree() {
            return Ok(answers.pages.swap_remove(0).1.page);
        }
        Box::pin(self.read_all_data(&command, plan, answers, task)).await
    }

    /// The digests differ: data also from those that gave a digest, merged, and the stale ones repaired.
    async fn read_all_data(
        self: &Arc<Self>,
        command: &Arc<ReadCommand>,
        mut plan: ReadPlan,
        mut answers: Answers,
        task: &Task,
    ) -> Result<Page, Error> {
        self.counters.digest_mismatches.one();
        task.tracer.note(
            || self.env.wall(),
            || "Digests differ: reading the data from all replicas".to_owned(),
        );
        let wanted = std::mem::take(&mut answers.digests)
            .into_iter()
            .map(|(peer, _)| (peer, false))
            .collect();
        let answers = self.gather(command, wanted, &mut plan, answers, task).await?;
        self.repair(command, answers.pages, &plan.quorum, task).await
    }

    /// Asks the `wanted` (with `true`: for a digest) until the level is met and a page is there. Failed and slow replicas are
    /// replaced by spare ones, which are asked for data: by as many as the level then needs.
    async fn gather(
        self: &Arc<Self>,
        command: &Arc<ReadCommand>,
        wanted: Vec<(Arc<Peer>, bool)>,
        plan: &mut ReadPlan,
        mut answers: Answers,
        task: &Task,
    ) -> Result<Answers, Error> {
        let mut asked: Vec<Asked> = wanted.iter().map(|(peer, _)| Asked::now(peer)).collect();
        let mut patience = patience_with(wanted.iter().map(|(peer, _)| peer), task);
        // The preferred one, which is this node if it can be, is asked last: meanwhile the others are at work.
        let mut flights: Few<Flight> = wanted
            .into_iter()
            .rev()
            .map(|(peer, digest)| self.fly(command, peer, digest, task))
            .collect();
        let mut slow = Slow::After(patience);
        while !answers.meet(&plan.quorum) {
            let event = self.next_event(&mut flights, &mut slow, !plan.spares.is_empty());
            let more = match event.await {
                Event::Slow => {
                    asked.retain(|one| !answers.came_from(one.peer.id));
                    for one in &mut asked {
                        one.is_waited_for(patience);
                    }
                    let more = plan.take_needed(&answers, &asked);
                    for spare in &more {
                        self.counters.speculative_reads.one();
                        task.tracer
                            .note(|| self.env.wall(), || format!("Also asking {}", spare.address));
                    }
                    // These may be slow too. Where all are it takes longer each time, so that their load grows little.
                    patience = patience_with(&more, task).max(patience * 2);
                    slow = Slow::After(patience);
                    asked.extend(more.iter().map(Asked::now));
                    more
                }
                Event::Answer(peer, Ok(Answer::Page(page))) => {
                    answers.pages.push((peer, page));
                    continue;
                }
                Event::Answer(peer, Ok(Answer::Digest(digest))) => {
                    answers.digests.push((peer, digest));
                    continue;
                }
                Event::Answer(peer, Err(error)) => {
                    task.tracer.note(
                        || self.env.wall(),
                        || format!("{} did not answer: {error}", peer.address),
                    );
                    answers.failed(&peer, &error);
                    if error.is_old_ring() {
                        task.outdated.lock().replace(Outdated::Ring(peer));
                        return Err(self.read_error(task, plan, &answers));
                    }
                    if task.deadline.is_over(&self.env) {
                        continue;
                    }
                    asked.retain(|one| one.peer.id != peer.id);
                    let mut more = plan.take_needed(&answers, &asked);
                    if more.is_empty() && answers.pages.is_empty() && flights.is_empty() {
                        // Nobody else is left to give the data but those who gave a digest.
                        more.extend(answers.digests.pop().map(|(peer, _)| peer));
                    }
                    asked.extend(more.iter().map(|peer| Asked {
                        is_new: true,
                        ..Asked::now(peer)
                    }));
                    more
                }
                Event::Over => return Err(self.read_error(task, plan, &answers)),
            };
            for peer in more {
                flights.push(self.fly(command, peer, false, task));
            }
        }
        Ok(answers)
    }

    /// What happens next; with `may_be_slow` also the end of patience.
    async fn next_event(&self, flights: &mut Few<Flight>, slow: &mut Slow, may_be_slow: bool) -> Event {
        let answer = |flight: Option<(Arc<Peer>, Result<Answer, AskError>)>| match flight {
            Some((peer, result)) => Event::Answer(peer, result),
            None => Event::Over,
        };
        // This node's own storage has most answers at once, and a timer costs as much as they do.
        if let Poll::Ready(flight) = poll!(flights.next()) {
            return answer(flight);
        }
        if let Slow::After(patience) = slow
            && may_be_slow
        {
            *slow = Slow::Timer(self.env.sleep(*patience).boxed());
        }
        let timer = match slow {
            Slow::Timer(timer) if may_be_slow => timer,
            Slow::Timer(_) | Slow::After(_) => return answer(flights.next().await),
        };
        match select(flights.next(), timer).await {
            Either::Left((flight, _)) => answer(flight),
            Either::Right(((), _)) => Event::Slow,
        }
    }

    /// One request to one replica, this node included.
    fn fly(
        self: &Arc<Self>,
        command: &Arc<ReadCommand>,
        peer: Arc<Peer>,
        digest: bool,
        task: &Task,
    ) -> Flight {
        let coordinator = Arc::clone(self);
        let (command, task) = (ReadCommand::clone(command), task.clone());
        async move {
            let began = coordinator.env.monotonic();
            let answer = coordinator.ask_for_page(&peer, command, digest, &task).await;
            if answer.is_ok() {
                peer.latency
                    .record(coordinator.env.monotonic().saturating_sub(began));
            }
            (peer, answer)
        }
        .boxed()
    }

    /// One replica's page; `None` if it did not answer.
    pub(crate) async fn fetch_data(&self, peer: &Peer, command: ReadCommand, task: &Task) -> Option<Page> {
        match self.ask_for_page(peer, command, false, task).await {
            Ok(Answer::Page(received)) => Some(received.page),
            Ok(Answer::Digest(_)) | Err(_) => None,
        }
    }

    /// The digest of one replica's page; `None` if it did not answer.
    pub(super) async fn fetch_digest(&self, peer: &Peer, command: ReadCommand, task: &Task) -> Option<u128> {
        match self.ask_for_page(peer, command, true, task).await {
            Ok(Answer::Digest(digest)) => Some(digest),
            Ok(Answer::Page(_)) | Err(_) => None,
        }
    }

    /// One replica's page, or its digest.
    pub(super) async fn ask_for_page(
        &self,
        peer: &Peer,
        command: ReadCommand,
        digest: bool,
        task: &Task,
    ) -> Result<Answer, AskError> {
        if peer.id == self.views.load().cluster.me {
            let _pass = self.views.admit(task.planned).own()?;
            let page = self.replica.read(command, task.deadline, &task.tracer).await?;
            let bytes = page.into_bytes();
            if digest {
                return Ok(Answer::Digest(page_digest(&bytes)));
            }
            let received = Received::new(bytes);
            return received.map(Answer::Page).map_err(|error| {
                AskError::Failed(Failure::Storage(format!("the page can't be decoded: {error}")))
            });
        }
        task.tracer.note(
            || self.env.wall(),
            || {
                let what = if digest { "a digest" } else { "data" };
                format!("Asking {} for {what}", peer.address)
            },
        );
        let timeout: Duration = task.deadline.remaining(&self.env);
        let body = Request::Read { command, digest };
        match self.peers.ask_for_page(peer, body, timeout, task).await? {
            Response::Page(bytes) if !digest => Received::new(bytes)
                .map(Answer::Page)
                .map_err(|_| AskError::Confused),
            Response::Digest(value) if digest => Ok(Answer::Digest(value)),
            _ => Err(AskError::Confused),
        }
    }
}

enum Event {
    /// Somebody takes longer than usual.
    Slow,
    Answer(Arc<Peer>, Result<Answer, AskError>),
    /// Nobody is being asked any more.
    Over,
}

/// The end of patience with those that were asked.
enum Slow {
    /// It has not been waited for yet.
    After(Duration),
    Timer(BoxFuture<'static, ()>),
}
