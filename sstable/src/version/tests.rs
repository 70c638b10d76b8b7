use std::path::Path;

use starling_model::{Seconds, TableId, Token, TokenRange};

use super::{
    Damage, Manifest, Tables,
    manifest::{COPY_ALIGNMENT, Entry, FILE_NAME, File},
    quarantine::{MAX_PARTS, MAX_PIECES},
};
use crate::{
    Error, Lsn, fixtures,
    fs::{Fs, MemoryFs},
};

const DIR: &str = "/shard";

fn file(number: u64) -> File {
    let tokens = match number {
        3 => TokenRange::ALL,
        number => TokenRange {
            start: Token(-5),
            end: Token(number as i64),
        },
    };
    File { number, tokens }
}

fn manifest(next_file: u64) -> Manifest {
    let damage = |file| Damage {
        file,
        from: Token(-5),
        to: Token(i64::MAX),
        offset: 1 << 40,
        what: "a block is bad".to_owned(),
        since: Seconds(99),
        healed: file == 5,
    };
    let entry = |replayed, files: &[u64]| Entry {
        replayed: Lsn(replayed),
        files: files.iter().map(|number| file(*number)).collect(),
        damage: files.iter().map(|number| damage(*number)).collect(),
    };
    Manifest {
        next_file,
        last: Lsn(1_000),
        floor: Lsn(900),
        salt: 0x5eed,
        tables: [
            (TableId(1), entry(899, &[3, 5, 300])),
            (TableId(u128::MAX), entry(950, &[])),
        ]
        .into(),
    }
}

fn written() -> MemoryFs {
    let fs = MemoryFs::new();
    let dir = Path::new(DIR);
    fs.create_dir_all(dir).unwrap();
    assert_eq!(Manifest::read(&fs, dir).unwrap(), None);
    manifest(7).prepare(&fs, dir).unwrap().commit(&fs).unwrap();
    fs
}

#[test]
fn the_old_one_is_in_force_until_the_new_one_is_committed() {
    let fs = written();
    let dir = Path::new(DIR);
    let prepared = manifest(8).prepare(&fs, dir).unwrap();
    for fs in [fs.clone(), fs.after_crash(&mut |_, _| 0)] {
        assert_eq!(Manifest::read(&fs, dir).unwrap(), Some(manifest(7)));
    }
    prepared.commit(&fs).unwrap();
    for fs in [fs.clone(), fs.after_crash(&mut |_, _| 0)] {
        assert_eq!(Manifest::read(&fs, dir).unwrap(), Some(manifest(8)));
    }
}

/// Where the second copy begins.
fn second(whole: &[u8]) -> usize {
    let at = (COPY_ALIGNMENT..whole.len())
        .step_by(COPY_ALIGNMENT)
        .find(|at| whole[*at..].starts_with(b"STARLMAN"));
    at.expect("there are two copies")
}

#[test]
fn a_changed_or_missing_byte_costs_one_copy_at_most() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    let whole = fs.read(&path).unwrap();
    let second = second(&whole);
    let copy = whole.len() - 8 - second;
    assert!(whole[copy..second].iter().all(|byte| *byte == 0));
    assert_eq!(whole[..copy], whole[second..second + copy]);
    let read = |change: &mut dyn FnMut(&mut Vec<u8>)| {
        fs.damage(&path, |bytes| change(bytes)).unwrap();
        let read = Manifest::read(&fs, Path::new(DIR));
        fs.damage(&path, |bytes| *bytes = whole.to_vec()).unwrap();
        read
    };
    for at in (0..copy).chain(second..whole.len()) {
        assert_eq!(
            read(&mut |bytes| bytes[at] ^= 4).unwrap(),
            Some(manifest(7)),
            "byte {at}"
        );
    }
    for length in 0..whole.len() {
        let read = read(&mut |bytes| bytes.truncate(length));
        match read {
            Ok(read) => assert!(length >= copy && read == Some(manifest(7)), "{length} bytes"),
            Err(error) => assert!(length < copy && matches!(error, Error::Corrupt { .. }), "{error}"),
        }
    }
    // Both at once are damage.
    for at in 0..copy {
        let error = read(&mut |bytes| {
            bytes[at] ^= 4;
            bytes[second + copy - 1 - at] ^= 4;
        })
        .unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}

