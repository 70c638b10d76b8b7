use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_node_gets_files_that_only_its_owner_reads_and_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), "test").unwrap();
    let issued = authority
        .issue("node1", &["127.0.0.1".to_owned(), "localhost".to_owned()], 30)
        .unwrap();
    let files = authority.write(dir.path(), &issued).unwrap();
    for path in [
        &files.ca,
        &files.certificate,
        &files.key,
        &dir.path().join("ca.key"),
    ] {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let credentials = Credentials::load(&files).unwrap();
    credentials.server().unwrap();
    credentials.peer_client().unwrap();
}

#[test]
fn an_authority_that_exists_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create(dir.path(), "test").unwrap();
    let before = std::fs::read(dir.path().join("ca.key")).unwrap();
    assert!(matches!(
        Authority::create(dir.path(), "test"),
        Err(TlsError::Exists(_))
    ));
    Authority::open_or_create(dir.path(), "test").unwrap();
    assert_eq!(std::fs::read(dir.path().join("ca.key")).unwrap(), before);
}

#[test]
fn an_opened_authority_signs_as_the_made_one_did() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create(dir.path(), "test").unwrap();
    let again = Authority::open(dir.path()).unwrap();
    let issued = again.issue("n", &["10.0.0.1".to_owned()], 1).unwrap();
    let files = again.write(dir.path(), &issued).unwrap();
    Credentials::load(&files).unwrap().server().unwrap();
}

#[test]
fn broken_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), "test").unwrap();
    let issued = authority.issue("n", &[], 1).unwrap();
    let files = authority.write(dir.path(), &issued).unwrap();
    std::fs::write(&files.certificate, "nonsense").unwrap();
    let error = Credentials::load(&files).err().unwrap().to_string();
    assert!(
        error.contains("node.pem") && error.contains("certificate"),
        "{error}"
    );
    std::fs::remove_file(&files.key).unwrap();
    let error = Credentials::load(&files).err().unwrap().to_string();
    assert!(error.contains("node.key"), "{error}");
}

#[test]
fn a_name_that_no_certificate_can_carry_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), "test").unwrap();
    assert!(authority.issue("n", &["höst name".to_owned()], 1).is_err());
}
