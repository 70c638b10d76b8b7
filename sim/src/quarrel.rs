//! Changes of the schema that contradict each other, asked of two nodes at once, often while these can't hear each other.

use std::time::Duration;

use starling_cql::{QueryParameters, QueryResult, Rows};
use starling_model::Consistency;

use crate::{
    checkers::Promise,
    cluster::{Cluster, NoAnswer, Request},
    executor::{First, Group, Handle, first, oneshot},
    random::Random,
    trace::Place,
    workload::Recorder,
};

/// How long somebody waits for the answer to one statement.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest that two nodes which disagree are cut off from each other after they were asked.
const LONGEST_CUT: Duration = Duration::from_secs(4);

/// What two people can quarrel about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Both make a table of one name.
    Twins,
    /// Both add a column of one name, with different types.
    Column,
    /// Both set one option.
    Comment,
    /// One adds a column to a table that the other drops.
    AlterOrDrop,
    /// One drops a column, the other adds another one.
    DropOrAdd,
    /// Both make a keyspace of one name, with different replicas.
    Keyspace,
    /// One makes a table in a keyspace that the other drops.
    TableOrDrop,
}

impl Subject {
    /// All of them; those that need others come after these.
    pub const ALL: [Self; 7] = [
        Self::Twins,
        Self::Column,
        Self::Keyspace,
        Self::Comment,
        Self::AlterOrDrop,
        Self::DropOrAdd,
        Self::TableOrDrop,
    ];
}

/// Two people who change the same things in different ways, and write meanwhile.
pub struct Quarrel {
    handle: Handle,
    cluster: Cluster,
    random: Random,
    recorder: Recorder,
    /// The longest pause between two disputes.
    pace: Duration,
    /// Names what is new in each dispute.
    number: u32,
    /// Disputes that were about a new table, a new column, a new keyspace.
    tables: Vec<u32>,
    columns: Vec<u32>,
    keyspaces: Vec<u32>,
}

impl Quarrel {
    /// A quarrel that draws from its own randomness.
    pub fn new(handle: &Handle, cluster: &Cluster, mut random: Random, recorder: &Recorder) -> Self {
        let pace = Duration::from_millis(200 + random.below(3_000));
        Self {
            handle: handle.clone(),
            cluster: cluster.clone(),
            random,
            recorder: recorder.clone(),
            pace,
            number: 0,
            tables: Vec::new(),
            columns: Vec::new(),
            keyspaces: Vec::new(),
        }
    }

    /// Never ends; drop it when there was enough of it.
    pub async fn run(mut self) {
        loop {
            let pause = self.random.between(Duration::from_millis(10), self.pace);
            self.handle.sleep(pause).await;
            let serving = self.cluster.serving();
            let mut nodes: Vec<usize> = serving.iter().map(|(number, _)| *number).collect();
            self.random.shuffle(&mut nodes);
            let [one, two, ..] = nodes[..] else { continue };
            self.write(one, Consistency::Quorum).await;
            let subject = *self.random.pick(&Subject::ALL);
            let cut = self.random.chance(500);
            if cut {
                self.set_cut(one, two, true);
            }
            self.dispute(subject, one, two).await;
            if cut {
                let more = self.random.between(Duration::ZERO, LONGEST_CUT);
                self.handle.sleep(more).await;
                self.set_cut(one, two, false);
            }
        }
    }

    /// Asks two nodes for changes of which one must give way.
    pub async fn dispute(&mut self, subject: Subject, one: usize, two: usize) {
        let Some(statements) = self.statements(subject) else {
            return;
        };
        note(&self.handle, "dispute", || {
            format!("n{one} and n{two}: {statements:?}")
        });
        let mut answers = Vec::new();
        for (node, text) in [one, two].into_iter().zip(statements) {
            let (cluster, handle) = (self.cluster.clone(), self.handle.clone());
            let delay = Duration::from_micros(self.random.below(3_000));
            let (sender, receiver) = oneshot::channel();
            self.handle.spawn(Group::WORLD, async move {
                handle.sleep(delay).await;
                let answer = query(&cluster, node, &text, Consistency::Quorum).await;
                note(&handle, "disputed", || format!("n{node}: {text}: {answer:?}"));
                sender.send(answer.is_ok());
            });
            answers.push(receiver);
        }
        let mut done = 0;
        for answer in answers {
            let limit = self.handle.sleep(PATIENCE);
            if let First::Left(Some(true)) = first(answer, limit).await {
                done += 1;
            }
        }
        if done == 2 {
            self.recorder.contradiction();
        }
    }

    fn set_cut(&self, one: usize, two: usize, cut: bool) {
        let (one, two) = (self.cluster.address(one), self.cluster.address(two));
        let network = self.cluster.network();
        for (from, to) in [(one, two), (two, one)] {
            if cut {
                network.block(from, to);
            } else {
                network.unblock(from, to);
            }
        }
    }

