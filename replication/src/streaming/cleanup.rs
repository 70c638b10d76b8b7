//! Old replicas forget what is not theirs any more, by themselves.
//!
//! A node keeps a list of the rings by which it may hold data, durably: the one it serves, and one for every change
//! that it began to fetch for, each with what keyspaces were replicated by. When the ring or a keyspace's replication is another
//! one, or a change was given up, it forgets what it was a replica of by an old ring and is not by the present one; then the old
//! ones leave the list. So a restart in the middle goes on with it, and nothing has to be asked for.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::channel::oneshot;
use parking_lot::Mutex;
use starling_model::{TableId, TokenSet};
use starling_ring::Ring;
use starling_sstable::fs::Fs;

use super::{
    Streaming,
    held::{Held, Layout},
    plan::{Rings, Strategies},
};
use crate::{
    deadline::Deadline,
    env::{Env, Store},
    snapshot::Snapshot,
    start_error::StartError,
    topology::{Change, fence::Passage},
};

/// A ring must have been the same for so long before anything is forgotten: until then requests may be under way whose
/// coordinators saw the one before.
const QUIET: Duration = Duration::from_secs(10);

/// How long a change waits for what has to be removed before it.
const READY: Duration = Duration::from_secs(8);

const CLEANING: &str =
    "a node still removes what was its own by an earlier ring (`starling topology` shows it)";

const ARRIVING: &str = "a node still takes in what came for an earlier change; try again in a while";

/// What is to be forgotten, and how far that is.
pub(super) struct Cleanup {
    held: Mutex<Held>,
    /// The ring as it was seen last, and since when.
    seen: Mutex<Option<(Layout, Duration)>>,
    /// One at a time.
    running: Arc<futures::lock::Mutex<()>>,
    /// By which rings nothing is left that is not this node's by the present one, as far as was looked; and the present one.
    forgotten: Mutex<Option<(Layout, Held)>>,
    /// What is being taken in for a change. Nothing is forgotten meanwhile, for the change may be over before it is there.
    pub(super) arriving: Arc<Passage>,
    left: AtomicUsize,
}

impl Cleanup {
    pub(super) fn load(fs: &dyn Fs) -> Result<Self, StartError> {
        Ok(Self {
            held: Mutex::new(Held::load(fs)?),
            seen: Mutex::default(),
            running: Arc::default(),
            forgotten: Mutex::default(),
            arriving: Arc::default(),
            left: AtomicUsize::new(0),
        })
    }

    /// Tables of which ranges are to be forgotten.
    pub(super) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

impl<E: Env> Streaming<E> {
    /// Makes sure that this node has nothing of what it gains by a change that is about to begin. To be called before any
    /// node sends writes for the change. After an error, which passes by itself, the change must not begin.
    pub(crate) async fn prepare(self: &Arc<Self>, change: &Change) -> Result<(), String> {
        let (tell, told) = oneshot::channel();
        let (streaming, change) = (Arc::clone(self), change.clone());
        // To its end, also if who asked goes: nothing else may begin before.
        self.env.spawn(async move {
            let _ = tell.send(streaming.make_ready(&change).await);
        });
        let soon = Deadline::after(&self.env, READY);
        match soon.within(&self.env, told).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err("a node is stopping".to_owned()),
            None => Err(CLEANING.to_owned()),
        }
    }

    async fn make_ready(&self, change: &Change) -> Result<(), String> {
        let running = self.cleanup.running.try_lock();
        let _running = running.ok_or_else(|| CLEANING.to_owned())?;
        // Who reads by an earlier ring must find what it counts on.
        self.views.drained(&self.env).await;
        let snapshot = self.views.load();
        // In this order: what comes for a change is not taken in by who sees this view, or a later one.
        if snapshot.cluster.change.is_some() || self.cleanup.arriving.inside() > 0 {
            return Err(ARRIVING.to_owned());
        }
        let present = Layout::of(&snapshot.cluster);
        let old = self.cleanup.held.lock().clone();
        // It may take longer than who asks waits, and is not begun anew when it asks again.
        let is_done = self.cleanup.forgotten.lock().as_ref() == Some(&(present.clone(), old.clone()));
        if !is_done {
            // A first change may be this node's own coming in.
            for past in old.layouts() {
                self.forget(&snapshot, past).await?;
            }
            *self.cleanup.forgotten.lock() = Some((present, old));
        }
        for (table, gained, ownerless) in self.gained(&snapshot, change) {
            // What nobody else has comes from nobody: if it is here, this is all of it.
            let stale = gained.without(&ownerless);
            if stale.is_empty() {
                continue;
            }
            let gone = self.env.store().discard(table, stale).await;
            gone.map_err(|error| format!("what is left of an earlier time could not be removed: {error}"))?;
        }
        // Gives the change time to begin.
        *self.cleanup.seen.lock() = None;
        Ok(())
    }

