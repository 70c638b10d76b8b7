//! Which compaction is begun: the strategies' choice, cut to what the disk has room for.

use std::sync::Arc;

use starling_model::{Seconds, TableId, Timestamp, TokenRange, TokenSet};

use super::{
    Engine,
    install::Change,
    merges::{Merge, Part, Replaces},
    pressure::CROWDED,
    table_state::TableState,
};
use crate::{
    PurgePolicy,
    compaction::{
        Candidate, Pick, Slices, Strategy, expired,
        purge::Purging,
        rows, slices,
        space::{self, Promise, Room},
        tombstones,
        unified::{self, Sizes},
        window,
        worker::{Input, Plan},
    },
    options::Options,
    table::Table,
};

/// Where there was nothing to compact, and nothing changed, time may have made something due: it is looked
/// for again after this many seconds.
const LOOK_AGAIN_SECONDS: u32 = 30;

/// What a merge made is not merged anew for its tombstones alone for this long, in seconds: what it could forget, it
/// did.
const FORGET_AGAIN_SECONDS: u32 = 86_400;

/// What is due of one table id.
enum Due {
    /// These files are dead as a whole.
    Expired(Vec<u64>),
    Merge(Pick),
}

impl Engine {
    /// Asks for a compaction of everything a table has in files now, whatever its strategy: into tables that
    /// don't overlap. It is done by jobs, like other compactions. Also what to do to get rid of tombstones
    /// that can be purged. How far it is, [`left_to_compact`](Self::left_to_compact) tells.
    pub fn compact(&mut self, table: TableId) {
        if let Some(state) = self.tables.get_mut(&table) {
            state.major = state.tables.live().iter().map(|table| table.number()).collect();
            state.asked.clone_from(&state.major);
            state.look_at = None;
        }
    }

    /// Bytes of a table's files that [`compact`](Self::compact) asked for and that are not compacted yet; 0: it is done, but for
    /// what is damaged. It may wait for room on the disk, or for compactions that were under way before.
    pub fn left_to_compact(&self, table: TableId) -> u64 {
        let Some(state) = self.tables.get(&table) else {
            return 0;
        };
        let live = state.tables.live().iter();
        live.filter(|table| state.is_asked(table.number()))
            .map(|table| table.bytes())
            .sum()
    }

    /// Bytes of files that are being compacted, or are due for it and wait, about. What a pace goes by.
    pub fn compaction_debt(&self) -> u64 {
        self.work.promised() + self.tables.values().map(|state| state.owed).sum::<u64>()
    }

    /// A part of a compaction that was begun, or of a new one.
    pub(super) fn next_compaction(&mut self, now: Seconds) -> Option<Box<Part>> {
        if self.work.compacting() >= self.options.compactions.max(1) {
            return None;
        }
        let begun: Vec<u64> = self.work.merges.keys().copied().collect();
        if let Some(part) = begun.into_iter().find_map(|number| self.part_of(number)) {
            return Some(part);
        }
        // Each in its turn: the one that was served last comes last.
        let last = self.work.compacted;
        let is_later = |table: &TableId| last.is_none_or(|last| *table > last);
        let (later, earlier): (Vec<_>, Vec<_>) = self.tables.keys().copied().partition(is_later);
        let mut order = later.into_iter().chain(earlier);
        let part = order.find_map(|table| self.begin_compaction(table, now))?;
        self.work.compacted = Some(part.table);
        Some(part)
    }

