//! One client: asks a random node for something, waits, notes what it was told.

use std::time::Duration;

use starling_cql::{
    BatchEntry, BatchKind, BatchRequest, Error, ErrorKind, QueryParameters, QueryResult, Statement, Values,
    request::Value,
};
use starling_model::{Consistency, Timestamp};

use super::{Question, Recorder, Space, bags, change::Change, level};
use crate::{
    checkers::Promise,
    cluster::{Cluster, NoAnswer, Request},
    env::true_time,
    executor::Handle,
    history::Outcome,
    random::Random,
    reach::Reach,
    trace::Place,
};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long one waits at most who gives up early.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// The most pages that a client reads for one question.
const MAX_PAGES: usize = 10_000;

/// A client. It has one request under way at a time.
pub struct Client {
    pub(super) handle: Handle,
    pub(super) cluster: Cluster,
    pub(super) space: Space,
    pub(super) recorder: Recorder,
    pub(super) random: Random,
    number: usize,
    /// How far its clock is ahead, in microseconds.
    skew: i64,
    /// Nothing is wrong but that the ring changes: it turns to nodes that are at service, and they must serve it.
    pub(super) is_owed: bool,
}

impl Client {
    /// A client with a random clock.
    pub fn new(handle: &Handle, cluster: &Cluster, space: Space, recorder: &Recorder, number: usize) -> Self {
        let mut random = handle.fork_random();
        let skew = match random.below(3) {
            0 => random.below(200_000) as i64 - 100_000,
            _ => 0,
        };
        Self {
            handle: handle.clone(),
            cluster: cluster.clone(),
            space,
            recorder: recorder.clone(),
            random,
            number,
            skew,
            is_owed: false,
        }
    }

    /// The same client in a cluster in which nothing is wrong but that the ring changes: no request may fail.
    pub fn owed(self) -> Self {
        Self {
            is_owed: true,
            ..self
        }
    }

    /// Thinks for a while and does one thing.
    pub async fn step(&mut self) {
        // The ring changes for longer than it takes to make much go wrong.
        let longest = if self.is_owed { 600 } else { 60 };
        let think = self
            .random
            .between(Duration::ZERO, Duration::from_millis(longest));
        self.handle.sleep(think).await;
        let Some(node) = self.any_node() else { return };
        match self.random.below(100) {
            0..=34 => self.read(node).await,
            35..=59 => self.write(node).await,
            60..=75 => self.use_stamped(node).await,
            76..=86 => self.batch(node).await,
            87..=91 => self.use_cleared(node).await,
            92..=98 => self.write_bag(node).await,
            _ => self.change_schema(node).await,
        }
    }

    /// Whom it turns to: who may be down, too, unless it is owed an answer.
    fn any_node(&mut self) -> Option<usize> {
        let nodes = if self.is_owed {
            self.cluster.at_service()
        } else {
            self.cluster.residents()
        };
        (!nodes.is_empty()).then(|| *self.random.pick(&nodes))
    }

    /// Thinks for at most `pause` and chooses a node.
    pub async fn pick(&mut self, nodes: &[usize], pause: Duration) -> usize {
        let think = self.random.between(Duration::ZERO, pause);
        self.handle.sleep(think).await;
        *self.random.pick(nodes)
    }

    /// Reads a partition at QUORUM.
    pub async fn look_at(&mut self, node: usize, partition: i32) {
        let question = Question::Partition(partition, false);
        self.ask(node, &question, Consistency::Quorum, None).await;
    }

    /// Reads some partition at QUORUM.
    pub async fn look_somewhere(&mut self, node: usize) {
        let partition = self.random.below(self.space.partitions as u64) as i32;
        self.look_at(node, partition).await;
    }

    /// Reads some partition at ONE.
    pub async fn glance_somewhere(&mut self, node: usize) {
        let partition = self.random.below(self.space.partitions as u64) as i32;
        let question = Question::Partition(partition, false);
        self.ask(node, &question, Consistency::One, None).await;
    }

    /// Thinks for a while and reads something.
    pub async fn look(&mut self) {
        let think = self.random.between(Duration::ZERO, Duration::from_millis(60));
        self.handle.sleep(think).await;
        let node = *self.random.pick(&self.cluster.residents());
        self.read(node).await;
    }

    async fn read(&mut self, node: usize) {
        let question = Question::random(&self.space, &mut self.random);
        let level = level(&self.space, &mut self.random, false);
        let page = match self.random.below(3) {
            0 => Some(1 + self.random.below(5) as u32),
            _ => None,
        };
        self.ask(node, &question, level, page).await;
    }

