//! How much the nodes keep for members that are away.

use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use super::{cluster::LocalCluster, execution::lock, status};

/// Tells, whenever a second of the run is over, its number and how many bytes of hints all nodes that answer keep together.
/// Seconds in which no node answers are left out. Ends when `ended` is dropped.
pub fn follow(
    cluster: &Mutex<LocalCluster>,
    start: Instant,
    ended: &Receiver<()>,
    told: &Sender<(u64, u64)>,
) {
    let mut second = 0;
    loop {
        let over = start + Duration::from_secs(second + 1);
        let wait = over.saturating_duration_since(Instant::now());
        if !matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
            return;
        }
        let admins: Vec<SocketAddr> = lock(cluster).admin_addresses();
        let kept: Vec<u64> = admins.into_iter().filter_map(status::hint_bytes).collect();
        if !kept.is_empty() && told.send((second, kept.iter().sum())).is_err() {
            return;
        }
        // A node that was silent may have taken more than a second.
        second = start.elapsed().as_secs().max(second + 1);
    }
}
