//! The engine agrees with a map of partitions, whatever happens to it.

use proptest::{collection::vec, prelude::*};
use starling_model::{Mutation, Seconds};

use crate::{
    Engine, Job, Step,
    fixtures::{Content, TABLE, contents, merge_into, mutation, open},
    fs::MemoryFs,
};

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
    Truncate,
    /// Everything stops; of each file's unsynced bytes a share survives (in sixteenths).
    Crash(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => mutation().prop_map(Event::Write),
        4 => Just(Event::Sync),
        3 => Just(Event::FlushAll),
        6 => Just(Event::TakeJob),
        10 => any::<usize>().prop_map(Event::Step),
        5 => any::<usize>().prop_map(Event::Finish),
        1 => Just(Event::Truncate),
        2 => (0_u8..=16).prop_map(Event::Crash),
    ]
}

struct World {
    fs: MemoryFs,
    engine: Engine,
    jobs: Vec<Job>,
    /// Everything that was written.
    all: Content,
    /// What must survive a crash.
    durable: Content,
    unsynced: Vec<Mutation>,
}

impl World {
    fn new() -> Self {
        let fs = MemoryFs::new();
        Self {
            engine: open(&fs),
            fs,
            jobs: Vec::new(),
            all: Content::new(),
            durable: Content::new(),
            unsynced: Vec::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Write(mutation) => {
                self.engine.apply(&mutation).unwrap();
                merge_into(&mut self.all, &mutation);
                self.unsynced.push(mutation);
            }
            Event::Sync => {
                self.engine.log().sync().unwrap();
                for mutation in self.unsynced.drain(..) {
                    merge_into(&mut self.durable, &mutation);
                }
            }
            Event::FlushAll => self.engine.flush_all(),
            Event::TakeJob => self.jobs.extend(self.engine.next_job(Seconds(100))),
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
            Event::Truncate => {
                self.engine.truncate(TABLE).unwrap();
                self.all.clear();
                self.durable.clear();
                self.unsynced.clear();
            }
            Event::Crash(share) => self.crash(share),
        }
    }

    /// A new engine on what a crash leaves: all that was durable, nothing that was never written.
    fn crash(&mut self, share: u8) {
        self.jobs.clear();
        self.fs = self
            .fs
            .after_crash(&mut |_, unsynced| unsynced * usize::from(share) / 16);
        self.engine = open(&self.fs);
        let found = contents(&self.engine);
        for (key, partition) in &self.durable {
            let mut merged = found.get(key).cloned().unwrap_or_default();
            merged.merge(partition.clone());
            assert_eq!(found.get(key), Some(&merged), "what was durable is there");
        }
        for (key, partition) in &found {
            let mut merged = self.all.get(key).cloned().unwrap_or_default();
            merged.merge(partition.clone());
            assert_eq!(self.all.get(key), Some(&merged), "what is there was written");
        }
        self.all.clone_from(&found);
        self.durable = found;
        self.unsynced.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn agrees_with_a_map(events in vec(event(), 1..120)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            assert_eq!(contents(&world.engine), world.all);
        }
        world.happen(Event::Crash(0));
    }
}
