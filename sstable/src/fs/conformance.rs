//! What every [`Fs`] must do, as a test that any implementation can run.

use std::{io, path::Path};

use super::Fs;

/// Checks an implementation in `dir`, which it makes and leaves behind with a few files in it.
///
/// What a crash does can't be tested from here; see the tests of each implementation.
///
/// # Panics
///
/// On the first thing that is not as the contract of [`Fs`] says.
pub fn check(fs: &dyn Fs, dir: &Path) {
    directories(fs, dir);
    files(fs, dir);
    names(fs, dir);
    overwriting(fs, dir);
    flushing(fs, dir);
    space(fs, dir);
    links(fs, dir);
    maps(fs, dir);
    missing(fs, dir);
}

fn write(fs: &dyn Fs, path: &Path, pieces: &[&[u8]]) {
    let mut file = fs.create(path).expect("a file can be created");
    for piece in pieces {
        file.append(piece).expect("a file can be appended to");
    }
    file.sync().expect("a file can be synced");
}

fn directories(fs: &dyn Fs, dir: &Path) {
    let deep = dir.join("one").join("two");
    fs.create_dir_all(&deep).expect("directories can be made");
    fs.create_dir_all(&deep)
        .expect("a directory that exists is no error");
    assert!(fs.exists(&deep).expect("existence can be asked"));
    assert_eq!(
        fs.list(&deep).expect("a directory can be listed"),
        Vec::<std::path::PathBuf>::new()
    );
    fs.sync_dir(&deep).expect("a directory can be synced");
}

fn files(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("file");
    write(fs, &path, &[]);
    assert_eq!(fs.read(&path).expect("an empty file can be read").len(), 0);
    assert_eq!(fs.map(&path).expect("an empty file can be mapped").len(), 0);
    let large = vec![7_u8; 700_000];
    write(fs, &path, &[b"ab", b"", &large, b"c"]);
    let read = fs.read(&path).expect("a file can be read");
    assert_eq!(read.len(), large.len() + 3, "appends follow each other");
    assert_eq!(&read[..3], b"ab\x07");
    assert_eq!(read[read.len() - 1], b'c');
    write(fs, &path, &[b"new"]);
    assert_eq!(
        &fs.read(&path).expect("a file can be read")[..],
        b"new",
        "create truncates what exists"
    );
    let mut file = fs.create(&path).expect("a file can be created");
    for round in 0..3_u8 {
        file.append(&[round]).expect("a synced file can be appended to");
        file.sync().expect("a file can be synced again");
        assert_eq!(
            fs.read(&path).expect("a file can be read").len(),
            usize::from(round) + 1
        );
    }
}

fn names(fs: &dyn Fs, dir: &Path) {
    let (a, b, c) = (dir.join("a"), dir.join("b"), dir.join("c"));
    write(fs, &c, &[b"c"]);
    write(fs, &a, &[b"a"]);
    write(fs, &b, &[b"b"]);
    let listed = fs.list(dir).expect("a directory can be listed");
    assert!(
        listed.windows(2).all(|pair| pair[0] < pair[1]),
        "the list is sorted: {listed:?}"
    );
    for path in [&a, &b, &c, &dir.join("one")] {
        assert!(listed.contains(path), "{} is listed", path.display());
    }
    fs.rename(&a, &b).expect("a file can be renamed over another");
    assert_eq!(&fs.read(&b).expect("the new name is there")[..], b"a");
    assert!(
        !fs.exists(&a).expect("existence can be asked"),
        "the old name is gone"
    );
    fs.remove(&c).expect("a file can be removed");
    assert!(
        !fs.exists(&c).expect("existence can be asked"),
        "a removed file is gone"
    );
    fs.sync_dir(dir).expect("a directory can be synced");
    fs.sync_file(&b).expect("a closed file can be synced");
    assert_eq!(&fs.read(&b).expect("a synced file is as it was")[..], b"a");
}

