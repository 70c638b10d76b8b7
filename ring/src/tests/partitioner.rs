//! Tokens as drivers compute them.

use starling_model::Token;

use crate::{Partitioner, UnknownPartitioner};

/// The vectors of cassandra-driver's own tests.
#[test]
fn murmur3_gives_the_tokens_that_drivers_know() {
    let known: [(&[u8], i64); 7] = [
        (b"123", -7_468_325_962_851_647_638),
        (
            &[0x00, 0xff, 0x10, 0xfa, 0x99].repeat(10),
            5_837_342_703_291_459_765,
        ),
        (&[0xfe; 8], -8_927_430_733_708_461_935),
        (&[0x10; 8], 1_446_172_840_243_228_796),
        (b"9223372036854775807", 7_162_290_910_810_015_547),
        (b"N14228", 8_940_195_600_517_831_701),
        // The composite key ('JFK', 'LAX').
        (b"\0\x03JFK\0\0\x03LAX\0", -737_938_031_421_987_238),
    ];
    for (key, token) in known {
        assert_eq!(Partitioner::Murmur3.token(key), Token(token), "{key:?}");
    }
}

/// Every length of tail, with bytes above 0x7f in all places (computed with cassandra-driver 3.30).
#[test]
fn murmur3_extends_the_sign_of_the_tail() {
    let known: [i64; 33] = [
        -4_923_411_493_018_973_843,
        8_936_321_383_009_110_447,
        -3_767_598_351_830_925_307,
        -69_838_004_761_892_054,
        8_996_772_109_054_160_737,
        112_155_491_946_239_214,
        3_102_937_234_367_410_275,
        6_581_273_143_521_528_945,
        -7_526_085_102_739_468_354,
        2_143_544_322_439_287_345,
        -5_060_338_901_329_599_536,
        4_221_820_830_265_422_189,
        -8_423_554_224_211_129_325,
        -2_995_580_337_094_967_857,
        8_889_680_805_622_677_396,
        -4_481_888_963_509_522_319,
        8_698_965_027_461_138_385,
        -7_192_956_511_656_553_776,
        3_062_120_360_083_309_870,
        -7_606_528_704_458_347_055,
        3_403_231_683_748_837_178,
        1_318_470_937_412_365_145,
        2_978_730_562_111_436_514,
        2_624_990_123_792_075_921,
        6_993_611_396_794_015_495,
        3_064_626_560_358_829_511,
        2_351_713_809_981_206_200,
        4_362_586_221_821_777_526,
        -5_859_266_160_658_228_019,
        -6_125_430_861_683_947_460,
        -3_003_933_219_515_188_658,
        -1_488_378_905_685_851_641,
        2_237_789_276_608_170_474,
    ];
    for (length, token) in (1_u32..).zip(known) {
        let key: Vec<u8> = (0..length).map(|at| (at * 37 + length * 91) as u8).collect();
        assert_eq!(Partitioner::Murmur3.token(&key), Token(token), "length {length}");
    }
}

#[test]
fn no_key_has_the_smallest_token() {
    assert_eq!(Partitioner::normalized(i64::MIN), Token::MAX);
    assert_eq!(Partitioner::normalized(i64::MAX), Token::MAX);
    assert_eq!(Partitioner::normalized(i64::MIN + 1), Token(i64::MIN + 1));
    for partitioner in [Partitioner::Murmur3, Partitioner::Xxh3] {
        assert_eq!(partitioner.token(b""), Token::MIN, "the start of the ring");
    }
}

/// The vectors of xxHash's own sanity checks (XXH3, 64 bits, no seed).
#[test]
fn xxh3_is_xxh3() {
    assert_eq!(
        Partitioner::Xxh3.token(b"a"),
        Token(0xE6C6_32B6_1E96_4E1F_u64 as i64)
    );
    assert_ne!(Partitioner::Xxh3.token(b"a"), Partitioner::Murmur3.token(b"a"));
}

#[test]
fn names_are_read_back() {
    for partitioner in [Partitioner::Murmur3, Partitioner::Xxh3] {
        assert_eq!(partitioner.name().parse(), Ok(partitioner));
        assert_eq!(partitioner.to_string(), partitioner.name());
    }
    assert_eq!("murmur3".parse(), Ok(Partitioner::Murmur3));
    assert_eq!("Murmur3Partitioner".parse(), Ok(Partitioner::Murmur3));
    assert_eq!("XXH3".parse(), Ok(Partitioner::Xxh3));
    let unknown = "RandomPartitioner"
        .parse::<Partitioner>()
        .expect_err("not supported");
    assert_eq!(unknown, UnknownPartitioner("RandomPartitioner".to_owned()));
    assert_eq!(
        unknown.to_string(),
        "'RandomPartitioner' is not a partitioner; use 'murmur3' (which drivers know) or 'xxh3'"
    );
}
