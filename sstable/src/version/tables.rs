//! The live tables of one table id.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use starling_model::{Seconds, Token, TokenRange, TokenSet};

use super::{
    Damage,
    quarantine::{MAX_PARTS, MAX_PIECES},
};
use crate::table::Table;

/// Live tables, oldest file first. Cheap to copy: readers and jobs keep the version they began with.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    live: Vec<Arc<Table>>,
    /// Files that can't be opened: all their tokens are quarantined, and they are given up once those are healed.
    lost: BTreeMap<u64, PathBuf>,
    /// The tokens that each was made for.
    tokens: BTreeMap<u64, TokenRange>,
    /// Files that a compaction is reading, to be replaced by its output.
    busy: BTreeSet<u64>,
    /// What was found damaged.
    damage: Vec<Damage>,
    /// How often that changed.
    damage_changes: u64,
}

impl Tables {
    /// The live tables.
    pub fn live(&self) -> &[Arc<Table>] {
        &self.live
    }

    /// The numbers of all files, also of those that can't be opened.
    pub fn files(&self) -> impl Iterator<Item = u64> {
        let live = self.live.iter().map(|table| table.number());
        live.chain(self.lost.keys().copied())
    }

    /// The file of a number.
    pub fn path(&self, number: u64) -> Option<&Path> {
        let live = self.live.iter().find(|table| table.number() == number);
        match live {
            Some(table) => Some(table.path()),
            None => self.lost.get(&number).map(PathBuf::as_path),
        }
    }

    /// Those that a compaction may take.
    pub fn idle(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.live.iter().filter(|table| !self.is_busy(table.number()))
    }

    /// Whether a compaction is working on a file, or none may, because it is damaged.
    pub fn is_busy(&self, number: u64) -> bool {
        self.is_reserved(number) || self.is_quarantined(number)
    }

    /// Whether a file is to be replaced.
    pub fn is_reserved(&self, number: u64) -> bool {
        self.busy.contains(&number)
    }

    /// Whether something of a file was found damaged, and is not healed.
    pub fn is_quarantined(&self, number: u64) -> bool {
        self.quarantined().any(|damage| damage.file == number)
    }

    /// All that was found damaged, healed or not.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How often damage was found, healed or forgotten: while this stays the same, so does all that was found damaged in files that stay.
    pub fn damage_changes(&self) -> u64 {
        self.damage_changes
    }

    /// What was found damaged and is not healed.
    pub fn quarantined(&self) -> impl Iterator<Item = &Damage> {
        self.damage.iter().filter(|damage| !damage.healed)
    }

    /// The damage with the smallest token that concerns these tokens, both included.
    pub fn quarantined_in(&self, from: Token, to: Token) -> Option<&Damage> {
        self.quarantined()
            .filter(|damage| damage.touches(from, to))
            .min_by_key(|damage| damage.from)
    }

    /// Adds damage of a live table, unless it is known; whether it was new. The table has a hole there from now on,
    /// so that reads beside the damage don't run into it; those of the damage itself are for the caller to refuse.
    ///
    /// Only what was found is a hole. What lies between two pieces that are taken for one, because there are too many, is refused
    /// with them, and is there for those who read past the damage.
    pub fn add_damage(&mut self, damage: Damage) -> bool {
        let file = damage.file;
        match self.live.iter().find(|table| table.number() == file) {
            Some(table) => {
                let of_file = self.damage.iter().filter(|other| other.file == file);
                let known: TokenSet = of_file.map(Damage::range).collect();
                if known.covers(damage.range()) {
                    return false;
                }
                table.add_hole(damage.from, damage.to);
            }
            None if self.lost.contains_key(&file) => {}
            None => return false,
        }
        self.damage_changes += 1;
        self.damage.push(damage);
        self.join_touching();
        while self.quarantined().filter(|other| other.file == file).count() > MAX_PIECES {
            self.join_closest(file);
        }
        true
    }

    /// Adds damage that an earlier process found, as it left it.
    pub fn restore_damage(&mut self, damage: Damage) {
        let table = self.live.iter().find(|table| table.number() == damage.file);
        if let Some(table) = table {
            table.add_hole(damage.from, damage.to);
        }
        if table.is_some() || self.lost.contains_key(&damage.file) {
            self.damage.push(damage);
        }
    }

    /// Heals the damage that lies within a range of tokens: the holes are all that is left of it. Of a piece that lies in
    /// part within it that part is healed, and what lies outside stays; unless its table's damage is in very many pieces already.
    /// Returns how many pieces were healed.
    pub fn heal(&mut self, range: TokenRange) -> usize {
        let mut healed = 0;
        for at in 0..self.damage.len() {
            let damage = &self.damage[at];
            let own = damage.range();
            let is_within = range.start <= own.start && own.end <= range.end;
            let is_touched = own.start < range.end && range.start < own.end;
            if damage.healed || !(is_within || is_touched) {
                continue;
            }
            let outside: Vec<Damage> = damage.outside(range).collect();
            let file = damage.file;
            let pieces = self.damage.iter().filter(|other| other.file == file).count();
            if !outside.is_empty() && pieces + outside.len() > MAX_PARTS {
                tracing::warn!(
                    file, tokens = %own,
                    "damage of a file is in too many pieces to be healed in part: it waits until all of it can be"
                );
                continue;
            }
            let damage = &mut self.damage[at];
            if !is_within {
                damage.from = damage.from.max(Token(range.start.0.saturating_add(1)));
                damage.to = damage.to.min(range.end);
            }
            damage.healed = true;
            healed += 1;
            self.damage.extend(outside);
        }
        self.damage_changes += healed as u64;
        self.join_touching();
        healed
    }

