//! The newcomer's side: fetches what it gains, part by part.
//!
//! A part is what one node has of one table for some tokens, as few or many as that one says. A few are under way at a time, so
//! that one source makes files while another sends. A part that is here is taken in by the storage and then noted; so a
//! crash of either side costs the parts that were under way. A source that is away is waited for; its partner's range is
//! fetched from the other replicas if it stays away, or if what it has is damaged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{
    FutureExt, TryStreamExt,
    future::BoxFuture,
    lock::Mutex as AsyncMutex,
    stream::{self, StreamExt},
};
use parking_lot::Mutex;
use starling_cql::schema::Schema;
use starling_model::{NodeId, TableId, TokenSet};

use super::{
    StreamReply, StreamRequest, Streaming,
    plan::{self, Quorum, Rings, Strategies, Way},
    progress::{Fetched, Progress},
    receive::{Miss, Part},
};
use crate::{env::Env, topology::Change};

/// Parts that are under way at a time.
const PARTS_AT_ONCE: usize = 3;

/// Questions for parts that are under way at a time.
const QUESTIONS_AT_ONCE: usize = 8;

/// The pause before what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A partner that is away for longer is done without: for each part, but it is waited for once.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a node gains of all tables of a keyspace.
type Ways = (Strategies, BTreeMap<Way, TokenSet>);

/// What a node gains by a change, and what of it is here.
struct Errand {
    change: u128,
    rings: Rings,
    /// By keyspace.
    strategies: BTreeMap<String, Strategies>,
    /// As it was known at the beginning: tables that are made meanwhile get all their writes from then on.
    schema: Arc<Schema>,
    fetched: AsyncMutex<Fetched>,
    /// Sources of which nothing comes, and since when.
    away: Mutex<BTreeMap<NodeId, Duration>>,
}

impl<E: Env> Streaming<E> {
    /// Fetches all that this node gains by the change that is under way; ends when it is here, durably. May be called
    /// again after a restart, and goes on. What is down is waited for. An error says that the change is over, or that
    /// this node's disk can't tell what is here already.
    pub(crate) fn fetch<'a>(self: &'a Arc<Self>, change: &'a Change) -> BoxFuture<'a, Result<(), String>> {
        self.fetch_all(change).boxed()
    }

    async fn fetch_all(self: &Arc<Self>, change: &Change) -> Result<(), String> {
        let snapshot = Arc::clone(&self.views.load());
        let (id, rings) = (change.id, self.rings_of(change)?);
        let keyspaces = snapshot.schema.keyspaces().filter_map(|keyspace| {
            let strategies = Strategies::through(&snapshot, &change.kind, &keyspace.name)?;
            Some((keyspace.name.clone(), strategies))
        });
        let fs = Arc::clone(self.env.fs());
        let load = move || Fetched::load(&*fs, id).map_err(|error| error.to_string());
        let errand = Errand {
            change: id,
            rings,
            strategies: keyspaces.collect(),
            schema: Arc::clone(&snapshot.schema),
            fetched: AsyncMutex::new(self.blocking(load).await?),
            away: Mutex::default(),
        };
        let now = self.env.monotonic();
        *self.progress.lock() = Progress::begun(now);
        let outcome = self.run(&errand).await;
        self.progress.lock().end(self.env.monotonic());
        outcome
    }

    async fn run(&self, errand: &Errand) -> Result<(), String> {
        let parts = self.all_parts(errand).await?;
        self.progress.lock().plan(&parts);
        stream::iter(parts)
            .map(Ok)
            .try_for_each_concurrent(PARTS_AT_ONCE, |(strategies, part)| {
                async move { self.bring_surely(errand, &strategies, &part).await }.boxed()
            })
            .await
    }

    fn note_waiting(&self, what: Option<String>) {
        self.progress.lock().wait_for(what, self.env.monotonic());
    }

    fn rings_of(&self, change: &Change) -> Result<Rings, String> {
        let snapshot = self.views.load();
        let known = snapshot.cluster.change.as_ref();
        let next = known
            .filter(|(known, _)| known.id == change.id)
            .map(|(_, next)| next);
        Ok(Rings {
            current: Arc::clone(&snapshot.cluster.ring),
            next: Arc::clone(next.ok_or_else(over)?),
            gone: change.dead(),
        })
    }

