//! The engine agrees with a map of partitions, whatever happens to it.

use proptest::{collection::vec, prelude::*};
use starling_model::{Mutation, Seconds, Timestamp, Token, TokenRange};

use crate::{
    Engine, Job, PurgePolicy, Repaired, Step, Task,
    fixtures::{Content, TABLE, contents, merge_into, mutation, open},
    fs::MemoryFs,
};

/// More than the timestamps of one write differ.
const WRITE_MICROS: i64 = 8;

#[derive(Debug, Clone)]
enum Event {
    Write(Mutation),
    Sync,
    FlushAll,
    /// Takes a job, if there is one.
    TakeJob,
    /// Steps the job with this index (modulo how many there are).
    Step(usize),
    /// Gives the job with this index back, complete or not.
    Finish(usize),
    /// Flushes what is in memory, and takes the compactions that are offered.
    Flush,
    /// All work is done.
    Settle,
    CompactAll,
    Truncate,
    /// Everything stops; of each file's unsynced bytes a share survives (in sixteenths).
    Crash(u8),
    /// From now on this may be forgotten.
    Purge(PurgePolicy),
    /// So many seconds pass.
    Later(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => mutation().prop_map(Event::Write),
        4 => Just(Event::Sync),
        3 => Just(Event::FlushAll),
        6 => Just(Event::TakeJob),
        10 => any::<usize>().prop_map(Event::Step),
        5 => any::<usize>().prop_map(Event::Finish),
        1 => Just(Event::CompactAll),
        1 => Just(Event::Truncate),
        2 => (0_u8..=16).prop_map(Event::Crash),
    ]
}

/// Those of an engine that forgets: many files, and compactions that are under way.
fn event_with_purges() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => mutation().prop_map(Event::Write),
        2 => Just(Event::Sync),
        6 => Just(Event::Flush),
        3 => Just(Event::TakeJob),
        4 => any::<usize>().prop_map(Event::Step),
        3 => any::<usize>().prop_map(Event::Finish),
        2 => Just(Event::Settle),
        1 => Just(Event::CompactAll),
        1 => (0_u8..=16).prop_map(Event::Crash),
        3 => policy().prop_map(Event::Purge),
        1 => (1_u32..8).prop_map(Event::Later),
    ]
}

fn policy() -> impl Strategy<Value = PurgePolicy> {
    let second = (0_u32..40).prop_map(Seconds);
    // Of the tokens of the keys, which are from -2,000 to 1,000, none, some or all; also around the end.
    let tokens = prop_oneof![
        2 => Just(TokenRange::ALL),
        3 => (-2_001_i64..1_001, -2_001_i64..1_001).prop_map(|(start, end)| TokenRange {
            start: Token(start),
            end: Token(end),
        }),
    ];
    prop_oneof![
        1 => Just(PurgePolicy::Keep),
        3 => (0_u32..4).prop_map(|grace| PurgePolicy::After { grace }),
        5 => (0_u32..4, vec((tokens, second), 0..4)).prop_map(|(grace, ranges)| PurgePolicy::Repaired {
            grace,
            up_to: Repaired::new(ranges),
        }),
    ]
}

struct World {
    fs: MemoryFs,
    engine: Engine,
    jobs: Vec<Job>,
    now: Seconds,
    /// It may have forgotten something: only what a reader sees is compared.
    forgets: bool,
    /// How many writes were made in all.
    made: i64,
    /// What was written since the last truncation, and is not known to be lost.
    writes: Vec<Mutation>,
    /// How many of them, from the first, must survive a crash.
    synced: usize,
    /// All of them together.
    all: Content,
}

