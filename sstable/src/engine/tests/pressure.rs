use crate::engine::pressure::{PARTS, delay, part_of_way};

#[test]
fn the_delay_grows_without_steps_and_without_end() {
    let of = |part| delay(part, 1_000);
    assert_eq!(of(0), 0);
    assert_eq!(of(500), 60_000);
    assert!(of(80) < 1_000, "1 GB a second is no delay to speak of");
    assert!(of(PARTS - 5) > 1_000_000, "less than 1 MB a second");
    for part in 10..PARTS - 5 {
        assert!(of(part) <= of(part + 1));
        assert!(of(part + 1) <= of(part) * 5 / 4 + 2, "at {part}");
    }
}

#[test]
fn the_way_has_a_beginning_and_no_end() {
    assert_eq!(part_of_way(10, 20, 40), 0);
    assert_eq!(part_of_way(30, 20, 40), 500);
    assert_eq!(part_of_way(usize::MAX, 20, 40), PARTS - 5);
    assert_eq!(part_of_way(0, 0, 0), 0);
}
