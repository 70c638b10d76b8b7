use std::{fs, path::PathBuf, sync::Arc};

use starling_model::{Cell, Clustering, ColumnId, DecoratedKey, Marker, Row, Timestamp, Token};
use starling_sstable::{
    Compression, Lsn,
    fs::{Fs, RealFs},
    table::{TableWriter, WriterOptions, entry::Head},
};

use super::*;

fn written() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0000000000000007.table");
    let disk: Arc<dyn Fs> = Arc::new(RealFs);
    let options = WriterOptions {
        block_bytes: 64,
        compression: Compression::Lz4,
        filter_bits: 10,
    };
    let mut writer = TableWriter::new(&disk, path.clone(), Lsn(9), options).unwrap();
    for number in 0..40_i64 {
        let key = DecoratedKey {
            token: Token(number * 100),
            key: number.to_string().into(),
        };
        writer.partition(&key, Head::default()).unwrap();
        let row = Row {
            marker: Some(Marker {
                timestamp: Timestamp(number),
                expiry: None,
            }),
            deletion: None,
            cells: vec![Cell {
                column: ColumnId(1),
                path: None,
                timestamp: Timestamp(number),
                value: CellValue::Live {
                    value: "value".into(),
                    expiry: None,
                },
            }],
        };
        writer.row(&Clustering::from(b"row".to_vec()), &row).unwrap();
    }
    writer.finish().unwrap();
    (dir, path)
}

fn dumped(path: &Path, limit: u64, json: bool) -> Result<String, Failure> {
    let mut out = Vec::new();
    dump(path, limit, json, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn entries_are_shown_as_text_and_as_json() {
    let (_dir, path) = written();
    assert_eq!(
        dumped(&path, 2, false).unwrap(),
        "partition '0' token 0\n  row 'row' inserted@0 c00000001='value'@0\n\
         partition '1' token 100\n  row 'row' inserted@1 c00000001='value'@1\npartition '2' token 200\n"
    );
    let lines = dumped(&path, u64::MAX, true).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 80);
    assert_eq!(lines[2], json!({"kind": "partition", "key": "31", "token": 100}));
    assert_eq!(lines[3]["clustering"], "726f77");
    assert_eq!(lines[3]["row"]["cells"][0]["value"], "76616c7565");
}

#[test]
fn figures_are_those_of_the_file() {
    let (_dir, path) = written();
    let table = open(&path).unwrap();
    let figures = stats_json(&table);
    assert_eq!(figures["rows"], 40);
    assert_eq!(figures["bytes"], fs::metadata(&path).unwrap().len());
    assert!(
        stats_text(&table).contains("tokens        0 to 3900"),
        "{}",
        stats_text(&table)
    );
    assert_eq!(check(&path).unwrap().entries, 40);
}

#[test]
fn damage_is_named_with_its_place_and_its_tokens() {
    let (_dir, path) = written();
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 4] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let sentence = check(&path).unwrap_err().to_string();
    assert!(
        sentence.contains("offset") && sentence.contains("tokens"),
        "{sentence}"
    );
    let files = Files {
        files: vec![path.clone(), path],
    };
    assert_eq!(
        on_each(&files, |path| check(path).map(drop))
            .unwrap_err()
            .to_string()
            .lines()
            .count(),
        2
    );
}

#[test]
fn no_file_makes_it_panic() {
    let (_dir, path) = written();
    let whole = fs::read(&path).unwrap();
    let mut seed = 1_u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut others: Vec<Vec<u8>> = (0..whole.len())
        .step_by(13)
        .map(|length| whole[..length].to_vec())
        .collect();
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..=random() % 8 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        others.push(bytes);
        others.push((0..random() % 5_000).map(|_| random() as u8).collect());
    }
    for bytes in others {
        fs::write(&path, &bytes).unwrap();
        let is_whole = bytes == whole;
        assert_eq!(check(&path).is_ok(), is_whole);
        let _ = dumped(&path, u64::MAX, true);
        let _ = dumped(&path, u64::MAX, false);
        let _ = open(&path).map(|table| (stats_json(&table), stats_text(&table)));
    }
    assert!(check(Path::new("/no/such/file")).is_err());
}
