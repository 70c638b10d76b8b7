//! A single-threaded executor with virtual time, whose every choice is made by the seed.
//!
//! Ready tasks run in random order. Each poll takes a few random microseconds; when nothing is ready,
//! time jumps to the next timer. So an hour of a cluster's life takes a moment, and equal seeds give
//! equal runs.
//!
//! Tasks belong to a [`Group`]: a node's incarnation is a group, and [`Handle::kill`] drops all of its
//! tasks at once, as a crash does.

pub mod oneshot;
pub mod signal;
mod sleep;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use parking_lot::Mutex;

pub use self::sleep::Sleep;
use crate::{
    random::Random,
    trace::{Place, Trace},
};

/// Looks at the world after every poll of a task of the group.
pub type Watcher = Box<dyn Fn(Group) + Send + Sync>;

type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The longest that one poll takes in virtual time, in nanoseconds.
const POLL_NANOS: u64 = 3_000;

/// Tasks that end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(u64);

impl Group {
    /// The group that is never killed: the world around the nodes.
    pub const WORLD: Self = Self(0);
}

/// Why a run came to no end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// Nothing is ready and no timer is set: the tasks wait for one another.
    #[error("deadlock at {0:?}: nothing is ready and no timer is set")]
    Deadlock(Duration),
    /// The budget of polls is spent: most likely tasks wake one another without end.
    #[error("no end after {polls} polls, at {now:?}")]
    Budget {
        /// How many polls there were.
        polls: u64,
        /// When the run was given up.
        now: Duration,
    },
}

struct Task {
    group: Group,
    /// Absent while it is being polled.
    future: Option<BoxedFuture>,
    waker: Waker,
}

struct State {
    now: Duration,
    random: Random,
    next_task: u64,
    tasks: BTreeMap<u64, Task>,
    next_timer: u64,
    timers: BTreeMap<(Duration, u64), Waker>,
    next_group: u64,
    killed: BTreeSet<Group>,
}

/// Tasks that were woken. Apart from `State`, so that wakers may be used while that is locked.
#[derive(Default)]
struct Ready {
    queue: Vec<u64>,
    queued: BTreeSet<u64>,
}

struct Shared {
    state: Mutex<State>,
    ready: Arc<Mutex<Ready>>,
    trace: Arc<Trace>,
    watcher: OnceLock<Watcher>,
}

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<Ready>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock();
        if ready.queued.insert(self.task) {
            ready.queue.push(self.task);
        }
    }
}

/// Runs tasks. Dropping it drops them all.
pub struct Executor {
    handle: Handle,
    polls: u64,
    budget: u64,
}

/// What tasks need of their executor: time, chance, spawning.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Executor {
    /// An executor at time zero that gives up after `budget` polls.
    pub fn new(random: Random, trace: Arc<Trace>, budget: u64) -> Self {
        let state = State {
            now: Duration::ZERO,
            random,
            next_task: 0,
            tasks: BTreeMap::new(),
            next_timer: 0,
            timers: BTreeMap::new(),
            next_group: 1,
            killed: BTreeSet::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            ready: Arc::default(),
            trace,
            watcher: OnceLock::new(),
        };
        Self {
            handle: Handle {
                shared: Arc::new(shared),
            },
            polls: 0,
            budget,
        }
    }

    /// For tasks.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs until `main` ends. Other tasks stay where they are and go on with the next call.
    pub fn run<T: Send + 'static>(
        &mut self,
        main: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Stuck> {
        let result = Arc::new(Mutex::new(None));
        let slot = result.clone();
        self.handle.spawn(Group::WORLD, async move {
            let value = main.await;
            *slot.lock() = Some(value);
        });
        loop {
            if let Some(value) = result.lock().take() {
                return Ok(value);
            }
            if self.polls == self.budget {
                return Err(Stuck::Budget {
                    polls: self.polls,
                    now: self.handle.now(),
                });
            }
            if !self.poll_one() && !self.handle.jump_to_next_timer() {
                return Err(Stuck::Deadlock(self.handle.now()));
            }
        }
    }

    /// Polls one ready task; false if there is none.
    fn poll_one(&mut self) -> bool {
        let shared = &self.handle.shared;
        let Some((id, group, mut future, waker)) = shared.take_ready() else {
            return false;
        };
        self.polls += 1;
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        // A killed task's future is dropped here, outside of the lock, as its drop may use the handle.
        let dropped = shared.put_back(id, future, done);
        drop(dropped);
        self.handle.pass_poll_time(id);
        if let Some(watcher) = shared.watcher.get() {
            watcher(group);
        }
        true
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // Tasks hold handles and handles hold the tasks: break the circle. Drops may spawn again.
        loop {
            let tasks = std::mem::take(&mut self.handle.shared.state.lock().tasks);
            if tasks.is_empty() {
                break;
            }
        }
    }
}