#[test]
fn no_bad_sector_costs_a_manifest_of_many() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    let mut large = manifest(7);
    let entry = large.tables[&TableId(1)].clone();
    large.tables = (0..200).map(|id| (TableId(id), entry.clone())).collect();
    large.prepare(&fs, Path::new(DIR)).unwrap().commit(&fs).unwrap();
    let whole = fs.read(&path).unwrap();
    assert!(second(&whole) > 2 * COPY_ALIGNMENT);
    for sector in whole
        .chunks(COPY_ALIGNMENT)
        .enumerate()
        .map(|(n, _)| n * COPY_ALIGNMENT)
    {
        fs.damage(&path, |bytes| {
            let end = bytes.len().min(sector + COPY_ALIGNMENT);
            bytes[sector..end].fill(0);
        })
        .unwrap();
        assert_eq!(
            Manifest::read(&fs, Path::new(DIR)).unwrap(),
            Some(large.clone()),
            "without the sector at {sector}"
        );
        fs.damage(&path, |bytes| *bytes = whole.to_vec()).unwrap();
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    fs.damage(&path, |bytes| {
        let end = second(bytes);
        let copy = bytes.len() - 8 - end;
        bytes[8] += 1;
        let sum = crate::checksum::checksum(&bytes[..copy - 8]);
        bytes[copy - 8..copy].copy_from_slice(&sum.to_le_bytes());
    })
    .unwrap();
    let error = Manifest::read(&fs, Path::new(DIR)).unwrap_err();
    assert!(matches!(error, Error::Version { .. }), "{error}");
}

#[test]
fn an_earlier_release_sees_the_version() {
    // It takes the last eight bytes for the checksum of all before them.
    let bytes = written().read(&Path::new(DIR).join(FILE_NAME)).unwrap();
    let (checked, sum) = bytes.split_last_chunk::<8>().unwrap();
    assert_eq!(crate::checksum::checksum(checked), u64::from_le_bytes(*sum));
}

#[test]
fn one_of_version_5_is_read_and_is_what_is_written() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    let kept = include_bytes!("../../fixtures/manifest-5");
    assert!(
        fs.read(&path).unwrap() == kept[..],
        "this release writes version 5"
    );
    fs.damage(&path, |bytes| *bytes = kept.to_vec()).unwrap();
    assert_eq!(Manifest::read(&fs, Path::new(DIR)).unwrap(), Some(manifest(7)));
}

#[test]
fn one_of_version_4_is_read() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    fs.damage(&path, |bytes| {
        *bytes = include_bytes!("../../fixtures/manifest-4").to_vec();
    })
    .unwrap();
    assert_eq!(Manifest::read(&fs, Path::new(DIR)).unwrap(), Some(manifest(7)));
    let length = fs.read(&path).unwrap().len();
    for at in 0..length {
        fs.damage(&path, |bytes| bytes[at] ^= 4).unwrap();
        assert!(Manifest::read(&fs, Path::new(DIR)).is_err(), "byte {at}");
        fs.damage(&path, |bytes| bytes[at] ^= 4).unwrap();
    }
}

#[test]
fn one_of_version_3_is_read_and_has_no_salt() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    fs.damage(&path, |bytes| {
        *bytes = include_bytes!("../../fixtures/manifest-3").to_vec();
    })
    .unwrap();
    let expected = Manifest {
        salt: 0,
        ..manifest(7)
    };
    assert_eq!(Manifest::read(&fs, Path::new(DIR)).unwrap(), Some(expected));
}