    fn begin_compaction(&mut self, table: TableId, now: Seconds) -> Option<Box<Part>> {
        let state = self.tables.get(&table)?;
        let is_early = state.look_at.is_some_and(|second| now < second);
        if is_early && state.lacks.is_none() {
            return None;
        }
        let room = self.room();
        // What waits for room does not wait any longer than there is none.
        if is_early && state.lacks > Some(room.left()) {
            return None;
        }
        let state = self.tables.get_mut(&table)?;
        let due = due(state, &self.options, now, room);
        self.crowd = self.crowd.max(state.crowd);
        let Some(due) = due else {
            state.look_at = Some(Seconds(now.0.saturating_add(LOOK_AGAIN_SECONDS)));
            return None;
        };
        match due {
            Due::Expired(files) => {
                state.tables.reserve(&files);
                let change = Change {
                    table,
                    epoch: state.epoch,
                    bytes: 0,
                    replaces: Replaces::Files(files),
                    outputs: Vec::new(),
                    major: false,
                };
                self.work.ready.push(change);
                None
            }
            Due::Merge(pick) => {
                // Another engine may just have taken the room.
                let promise = self.options.promises.promise(pick.bytes, room)?;
                let merge = begin(state, table, (pick, promise), &self.options, now, None);
                let number = self.work.begin(merge);
                self.part_of(number)
            }
        }
    }

    /// Whether compactions that are due wait for room on the disk, of some tables (`None`: of any): the least that one of
    /// them needs, in bytes, and the room that there is, which is less.
    pub fn lacks_room(&self, tables: Option<&[TableId]>) -> Option<(u64, Room)> {
        let asked = |id: &TableId| tables.is_none_or(|tables| tables.contains(id));
        let states = self.tables.iter().filter(|(id, _)| asked(id));
        let least = states.filter_map(|(_, state)| state.lacks).min()?;
        let room = self.room();
        // It was looked for a while ago.
        (least > room.left()).then_some((least, room))
    }

    /// What may be written beside flushes. A disk that can't be asked is taken as one with room: it is full when it
    /// says so.
    pub(super) fn room(&self) -> Room {
        Room {
            free: self.fs.free_space(&self.dir).unwrap_or(u64::MAX),
            reserve: (self.options.memory_bytes as u64 + self.options.segment_bytes)
                .max(self.options.reserve_bytes),
            promised: self.options.promises.bytes(),
        }
    }
}

/// Reserves the inputs of a merge, which writes what is promised to it; it leaves out all but the tokens in `only`.
pub(super) fn begin(
    state: &mut TableState,
    table: TableId,
    (pick, promise): (Pick, Promise),
    options: &Options,
    now: Seconds,
    only: Option<TokenSet>,
) -> Merge {
    state.tables.reserve(&pick.files);
    let (inputs, others): (Vec<_>, Vec<_>) = state
        .tables
        .live()
        .iter()
        .cloned()
        .partition(|table| pick.files.contains(&table.number()));
    let major = pick.files.iter().any(|file| state.major.contains(file));
    state.major.retain(|file| !pick.files.contains(file));
    let plan = Plan {
        inputs: inputs.into_iter().map(Input::Table).collect(),
        purging: Purging {
            policy: state.purge.clone(),
            now,
            memory: state.oldest_in_memory(),
            others,
        },
        options: state.writer_options(options),
        step_bytes: options.step_bytes,
        only,
        transient: false,
        copies: false,
    };
    Merge {
        table,
        epoch: state.epoch,
        replaces: Replaces::Files(pick.files),
        plan: Arc::new(plan),
        bytes: pick.bytes,
        _promise: Some(promise),
        major,
        left: pick.parts.into(),
        out: 0,
        outputs: Vec::new(),
        failed: false,
    }
}

