//! Carrying out faults while a run goes on.

use std::{
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use super::{
    super::evidence::result::FaultEvent,
    cluster::{LocalCluster, Stopping},
    fault::{Action, Fault},
    limited, status,
};
use crate::error::Error;

/// How long a node that joins, or was started again, may take until it serves: a log may have to be replayed, and ranges
/// fetched. And how long one that leaves may take, which hands its ranges over.
const DONE_WITHIN: Duration = Duration::from_mins(2);

/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Carries out faults at their times after `measured`, until `ended` says that the run is over. Each is told in `told`
/// as it is done, with its time since `start`.
pub fn carry_out(
    faults: &[Fault],
    cluster: &Mutex<LocalCluster>,
    (start, measured): (Instant, Instant),
    ended: &Receiver<()>,
    told: &Sender<FaultEvent>,
) -> Vec<u32> {
    let gone = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for fault in faults {
            let wait = (measured + fault.at).saturating_duration_since(Instant::now());
            if !matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                let event = FaultEvent {
                    at: start.elapsed().as_secs_f64(),
                    action: fault.to_string(),
                    outcome: "the run was over before its time".into(),
                    done: false,
                    last_slow_after: None,
                };
                let _run_is_over = told.send(event);
                continue;
            }
            let gone = Arc::clone(&gone);
            // What takes its time does not hold up what comes next.
            scope.spawn(move || {
                let (at, outcome) = one(fault, cluster, start);
                if outcome.is_ok() && fault.action == Action::Decommission {
                    gone.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(fault.node);
                }
                let event = FaultEvent {
                    at,
                    action: fault.to_string(),
                    done: outcome.is_ok(),
                    outcome: outcome.unwrap_or_else(|error| error.to_string()),
                    last_slow_after: None,
                };
                let _run_is_over = told.send(event);
            });
        }
    });
    let gone = gone.lock().unwrap_or_else(PoisonError::into_inner);
    gone.clone()
}

/// Carries out a fault. Gives when it happened, in seconds since `start`, and how it went.
fn one(fault: &Fault, cluster: &Mutex<LocalCluster>, start: Instant) -> (f64, Result<String, Error>) {
    let mut held = lock(cluster);
    // Another fault may have held the cluster: this one happens now.
    let at = start.elapsed().as_secs_f64();
    let begun = begin(fault, &mut held);
    drop(held);
    (at, begun.and_then(|rest| finish(fault.node, rest, cluster)))
}

/// What of a fault takes its time, and is done without holding the cluster.
enum Rest {
    /// Nothing.
    Nothing,
    /// Stopping a node, and starting it again.
    Restart(Stopping),
    /// Waiting until a node that was started serves.
    Serves(u32),
    /// A command that ends when it is done.
    Command(Command),
}

/// What of a fault is done at once.
fn begin(fault: &Fault, cluster: &mut LocalCluster) -> Result<Rest, Error> {
    let node = fault.node;
    match fault.action {
        Action::Kill => cluster.kill(node)?,
        Action::Restart => {
            return Ok(match cluster.stop(node)? {
                Some(stopping) => Rest::Restart(stopping),
                None => {
                    cluster.start_node(node)?;
                    Rest::Serves(node)
                }
            });
        }
        Action::Pause => cluster.pause(node)?,
        Action::Resume => cluster.resume(node)?,
        Action::Partition => cluster.partition(node)?,
        Action::Heal => cluster.unite(),
        Action::Join => return cluster.add().map(Rest::Serves),
        Action::Decommission => return cluster.decommission(node).map(Rest::Command),
    }
    Ok(Rest::Nothing)
}

fn finish(node: u32, rest: Rest, cluster: &Mutex<LocalCluster>) -> Result<String, Error> {
    match rest {
        Rest::Nothing => Ok("done".into()),
        Rest::Serves(node) => serves(node, cluster),
        Rest::Restart(stopping) => {
            let spent = stopping.finish();
            let mut held = lock(cluster);
            held.stopped(node, spent)?;
            held.start_node(node)?;
            drop(held);
            serves(node, cluster)
        }
        Rest::Command(command) => decommission(command),
    }
}

/// Waits until a node has left.
fn decommission(command: Command) -> Result<String, Error> {
    let refused = |why: String| Error::Server(format!("the server does not decommission: {why}"));
    let (status, said) = limited::run(command, DONE_WITHIN).map_err(|error| refused(error.to_string()))?;
    if status.success() {
        return Ok("done".into());
    }
    let line = said.lines().find(|line| !line.trim().is_empty());
    Err(refused(line.unwrap_or("it gave no reason").trim().to_owned()))
}

/// Waits until a node that was started is in the ring and serves.
fn serves(node: u32, cluster: &Mutex<LocalCluster>) -> Result<String, Error> {
    let started = Instant::now();
    loop {
        let admin = lock(cluster).admin_address_of_running(node)?;
        let waited = started.elapsed();
        if status::is_ready(admin) {
            return Ok(format!(
                "done: node{node} served after {:.1} s",
                waited.as_secs_f64()
            ));
        }
        if waited > DONE_WITHIN {
            return Err(Error::Server(format!(
                "node{node} did not serve within {} s",
                DONE_WITHIN.as_secs()
            )));
        }
        std::thread::sleep(POLL);
    }
}

/// The cluster, also after a thread that held it failed.
pub fn lock(cluster: &Mutex<LocalCluster>) -> MutexGuard<'_, LocalCluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}