#[test]
fn damage_that_is_healed_bit_by_bit_stays_in_few_pieces() {
    let mut tables = Tables::default();
    tables.add_lost(1, "one.table".into(), TokenRange::ALL);
    assert!(tables.add_damage(Damage::of_all(1, TokenRange::ALL, "it can't be opened")));
    let bit = |at: i64| TokenRange {
        start: Token(at),
        end: Token(at + 5),
    };
    // One that touches the last one joins it; those that are apart are counted.
    for at in (0..100).step_by(5) {
        assert_eq!(tables.heal(bit(at)), 1);
    }
    assert_eq!(tables.damage().len(), 3);
    let apart = (1_000..).step_by(10).take(MAX_PARTS);
    let healed: usize = apart.map(|at| tables.heal(bit(at))).sum();
    assert!((MAX_PARTS / 4..MAX_PARTS).contains(&healed), "{healed}");
    assert!(tables.damage().len() <= MAX_PARTS);
    assert_eq!(tables.given_up(), [] as [u64; 0]);
    assert!(tables.heal(TokenRange::ALL) > 0);
    assert_eq!((tables.damage().len(), tables.given_up()), (1, vec![1]));
}

#[test]
fn too_many_pieces_of_damage_are_taken_for_fewer_and_none_is_forgotten() {
    let mut tables = Tables::default();
    tables.add_lost(1, "one.table".into(), TokenRange::ALL);
    // Each gap is larger than the one before it.
    let starts: Vec<i64> = (0..2 * MAX_PIECES as i64).map(|at| at * at + 10 * at).collect();
    for start in &starts {
        let tokens = TokenRange {
            start: Token(*start),
            end: Token(start + 3),
        };
        assert!(tables.add_damage(Damage::of_all(1, tokens, "bad")));
    }
    assert_eq!(tables.damage().len(), MAX_PIECES);
    for start in &starts {
        assert!(
            tables
                .quarantined_in(Token(start + 1), Token(start + 3))
                .is_some()
        );
    }
    // Those that were closest are one.
    assert_eq!(
        tables.damage().iter().map(|damage| damage.from).min(),
        Some(Token(1))
    );
    let last = starts[starts.len() - 1];
    assert!(tables.quarantined_in(Token(last - 5), Token(last)).is_none());
    assert!(
        tables.quarantined_in(Token(5), Token(6)).is_some(),
        "it lies between two"
    );
}

#[test]
fn what_lies_between_pieces_that_are_one_is_forgotten_with_them() {
    let mut engine = fixtures::open(&MemoryFs::new());
    for token in [-10, 0, 10] {
        let mut key = fixtures::key(1);
        key.token = Token(token);
        engine.apply(&fixtures::insert(key, b"row", 1, b"value")).unwrap();
    }
    engine.flush_all();
    fixtures::settle(&mut engine, Seconds(1));
    let table = engine.files(fixtures::TABLE).remove(0);
    let mut tables = Tables::default();
    tables.add(table.clone(), TokenRange::ALL);
    let file = table.number();
    let mut pieces = vec![-2, 1];
    pieces.extend((100..).step_by(10).take(MAX_PIECES));
    for start in pieces {
        let tokens = TokenRange {
            start: Token(start),
            end: Token(start + 1),
        };
        assert!(tables.add_damage(Damage::of_all(file, tokens, "bad")));
    }
    let first_from = |token: i64| {
        let mut cursor = table.cursor();
        cursor.seek(&Token(token).ordered_bytes()).unwrap();
        let key: [u8; 8] = cursor.key().unwrap()[..8].try_into().unwrap();
        Token::from_ordered_bytes(key)
    };
    assert_eq!(first_from(-1), Token(0), "it is no damage");
    let tokens = TokenRange {
        start: Token(-2),
        end: Token(2),
    };
    assert!(
        tables.quarantined_in(Token(0), Token(0)).is_some(),
        "it is taken for it"
    );
    assert!(tables.forget(&tokens.into(), Seconds(5)));
    assert!(tables.quarantined_in(Token(0), Token(0)).is_none());
    assert_eq!(first_from(-1), Token(10));
}