fn due(state: &mut TableState, options: &Options, now: Seconds, room: Room) -> Option<Due> {
    state.count_crowd();
    state.owed = 0;
    state.lacks = None;
    let candidates = |tables: &mut dyn Iterator<Item = &Arc<Table>>| -> Vec<Candidate> {
        tables.map(|table| candidate(state, table, now)).collect()
    };
    let idle = candidates(&mut state.tables.idle());
    let busy = |table: &&Arc<Table>| state.tables.is_busy(table.number());
    let busy = candidates(&mut state.tables.live().iter().filter(busy));
    let purgeable = |tokens| state.purge.before(now, tokens);
    let expired = expired::pick(&idle, &busy, state.oldest_in_memory(), purgeable);
    if !expired.is_empty() {
        return Some(Due::Expired(expired));
    }
    let sizes = Sizes {
        slices: Slices::new(options.tokens),
        flush_bytes: state.flush_bytes(options),
        table_bytes: options.table_bytes,
    };
    let asked = asked_for(state, &idle, &busy, sizes);
    let strategy = state.options(options).compaction;
    let usual = usual(state, &idle, sizes, strategy, now);
    state.owed = asked.iter().chain(&usual).map(|pick| pick.bytes).sum();
    // Writes would be slowed down for the new flushes by the time that all the rest is compacted; and that takes its turn.
    let yields = state.crowd > CROWDED && !state.yielded;
    let order = if yields { [usual, asked] } else { [asked, usual] };
    for (place, picks) in order.into_iter().enumerate() {
        let least = picks.iter().map(|pick| pick.bytes).min();
        if let Some(pick) = space::fitting(picks, &idle, sizes, room) {
            state.yielded = yields && place == 0;
            return Some(Due::Merge(pick));
        }
        state.lacks = state.lacks.into_iter().chain(least).min();
    }
    let picks = tombstones::picks(
        &idle,
        |file| state.may_forget(file, now, FORGET_AGAIN_SECONDS),
        &busy,
        state.oldest_in_memory(),
        matches!(strategy, Strategy::TimeWindow { .. }),
        sizes,
    );
    let fits = picks.into_iter().find(|pick| pick.bytes <= room.left());
    fits.map(Due::Merge)
}

/// The merges that a compaction of everything still has to do; it is over once there is nothing left of it.
fn asked_for(state: &mut TableState, idle: &[Candidate], busy: &[Candidate], sizes: Sizes) -> Vec<Pick> {
    let waits = |table: &&Candidate| state.major.contains(&table.number);
    let wanted: Vec<Candidate> = idle.iter().filter(waits).copied().collect();
    let under_way = busy.iter().filter(|table| state.is_asked(table.number));
    let under_way: Vec<TokenRange> = under_way.map(|table| table.tokens).collect();
    let overlaps = |part: &TokenRange| under_way.iter().any(|tokens| slices::overlap(*part, *tokens));
    let mut picks = unified::everything(&wanted, sizes);
    // A table alone that overlaps what is under way is merged with what becomes of that.
    picks.retain(|pick| pick.files.len() > 1 || !pick.parts.iter().any(overlaps));
    // Those that have nothing to be merged with are as they should be.
    if picks.is_empty() && under_way.is_empty() {
        state.major.clear();
        state.asked.clear();
    }
    picks
}

/// The merges that the strategy wants, of tables that don't wait for a compaction of everything: that one has an end because
/// nothing new gets into it.
fn usual(
    state: &TableState,
    idle: &[Candidate],
    sizes: Sizes,
    strategy: Strategy,
    now: Seconds,
) -> Vec<Pick> {
    let mut free = idle.to_vec();
    free.retain(|table| !state.major.contains(&table.number));
    let apart = rows::picks(&free, sizes, strategy, now);
    free.retain(|table| !rows::is_apart(table.largest_row));
    let mut picks = match strategy {
        Strategy::Unified(scaling) => unified::picks(&free, sizes, scaling),
        Strategy::TimeWindow { seconds } => window::picks(&free, sizes, seconds, now),
    };
    picks.extend(apart);
    picks
}

fn candidate(state: &TableState, table: &Table, now: Seconds) -> Candidate {
    let properties = table.properties();
    let tokens = state.tables.tokens(table.number());
    let before = state.purge.before(now, tokens);
    Candidate {
        number: table.number(),
        bytes: table.bytes(),
        tokens,
        timestamps: properties
            .timestamps
            .unwrap_or((Timestamp(i64::MIN), Timestamp(i64::MIN))),
        dead_after: properties
            .all_expire()
            .then(|| properties.ages.map_or(Seconds(0), |(_, newest)| newest)),
        droppable: properties.ages.is_some() && state.purge != PurgePolicy::Keep,
        things: properties.things(),
        due: before.map_or(0, |before| properties.droppable_before(before)),
        largest_row: table.largest_row(),
    }
}
