//! A page that is sent encoded is received as a page.

use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    DecoratedKey, EncodedPage, EncodedPartition, Page, PartitionPage, Position, Token, encoding::Writer,
};

use crate::generators::{clustering, partition, short_bytes};

fn page() -> impl Strategy<Value = Page> {
    let key = || {
        (any::<i64>(), short_bytes()).prop_map(|(token, key)| DecoratedKey {
            token: Token(token),
            key,
        })
    };
    let partition = (key(), partition(), option::of(clustering()))
        .prop_map(|(key, partition, cut)| PartitionPage { key, partition, cut });
    let next = (key(), option::of(clustering()), any::<u32>()).prop_map(|(key, clustering, rows)| Position {
        key,
        clustering,
        rows,
    });
    (vec(partition, 0..3), option::of(next)).prop_map(|(partitions, next)| Page { partitions, next })
}

fn encoded(page: &Page) -> EncodedPage {
    let partitions = page.partitions.iter().map(|page| {
        let mut out = Writer::default();
        out.partition(&page.partition);
        EncodedPartition {
            key: page.key.clone(),
            partition: out.finish(),
            cut: page.cut.clone(),
        }
    });
    EncodedPage {
        partitions: partitions.collect(),
        next: page.next.clone(),
    }
}

proptest! {
    #[test]
    fn encoded_pages_have_the_form_of_pages(page in page()) {
        let encoded = encoded(&page);
        let bytes = rmp_serde::to_vec(&encoded).unwrap();
        prop_assert_eq!(&bytes, &rmp_serde::to_vec(&page).unwrap());
        prop_assert_eq!(&rmp_serde::from_slice::<Page>(&bytes).unwrap(), &page);
        prop_assert_eq!(&rmp_serde::from_slice::<EncodedPage>(&bytes).unwrap(), &encoded);
        prop_assert_eq!(encoded.decode(), Ok(page));
    }

    /// What is not a partition is refused.
    #[test]
    fn a_page_with_other_content_is_not_decoded(page in page(), junk in vec(any::<u8>(), 1..5)) {
        let mut encoded = encoded(&page);
        if let Some(first) = encoded.partitions.first_mut() {
            let mut bytes = first.partition.to_vec();
            bytes.extend_from_slice(&junk);
            first.partition = bytes.into();
            prop_assert!(encoded.decode().is_err());
        }
    }
}