impl Shared {
    fn take_ready(&self) -> Option<(u64, Group, BoxedFuture, Waker)> {
        let mut state = self.state.lock();
        let mut ready = self.ready.lock();
        while !ready.queue.is_empty() {
            let at = state.random.index(ready.queue.len());
            let id = ready.queue.swap_remove(at);
            ready.queued.remove(&id);
            // Wakers outlive their tasks.
            if let Some(task) = state.tasks.get_mut(&id)
                && let Some(future) = task.future.take()
            {
                return Some((id, task.group, future, task.waker.clone()));
            }
        }
        None
    }

    /// Keeps an unfinished future, unless its task was killed while it ran; returns what is to be dropped.
    fn put_back(&self, id: u64, future: BoxedFuture, done: bool) -> Option<BoxedFuture> {
        let mut state = self.state.lock();
        if done {
            state.tasks.remove(&id);
            return Some(future);
        }
        match state.tasks.get_mut(&id) {
            Some(task) => {
                task.future = Some(future);
                None
            }
            None => Some(future),
        }
    }
}

impl Handle {
    /// Virtual time since the start.
    pub fn now(&self) -> Duration {
        self.shared.state.lock().now
    }

    /// The trace of this run.
    pub fn trace(&self) -> &Arc<Trace> {
        &self.shared.trace
    }

    /// A generator for someone who needs one of their own.
    pub fn fork_random(&self) -> Random {
        self.shared.state.lock().random.fork()
    }

    /// Ends after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.clone(), self.now().saturating_add(duration))
    }

    /// A new group.
    pub fn group(&self) -> Group {
        let mut state = self.shared.state.lock();
        let group = Group(state.next_group);
        state.next_group += 1;
        group
    }

    /// Runs a task in a group. If the group was killed, the task is dropped at once.
    pub fn spawn(&self, group: Group, task: impl Future<Output = ()> + Send + 'static) {
        let future: BoxedFuture = Box::pin(task);
        let mut state = self.shared.state.lock();
        if state.killed.contains(&group) {
            drop(state);
            drop(future);
            return;
        }
        let id = state.next_task;
        state.next_task += 1;
        let waker = Waker::from(Arc::new(TaskWaker {
            task: id,
            ready: self.shared.ready.clone(),
        }));
        waker.wake_by_ref();
        let task = Task {
            group,
            future: Some(future),
            waker,
        };
        state.tasks.insert(id, task);
    }

    /// Drops all tasks of a group, now, wherever they wait; none can be added to it any more.
    pub fn kill(&self, group: Group) {
        assert_ne!(group, Group::WORLD, "the world is not killed");
        let mut state = self.shared.state.lock();
        state.killed.insert(group);
        let ids: Vec<u64> = state
            .tasks
            .iter()
            .filter(|(_, task)| task.group == group)
            .map(|(id, _)| *id)
            .collect();
        let tasks: Vec<Task> = ids.iter().filter_map(|id| state.tasks.remove(id)).collect();
        // Dropping a task may wake others, stop timers or try to spawn.
        drop(state);
        drop(tasks);
    }

    /// Lets somebody look after every poll. The first who does so stays; what looks must not hold the handle.
    pub fn watch(&self, watcher: Watcher) {
        // A second one is dropped.
        let _ = self.shared.watcher.set(watcher);
    }

    /// How many tasks there are; for tests of leaks.
    pub fn tasks(&self) -> usize {
        self.shared.state.lock().tasks.len()
    }

    fn add_timer(&self, deadline: Duration, waker: Waker) -> (Duration, u64) {
        let mut state = self.shared.state.lock();
        let key = (deadline, state.next_timer);
        state.next_timer += 1;
        state.timers.insert(key, waker);
        key
    }

    fn remove_timer(&self, key: (Duration, u64)) {
        self.shared.state.lock().timers.remove(&key);
    }

    /// Lets a poll's time pass, and what became due with it.
    fn pass_poll_time(&self, task: u64) {
        let mut state = self.shared.state.lock();
        let nanos = state.random.below(POLL_NANOS);
        state.now += Duration::from_nanos(nanos);
        state.fire();
        self.shared
            .trace
            .silent(state.now, Place::World, "poll", &task.to_le_bytes());
    }

    /// False if there is no timer.
    fn jump_to_next_timer(&self) -> bool {
        let mut state = self.shared.state.lock();
        let Some((deadline, _)) = state.timers.keys().next().copied() else {
            return false;
        };
        state.now = state.now.max(deadline);
        state.fire();
        true
    }
}

impl State {
    fn fire(&mut self) {
        let later = self.timers.split_off(&(self.now + Duration::from_nanos(1), 0));
        for waker in std::mem::replace(&mut self.timers, later).into_values() {
            waker.wake();
        }
    }
}

/// Waits for the first of two futures; the left one wins a tie.
pub async fn first<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let mut left = std::pin::pin!(left);
    let mut right = std::pin::pin!(right);
    std::future::poll_fn(move |context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

/// What [`first`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First<A, B> {
    /// The left one ended.
    Left(A),
    /// The right one ended.
    Right(B),
}
