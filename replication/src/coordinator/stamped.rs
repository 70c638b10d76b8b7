//! Writes whose timestamp this node gives.
//!
//! Invariant: let a write have been acknowledged before another one is asked for, and let both be waited for
//! at levels whose replicas overlap; or let the first have been acknowledged at whatever level, and then shown by a
//! read whose level overlaps with that of the second. If this node stamps the second one and acknowledges it,
//! its timestamp is the greater, whatever any wall clock says.
//!
//! Why it holds. Each replica [remembers](crate::newest::Newest) how new the writes are that it took, and says so
//! when a stamp is not newer. Since the levels overlap, one of the replicas that acknowledge the second write
//! has taken the first one before (a read leaves what it shows on as many replicas as its level names). If it
//! says nothing, the stamp is greater. If it speaks, the write is stamped anew, after the newest that was told,
//! and sent once more; only then is it acknowledged. The second round needs no check: whatever was acknowledged
//! before this write was asked for was found by the first one.
//!
//! What it costs: nothing while clocks agree better than a write takes, but a few nanoseconds at the replica; a
//! second round of messages when a replica speaks, be it because clocks disagree, because the same row is written
//! to through several nodes at the same moment, or because two rows share a slot.
//!
//! A replica that tells of something hours ahead is not believed: its clock is broken, for otherwise it would have refused
//! that. After a restart it takes its own time for the newest write of every row; the others would refuse what follows it.
//!
//! What it does not cover: levels that do not overlap (ONE and ONE), hints that ANY counts, and timestamps that a
//! client chose more than ten minutes ahead, after a replica has restarted. A write that is not acknowledged yet
//! may have been seen with its first stamp, and get its second after a write of whoever saw it.

use std::{sync::Arc, time::Duration};

use starling_cql::{Error, WriteType};
use starling_model::{Consistency, Mutation, Timestamp};

use super::Coordinator;
use crate::{env::Env, peer_clocks::MOST_AHEAD_MICROS, tracing::Tracer};

impl<E: Env> Coordinator<E> {
    /// [Writes](Self::write) mutations that carry `stamp`, a timestamp of this node's clock; if it turns out to
    /// be too old they carry a newer one in the end, and the time of that round begins anew.
    pub(crate) async fn write_stamped(
        self: &Arc<Self>,
        mutations: Vec<Mutation>,
        stamp: Timestamp,
        consistency: Consistency,
        write_type: WriteType,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<(), Error> {
        let mutations: Vec<Arc<Mutation>> = mutations.into_iter().map(Arc::new).collect();
        let Some(stamp_anew) = self
            .try_stamp(&mutations, stamp, consistency, write_type, arrived, tracer)
            .await?
        else {
            return Ok(());
        };
        let again = mutations
            .iter()
            .map(|mutation| Arc::new(mutation.restamped(stamp, stamp_anew)))
            .collect();
        let task = self.task(consistency, self.timeouts.write, tracer);
        self.write_round(again, None, &task, write_type).await.map(drop)
    }

    /// Writes mutations that carry `stamp`. If it may be too old, which leaves them written but perhaps
    /// shadowed, returns the stamp that they need.
    pub(crate) async fn try_stamp(
        self: &Arc<Self>,
        mutations: &[Arc<Mutation>],
        stamp: Timestamp,
        consistency: Consistency,
        write_type: WriteType,
        arrived: Duration,
        tracer: &Tracer,
    ) -> Result<Option<Timestamp>, Error> {
        let task = self.task_since(arrived, consistency, self.timeouts.write, tracer)?;
        let newest = self
            .write_round(mutations.to_vec(), Some(stamp), &task, write_type)
            .await?;
        let believable = self.env.wall().0.saturating_add(MOST_AHEAD_MICROS * 2);
        let Some(newest) = newest.filter(|newest| newest.0 <= believable) else {
            return Ok(None);
        };
        self.counters.restamped.one();
        tracer.note(
            || self.env.wall(),
            || "A replica has something as new: the write is stamped anew".to_owned(),
        );
        Ok(Some(self.clock.tick_after(
            newest,
            self.env.wall(),
            self.env.random(),
        )))
    }
}
