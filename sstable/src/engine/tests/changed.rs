//! What was written to, cell by cell.

use starling_model::{Token, TokenRange};

use crate::{
    CELLS, Cells,
    fixtures::{TABLE, insert, key, open},
    fs::MemoryFs,
};

#[test]
fn the_grid_covers_the_ring() {
    let mut start = Token::MIN;
    for cell in 0..CELLS {
        let range = Cells::range(cell);
        assert_eq!(range.start, start);
        assert_eq!((Cells::after(range.start), Cells::of(range.end)), (cell, cell));
        start = range.end;
    }
    assert_eq!(start, Token::MAX);
}

#[test]
fn sets_of_cells_add_up() {
    let mut cells = Cells::default();
    assert!(cells.is_empty() && cells.ranges().is_empty());
    cells.add(Token(0));
    cells.add_between(Token(-1), Token(-1));
    let (below, above) = (
        Cells::range(Cells::of(Token(-1))),
        Cells::range(Cells::of(Token(0))),
    );
    let both = TokenRange {
        start: below.start,
        end: above.end,
    };
    assert_eq!(cells.ranges(), [both], "neighbours are one range");
    let mut other = Cells::default();
    other.add(Token::MAX);
    other.merge(cells);
    assert_eq!(other.ranges().len(), 2);
    other.merge(Cells::ALL);
    assert_eq!(other.ranges(), [TokenRange::ALL]);
}

#[test]
fn writes_truncations_and_restarts_are_told_once() {
    let fs = MemoryFs::new();
    let mut engine = open(&fs);
    engine.apply(&insert(key(1), b"a", 1, b"v")).unwrap();
    assert_eq!(engine.take_changed(TABLE), Cells::ALL, "nobody asked before");
    assert!(engine.take_changed(TABLE).is_empty());
    engine.apply(&insert(key(2), b"a", 1, b"v")).unwrap();
    let mut cell = Cells::default();
    cell.add(key(2).token);
    assert_eq!(engine.take_changed(TABLE), cell);
    engine.flush_all();
    crate::fixtures::settle(&mut engine, starling_model::Seconds(1));
    assert!(engine.take_changed(TABLE).is_empty(), "a flush changes nothing");
    engine.truncate(TABLE).unwrap();
    assert_eq!(engine.take_changed(TABLE), Cells::ALL);
    engine.log().sync().unwrap();
    drop(engine);
    let mut engine = open(&fs);
    engine.apply(&insert(key(3), b"a", 1, b"v")).unwrap();
    assert_eq!(engine.take_changed(TABLE), Cells::ALL);
}