    /// Ends when nothing is being forgotten (nothing will be, while a change is known), and what this node may hold of
    /// the ring and of the change is noted durably. To be called before a step of a change is confirmed.
    pub(crate) async fn ready_for(&self, change: Option<&Change>) -> Result<(), String> {
        let _running = self.cleanup.running.lock().await;
        let Some(change) = change else { return Ok(()) };
        // Data may come for it, also if an earlier try at the same change was forgotten.
        *self.cleanup.forgotten.lock() = None;
        let snapshot = self.views.load();
        if !snapshot.schema.all_tables().any(|table| !table.is_system()) {
            return Ok(());
        }
        let mut held = self.cleanup.held.lock().clone();
        let known = held.layouts().len();
        held.add(Layout::of(&snapshot.cluster));
        if !self.gained(&snapshot, change).is_empty() {
            held.add(Layout::after(change, &snapshot.cluster));
        }
        if held.layouts().len() == known {
            return Ok(());
        }
        self.hold(held).await
    }

    /// What this node gains of each table; and what nobody is a replica of before.
    fn gained(&self, snapshot: &Snapshot, change: &Change) -> Vec<(TableId, TokenSet, TokenSet)> {
        let rings = Rings::through(&snapshot.cluster.ring, &change.kind, BTreeSet::new());
        let tables = snapshot.schema.all_tables().filter(|table| !table.is_system());
        let gained = tables.filter_map(|table| {
            let strategies = Strategies::through(snapshot, &change.kind, &table.keyspace)?;
            let gains = rings.gains(&strategies);
            let own = gains.iter().filter(|gain| gain.node == self.id);
            let tokens: TokenSet = own.map(|gain| gain.tokens).collect();
            (!tokens.is_empty()).then(|| (table.id, tokens, rings.ownerless(&strategies)))
        });
        gained.collect()
    }

    async fn hold(&self, held: Held) -> Result<(), String> {
        let (now, fs) = (held.clone(), Arc::clone(self.env.fs()));
        self.blocking(move || now.store(&*fs)).await?;
        *self.cleanup.held.lock() = held;
        Ok(())
    }

    /// Begins to forget, if there is anything to forget and no change is under way.
    pub(super) fn clean(self: &Arc<Self>) {
        let snapshot = self.views.load();
        if !self.is_quiet(&snapshot) || *self.cleanup.held.lock().layouts() == [Layout::of(&snapshot.cluster)]
        {
            return;
        }
        let streaming = Arc::clone(self);
        self.env.spawn(async move {
            let Some(_running) = streaming.cleanup.running.try_lock() else {
                return;
            };
            // A change may be about to begin by now; it does not while this runs.
            let snapshot = streaming.views.load();
            if !streaming.is_quiet(&snapshot) || streaming.cleanup.arriving.inside() > 0 {
                return;
            }
            if let Err(why) = streaming.forget_old(&snapshot).await {
                ::tracing::warn!(
                    why,
                    "what is not this node's any more could not be removed yet; it is tried again"
                );
            }
            streaming.cleanup.left.store(0, Ordering::Relaxed);
        });
    }

    /// Whether this node is in the ring, and neither that nor a change was news for a while.
    fn is_quiet(&self, snapshot: &Snapshot) -> bool {
        let cluster = &snapshot.cluster;
        let layout = Layout::of(cluster);
        let now = self.env.monotonic();
        let mut seen = self.cleanup.seen.lock();
        if cluster.change.is_some() || cluster.ring.member(self.id).is_none() {
            *seen = None;
            return false;
        }
        match &*seen {
            Some((last, since)) if *last == layout => now >= *since + QUIET,
            _ => {
                *seen = Some((layout, now));
                false
            }
        }
    }

    async fn forget_old(&self, snapshot: &Snapshot) -> Result<(), String> {
        let old = self.cleanup.held.lock().clone();
        for past in old.layouts() {
            self.forget(snapshot, past).await?;
        }
        // A change that began meanwhile has noted its own; this one is not held against it.
        if *self.cleanup.held.lock() == old {
            self.hold(Held::only(Layout::of(&snapshot.cluster))).await?;
        }
        Ok(())
    }

    /// Forgets what this node was a replica of by an old ring, and is not by the present one.
    async fn forget(&self, snapshot: &Snapshot, past: &Layout) -> Result<(), String> {
        let ring = &snapshot.cluster.ring;
        let replications = &snapshot.cluster.replications;
        if *past == Layout::of(&snapshot.cluster) {
            return Ok(());
        }
        let rings = Rings {
            current: Arc::new(Ring::new(ring.partitioner(), past.members.clone())),
            next: Arc::clone(ring),
            gone: BTreeSet::new(),
        };
        let tables: Vec<_> = snapshot
            .schema
            .all_tables()
            .filter(|table| !table.is_system())
            .cloned()
            .collect();
        self.cleanup.left.store(tables.len(), Ordering::Relaxed);
        for table in tables {
            let (schema, keyspace) = (&snapshot.schema, &table.keyspace);
            let strategies = Strategies::of(schema, keyspace, &past.replications, replications);
            let strategies = strategies.filter(Strategies::are_replicated);
            let lost = strategies.and_then(|strategies| rings.losses(&strategies).remove(&self.id));
            if let Some(lost) = lost {
                let freed = self.env.store().discard(table.id, lost).await;
                let freed = freed.map_err(|error| error.to_string())?;
                self.counters.cleaned_up_bytes.add(freed);
                if freed > 0 {
                    ::tracing::info!(table = %table.id, bytes = freed, "removed what belongs to other nodes now");
                }
            }
            self.cleanup.left.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