    /// Two statements that can't both prevail; `None` if there is nothing yet that they could be about.
    fn statements(&mut self, subject: Subject) -> Option<[String; 2]> {
        self.number += 1;
        let new = self.number;
        Some(match subject {
            Subject::Twins => {
                self.tables.push(new);
                [
                    format!("CREATE TABLE sim.twin_{new} (k int PRIMARY KEY, a int) WITH comment = 'one'"),
                    format!("CREATE TABLE sim.twin_{new} (k int PRIMARY KEY, a text, b int)"),
                ]
            }
            Subject::Column => {
                self.columns.push(new);
                ["int", "text"].map(|kind| format!("ALTER TABLE sim.disputed ADD c_{new} {kind}"))
            }
            Subject::Comment => {
                ["one", "two"].map(|word| format!("ALTER TABLE sim.disputed WITH comment = '{word} {new}'"))
            }
            Subject::AlterOrDrop => {
                let old = pick(&mut self.random, &self.tables)?;
                [
                    format!("ALTER TABLE sim.twin_{old} ADD d_{new} int"),
                    format!("DROP TABLE sim.twin_{old}"),
                ]
            }
            Subject::DropOrAdd => {
                let old = pick(&mut self.random, &self.columns)?;
                self.columns.push(new);
                [
                    format!("ALTER TABLE sim.disputed DROP c_{old}"),
                    format!("ALTER TABLE sim.disputed ADD c_{new} text"),
                ]
            }
            Subject::Keyspace => {
                self.keyspaces.push(new);
                [1, 2].map(|factor| {
                    format!(
                        "CREATE KEYSPACE side_{new} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {factor}}}"
                    )
                })
            }
            Subject::TableOrDrop => {
                let old = pick(&mut self.random, &self.keyspaces)?;
                [
                    format!("CREATE TABLE side_{old}.t_{new} (k int PRIMARY KEY, v int)"),
                    format!("DROP KEYSPACE side_{old}"),
                ]
            }
        })
    }

    /// Adds a row to the disputed table, at times with a value in a column that one of two wanted, and reads what there is.
    pub async fn write(&mut self, node: usize, level: Consistency) {
        let value = self.recorder.value();
        let column = pick(&mut self.random, &self.columns).filter(|_| self.random.chance(700));
        let text = match column {
            Some(column) if self.random.chance(500) => {
                format!("INSERT INTO sim.disputed (p, v, c_{column}) VALUES ({value}, {value}, {value})")
            }
            Some(column) => {
                format!(
                    "INSERT INTO sim.disputed (p, v, c_{column}) VALUES ({value}, {value}, 'number {value}')"
                )
            }
            None => format!("INSERT INTO sim.disputed (p, v) VALUES ({value}, {value})"),
        };
        let answer = query(&self.cluster, node, &text, level).await;
        note(&self.handle, "added", || format!("n{node}: {text}: {answer:?}"));
        // What fewer acknowledge may be lost with a node.
        if answer.is_ok() && matches!(level, Consistency::Quorum | Consistency::All) {
            self.recorder.disputed(value);
        }
        let text = "SELECT * FROM sim.disputed";
        if let Ok(QueryResult::Rows(rows)) = query(&self.cluster, node, text, level).await
            && let Some(problem) = ill_typed(&rows)
        {
            self.recorder
                .wrong(Promise::Validity, format!("n{node}: {text}: {problem}"));
        }
    }
}

/// A value that its column's type does not allow: what was written under another definition shows.
pub fn ill_typed(rows: &Rows) -> Option<String> {
    let values = rows.rows.iter().flat_map(|row| rows.columns.iter().zip(row));
    let mut wrong = values.filter(|(column, value)| {
        let Some(bytes) = value else { return false };
        match column.cql_type.to_string().as_str() {
            "int" => bytes.len() != 4,
            _ => !bytes.starts_with(b"number "),
        }
    });
    let (column, value) = wrong.next()?;
    Some(format!(
        "column {} of type {} has {value:?}",
        column.name, column.cql_type
    ))
}

/// One of what was new before.
fn pick(random: &mut Random, numbers: &[u32]) -> Option<u32> {
    (!numbers.is_empty()).then(|| *random.pick(numbers))
}

async fn query(
    cluster: &Cluster,
    node: usize,
    text: &str,
    level: Consistency,
) -> Result<QueryResult, NoAnswer> {
    let request = Request::Query(text.to_owned(), QueryParameters::with_consistency(level));
    let executed = cluster.request(node, request, PATIENCE).await?;
    Ok(executed.result)
}

fn note(handle: &Handle, kind: &str, text: impl FnOnce() -> String) {
    handle.trace().event(handle.now(), Place::World, kind, &[], text);
}
