//! The index agrees with an ordered map, whatever the tokens are like.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use crate::memtable::index::{Contents, Index};

/// What entries stand for: the key is the number itself.
#[derive(Default)]
struct Numbered(Vec<(u64, Vec<u8>)>);

impl Contents for Numbered {
    fn token(&self, content: u32) -> u64 {
        self.0[content as usize].0
    }

    fn key(&self, content: u32) -> &[u8] {
        &self.0[content as usize].1
    }
}

fn check(tokens: &[(u64, u8)]) {
    let mut index = Index::default();
    let mut contents = Numbered::default();
    let mut model = BTreeMap::new();
    for (token, key) in tokens {
        let key = vec![*key];
        let found = index.find(*token, &key, &contents);
        let known = model.get(&(*token, key.clone())).copied();
        assert_eq!(found.ok().and_then(|spot| index.content(spot)), known);
        if let Err(spot) = found {
            let content = contents.0.len() as u32;
            contents.0.push((*token, key.clone()));
            index.insert(spot, *token, content, &contents);
            model.insert((*token, key), content);
        }
    }
    assert_eq!(index.len(), model.len());
    let expected: Vec<u32> = model.values().copied().collect();
    let mut forward = Vec::new();
    let mut spot = index.seek(0, &[], &contents);
    while let Some(at) = spot {
        forward.push(index.content(at).unwrap());
        spot = index.next(at);
    }
    assert_eq!(forward, expected);
    let mut backward = Vec::new();
    let mut spot = index.last();
    while let Some(at) = spot {
        backward.push(index.content(at).unwrap());
        spot = index.prev(at);
    }
    backward.reverse();
    assert_eq!(backward, expected);
    for (token, _) in tokens {
        for token in [token.wrapping_sub(1), *token, token.wrapping_add(1)] {
            let found = index
                .seek(token, &[], &contents)
                .and_then(|spot| index.content(spot));
            let next = model.range((token, Vec::new())..).next();
            assert_eq!(found, next.map(|(_, content)| *content));
        }
    }
}

fn tokens() -> impl Strategy<Value = Vec<(u64, u8)>> {
    let uniform = any::<u64>();
    // Close to each other: an arc, and one so small that it takes many levels to tell them apart.
    let arc = (0_u64..1 << 40).prop_map(|token| (5 << 60) | token);
    let crowd = 0_u64..40;
    let spread = (0_u64..64).prop_map(|token| token << 58);
    let token = prop_oneof![uniform, arc, crowd, spread, Just(u64::MAX)];
    let all_same = (any::<u64>(), 0_usize..400)
        .prop_map(|(token, count)| (0..count).map(|key| (token, (key * 37 % 256) as u8)).collect());
    prop_oneof![4 => vec((token, any::<u8>()), 0..800), 1 => all_same]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn agrees_with_an_ordered_map(tokens in tokens()) {
        check(&tokens);
    }
}

#[test]
fn many_uniform_tokens_are_found_again() {
    let tokens: Vec<(u64, u8)> = (1..30_000_u64)
        .map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15), 0))
        .collect();
    check(&tokens);
}
