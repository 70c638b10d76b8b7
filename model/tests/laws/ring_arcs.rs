//! Tokens and arcs of the ring.

use proptest::prelude::*;
use starling_model::{Token, TokenRange};

/// Few tokens, the ends among them, so that arcs meet.
fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MIN + 1),
        -3_i64..4,
        Just(i64::MAX - 1),
        Just(i64::MAX)
    ]
    .prop_map(Token)
}

proptest! {
    #[test]
    fn unwrapping_loses_nothing(start in token(), end in token(), at in token()) {
        let range = TokenRange { start, end };
        let parts = range.unwrapped();
        prop_assert!(parts.iter().all(|part| part.start < part.end));
        prop_assert!(parts.windows(2).all(|pair| pair[0].end <= pair[1].start));
        // No key has the token MIN, and no arc that does not wrap holds it.
        if at != Token::MIN {
            prop_assert_eq!(parts.iter().filter(|part| part.contains(at)).count(), usize::from(range.contains(at)));
        }
        prop_assert_eq!(range.wraps(), parts != [range] && end != Token::MIN);
    }

    #[test]
    fn ordered_bytes_order(a in any::<i64>(), b in any::<i64>()) {
        let (a, b) = (Token(a), Token(b));
        prop_assert_eq!(a.ordered_bytes().cmp(&b.ordered_bytes()), a.cmp(&b));
        prop_assert_eq!(Token::from_ordered_bytes(a.ordered_bytes()), a);
    }
}

#[test]
fn the_whole_ring() {
    assert!(TokenRange::ALL.contains(Token::MAX) && TokenRange::ALL.contains(Token(i64::MIN + 1)));
    assert_eq!(
        TokenRange {
            start: Token(5),
            end: Token(5)
        }
        .unwrapped()
        .len(),
        2
    );
    assert_eq!(
        TokenRange {
            start: Token::MIN,
            end: Token::MIN
        }
        .unwrapped(),
        [TokenRange::ALL]
    );
    assert_eq!(
        TokenRange {
            start: Token::MAX,
            end: Token::MAX
        }
        .unwrapped(),
        [TokenRange::ALL]
    );
}
