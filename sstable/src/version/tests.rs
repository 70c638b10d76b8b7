use std::path::Path;

use starling_model::{Seconds, TableId, Token, TokenRange};

use super::{
    Damage, Manifest,
    manifest::{Entry, FILE_NAME, File},
};
use crate::{
    Error, Lsn,
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

#[test]
fn a_changed_or_missing_byte_is_found() {
    let fs = written();
    let path = Path::new(DIR).join(FILE_NAME);
    let whole = fs.read(&path).unwrap();
    for at in 0..whole.len() {
        for change in [true, false] {
            fs.damage(&path, |bytes| {
                if change {
                    bytes[at] ^= 4;
                } else {
                    bytes.truncate(at);
                }
            })
            .unwrap();
            let error = Manifest::read(&fs, Path::new(DIR)).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            fs.damage(&path, |bytes| *bytes = whole.to_vec()).unwrap();
        }
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
