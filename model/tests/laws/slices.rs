//! Clustering ranges: every slice of CQL is one interval of bytes.

use bytes::Bytes;
use proptest::{option, prelude::*};
use starling_model::{Clustering, ClusteringRange, Consistency, key::after_prefix};

use crate::generators::short_bytes;

fn any_range() -> impl Strategy<Value = ClusteringRange> {
    (short_bytes(), option::of(short_bytes())).prop_map(|(start, end)| ClusteringRange { start, end })
}

proptest! {
    #[test]
    fn intersections_hold_what_both_hold(a in any_range(), b in any_range(), at in short_bytes()) {
        prop_assert_eq!(a.intersect(&b).contains(&at), a.contains(&at) && b.contains(&at));
        if a.is_empty() {
            prop_assert!(!a.contains(&at));
        }
    }

    /// No component begins with FF, so a prefix's rows end before it.
    #[test]
    fn a_prefix_holds_its_rows(prefix in short_bytes(), at in short_bytes()) {
        let prefix: Bytes = prefix.iter().copied().filter(|byte| *byte != 0xFF).collect();
        let at: Bytes = at.iter().copied().filter(|byte| *byte != 0xFF).collect();
        prop_assert_eq!(ClusteringRange::prefix(&prefix).contains(&at), at.starts_with(&prefix));
        prop_assert_eq!(at < after_prefix(&prefix), at < prefix || at.starts_with(&prefix));
    }

    #[test]
    fn a_row_is_alone(row in short_bytes(), at in short_bytes()) {
        let range = ClusteringRange::row(&Clustering(row.clone()));
        prop_assert_eq!(range.contains(&at), at == row);
    }
}

#[test]
fn levels_have_the_codes_and_names_of_the_protocol() {
    for (code, level) in (0..).zip(Consistency::EVERY) {
        assert_eq!(level.code(), code);
        assert_eq!(Consistency::from_code(code), Some(level));
        assert_eq!(level.name().to_lowercase().parse(), Ok(level));
    }
    assert_eq!(Consistency::from_code(11), None);
    assert!("MOST".parse::<Consistency>().is_err());
}