    /// Has damaged files say nothing of some tokens any more, which do not belong here: what of the damage lies there is given
    /// up, and where a file has more of it, which keeps compactions away, the file gets holes. Returns whether that
    /// changed anything. A file that would be in very many pieces is left as it is.
    pub fn forget(&mut self, tokens: &TokenSet, now: Seconds) -> bool {
        let mut changed = false;
        for range in tokens.ranges() {
            changed |= self.heal(*range) > 0;
        }
        let damaged: BTreeSet<u64> = self.quarantined().map(|damage| damage.file).collect();
        for table in &self.live {
            let file = table.number();
            if !damaged.contains(&file) {
                continue;
            }
            let of_file = || self.damage.iter().filter(|damage| damage.file == file);
            let known: TokenSet = of_file().map(Damage::range).collect();
            let gone = tokens.intersection(&TokenSet::from(table.span()));
            let new = gone.without(&known);
            if of_file().count() + new.ranges().len() > MAX_PARTS {
                tracing::warn!(
                    file,
                    "a damaged file is in too many pieces to forget tokens: it keeps them until it is healed"
                );
                continue;
            }
            for range in gone.ranges() {
                // Also of what is known: between pieces that were taken for one there is no hole.
                let forgotten = Damage::forgotten(file, *range, now);
                table.add_hole(forgotten.from, forgotten.to);
            }
            for range in new.ranges() {
                self.damage.push(Damage::forgotten(file, *range, now));
                changed = true;
            }
        }
        self.damage_changes += u64::from(changed);
        self.join_touching();
        changed
    }

    /// Makes one of pieces that touch, and are both healed or both not: they would pile up where damage is found, or healed, block
    /// by block.
    fn join_touching(&mut self) {
        let mut joined: Vec<Damage> = Vec::with_capacity(self.damage.len());
        for mut damage in self.damage.drain(..) {
            joined.retain(|other| {
                let is_one = other.healed == damage.healed
                    && other.file == damage.file
                    && other.from.0 <= damage.to.0.saturating_add(1)
                    && damage.from.0 <= other.to.0.saturating_add(1);
                if is_one {
                    damage = damage.with(other);
                }
                !is_one
            });
            joined.push(damage);
        }
        self.damage = joined;
    }

    /// Makes one of the two pieces of a file that are closest to each other, of those that are not healed; there are some.
    fn join_closest(&mut self, file: u64) {
        let of_file = |damage: &Damage| damage.file == file && !damage.healed;
        let (mut pieces, others): (Vec<Damage>, Vec<Damage>) = self.damage.drain(..).partition(of_file);
        pieces.sort_unstable_by_key(|damage| damage.from);
        let gap = |at: &usize| i128::from(pieces[*at].from.0) - i128::from(pieces[*at - 1].to.0);
        if let Some(at) = (1..pieces.len()).min_by_key(gap) {
            let last = pieces.remove(at);
            pieces[at - 1] = last.with(&pieces[at - 1]);
        }
        self.damage = others;
        self.damage.extend(pieces);
    }

    /// The tokens that a file was made for: it holds nothing else, and need not hold all of them.
    pub fn tokens(&self, number: u64) -> TokenRange {
        self.tokens.get(&number).copied().unwrap_or(TokenRange::ALL)
    }

    /// The files that can't be opened, and of which nothing is quarantined any more.
    pub fn given_up(&self) -> Vec<u64> {
        let is_healed = |file: &u64| self.quarantined().all(|damage| damage.file != *file);
        self.lost.keys().copied().filter(is_healed).collect()
    }

    /// Adds a file that can't be opened, and was made for some tokens, which do not wrap: all of them are to be added
    /// as damaged.
    pub fn add_lost(&mut self, number: u64, path: PathBuf, tokens: TokenRange) {
        self.lost.insert(number, path);
        self.tokens.insert(number, tokens);
    }

    /// Says since when damage is known that was found before the time was.
    pub fn date_damage(&mut self, now: Seconds) {
        for damage in &mut self.damage {
            if damage.since == Seconds(0) {
                damage.since = now;
            }
        }
    }

    /// Adds a table that was made for some tokens, which do not wrap.
    pub fn add(&mut self, table: Arc<Table>, tokens: TokenRange) {
        let at = self.live.partition_point(|other| other.number() < table.number());
        self.tokens.insert(table.number(), tokens);
        self.live.insert(at, table);
    }

    /// Takes files out, which are not busy any more, and returns the tables that were live.
    pub fn remove(&mut self, files: &[u64]) -> Vec<Arc<Table>> {
        let is_out = |table: &mut Arc<Table>| files.contains(&table.number());
        let out = self.live.extract_if(.., is_out).collect();
        self.damage.retain(|damage| !files.contains(&damage.file));
        for number in files {
            self.busy.remove(number);
            self.lost.remove(number);
            self.tokens.remove(number);
        }
        out
    }

    /// All live tables.
    pub fn into_live(self) -> Vec<Arc<Table>> {
        self.live
    }

    /// Marks files as being compacted.
    pub fn reserve(&mut self, files: &[u64]) {
        self.busy.extend(files);
    }

    /// Takes the marks back.
    pub fn release(&mut self, files: &[u64]) {
        for file in files {
            self.busy.remove(file);
        }
    }
}
