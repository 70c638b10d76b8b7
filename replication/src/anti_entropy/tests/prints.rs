//! Prints on the wire.

use bytes::Bytes;
use proptest::prelude::*;
use starling_model::{Seconds, Token, TokenRange};

use crate::anti_entropy::{
    digest::Digest,
    prints::{Print, Prints},
};

fn digests() -> impl Strategy<Value = Vec<(Token, Digest)>> {
    let digest = (any::<u128>(), 0_u64..100_000, 0_u32..2).prop_map(|(sum, rows, from)| Digest {
        sum,
        rows,
        from: Seconds(from),
        ..Digest::default()
    });
    let tokens = prop_oneof![any::<i64>(), -3_i64..3];
    proptest::collection::btree_map(tokens.prop_map(Token), digest, 0..40).prop_map(|digests| {
        digests
            .into_iter()
            .filter(|(token, _)| *token > Token::MIN)
            .collect()
    })
}

proptest! {
    #[test]
    fn they_come_back_as_they_were(digests in digests()) {
        let prints = Prints::of(TokenRange::ALL, &digests).expect("they are few");
        let expected: Vec<Print> = digests
            .iter()
            .map(|(token, digest)| Print {
                token: *token,
                sum: digest.sum,
                rows: digest.rows,
                leaves_out: digest.from > Seconds(0),
            })
            .collect();
        prop_assert_eq!(prints.decode(TokenRange::ALL), Ok(expected));
    }

    /// Whatever a peer sends: tokens ascend and lie within the range, or it is an error.
    #[test]
    fn arbitrary_bytes_are_prints_of_the_range_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let encoded = rmp_serde::to_vec(&Bytes::from(bytes)).expect("bytes can be encoded");
        let prints: Prints = rmp_serde::from_slice(&encoded).expect("any bytes are taken");
        let range = TokenRange { start: Token(-5), end: Token(i64::MAX - 3) };
        if let Ok(decoded) = prints.decode(range) {
            prop_assert!(decoded.iter().all(|print| range.contains(print.token)));
            prop_assert!(decoded.windows(2).all(|pair| pair[0].token < pair[1].token));
        }
    }
}

#[test]
fn too_many_are_not_told() {
    let digest = Digest {
        rows: 1,
        ..Digest::default()
    };
    let digests: Vec<(Token, Digest)> = (1..=5_000).map(|token| (Token(token), digest)).collect();
    let range = TokenRange {
        start: Token(0),
        end: Token(5_000),
    };
    assert_eq!(Prints::of(range, &digests), None);
    assert!(Prints::of(range, &digests[..4_000]).is_some());
}