fn overwriting(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("overwritten");
    write(fs, &path, &[b"0123456789"]);
    let mut file = fs.overwrite(&path).expect("a file can be written anew");
    file.append(b"ab").expect("a file can be appended to");
    file.append(b"c").expect("appends follow each other");
    file.sync().expect("a file can be synced");
    assert_eq!(&fs.read(&path).expect("a file can be read")[..], b"abc3456789");
    file.append(b"defghijkl").expect("it grows beyond its end");
    file.sync().expect("a file can be synced again");
    assert_eq!(&fs.read(&path).expect("a file can be read")[..], b"abcdefghijkl");
}

fn flushing(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("flushed");
    let mut file = fs.create(&path).expect("a file can be created");
    file.append(b"abc").expect("a file can be appended to");
    file.flush().expect("a file can be flushed");
    assert_eq!(&fs.read(&path).expect("a file can be read")[..], b"abc");
    drop(file);
    let map = fs.map(&path).expect("a file that was never synced can be mapped");
    assert_eq!(&map.bytes()[..], b"abc");
}

fn space(fs: &dyn Fs, dir: &Path) {
    assert!(fs.free_space(dir).expect("free space can be asked for") > 0);
    let path = dir.join("reserved");
    let mut file = fs.create(&path).expect("a file can be created");
    file.reserve(100_000).expect("space can be set aside");
    file.append(b"abc").expect("a file can be appended to");
    file.sync_in_pieces();
    file.drop_behind();
    file.append(b"def").expect("appends follow each other");
    file.sync().expect("a file can be synced");
    let read = fs.read(&path).expect("a file can be read");
    assert_eq!(&read[..6], b"abcdef", "appends begin at the beginning");
    assert!(
        read[6..].iter().all(|byte| *byte == 0),
        "what was set aside is zeros"
    );
}

fn links(fs: &dyn Fs, dir: &Path) {
    let other = dir.join("links");
    fs.create_dir_all(&other).expect("a directory can be made");
    let (a, b) = (dir.join("linked"), other.join("link"));
    write(fs, &a, &[b"content"]);
    fs.hard_link(&a, &b).expect("a file can get a second name");
    fs.sync_dir(&other).expect("a directory can be synced");
    let kind = |result: io::Result<()>| result.expect_err("it can't be done").kind();
    assert_eq!(kind(fs.hard_link(&a, &b)), io::ErrorKind::AlreadyExists);
    assert_eq!(
        kind(fs.hard_link(&dir.join("missing"), &dir.join("new"))),
        io::ErrorKind::NotFound
    );
    fs.remove(&a).expect("one of the names can go");
    assert_eq!(&fs.read(&b).expect("the other one stays")[..], b"content");
    assert_eq!(kind(fs.remove_dir(&other)), io::ErrorKind::DirectoryNotEmpty);
    fs.remove(&b).expect("the last name can go");
    fs.remove_dir(&other).expect("an empty directory can be removed");
    assert!(!fs.exists(&other).expect("existence can be asked"));
    assert_eq!(kind(fs.remove_dir(&other)), io::ErrorKind::NotFound);
}

fn maps(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("mapped");
    write(fs, &path, &[b"0123456789"]);
    let map = fs.map(&path).expect("a file can be mapped");
    let slice = map.slice(3..5);
    map.load(0..usize::MAX);
    assert!(map.is_resident(0..10), "what was just loaded is in memory");
    map.drop_behind(4..100);
    map.release(4..100);
    assert_eq!(map[4], b'4', "it is there again when it is read");
    assert!(!map.is_poisoned());
    drop(map);
    fs.remove(&path).expect("a mapped file can be removed");
    assert_eq!(&slice[..], b"34", "a slice outlives the map and the name");
}

fn missing(fs: &dyn Fs, dir: &Path) {
    let path = dir.join("missing");
    let kind = |result: io::Result<()>| result.expect_err("it is missing").kind();
    assert_eq!(kind(fs.read(&path).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.map(&path).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.overwrite(&path).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.sync_file(&path)), io::ErrorKind::NotFound);
    assert_eq!(kind(fs.remove(&path)), io::ErrorKind::NotFound);
    assert_eq!(
        kind(fs.rename(&path, &dir.join("other"))),
        io::ErrorKind::NotFound
    );
    assert_eq!(kind(fs.list(&path).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(
        kind(fs.create(&path.join("file")).map(drop)),
        io::ErrorKind::NotFound
    );
    assert!(!fs.exists(&path).expect("existence can be asked"));
}
