//! What a session has still to look at: pure.
//!
//! Work is done many pieces at a time, for each step costs a message to each replica. The deepest kind of work of which
//! there is enough comes first; where there is enough of none, the shallowest, which makes more. So steps are full while
//! differences are many, and what waits is bounded: of each kind one step's pieces, and what one step of another kind
//! makes for each level of the tree.

use super::groups::{Groups, Sum, all_agree};
use crate::anti_entropy::{tree::divide, wire::Piece};
use starling_model::{KeyRange, TokenRange};

/// Rows of a piece that is read rather than cut.
const SMALL_ROWS: u64 = 16;

/// Rows of a range whose partitions are told one by one rather than cut.
const PRINTED_ROWS: u64 = 4096;

/// Ranges that are cut along the grid in a step.
const DIVIDED: usize = 48;

/// Ranges whose partitions are told in a step...
const PRINTED: usize = 48;

/// ...and their rows, about: with the digests that are told of each, the size of an answer.
const PRINTED_TOGETHER: u64 = 4 * PRINTED_ROWS;

/// Pieces for which replicas are asked at a time where to cut.
const CUT: usize = 8;

/// Pieces whose digests are asked for in a step.
const SUMMED: usize = 64;

/// Pieces that are read in a step.
const READ: usize = 64;

/// A piece on which replicas may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) piece: Piece,
    pub(super) groups: Groups,
}

/// The same, a range of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenRange {
    pub(super) range: TokenRange,
    pub(super) groups: Groups,
    /// Of the replica with most.
    rows: u64,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Compare the parts of these ranges, as the grid cuts them.
    Divide(Vec<OpenRange>),
    /// Compare these ranges partition by partition.
    Print(Vec<OpenRange>),
    /// Ask a replica that has most where to cut.
    Cut(Vec<(Open, usize)>),
    /// Compare these pieces.
    Sum(Vec<Open>),
    /// Read these pieces and make them equal.
    Read(Vec<Open>),
}

/// Pieces by what is to be done with them.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    divided: Vec<OpenRange>,
    printed: Vec<OpenRange>,
    /// Each with a replica that has most rows of it.
    cut: Vec<(Open, usize)>,
    summed: Vec<Open>,
    read: Vec<Open>,
}

impl Frontier {
    /// The next step; `None`: nothing is left.
    pub(super) fn next(&mut self) -> Option<Step> {
        let deep = [
            self.read.len() >= READ,
            self.summed.len() >= SUMMED,
            self.cut.len() >= CUT,
            self.printed.len() >= PRINTED,
        ];
        let full = deep.iter().position(|full| *full);
        let shallow = [
            !self.read.is_empty(),
            !self.summed.is_empty(),
            !self.cut.is_empty(),
            !self.printed.is_empty(),
            !self.divided.is_empty(),
        ];
        match full.or(shallow.iter().rposition(|any| *any))? {
            0 => Some(Step::Read(last(&mut self.read, READ))),
            1 => Some(Step::Sum(last(&mut self.summed, SUMMED))),
            2 => Some(Step::Cut(last(&mut self.cut, CUT))),
            3 => Some(Step::Print(self.few_rows())),
            _ => Some(Step::Divide(last(&mut self.divided, DIVIDED))),
        }
    }

    /// Ranges of together not too many rows; one at least.
    fn few_rows(&mut self) -> Vec<OpenRange> {
        let mut rows = 0;
        let fits = |open: &&OpenRange| {
            rows = open.rows.saturating_add(rows);
            rows <= PRINTED_TOGETHER
        };
        let few = self.printed.iter().rev().take(PRINTED).take_while(fits).count();
        last(&mut self.printed, few.max(1))
    }

    /// To be compared.
    pub(super) fn sum(&mut self, piece: Piece, groups: Groups) {
        self.summed.push(Open { piece, groups });
    }

    /// To be read.
    pub(super) fn read(&mut self, open: Open) {
        self.read.push(open);
    }

    /// To be cut by rows, for there are too many partitions to tell one by one. `guide` names the places.
    pub(super) fn cut(&mut self, open: Open, guide: usize) {
        self.cut.push((open, guide));
    }

    /// What the speakers have of a piece: where they differ it is to be looked at more closely.
    pub(super) fn compared(&mut self, piece: Piece, groups: &Groups, said: &[Sum]) {
        let Some((groups, most)) = differing(groups, said) else {
            return;
        };
        let range = match &piece.keys {
            KeyRange::Tokens(range) if !is_small(said) => *range,
            _ => return self.within_a_token(piece, groups, said, most),
        };
        let rows = most.1;
        if divide(range).len() > 1 {
            self.divided.push(OpenRange { range, groups, rows });
        } else if rows <= PRINTED_ROWS {
            self.printed.push(OpenRange { range, groups, rows });
        } else {
            self.cut.push((Open { piece, groups }, most.0));
        }
    }

    /// The same of the partition at one token, or of rows of a partition.
    pub(super) fn compared_at_token(&mut self, piece: Piece, groups: &Groups, said: &[Sum]) {
        if let Some((groups, most)) = differing(groups, said) {
            self.within_a_token(piece, groups, said, most);
        }
    }

