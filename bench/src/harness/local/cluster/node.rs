//! One node of a cluster on this machine: its directory, its log, and its process while it has one.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::super::super::evidence::process::{Sample, sample_of};
use crate::error::Error;

/// How long a node may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How often a node is looked at.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// Lines of a node's log that are quoted when it fails.
const LOG_LINES: usize = 8;

/// A node that was made. It may run, be paused, or not run.
#[derive(Debug)]
pub(super) struct Node {
    number: u32,
    dir: PathBuf,
    process: Option<Child>,
    paused: bool,
    /// Its process is with a [`Stopping`]: until that has ended none is started in its place.
    stopping: bool,
}

/// A node's process that is to stop. It runs until [`Stopping::finish`].
#[derive(Debug)]
pub struct Stopping(Child);

impl Stopping {
    /// Asks it to stop, ends it if it does not within twenty seconds, and waits for its end. Gives its id and what it had
    /// spent, if the system tells.
    pub fn finish(mut self) -> Option<(u32, Sample)> {
        drop(self.0.stdin.take());
        send(&self.0, Signal::TERM);
        let deadline = Instant::now() + STOP_WITHIN;
        while !has_ended(&self.0) {
            if Instant::now() > deadline {
                // It may end this very moment.
                let _gone = self.0.kill();
                break;
            }
            std::thread::sleep(POLL);
        }
        let spent = spent_at_end(&self.0);
        let _status = self.0.wait();
        spent
    }
}

impl Node {
    /// One that does not run yet. Its log is written to `dir`, which must be there.
    pub(super) fn new(number: u32, dir: PathBuf) -> Self {
        Self {
            number,
            dir,
            process: None,
            paused: false,
            stopping: false,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether it was started and not ended by the harness: it may have ended by itself, which [`Self::check_alive`] tells.
    pub(super) fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it runs and is not paused.
    pub(super) fn answers(&self) -> bool {
        self.runs() && !self.paused
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Starts its process, whose output goes to its log. One that has ended by itself is forgotten.
    pub(super) fn start(&mut self, mut command: Command) -> Result<(), Error> {
        if self.stopping {
            return Err(Error::Server(format!("node{} is being stopped", self.number)));
        }
        if self.runs() && self.check_alive().is_ok() {
            return Err(Error::Server(format!("node{} runs", self.number)));
        }
        self.process = None;
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C at the terminal is for the harness.
            .process_group(0);
        let program = Path::new(command.get_program()).display().to_string();
        let process = command
            .spawn()
            .map_err(|error| Error::Server(format!("{program}: {error}")))?;
        self.process = Some(process);
        self.paused = false;
        Ok(())
    }

    /// Gives its process away, to be stopped; `None` if it does not run.
    pub(super) fn begin_stop(&mut self) -> Result<Option<Stopping>, Error> {
        if self.stopping {
            return Err(Error::Server(format!("node{} is being stopped", self.number)));
        }
        if self.check_alive().is_err() {
            // It has ended by itself.
            self.process = None;
        }
        self.resume_if_paused()?;
        let stopping = self.process.take().map(Stopping);
        self.stopping = stopping.is_some();
        Ok(stopping)
    }

    /// The process that was given away has ended.
    pub(super) fn has_stopped(&mut self) {
        self.stopping = false;
    }

    /// Ends it at once (SIGKILL). Gives its process's id, and what that had spent if the system tells.
    pub(super) fn kill(&mut self) -> Result<Option<(u32, Sample)>, Error> {
        self.signal(Signal::KILL)?;
        self.paused = false;
        let Some(mut process) = self.process.take() else {
            return Ok(None);
        };
        let spent = spent_at_end(&process);
        process.wait()?;
        Ok(spent)
    }

    /// Ends it at once, whatever state it is in; a paused process ends too.
    pub(super) fn abandon(&mut self) {
        if let Some(process) = &mut self.process {
            let _gone = process.kill();
            let _status = process.wait();
        }
    }

    /// Stops its threads without ending it (SIGSTOP).
    pub(super) fn pause(&mut self) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        Ok(())
    }

    /// Lets it go on (SIGCONT).
    pub(super) fn resume(&mut self) -> Result<(), Error> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    pub(super) fn resume_if_paused(&mut self) -> Result<(), Error> {
        if self.paused && self.runs() {
            self.resume()
        } else {
            Ok(())
        }
    }

    /// Fails with the end of its log if it was started and has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<(), Error> {
        let ended = match &mut self.process {
            Some(process) => process.try_wait()?,
            None => None,
        };
        match ended {
            Some(status) => Err(Error::Server(format!(
                "node{} ended ({status}): {}",
                self.number,
                self.log_end()
            ))),
            None => Ok(()),
        }
    }

    /// The last lines of its log: its reason is among them, if it failed.
    pub(super) fn log_end(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        match lines.len() {
            0 => "its log is empty".to_owned(),
            1 => lines[0].to_owned(),
            all => format!(
                "the end of its log:\n  {}",
                lines[all.saturating_sub(LOG_LINES)..].join("\n  ")
            ),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        self.check_alive()?;
        match &self.process {
            Some(process) => {
                send(process, signal);
                Ok(())
            }
            None => Err(Error::Server(format!("node{} does not run", self.number))),
        }
    }
}

/// Waits until a process has ended, and gives what it had spent: after it was waited for the system knows no more.
fn spent_at_end(process: &Child) -> Option<(u32, Sample)> {
    let id = i32::try_from(process.id()).ok().and_then(Pid::from_raw)?;
    waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).ok()?;
    Some((process.id(), sample_of(process.id())?))
}

/// Whether a process has ended. It is not waited for: the system still knows what it spent.
fn has_ended(process: &Child) -> bool {
    let Some(id) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) else {
        return true;
    };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    // An error says that there is no such child any more.
    !matches!(waitid(WaitId::Pid(id), options), Ok(None))
}

/// A child that was not waited for keeps its id, so that no other process can be meant.
fn send(process: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(process.id()).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}