    /// Asks a question, page by page; false if there was no answer.
    pub async fn ask(
        &mut self,
        node: usize,
        question: &Question,
        level: Consistency,
        page_size: Option<u32>,
    ) -> bool {
        let (text, values) = question.cql(&self.space);
        let invoked = self.handle.now();
        self.note("read", || format!("{question:?} at {level} of n{node}"));
        let mut parameters = QueryParameters::with_consistency(level);
        parameters.values = values;
        parameters.page_size = page_size;
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for _ in 0..MAX_PAGES {
            let request = Request::Prepared(text.clone(), parameters.clone());
            let page = match self.request(node, request).await {
                Ok(QueryResult::Rows(page)) => page,
                Ok(other) => {
                    self.recorder
                        .wrong(Promise::Validity, format!("a SELECT gave {other:?}"));
                    return false;
                }
                Err(_) => return false,
            };
            rows.extend(page.rows);
            parameters.paging_state = page.paging_state;
            if parameters.paging_state.is_none() {
                break;
            }
        }
        let span = (invoked, self.handle.now());
        match question.seen(&self.space, &rows) {
            Ok(seen) => {
                let text = format!("{seen:?}");
                let id = self.recorder.read(span, self.reach(level, node), seen);
                self.note("seen", || format!("read {id} saw {text}"));
            }
            Err(nonsense) => self.recorder.wrong(Promise::Validity, nonsense.to_string()),
        }
        true
    }

    async fn write(&mut self, node: usize) {
        let level = level(&self.space, &mut self.random, true);
        self.write_at(node, level).await;
    }

    /// Writes something.
    pub async fn write_at(&mut self, node: usize, level: Consistency) {
        let recorder = self.recorder.clone();
        let change = Change::random(&self.space, &mut self.random, || recorder.value());
        let timestamp = self.timestamp();
        let (text, values) = change.cql();
        let mut parameters = QueryParameters::with_consistency(level);
        parameters.values = Values::Positional(values);
        parameters.timestamp = Some(Timestamp(timestamp));
        let request = if self.random.chance(500) {
            Request::Query(text.to_owned(), parameters)
        } else {
            Request::Prepared(text.to_owned(), parameters)
        };
        self.carry_out(node, request, level, timestamp, &[change], false)
            .await;
    }

    async fn batch(&mut self, node: usize) {
        let level = level(&self.space, &mut self.random, true);
        let kind = if self.random.chance(500) {
            BatchKind::Logged
        } else {
            BatchKind::Unlogged
        };
        self.send_batch(node, level, kind).await;
    }

    /// Writes some things in a logged batch.
    pub async fn batch_at(&mut self, node: usize, level: Consistency) {
        self.send_batch(node, level, BatchKind::Logged).await;
    }

    /// Writes into a row of each of these partitions, now, in a logged batch.
    pub async fn batch_over(&mut self, node: usize, partitions: [i32; 2]) {
        let changes = partitions.map(|p| Change::SetBoth {
            p,
            r: self.random.below(self.space.rows as u64) as i32,
            a: self.recorder.value(),
            b: self.recorder.value(),
        });
        let timestamp = true_time(self.handle.now()).0;
        self.send_changes(node, Consistency::Quorum, BatchKind::Logged, &changes, timestamp)
            .await;
    }

    async fn send_batch(&mut self, node: usize, level: Consistency, kind: BatchKind) {
        let recorder = self.recorder.clone();
        let count = 1 + self.random.below(4);
        let changes: Vec<Change> = (0..count)
            .map(|_| Change::random(&self.space, &mut self.random, || recorder.value()))
            .collect();
        let timestamp = self.timestamp();
        self.send_changes(node, level, kind, &changes, timestamp).await;
    }

    async fn send_changes(
        &mut self,
        node: usize,
        level: Consistency,
        kind: BatchKind,
        changes: &[Change],
        timestamp: i64,
    ) {
        let mut parameters = QueryParameters::with_consistency(level);
        parameters.timestamp = Some(Timestamp(timestamp));
        let entries = changes
            .iter()
            .map(|change| {
                let (text, values) = change.cql();
                BatchEntry {
                    statement: Statement::Text(text.to_owned()),
                    values: Values::Positional(values),
                }
            })
            .collect();
        let request = Request::Batch(BatchRequest {
            kind,
            entries,
            parameters,
        });
        let logged = kind == BatchKind::Logged;
        self.carry_out(node, request, level, timestamp, changes, logged)
            .await;
    }

