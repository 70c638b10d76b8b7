//! Files of every version that was released, as they were written then, can still be read. They are never written
//! anew: a version that comes later adds its own.

use std::{path::Path, sync::Arc};

use super::DIR;
use crate::{
    checksum::checksum,
    fs::{Fs, MemoryFs},
    table::{Table, Verified, verify},
};

/// By the way in which they are compressed.
const VERSION_2: [(&str, &[u8]); 4] = [
    ("none", include_bytes!("../../../fixtures/table-2-none.table")),
    ("lz4", include_bytes!("../../../fixtures/table-2-lz4.table")),
    ("zstd", include_bytes!("../../../fixtures/table-2-zstd.table")),
    (
        "zstd-dictionary",
        include_bytes!("../../../fixtures/table-2-zstd-dictionary.table"),
    ),
];

/// What all of them hold, keys and values one behind the other: its length and its checksum.
const CONTENT: (usize, u64) = (88_229, 8_194_938_967_228_270_901);

#[test]
fn tables_of_version_2_can_be_read() {
    for (name, file) in VERSION_2 {
        let fs = MemoryFs::new();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        let path = Path::new(DIR).join("0000000000000001.table");
        let mut out = fs.create(&path).unwrap();
        out.append(file).unwrap();
        out.sync().unwrap();
        let table = Arc::new(Table::open(&fs, Path::new(DIR), 1).unwrap());
        let Verified { entries, stripes, .. } = verify(&table).unwrap();
        assert_eq!((entries, stripes), (1_106, 2), "{name}");
        let mut content = Vec::new();
        let mut cursor = table.cursor();
        let mut more = cursor.first().unwrap();
        while more {
            content.extend_from_slice(cursor.key().unwrap_or_default());
            content.extend_from_slice(cursor.value_bytes());
            more = cursor.next().unwrap();
        }
        assert_eq!((content.len(), checksum(&content)), CONTENT, "{name}");
    }
}
