use super::*;

#[test]
fn the_limit_is_raised_as_far_as_it_goes() {
    let limit = raise_limit();
    let now = getrlimit(Resource::Nofile);
    assert_eq!((limit, limit), (now.current, now.maximum));
}

#[test]
fn connections_leave_room_for_the_rest() {
    assert_eq!(connections(None, 8192), 8192);
    assert_eq!(connections(Some(1 << 20), 8192), 8192);
    assert_eq!(connections(Some(4096), 8192), 3072);
    assert_eq!(connections(Some(300), 8192), 172);
    assert_eq!(connections(Some(64), 8192), MIN_CONNECTIONS);
    assert_eq!(connections(Some(64), 4), 4);
}