    /// Sends a write and notes how it ended.
    async fn carry_out(
        &mut self,
        node: usize,
        request: Request,
        level: Consistency,
        timestamp: i64,
        changes: &[Change],
        logged: bool,
    ) {
        let effects = changes
            .iter()
            .flat_map(|change| change.effects(&self.space, timestamp))
            .collect();
        let invoked = self.handle.now();
        self.note("write", || {
            format!("{changes:?} @{timestamp} at {level} of n{node}")
        });
        let outcome = match self.request(node, request).await {
            Ok(_) => Outcome::Acknowledged,
            Err(NoAnswer::Down) => Outcome::Refused,
            Err(NoAnswer::Lost) => Outcome::Unknown,
            Err(NoAnswer::Error(error)) => outcome(&error),
        };
        let span = (invoked, self.handle.now());
        let reach = self.reach(level, node);
        let id = self.recorder.write(span, reach, outcome, effects, logged);
        self.note("written", || format!("write {id} is {outcome:?}"));
    }

    async fn write_bag(&mut self, node: usize) {
        let text = bags::random(&self.space, &mut self.random);
        let level = level(&self.space, &mut self.random, true);
        self.note("bag", || format!("{text} at {level} of n{node}"));
        let parameters = QueryParameters::with_consistency(level);
        // Only convergence is checked here, so any outcome will do.
        drop(self.request(node, Request::Query(text, parameters)).await);
    }

    async fn change_schema(&mut self, node: usize) {
        let number = self.recorder.value();
        let text = match self.random.below(4) {
            0 => format!("CREATE TABLE sim.extra_{number} (k text PRIMARY KEY, v blob)"),
            3 => format!(
                "DROP TABLE IF EXISTS sim.extra_{}",
                1 + self.random.below(number as u64)
            ),
            1 => format!("ALTER TABLE sim.registers ADD c_{number} text"),
            _ => format!("ALTER TABLE sim.bags ADD c_{number} int"),
        };
        self.note("schema", || format!("{text} at n{node}"));
        let parameters = QueryParameters::with_consistency(Consistency::Quorum);
        drop(self.send(node, Request::Query(text, parameters)).await);
    }

    /// What a level promises that a node coordinates.
    pub(super) fn reach(&self, level: Consistency, node: usize) -> Reach {
        self.space.factors.reach(level, self.cluster.datacenter(node))
    }

    fn timestamp(&mut self) -> i64 {
        let now = true_time(self.handle.now()).0 + self.skew;
        self.recorder.timestamp(now, &mut self.random)
    }

    /// Reads or writes; notes a failure where none may be.
    pub(super) async fn request(&mut self, node: usize, request: Request) -> Result<QueryResult, NoAnswer> {
        let debt = self.is_owed.then(|| self.owe(node, request.level()));
        let result = self.send(node, request).await;
        if let Some(debt) = debt {
            self.settle(&debt, result.as_ref().err());
        }
        result
    }

    /// Sends a request; notes errors that no valid request should get.
    pub(super) async fn send(&mut self, node: usize, request: Request) -> Result<QueryResult, NoAnswer> {
        let text = format!("{request:?}");
        let patience = if self.random.chance(self.space.impatience) {
            self.random.between(Duration::ZERO, IMPATIENCE)
        } else {
            PATIENCE
        };
        let result = self.cluster.request(node, request, patience).await;
        match &result {
            Ok(executed) => self.note("result", || format!("{:?}", executed.result)),
            Err(no_answer) => self.note("no answer", || format!("{no_answer:?}")),
        }
        match &result {
            Err(NoAnswer::Error(error)) if is_wrong(error) => self
                .recorder
                .wrong(Promise::Validity, format!("n{node} answered {error:?} to {text}")),
            Err(NoAnswer::Error(error)) if error.kind == ErrorKind::Overloaded => self.recorder.overloaded(),
            Err(NoAnswer::Lost) if patience < PATIENCE => self.recorder.given_up(),
            _ => {}
        }
        result.map(|executed| executed.result)
    }

    pub(super) fn note(&self, kind: &str, text: impl FnOnce() -> String) {
        let text = text();
        self.handle.trace().event(
            self.handle.now(),
            Place::Client(self.number),
            kind,
            text.as_bytes(),
            || text.clone(),
        );
    }
}

/// What the client knows of a write that ended with an error.
pub(super) fn outcome(error: &Error) -> Outcome {
    match error.kind {
        ErrorKind::Server
        | ErrorKind::WriteTimeout { .. }
        | ErrorKind::WriteFailure { .. }
        | ErrorKind::ReadTimeout { .. }
        | ErrorKind::ReadFailure { .. }
        | ErrorKind::Truncate => Outcome::Unknown,
        _ => Outcome::Refused,
    }
}

/// Whether a valid request must never be answered so.
fn is_wrong(error: &Error) -> bool {
    matches!(
        error.kind,
        ErrorKind::Protocol | ErrorKind::Syntax | ErrorKind::Invalid | ErrorKind::Unprepared { .. }
    )
}