    fn within_a_token(&mut self, piece: Piece, groups: Groups, said: &[Sum], most: (usize, u64)) {
        let open = Open { piece, groups };
        if is_small(said) {
            self.read.push(open);
        } else {
            self.cut.push((open, most.0));
        }
    }
}

/// If the speakers differ: the sets that are to be asked, and a replica that has most, with its rows.
fn differing(groups: &Groups, said: &[Sum]) -> Option<(Groups, (usize, u64))> {
    if all_agree(said) {
        return None;
    }
    let (groups, sums) = groups.merged(said);
    let rows = groups.speakers().zip(sums.iter().map(|sum| sum.rows));
    let most = rows.max_by_key(|(_, rows)| *rows)?;
    Some((groups, most))
}

/// Few rows, or none on one of them: then all of it is missing there.
fn is_small(said: &[Sum]) -> bool {
    let rows = || said.iter().map(|sum| sum.rows);
    rows().max().is_none_or(|most| most <= SMALL_ROWS) || rows().min() == Some(0)
}

/// The last `most`: what came last is deepest, so that few wait.
fn last<T>(queue: &mut Vec<T>, most: usize) -> Vec<T> {
    queue.split_off(queue.len().saturating_sub(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use starling_model::{Token, TokenRange};

    fn range(n: i64, width: i64) -> TokenRange {
        TokenRange {
            start: Token(n * width),
            end: Token((n + 1) * width),
        }
    }

    fn sum(hash: u128, rows: u64) -> Sum {
        Sum {
            hash,
            rows,
            leaves_out: false,
        }
    }

    fn differ(frontier: &mut Frontier, range: TokenRange, rows: u64) {
        let said = [sum(1, rows), sum(2, rows)];
        frontier.compared(Piece::tokens(range), &Groups::apart(2), &said);
    }

    #[test]
    fn what_is_equal_is_done_with() {
        let mut frontier = Frontier::default();
        let said = [sum(9, 5), sum(9, 5), sum(9, 5)];
        frontier.compared(Piece::tokens(TokenRange::ALL), &Groups::apart(3), &said);
        assert_eq!(frontier.next(), None);
    }

    #[test]
    fn a_piece_goes_where_its_size_belongs() {
        let mut frontier = Frontier::default();
        differ(&mut frontier, TokenRange::ALL, 1 << 20);
        assert!(matches!(frontier.next(), Some(Step::Divide(ranges)) if ranges.len() == 1));
        differ(&mut frontier, range(0, 1 << 40), 100);
        assert!(matches!(frontier.next(), Some(Step::Print(_))));
        differ(&mut frontier, range(0, 1 << 40), 100_000);
        assert!(matches!(frontier.next(), Some(Step::Cut(_))));
        differ(&mut frontier, TokenRange::ALL, SMALL_ROWS);
        assert!(matches!(frontier.next(), Some(Step::Read(_))));
        let said = [sum(1, 1 << 30), sum(0, 0)];
        frontier.compared(Piece::tokens(TokenRange::ALL), &Groups::apart(2), &said);
        assert!(matches!(frontier.next(), Some(Step::Read(_))));
        assert_eq!(frontier.next(), None);
    }

    #[test]
    fn steps_are_full_while_there_is_much_to_do() {
        let mut frontier = Frontier::default();
        for n in 0..100 {
            differ(&mut frontier, range(n, 1 << 40), 3);
            differ(&mut frontier, range(n, 1 << 40), 100);
        }
        let mut steps = Vec::new();
        while let Some(step) = frontier.next() {
            steps.push(match step {
                Step::Read(pieces) => ("read", pieces.len()),
                Step::Print(ranges) => ("print", ranges.len()),
                other => panic!("{other:?}"),
            });
        }
        let expected = [
            ("read", READ),
            ("print", PRINTED),
            ("print", PRINTED),
            ("print", 4),
            ("read", 36),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn an_answer_of_prints_is_bounded() {
        let mut frontier = Frontier::default();
        for n in 0..20 {
            differ(&mut frontier, range(n, 1 << 40), PRINTED_ROWS);
        }
        while let Some(Step::Print(ranges)) = frontier.next() {
            let rows: u64 = ranges.iter().map(|range| range.rows).sum();
            assert!(rows <= PRINTED_TOGETHER, "{rows}");
        }
    }

    /// A whole table that differs everywhere: what waits follows the depth, not the size.
    #[test]
    fn what_waits_is_bounded() {
        let mut frontier = Frontier::default();
        differ(&mut frontier, TokenRange::ALL, 1 << 40);
        let mut most = 0;
        let mut steps = 0;
        while let Some(step) = frontier.next() {
            steps += 1;
            if let Step::Divide(ranges) = step {
                for part in ranges.iter().flat_map(|open| divide(open.range)) {
                    differ(&mut frontier, part, 1_000);
                }
            }
            most = most.max(frontier.divided.len() + frontier.printed.len());
        }
        assert!(steps > 1_000);
        assert!(most < 17 * DIVIDED * 4, "{most}");
    }
}
