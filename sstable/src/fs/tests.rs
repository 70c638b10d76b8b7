use std::{io, path::Path};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{DirectoryLock, Fs, Map, MemoryFs, RealFs, conformance, memory::Faults};

#[test]
fn the_real_file_system_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(&RealFs, &dir.path().join("data"));
}

#[test]
fn the_memory_file_system_conforms() {
    conformance::check(&MemoryFs::new(), Path::new("/data"));
}

/// Zeros go ahead of small appends, and must never lie over what was appended, nor make the file longer.
#[test]
fn a_file_with_space_set_aside_has_what_was_appended_and_zeros() {
    const SPACE: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for sizes in [
        &[5_000; 300][..],
        &[1, 400_000, 7, 20_000, 300_000, 9],
        &[SPACE + 1, 3],
    ] {
        let mut file = RealFs.create(&path).unwrap();
        file.reserve(SPACE as u64).unwrap();
        let mut appended = Vec::new();
        for (round, size) in (1_u8..=255).cycle().zip(sizes) {
            let piece = vec![round; *size];
            file.append(&piece).unwrap();
            // Not each is synced by itself, and not all that is appended went to the system before.
            if round % 3 != 0 {
                file.sync().unwrap();
            }
            appended.extend(piece);
        }
        file.sync().unwrap();
        let read = RealFs.read(&path).unwrap();
        assert_eq!(
            read.len(),
            appended.len().max(SPACE),
            "no longer than it has to be"
        );
        assert!(read.starts_with(&appended));
        assert!(read[appended.len()..].iter().all(|byte| *byte == 0));
    }
}

/// A mapped file of 100 pages, all of the byte 7.
fn mapped(dir: &Path) -> (std::path::PathBuf, Map) {
    let path = dir.join("mapped");
    let mut file = RealFs.create(&path).unwrap();
    file.append(&vec![7; 100 * 4096]).unwrap();
    file.sync().unwrap();
    let map = RealFs.map(&path).unwrap();
    (path, map)
}

/// Cuts a file, as another program would.
#[allow(clippy::disallowed_methods, reason = "this is what another program does")]
fn truncate(path: &Path, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(bytes).unwrap();
}

#[test]
fn a_map_of_a_file_that_was_cut_reads_as_zeros_and_is_known_to_be_bad() {
    let dir = tempfile::tempdir().unwrap();
    let (path, map) = mapped(dir.path());
    let other_dir = tempfile::tempdir().unwrap();
    let (_, other) = mapped(other_dir.path());
    let slice = map.slice(50 * 4096..60 * 4096);
    assert!(slice.iter().all(|byte| *byte == 7));
    truncate(&path, 10 * 4096);
    assert!(map[..10 * 4096].iter().all(|byte| *byte == 7));
    assert!(!map.is_poisoned(), "nothing was read that is not there");
    // Without the guard, this ends the process.
    assert!(slice.iter().all(|byte| *byte == 0));
    assert!(map.is_poisoned());
    assert!(map.clone().is_poisoned());
    assert!(
        map[99 * 4096..].iter().all(|byte| *byte == 0),
        "every page is guarded"
    );
    assert!(!other.is_poisoned(), "another map is as good as before");
    assert!(other.iter().all(|byte| *byte == 7));
    drop((map, slice));
    let again = RealFs.map(&path).unwrap();
    assert!(!again.is_poisoned(), "a new map of what is left is good");
    assert_eq!(again.len(), 10 * 4096);
}

