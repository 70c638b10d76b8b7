use std::{fs, io::Read, path::Path};

use starling_sstable::fs::real::DirectoryLock;

use super::{
    directory::Directory,
    flights::{FlightTable, Rows, count},
};

const SOURCE: &str = "\
year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour
2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z
2013,1,1,NA,1630,NA,NA,1815,NA,EV,4308,NA,EWR,RDU,NA,416,16,30,2013-01-01T21:00:00Z
";

fn rows(source: &str, table: FlightTable) -> std::io::Result<String> {
    let mut text = String::new();
    Rows::new(source.as_bytes(), table)?.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn flights_become_rows_of_the_tables() {
    assert_eq!(
        rows(SOURCE, FlightTable::ByRoute).unwrap(),
        "tail,departure,carrier,flight,origin,destination,departure_delay,arrival_delay,air_time,distance\n\
         N14228,2013-01-01T10:15:00Z,UA,1545,EWR,IAH,2,11,227,1400\n\
         ,2013-01-01T21:30:00Z,EV,4308,EWR,RDU,,,,416\n"
    );
}

#[test]
fn flights_without_a_tail_number_have_no_place_in_a_table_by_it() {
    let text = rows(SOURCE, FlightTable::ByTail).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("N14228"));
}

#[test]
fn a_file_that_is_something_else_is_told_by_the_column_that_it_lacks() {
    let error = rows("a,b\n1,2\n", FlightTable::ByTail).unwrap_err().to_string();
    assert!(error.contains("tailnum"), "{error}");
}

#[test]
fn a_time_that_is_none_is_told() {
    let broken = SOURCE.replace("2013-01-01T10:00:00Z", "yesterday");
    let error = rows(&broken, FlightTable::ByRoute).unwrap_err().to_string();
    assert!(error.contains("yesterday"), "{error}");
}

#[test]
fn the_built_in_sample_is_whole() {
    let packed = &include_bytes!("../../../data/flights-2013-01.csv.zst")[..];
    let csv = zstd::decode_all(packed).unwrap();
    assert_eq!(count(&csv[..]).unwrap(), 27_004);
    let routes = rows(std::str::from_utf8(&csv).unwrap(), FlightTable::ByRoute).unwrap();
    assert_eq!(count(routes.as_bytes()).unwrap(), 27_004);
    let tails = rows(std::str::from_utf8(&csv).unwrap(), FlightTable::ByTail).unwrap();
    let known = csv
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && field(line, 11) != b"NA");
    assert_eq!(count(tails.as_bytes()).unwrap(), known.count() as u64 - 1);
}

fn field(line: &[u8], n: usize) -> &[u8] {
    line.split(|byte| *byte == b',').nth(n).unwrap_or_default()
}

/// A directory as a demo leaves it that is killed.
fn left_behind(parent: &Path, name: &str) -> std::path::PathBuf {
    let path = parent.join(name);
    fs::create_dir_all(path.join("node1").join("data")).unwrap();
    drop(DirectoryLock::acquire(&path).unwrap());
    path
}

#[test]
fn what_killed_demos_left_is_removed_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let dead = left_behind(parent.path(), "starling-demo-dead");
    let living = left_behind(parent.path(), "starling-demo-living");
    let _living = DirectoryLock::acquire(&living).unwrap();
    let node = left_behind(parent.path(), "starling-demo-node");
    let _node = DirectoryLock::acquire(&node.join("node1").join("data")).unwrap();
    let other = left_behind(parent.path(), "starling-data");
    let never = parent.path().join("starling-demo-never-locked");
    fs::create_dir(&never).unwrap();
    let linked = parent.path().join("starling-demo-link");
    std::os::unix::fs::symlink(&other, &linked).unwrap();

    let first = Directory::temporary_in(parent.path()).unwrap();
    assert!(!dead.exists());
    for kept in [&living, &node, &other, &never, &linked] {
        assert!(kept.exists(), "{}", kept.display());
    }
    // Another demo leaves this one alone, and each removes its own.
    let second = Directory::temporary_in(parent.path()).unwrap();
    let (first_path, second_path) = (first.path().to_owned(), second.path().to_owned());
    assert!(first_path.exists() && second_path.exists());
    drop(first);
    assert!(!first_path.exists() && second_path.exists());
    drop(second);
    assert!(!second_path.exists());
}
