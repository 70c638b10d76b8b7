//! A page that is sent encoded is received as a page.

use proptest::{collection::vec, option, prelude::*};
use starling_model::{
    DecoratedKey, EncodedPage, Page, PageWriter, PartitionPage, Position, Token, encoding::Writer,
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
    (vec(partition, 0..5), option::of(next)).prop_map(|(mut partitions, next)| {
        partitions.sort_by(|a, b| a.key.cmp(&b.key));
        partitions.dedup_by(|a, b| a.key == b.key);
        Page { partitions, next }
    })
}

proptest! {
    #[test]
    fn encoded_pages_come_back(page in page()) {
        let encoded = page.encoded();
        prop_assert_eq!(encoded.clone().decode(), Ok(page.clone()));
        prop_assert_eq!(encoded.last_key(), page.partitions.last().map(|part| part.key.clone()));
        let bytes = encoded.into_bytes();
        prop_assert_eq!(Page::decode(bytes.clone()), Ok(page.clone()));
        for end in 0..bytes.len() {
            prop_assert!(Page::decode(bytes.slice(..end)).is_err(), "cut at {}", end);
        }
    }

    /// A view of each partition has what the page has.
    #[test]
    fn partitions_are_seen_in_place(page in page()) {
        let encoded = page.encoded();
        prop_assert_eq!(encoded.len(), page.partitions.len());
        for (seen, part) in encoded.partitions().zip(&page.partitions) {
            let mut content = Writer::default();
            content.partition(&part.partition);
            prop_assert_eq!(seen.token, part.key.token);
            prop_assert_eq!(seen.key, &part.key.key[..]);
            prop_assert_eq!(seen.cut, part.cut.as_ref().map(|cut| &cut.0[..]));
            prop_assert_eq!(seen.content, content.as_slice());
        }
    }

    /// Pages that follow one another are one page, wherever it was cut.
    #[test]
    fn pages_are_appended(page in page(), cut in 0_usize..6) {
        let cut = cut.min(page.partitions.len());
        let part = |partitions: &[PartitionPage], next| Page { partitions: partitions.to_vec(), next }.encoded();
        let mut whole = part(&page.partitions[..cut], None);
        whole.append(part(&page.partitions[cut..], page.next.clone()));
        prop_assert_eq!(whole.into_bytes(), page.encoded().into_bytes());
    }

    /// What is not a partition is refused, and what was dropped leaves nothing.
    #[test]
    fn a_page_with_other_content_is_not_decoded(page in page(), junk in vec(any::<u8>(), 1..5)) {
        let mut out = PageWriter::default();
        for part in &page.partitions {
            out.begin(Token(0), b"dropped");
            out.content().fixed(&junk);
            out.drop_last();
            out.begin(part.key.token, &part.key.key);
            out.content().partition(&part.partition);
            out.end(part.cut.as_ref());
        }
        if page.partitions.is_empty() {
            prop_assert_eq!(out.finish(page.next.clone()), page.encoded());
        } else {
            out.content().fixed(&junk);
            prop_assert!(out.finish(page.next).decode().is_err());
        }
    }
}

#[test]
fn a_page_without_anything_is_two_bytes() {
    assert_eq!(EncodedPage::default().into_bytes()[..], [0, 0]);
}