#[test]
fn pages_that_are_not_there_are_known_one_by_one_while_they_are_few() {
    let dir = tempfile::tempdir().unwrap();
    let (path, map) = mapped(dir.path());
    truncate(&path, 10 * 4096);
    let page = |n: usize| n * 4096..(n + 1) * 4096;
    let pages = |map: &Map| -> Vec<usize> { (0..100).filter(|n| map.is_poisoned_in(page(*n))).collect() };
    assert_eq!(map[50 * 4096 + 7], 0);
    assert_eq!(map[50 * 4096 + 8], 0);
    assert_eq!(map[70 * 4096], 0);
    if pages(&map) == [50, 70] {
        assert!(map.is_poisoned_in(49 * 4096..50 * 4096 + 1));
        assert!(!map.is_poisoned_in(51 * 4096..70 * 4096));
        assert!(map.is_poisoned_in(0..map.len()));
    } else {
        // A system with larger pages.
        assert!(!map.is_poisoned_in(page(0)) && map.is_poisoned_in(page(50)));
    }
    assert!((20..100).all(|n| map[n * 4096] == 0));
    assert_eq!(
        pages(&map).len(),
        100,
        "where there are many, none can be relied on"
    );
}

#[test]
fn many_maps_are_guarded_from_many_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (path, first) = mapped(dir.path());
    // More than one chunk of registrations.
    let maps: Vec<Map> = (0..600).map(|_| RealFs.map(&path).unwrap()).collect();
    truncate(&path, 4096);
    #[allow(clippy::disallowed_methods, reason = "threads are what is tested")]
    std::thread::scope(|scope| {
        for half in maps.chunks(300) {
            scope.spawn(move || {
                for map in half.iter().step_by(2) {
                    assert_eq!(map[99 * 4096], 0);
                }
            });
        }
    });
    assert!(!first.is_poisoned());
    for (n, map) in maps.iter().enumerate() {
        assert_eq!(map.is_poisoned(), n % 2 == 0, "map {n}");
    }
}

/// A map of a file that nobody guards.
#[allow(unsafe_code, reason = "there is no safe way to map a file")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it goes around the seam"
)]
fn unguarded(path: &Path) -> memmap2::Mmap {
    let file = std::fs::File::open(path).unwrap();
    // SAFETY: The file is this test's own, and bytes that are not there are what it is about.
    unsafe { memmap2::Mmap::map(&file).unwrap() }
}

/// In a process of its own, which this test starts, and which may have no more maps for a moment.
#[test]
fn a_file_that_gets_no_map_is_an_error_that_says_what_to_do() {
    const CHILD: &str = "STARLING_TEST_NO_MAPS";
    let name = "fs::tests::a_file_that_gets_no_map_is_an_error_that_says_what_to_do";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, map) = mapped(dir.path());
    let usual = getrlimit(Resource::As);
    let none = Rlimit {
        current: Some(4096),
        ..usual
    };
    setrlimit(Resource::As, none).unwrap();
    let refused = RealFs.map(&path);
    setrlimit(Resource::As, usual).unwrap();
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(
        text.contains(": 1 files are mapped") && text.contains("vm.max_map_count="),
        "{text}"
    );
    assert!(map.iter().all(|byte| *byte == 7), "those that are mapped stay so");
    drop((map, RealFs.map(&path).unwrap()));
    assert_eq!(super::mapped_files(), 0);
}

