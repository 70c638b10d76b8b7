//! A single-threaded executor with virtual time: when nobody can go on, the clock jumps to the next timer.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use parking_lot::Mutex;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// More polls than any test needs: a test that gets here spins.
const MAX_POLLS: u64 = 20_000_000;

#[derive(Clone, Default)]
pub(crate) struct Executor(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    now: Duration,
    next: u64,
    tasks: BTreeMap<u64, Task>,
    ready: VecDeque<u64>,
    timers: BTreeMap<(Duration, u64), Arc<Timer>>,
    polls: u64,
}

struct Signal {
    executor: Executor,
    task: u64,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        let mut state = self.executor.0.lock();
        if !state.ready.contains(&self.task) {
            state.ready.push_back(self.task);
        }
    }
}

#[derive(Default)]
struct Timer {
    fired: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Executor {
    pub(crate) fn now(&self) -> Duration {
        self.0.lock().now
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.0.lock();
        state.next += 1;
        let id = state.next;
        state.tasks.insert(id, Box::pin(task));
        state.ready.push_back(id);
    }

    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static + use<> {
        let timer = Arc::new(Timer::default());
        let mut state = self.0.lock();
        state.next += 1;
        let at = (state.now + duration, state.next);
        state.timers.insert(at, Arc::clone(&timer));
        std::future::poll_fn(move |context| {
            if timer.fired.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            *timer.waker.lock() = Some(context.waker().clone());
            Poll::Pending
        })
    }

    /// Runs until the future ends. Panics if it can't.
    pub(crate) fn run<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        self.spawn(async move {
            let value = future.await;
            *slot.lock() = Some(value);
        });
        loop {
            if let Some(value) = result.lock().take() {
                return value;
            }
            assert!(self.step(), "nothing can go on and the future has not ended");
        }
    }

    /// Runs for so much virtual time.
    pub(crate) fn run_for(&self, duration: Duration) {
        self.run(self.sleep(duration));
    }

    /// Polls one ready task, or fires the next timer. False if there is neither.
    fn step(&self) -> bool {
        let ready = {
            let mut state = self.0.lock();
            state.polls += 1;
            assert!(state.polls < MAX_POLLS, "a task spins");
            state.ready.pop_front()
        };
        let Some(id) = ready else { return self.fire() };
        let Some(mut task) = self.0.lock().tasks.remove(&id) else {
            return true;
        };
        let waker = Waker::from(Arc::new(Signal {
            executor: self.clone(),
            task: id,
        }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.0.lock().tasks.insert(id, task);
        }
        true
    }

    fn fire(&self) -> bool {
        let timer = {
            let mut state = self.0.lock();
            let Some(((at, _), timer)) = state.timers.pop_first() else {
                return false;
            };
            state.now = state.now.max(at);
            timer
        };
        timer.fired.store(true, Ordering::Release);
        let waker = timer.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}
