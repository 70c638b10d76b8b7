//! Parts as a source cuts them, and their files as they come down.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use starling_model::{Token, TokenRange, TokenSet};
use starling_sstable::fs::{Fs, MemoryFs};

use super::super::{StreamFile, fetch::is_all_of, landing::Landing, source::joined};

fn range(start: i64, end: i64) -> TokenSet {
    TokenSet::from(TokenRange {
        start: Token(start),
        end: Token(end),
    })
}

#[test]
fn small_neighbours_are_one_part() {
    let parts = [(0, 10), (10, 20), (20, 30), (40, 50), (50, 60)].map(|(start, end)| range(start, end));
    let sized: Vec<_> = parts.into_iter().zip([3, 4, 4, 100, 0]).collect();
    let expected = [
        (range(0, 20), 7),
        (range(20, 30), 4),
        (range(40, 50), 100),
        (range(50, 60), 0),
    ];
    assert_eq!(joined(sized.clone(), 7), expected);
    assert_eq!(joined(sized, 100), [(range(0, 30), 11), (range(40, 60), 100)]);
    assert_eq!(joined(Vec::new(), 7), []);
}

#[test]
fn parts_count_only_if_they_have_all_tokens_and_no_others() {
    let wanted = range(0, 20).union(&range(30, 40));
    let parts =
        |all: &[(i64, i64)]| -> Vec<_> { all.iter().map(|(start, end)| (range(*start, *end), 1)).collect() };
    assert!(is_all_of(&parts(&[(0, 5), (5, 20), (30, 40)]), &wanted));
    assert!(!is_all_of(&parts(&[(0, 5), (5, 20)]), &wanted));
    assert!(!is_all_of(&parts(&[(0, 40)]), &wanted));
    assert!(!is_all_of(&[], &wanted));
}

fn file(bytes: u64) -> StreamFile {
    StreamFile {
        shard: 0,
        bytes,
        newest: None,
    }
}

#[test]
fn pieces_become_the_files_that_were_announced() {
    let (fs, dir) = (MemoryFs::new(), Path::new("streams/in/1"));
    // What an earlier try left.
    fs.create_dir_all(dir).unwrap();
    fs.create(&dir.join("7.table")).unwrap().sync().unwrap();
    let mut landing = Landing::new(
        Arc::new(fs.clone()),
        dir.to_path_buf(),
        &[file(5), file(1), file(2)],
    );
    let paths = landing.paths();
    let pieces = ["ab", "cd", "e", "f", "gh"].map(|piece| Bytes::from_static(piece.as_bytes()));
    assert!(landing.write(&pieces[..2]).unwrap().is_empty());
    let mut whole = landing.write(&pieces[2..]).unwrap();
    assert_eq!(whole.len(), 3);
    for file in &mut whole {
        file.sync().unwrap();
    }
    let contents: Vec<Bytes> = paths.iter().map(|path| fs.read(path).unwrap()).collect();
    assert_eq!(contents, ["abcde", "f", "gh"]);
    assert_eq!(fs.list(dir).unwrap(), paths);
    assert!(landing.write(&pieces[..1]).is_err(), "nothing more was announced");
}

#[test]
fn a_piece_that_is_longer_than_what_is_left_is_refused() {
    let mut landing = Landing::new(Arc::new(MemoryFs::new()), "in".into(), &[file(3)]);
    assert!(landing.write(&[Bytes::from_static(b"abcd")]).is_err());
}
