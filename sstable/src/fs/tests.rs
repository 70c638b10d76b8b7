use std::{io, path::Path};

use super::{DirectoryLock, Fs, MemoryFs, RealFs, conformance, memory::Faults};

#[test]
fn the_real_file_system_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance::check(&RealFs, &dir.path().join("data"));
}

#[test]
fn the_memory_file_system_conforms() {
    conformance::check(&MemoryFs::new(), Path::new("/data"));
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
