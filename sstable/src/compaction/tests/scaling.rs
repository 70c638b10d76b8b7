use crate::compaction::Scaling;

#[test]
fn is_read_and_shown_in_cassandras_notation() {
    for (text, shown, fans, thresholds) in [
        ("T4", "T4", [4, 4, 4], [4, 4, 4]),
        ("L10", "L10", [10, 10, 10], [2, 2, 2]),
        ("N", "N", [2, 2, 2], [2, 2, 2]),
        ("T8, N,L4", "T8,N,L4", [8, 2, 4], [8, 2, 2]),
        ("L2", "N", [2, 2, 2], [2, 2, 2]),
        ("T4,T4", "T4", [4, 4, 4], [4, 4, 4]),
    ] {
        let scaling: Scaling = text.parse().unwrap();
        assert_eq!(scaling.to_string(), shown);
        assert_eq!([0, 1, 99].map(|level| scaling.fan(level)), fans, "{text}");
        assert_eq!(
            [0, 1, 99].map(|level| scaling.threshold(level)),
            thresholds,
            "{text}"
        );
    }
    assert_eq!(Scaling::default().to_string(), "T4");
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    for text in [
        "",
        "T",
        "T1",
        "T33",
        "L33",
        "L1",
        "X4",
        "T4,",
        "4",
        "T-4",
        "é4",
        "N,N,N,N,N,N,N,N,N",
    ] {
        let error = text.parse::<Scaling>().unwrap_err().to_string();
        assert!(error.contains("T2..T32"), "{error}");
    }
}
