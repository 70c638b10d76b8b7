//! Takes connections and starts a task for each.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};

use super::{
    Shared,
    backend::Backend,
    connection::{Connection, End},
};

/// After an error of the listener itself (no free file descriptor, most likely): how long to wait.
const RETRY: Duration = Duration::from_millis(50);

/// How often the log tells that connections are refused.
const COMPLAIN_AGAIN: Duration = Duration::from_secs(5);

/// Takes connections until the listener stops. `alive` is kept by every task.
pub(super) async fn accept<B: Backend>(
    listener: TcpListener,
    shared: Arc<Shared<B>>,
    alive: mpsc::Sender<()>,
) {
    let mut stopping = shared.stopping.clone();
    let mut complaints = Complaints::default();
    loop {
        let accepted = tokio::select! {
            biased;
            // An error means that the handle is gone, which stops the listener too.
            _ = stopping.wait_for(|&stopping| stopping) => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let open = shared.counters.connections.get();
                if open >= shared.options.max_connections as u64 {
                    shared.counters.turned_away.add(1);
                    if complaints.are_due() {
                        tracing::warn!(%peer, open, "CQL clients are turned away: too many connections");
                    }
                    continue;
                }
                shared.counters.accepted.add(1);
                shared.counters.connections.add(1);
                let (shared, alive) = (Arc::clone(&shared), alive.clone());
                tokio::spawn(async move {
                    let end = serve_one(&shared, stream).await;
                    shared.counters.connections.subtract(1);
                    tracing::debug!(%peer, %end, "a CQL connection ended");
                    drop(alive);
                });
            }
            Err(error) => {
                if complaints.are_due() {
                    tracing::warn!(%error, "no CQL connection can be taken at the moment");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Clients that find no place try again and again: the log tells of it now and then.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    fn are_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= COMPLAIN_AGAIN);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}

async fn serve_one<B: Backend>(shared: &Arc<Shared<B>>, stream: TcpStream) -> End {
    // Replies are batched already, so waiting for more only adds latency.
    if stream.set_nodelay(true).is_err() {
        return End::Gone;
    }
    let (reader, writer) = stream.into_split();
    Connection::new(Arc::clone(shared)).serve(reader, writer).await
}
