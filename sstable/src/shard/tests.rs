use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn every_token_is_in_the_slice_of_its_shard(shards in 1_u32..300, token in (i64::MIN + 1)..) {
        let map = ShardMap::new(shards);
        let shard = map.shard_of(Token(token));
        prop_assert!(shard < shards);
        prop_assert!(map.slice(shard).contains(Token(token)));
    }

    #[test]
    fn slices_follow_each_other_and_cover_the_ring(shards in 1_u32..300) {
        let slices: Vec<_> = ShardMap::new(shards).slices().collect();
        prop_assert_eq!(slices.len(), shards as usize);
        prop_assert_eq!(slices[0].start, Token::MIN);
        prop_assert_eq!(slices[slices.len() - 1].end, Token::MAX);
        for pair in slices.windows(2) {
            prop_assert!(pair[0].start < pair[0].end);
            prop_assert_eq!(pair[0].end, pair[1].start);
        }
        for (shard, slice) in slices.iter().enumerate() {
            prop_assert_eq!(ShardMap::new(shards).shard_of(slice.end), shard as u32);
        }
    }
}

#[test]
fn the_smallest_token_goes_to_the_first_shard_and_the_largest_to_the_last() {
    let map = ShardMap::new(7);
    assert_eq!(map.shard_of(Token::MIN), 0);
    assert_eq!(map.shard_of(Token::MAX), 6);
}