    /// An error once the change is over: then nothing is worth fetching any more.
    fn still_wanted(&self, errand: &Errand) -> Result<(), String> {
        let snapshot = self.views.load();
        let now = snapshot.cluster.change.as_ref();
        if now.is_some_and(|(change, _)| change.id == errand.change) {
            return Ok(());
        }
        Err(over())
    }

    fn is_alive(&self, id: NodeId) -> bool {
        let snapshot = self.views.load();
        snapshot.cluster.peers.get(&id).is_some_and(|peer| peer.alive)
    }

    /// What is left to be fetched of all tables. One after the other comes from another source, and from far off in the
    /// ring: so one source makes files while another sends, and all shards of a source have work.
    async fn all_parts(&self, errand: &Errand) -> Result<Vec<(Strategies, Part)>, String> {
        let mut ways: BTreeMap<&str, Option<Ways>> = BTreeMap::new();
        let mut wanted = Vec::new();
        for table in errand.schema.all_tables().filter(|table| !table.is_system()) {
            let known = ways.entry(&table.keyspace).or_insert_with(|| {
                let strategies = errand.strategies.get(&table.keyspace)?;
                let fetches = errand.rings.fetches(strategies);
                Some((strategies.clone(), plan::by_way(&fetches, self.id)))
            });
            for (strategies, ways) in known.iter() {
                let of_table = ways.iter().map(|(way, tokens)| {
                    let wanted = (table.id, way.clone(), tokens.clone());
                    (strategies.clone(), wanted)
                });
                wanted.extend(of_table);
            }
        }
        let cut = stream::iter(wanted)
            .map(|(strategies, wanted)| {
                async move { self.parts(errand, &wanted).await.map(|parts| (strategies, parts)) }.boxed()
            })
            .buffered(QUESTIONS_AT_ONCE);
        let cut: Vec<(Strategies, Vec<Part>)> = cut.try_collect().await?;
        let mut of_source: BTreeMap<NodeId, Vec<(Strategies, Part)>> = BTreeMap::new();
        for (strategies, cut) in cut {
            for part in cut {
                let parts = of_source.entry(part.from).or_default();
                parts.push((strategies.clone(), part));
            }
        }
        let mut parts: Vec<(usize, (Strategies, Part))> = Vec::new();
        for of_one in of_source.into_values() {
            parts.extend(plan::far_apart(of_one).into_iter().enumerate());
        }
        parts.sort_by_key(|(place, _)| *place);
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// Who is asked for what comes by this way. Waits until enough are up.
    async fn sources(&self, errand: &Errand, way: &Way) -> Result<Vec<NodeId>, String> {
        let quorum = match way {
            Way::Partner(partner) => return Ok(vec![*partner]),
            Way::Quorum(quorum) => quorum,
        };
        loop {
            self.still_wanted(errand)?;
            if let Some(chosen) = quorum.choose(self.id, |id| self.is_alive(id)) {
                return Ok(chosen);
            }
            self.note_waiting(Some(missing(quorum)));
            self.env.sleep(RETRY).await;
        }
    }

    /// What is left to be fetched of some tokens, in parts.
    async fn parts(
        &self,
        errand: &Errand,
        (table, way, tokens): &(TableId, Way, TokenSet),
    ) -> Result<Vec<Part>, String> {
        let table = *table;
        let mut parts = Vec::new();
        for from in self.sources(errand, way).await? {
            let left = tokens.without(&errand.fetched.lock().await.of(table, from));
            if left.is_empty() {
                continue;
            }
            let cut = self.cut(table, from, left).await.into_iter();
            parts.extend(cut.map(|(tokens, bytes)| Part {
                table,
                from,
                tokens,
                bytes,
                is_partner: matches!(way, Way::Partner(_)),
            }));
        }
        Ok(parts)
    }

    /// The parts in which the source would have it fetched, and about how many bytes each has. From one that does not tell, or
    /// tells something else, all is one part.
    async fn cut(&self, table: TableId, from: NodeId, tokens: TokenSet) -> Vec<(TokenSet, u64)> {
        let question = StreamRequest::Parts {
            table,
            tokens: tokens.clone(),
            shards: self.shards,
        };
        match self.ask(from, question).await {
            Ok(StreamReply::Parts(parts)) if is_all_of(&parts, &tokens) => parts,
            _ => vec![(tokens, 0)],
        }
    }

    /// Fetches a part, however long that takes, while the change is under way.
    async fn bring_surely(
        &self,
        errand: &Errand,
        strategies: &Strategies,
        part: &Part,
    ) -> Result<(), String> {
        let mut away_since = None;
        loop {
            self.still_wanted(errand)?;
            let brought = if part.is_partner && self.is_given_up(errand, part.from) {
                Err(Miss::Away("it is down".to_owned()))
            } else {
                self.bring(part, errand.change).await
            };
            let (why, tries_others) = match brought {
                Ok(()) => {
                    errand.away.lock().remove(&part.from);
                    break;
                }
                Err(Miss::Dropped) => break,
                Err(Miss::Busy) => {
                    self.env.sleep(RETRY).await;
                    continue;
                }
                Err(Miss::Damaged(why)) => (why, true),
                Err(Miss::Here(why)) => (why, false),
                Err(Miss::Away(why)) => {
                    let now = self.env.monotonic();
                    let since = *away_since.get_or_insert(now);
                    let of_source = *errand.away.lock().entry(part.from).or_insert(now);
                    (why, now.saturating_sub(since.min(of_source)) >= PATIENCE)
                }
            };
            ::tracing::warn!(table = %part.table, from = %part.from, why, "a part of a table did not come; it is tried again");
            self.note_waiting(Some(format!("node {}: {why}", part.from)));
            if part.is_partner && tries_others && self.bring_from_others(errand, strategies, part).await? {
                break;
            }
            self.env.sleep(RETRY).await;
        }
        // A part that the disk does not let note is fetched again after a restart; it is here all the same.
        self.note_fetched(errand, part).await;
        self.progress.lock().part_done(self.env.monotonic());
        Ok(())
    }

    /// Whether a source is down, and was waited for long enough with another part.
    fn is_given_up(&self, errand: &Errand, from: NodeId) -> bool {
        let since = errand.away.lock().get(&from).copied();
        since.is_some_and(|since| self.env.monotonic().saturating_sub(since) >= PATIENCE)
            && !self.is_alive(from)
    }

    async fn note_fetched(&self, errand: &Errand, part: &Part) {
        let mut fetched = errand.fetched.lock().await;
        fetched.add(part.table, part.from, &part.tokens);
        let (now, fs) = (fetched.clone(), Arc::clone(self.env.fs()));
        if let Err(error) = self.blocking(move || now.store(&*fs)).await {
            self.counters.store_failures.one();
            ::tracing::warn!(
                error,
                "what was fetched can't be noted; a restart would fetch it again"
            );
        }
    }

    /// The same tokens from the other replicas, once; whether all came.
    async fn bring_from_others(
        &self,
        errand: &Errand,
        strategies: &Strategies,
        part: &Part,
    ) -> Result<bool, String> {
        let mut without = errand.rings.clone();
        without.gone.insert(part.from);
        let gains = without.gains(strategies);
        for (way, tokens) in plan::by_way(&gains, self.id) {
            let tokens = tokens.intersection(&part.tokens);
            let Way::Quorum(quorum) = &way else { continue };
            if tokens.is_empty() {
                continue;
            }
            // Fewer than enough are no substitute for a partner that may come back.
            let is_there = |id| self.is_alive(id);
            if quorum.needed < quorum.safe || quorum.choose(self.id, is_there).is_none() {
                return Ok(false);
            }
            for other in self.parts(errand, &(part.table, way, tokens)).await? {
                if let Err(miss) = self.bring(&other, errand.change).await {
                    ::tracing::warn!(?miss, from = %other.from, "nor did it come from another replica");
                    return Ok(false);
                }
                self.note_fetched(errand, &other).await;
            }
        }
        Ok(true)
    }
}

/// Whether parts have exactly these tokens.
pub(super) fn is_all_of(parts: &[(TokenSet, u64)], tokens: &TokenSet) -> bool {
    let ranges = parts.iter().flat_map(|(part, _)| part.ranges().iter().copied());
    let all: TokenSet = ranges.collect();
    all.without(tokens).is_empty() && tokens.without(&all).is_empty()
}

fn over() -> String {
    "the change of the ring is over".to_owned()
}

fn missing(quorum: &Quorum) -> String {
    let all = quorum.local.iter().chain(&quorum.remote);
    let names: Vec<String> = all.map(NodeId::to_string).collect();
    format!("{} of these nodes to be up: {}", quorum.needed, names.join(", "))
}