impl World {
    fn new(forgets: bool) -> Self {
        let fs = MemoryFs::new();
        Self {
            engine: open(&fs),
            fs,
            jobs: Vec::new(),
            now: Seconds(10),
            forgets,
            made: 0,
            writes: Vec::new(),
            synced: 0,
            all: Content::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Write(mutation) => self.write(mutation),
            Event::Sync => {
                self.engine.log().sync().unwrap();
                self.synced = self.writes.len();
            }
            Event::FlushAll => self.engine.flush_all(),
            Event::TakeJob => self.jobs.extend(self.engine.next_job(self.now)),
            Event::Step(index) => {
                let count = self.jobs.len();
                if count > 0 {
                    self.jobs[index % count].step().unwrap();
                }
            }
            Event::Finish(index) => {
                let count = self.jobs.len();
                if count > 0 {
                    let mut job = self.jobs.remove(index % count);
                    if index.is_multiple_of(4) {
                        while job.step().unwrap() == Step::More {}
                    }
                    self.engine.finish(job).unwrap();
                }
            }
            Event::Flush => {
                self.engine.flush_all();
                self.work(|job| !matches!(job.task(), Some(Task::Compaction(_))));
            }
            Event::Settle => {
                for mut job in std::mem::take(&mut self.jobs) {
                    while job.step().unwrap() == Step::More {}
                    self.engine.finish(job).unwrap();
                }
                self.work(|_| true);
            }
            Event::CompactAll => self.engine.compact(TABLE),
            Event::Truncate => {
                self.engine.truncate(TABLE).unwrap();
                self.writes.clear();
                self.synced = 0;
                self.all.clear();
            }
            Event::Crash(share) => self.crash(share),
            Event::Purge(policy) => self.engine.set_purge(TABLE, policy),
            Event::Later(seconds) => self.now.0 += seconds,
        }
    }

    /// Takes all jobs that are offered, and does some of them at once.
    fn work(&mut self, at_once: impl Fn(&Job) -> bool) {
        while let Some(mut job) = self.engine.next_job(self.now) {
            if at_once(&job) {
                while job.step().unwrap() == Step::More {}
                self.engine.finish(job).unwrap();
            } else {
                self.jobs.push(job);
            }
        }
    }

    fn write(&mut self, mutation: Mutation) {
        let mutation = if self.forgets {
            // What is deleted may be forgotten at once, so nothing older comes later; nor does it after a crash, which may
            // leave a deletion that nobody sees.
            self.made += 1;
            later(&mutation, self.made)
        } else {
            mutation
        };
        self.engine.apply(&mutation).unwrap();
        merge_into(&mut self.all, &mutation);
        self.writes.push(mutation);
    }

    /// What there is to compare: all that is said, or what a reader sees.
    fn shown(&self, content: &Content) -> Content {
        let mut content = content.clone();
        if self.forgets {
            for partition in content.values_mut() {
                partition.purge(self.now, Seconds(u32::MAX));
            }
            content.retain(|_, partition| !partition.is_empty());
        }
        content
    }

    fn agrees(&self) {
        assert_eq!(self.shown(&contents(&self.engine)), self.shown(&self.all));
    }

    /// A new engine on what a crash leaves: all that was durable, and of what was written after that no more than was
    /// written before what is lost. It does not know yet what may be forgotten.
    fn crash(&mut self, share: u8) {
        self.jobs.clear();
        self.fs = self
            .fs
            .after_crash(&mut |_, unsynced| unsynced * usize::from(share) / 16);
        self.engine = open(&self.fs);
        let found = self.shown(&contents(&self.engine));
        self.all.clear();
        for mutation in &self.writes[..self.synced] {
            merge_into(&mut self.all, mutation);
        }
        while self.shown(&self.all) != found {
            let next = self.writes.get(self.synced);
            let next = next.expect("what is there is what was written up to some time");
            merge_into(&mut self.all, next);
            self.synced += 1;
        }
        self.writes.truncate(self.synced);
    }
}

/// The same write, with newer timestamps the larger its number is.
fn later(mutation: &Mutation, number: i64) -> Mutation {
    let by = WRITE_MICROS * number;
    // Each takes two of them along.
    (1..WRITE_MICROS)
        .rev()
        .step_by(2)
        .fold(mutation.clone(), |mutation, micros| {
            mutation.restamped(Timestamp(micros), Timestamp(micros + by))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn agrees_with_a_map(events in vec(event(), 1..120)) {
        let mut world = World::new(false);
        for event in events {
            world.happen(event);
            world.agrees();
        }
        world.happen(Event::Crash(0));
    }

    /// Expired values, and all kinds of tombstones, forgotten while jobs are half done and after crashes.
    #[test]
    fn what_is_forgotten_is_never_missed(events in vec(event_with_purges(), 1..120)) {
        let mut world = World::new(true);
        for event in events {
            world.happen(event);
            world.agrees();
        }
        world.happen(Event::Crash(0));
    }
}
