//! Every byte of a table is covered by a check.

use std::{path::Path, sync::Arc};

use super::{DIR, fill, options, partition_key, table};
use crate::{
    Error,
    fs::{Fs, MemoryFs},
    table::{Table, dump::dump, key},
};

/// Opens a table and reads all of it, its filter included.
fn read_all(fs: &MemoryFs) -> Result<(), Error> {
    let table = Arc::new(Table::open(fs, Path::new(DIR), 3)?);
    dump(&table)?;
    for key in [partition_key(-5, "alice"), partition_key(7, "bob")] {
        table.may_contain(&key, &key::prefix(&key))?;
    }
    Ok(())
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
