//! Every byte of a table is covered by a check.

use std::{path::Path, sync::Arc};

use super::{DIR, fill, options, table};
use crate::{
    Error,
    fs::{Fs, MemoryFs},
    table::{Table, verify},
};

/// Opens a table and reads all of it.
fn read_all(fs: &MemoryFs) -> Result<(), Error> {
    verify(&Arc::new(Table::open(fs, Path::new(DIR), 3)?)).map(|_| ())
}

#[test]
fn a_change_of_any_byte_is_found() {
    let (fs, table) = table(options(64), fill);
    let length = fs.read(table.path()).unwrap().len();
    read_all(&fs).unwrap();
    for at in 0..length {
        for bit in [0x01, 0x80] {
            fs.damage(table.path(), |bytes| bytes[at] ^= bit).unwrap();
            let error = read_all(&fs).expect_err("the file is damaged");
            assert!(matches!(error, Error::Corrupt { .. }), "at {at}: {error}");
            fs.damage(table.path(), |bytes| bytes[at] ^= bit).unwrap();
        }
    }
}

#[test]
fn a_file_of_any_other_length_is_found() {
    let (fs, table) = table(options(64), fill);
    let whole = fs.read(table.path()).unwrap();
    for length in (0..whole.len()).chain([whole.len() + 1, whole.len() * 2]) {
        fs.damage(table.path(), |bytes| {
            bytes.clear();
            bytes.extend(whole.iter().cycle().take(length));
        })
        .unwrap();
        let result = read_all(&fs);
        assert!(
            matches!(result, Err(Error::Corrupt { .. })),
            "length {length} instead of {}: {result:?}",
            whole.len()
        );
    }
}
