//! Carrying out faults while a run goes on.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use super::{
    super::evidence::result::FaultEvent,
    cluster::LocalCluster,
    fault::{Action, Fault},
};
use crate::error::Error;

/// How long a node that joins is watched: one that is refused ends at once.
const JOIN_WATCHED: Duration = Duration::from_secs(5);

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
                let at = start.elapsed().as_secs_f64();
                let outcome = one(fault, cluster);
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

fn one(fault: &Fault, cluster: &Mutex<LocalCluster>) -> Result<String, Error> {
    let node = fault.node;
    match fault.action {
        Action::Kill => lock(cluster).kill(node)?,
        Action::Restart => lock(cluster).restart(node)?,
        Action::Pause => lock(cluster).pause(node)?,
        Action::Resume => lock(cluster).resume(node)?,
        Action::Partition => lock(cluster).partition(node)?,
        Action::Heal => lock(cluster).unite(),
        Action::Join => return join(cluster),
        Action::Decommission => {
            let mut command = lock(cluster).decommission(node)?;
            let output = command.output()?;
            if !output.status.success() {
                let text = String::from_utf8_lossy(&output.stderr);
                let line = text
                    .lines()
                    .find(|line| !line.trim().is_empty())
                    .unwrap_or("it gave no reason");
                return Err(Error::Server(format!(
                    "the server does not decommission: {}",
                    line.trim()
                )));
            }
        }
    }
    Ok("done".into())
}

fn join(cluster: &Mutex<LocalCluster>) -> Result<String, Error> {
    let node = lock(cluster).add()?;
    let watched = Instant::now() + JOIN_WATCHED;
    while Instant::now() < watched {
        lock(cluster).check_alive(node)?;
        std::thread::sleep(POLL);
    }
    Ok(format!("done: node{node} was started"))
}

/// The cluster, also after a thread that held it failed.
pub fn lock(cluster: &Mutex<LocalCluster>) -> MutexGuard<'_, LocalCluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}