/// In a process of its own, which this test starts: a SIGBUS that is none of our maps' still ends it.
#[test]
fn any_other_bus_error_ends_the_process_as_before() {
    const CHILD: &str = "STARLING_TEST_BUS_ERROR";
    if std::env::var_os(CHILD).is_some() {
        let dir = tempfile::tempdir().unwrap();
        let (path, map) = mapped(dir.path());
        let other = unguarded(&path);
        truncate(&path, 4096);
        assert_eq!(map[8192], 0, "ours is handled");
        std::hint::black_box(other[8192]);
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "fs::tests::any_other_bus_error_ends_the_process_as_before",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(signal, Some(rustix::process::Signal::BUS.as_raw()), "{stderr}");
}

#[test]
fn what_was_dropped_from_the_cache_is_loaded_again() {
    let dir = tempfile::tempdir().unwrap();
    let (_, map) = mapped(dir.path());
    map.drop_behind(0..map.len());
    map.load(0..map.len());
    assert!(map.is_resident(0..map.len()));
    assert!(map.iter().all(|byte| *byte == 7));
}

#[test]
fn a_crash_brings_back_what_was_overwritten_and_not_synced() {
    let fs = MemoryFs::new();
    let path = Path::new("/file");
    fs.create_dir_all(Path::new("/")).unwrap();
    let mut file = fs.create(path).unwrap();
    file.append(b"0123456789").unwrap();
    file.sync().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    let mut file = fs.overwrite(path).unwrap();
    file.append(b"ab").unwrap();
    file.sync().unwrap();
    file.append(b"cdef").unwrap();
    for (kept, left) in [(0, &b"ab23456789"[..]), (1, b"abc3456789"), (9, b"abcdef6789")] {
        let survived = fs.after_crash(&mut |_, unsynced| {
            assert_eq!(unsynced, 4);
            kept
        });
        assert_eq!(&survived.read(path).unwrap()[..], left);
    }
}

#[test]
fn a_directory_is_locked_once() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DirectoryLock::acquire(dir.path()).unwrap();
    let refused = DirectoryLock::acquire(dir.path()).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    assert!(refused.to_string().contains(&dir.path().display().to_string()));
    drop(lock);
    DirectoryLock::acquire(dir.path()).unwrap();
}

#[test]
fn a_crash_takes_unsynced_bytes_and_names() {
    let fs = MemoryFs::new();
    let dir = Path::new("/data");
    fs.create_dir_all(dir).unwrap();
    let (synced, unnamed) = (dir.join("synced"), dir.join("unnamed"));
    let mut file = fs.create(&synced).unwrap();
    file.append(b"durable").unwrap();
    file.sync().unwrap();
    fs.sync_dir(dir).unwrap();
    file.append(b" and lost").unwrap();
    fs.create(&unnamed).unwrap().sync().unwrap();

    let nothing_more = fs.after_crash(&mut |_, _| 0);
    assert_eq!(nothing_more.list(dir).unwrap(), vec![synced.clone()]);
    assert_eq!(&nothing_more.read(&synced).unwrap()[..], b"durable");
    let torn = fs.after_crash(&mut |path, unsynced| {
        assert_eq!((path, unsynced), (&*synced, 9));
        4
    });
    assert_eq!(&torn.read(&synced).unwrap()[..], b"durable and");
}

#[test]
fn a_rename_is_undone_by_a_crash_until_its_directory_is_synced() {
    let fs = MemoryFs::new();
    let dir = Path::new("/data");
    fs.create_dir_all(dir).unwrap();
    let (old, new) = (dir.join("old"), dir.join("new"));
    fs.create(&old).unwrap().sync().unwrap();
    fs.sync_dir(dir).unwrap();
    fs.rename(&old, &new).unwrap();
    assert_eq!(fs.after_crash(&mut |_, _| 0).list(dir).unwrap(), vec![old]);
    fs.sync_dir(dir).unwrap();
    assert_eq!(fs.after_crash(&mut |_, _| 0).list(dir).unwrap(), vec![new]);
}

#[test]
fn faults_show_as_errors_and_change_nothing_durable() {
    let fs = MemoryFs::new();
    let path = Path::new("/file");
    fs.create_dir_all(Path::new("/")).unwrap();
    let mut file = fs.create(path).unwrap();
    file.append(b"1234").unwrap();
    file.sync().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.set_faults(Faults {
        capacity: Some(6),
        fail_syncs: false,
    });
    assert_eq!(
        file.append(b"567").unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    fs.set_faults(Faults {
        capacity: None,
        fail_syncs: true,
    });
    file.append(b"5").unwrap();
    file.sync().unwrap_err();
    assert_eq!(&fs.after_crash(&mut |_, _| 0).read(path).unwrap()[..], b"1234");
}
