//! Waking when an operation is due.

use std::{io, os::fd::OwnedFd, time::Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// A timer of the kernel (`timerfd_create(2)`). The runtime's own counts whole milliseconds and rounds up: on a server that
/// answers within 100 µs most of an open load's latency would be the timer's.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    set: Option<Instant>,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// The process has no descriptors left.
    #[expect(
        deprecated,
        reason = "it is unsound for types that change their descriptor, which an OwnedFd never does; the new one is unsafe"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            timer: AsyncFd::with_interest(timer, Interest::READABLE)?,
            set: None,
        })
    }

    /// Ends at `due`, or at once if that has been. May be dropped before, and asked again with another time.
    ///
    /// # Errors
    /// The kernel refuses the time.
    pub async fn until(&mut self, due: Instant) -> io::Result<()> {
        if self.set != Some(due) {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let once = Itimerspec {
                it_interval: Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: Timespec {
                    tv_sec: left.as_secs() as i64,
                    tv_nsec: left.subsec_nanos().into(),
                },
            };
            // What the timer was set to before is forgotten, also if it has rung.
            timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            self.set = Some(due);
        }
        let mut rung = [0; 8];
        self.timer
            .async_io(Interest::READABLE, |timer| {
                Ok(rustix::io::read(timer, &mut rung)?)
            })
            .await?;
        self.set = None;
        Ok(())
    }
}
