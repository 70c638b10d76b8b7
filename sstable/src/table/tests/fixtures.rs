//! Files of every version that was released, as they were written then, can still be read. They are never written
//! anew: a version that comes later adds its own.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use starling_model::{Limits, ReadCommand, encoding::Writer};

use super::DIR;
use crate::{
    checksum::checksum,
    fixtures::everything,
    fs::{Fs, MemoryFs},
    read::{self, Never, PointReader, Source},
    table::{
        Table, Verified, entry,
        key::{self, Kind},
        verify,
    },
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

/// The same entries, with rows in the layout of the version.
const VERSION_3: [(&str, &[u8]); 4] = [
    ("none", include_bytes!("../../../fixtures/table-3-none.table")),
    ("lz4", include_bytes!("../../../fixtures/table-3-lz4.table")),
    ("zstd", include_bytes!("../../../fixtures/table-3-zstd.table")),
    (
        "zstd-dictionary",
        include_bytes!("../../../fixtures/table-3-zstd-dictionary.table"),
    ),
];

/// What all of a version hold, keys and values one behind the other: its length and its checksum.
type Content = (usize, u64);

const CONTENT_2: Content = (88_229, 8_194_938_967_228_270_901);
const CONTENT_3: Content = (89_427, 17_061_696_028_085_634_660);

/// The checksum of all of it as a page.
const PAGE: u64 = 11_731_496_403_307_648_379;

/// What they hold whatever the layout of their rows, in that of today.
const MEANING: Content = CONTENT_3;

#[test]
fn tables_of_version_2_can_be_read() {
    can_be_read(&VERSION_2, CONTENT_2);
}

#[test]
fn tables_of_version_3_can_be_read() {
    can_be_read(&VERSION_3, CONTENT_3);
}

fn can_be_read(files: &[(&str, &[u8])], expected: Content) {
    for (name, file) in files {
        let fs = MemoryFs::new();
        fs.create_dir_all(Path::new(DIR)).unwrap();
        let path = Path::new(DIR).join("0000000000000001.table");
        let mut out = fs.create(&path).unwrap();
        out.append(file).unwrap();
        out.sync().unwrap();
        let table = Arc::new(Table::open(&fs, Path::new(DIR), 1).unwrap());
        let Verified { entries, stripes, .. } = verify(&table).unwrap();
        assert_eq!((entries, stripes), (1_106, 2), "{name}");
        let (mut content, mut meaning) = (Vec::new(), Vec::new());
        let mut cursor = table.cursor();
        let mut more = cursor.first().unwrap();
        while more {
            let (key, value) = (cursor.key().unwrap_or_default(), cursor.value_bytes());
            content.extend_from_slice(key);
            content.extend_from_slice(value);
            meaning.extend_from_slice(key);
            meaning.extend_from_slice(&today(key, value));
            more = cursor.next().unwrap();
        }
        assert_eq!((content.len(), checksum(&content)), expected, "{name}");
        assert_eq!((meaning.len(), checksum(&meaning)), MEANING, "{name}");
        assert_eq!(checksum(&page(&table)), PAGE, "{name}");
    }
}

/// Everything in a table, as the page that a replica answers. It must not tell of which version the table is: replicas
/// that agree are known by the bytes of their pages.
fn page(table: &Arc<Table>) -> Bytes {
    let command = ReadCommand {
        limits: Limits {
            bytes: u32::MAX,
            visited: u32::MAX,
            ..Limits::NONE
        },
        ..everything()
    };
    let sources = [Source::table(table)];
    let answer = read::execute(&sources, &command, &mut Never, &mut PointReader::default()).unwrap();
    let page = answer.page.clone().decode().unwrap();
    assert_eq!(page.encoded(), answer.page);
    answer.page.into_bytes()
}

/// A value as it would be written today.
fn today(key: &[u8], value: &[u8]) -> Vec<u8> {
    let value = value.to_vec();
    match key::parts(key).unwrap().kind {
        Kind::Row | Kind::Static => {
            let mut out = Writer::default();
            out.row(&entry::row(value.into()).unwrap());
            out.into_vec()
        }
        Kind::Partition | Kind::Range => value,
    }
}
