//! The checksums of segments (v5 section 2.2): CRC-24 of the header, CRC-32 of the payload.

/// What CRC-24 starts from.
const CRC24_START: u32 = 0x87_5060;
/// Its polynomial, with the top bit.
const CRC24_POLYNOMIAL: u32 = 0x0197_4F0B;

/// What goes into CRC-32 before the payload, so that a run of zeros has no zero checksum.
const CRC32_PREFIX: [u8; 4] = [0xfa, 0x2d, 0x55, 0xca];

const CRC24_TABLE: [u32; 256] = crc24_table();

const fn crc24_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 16;
        let mut bit = 0;
        while bit < 8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= CRC24_POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = crc & 0x00ff_ffff;
        byte += 1;
    }
    table
}

/// The checksum of a segment's header, in the low 24 bits.
pub fn crc24(header: &[u8]) -> u32 {
    header.iter().fold(CRC24_START, |crc, &byte| {
        let index = ((crc >> 16) as u8) ^ byte;
        ((crc << 8) ^ CRC24_TABLE[usize::from(index)]) & 0x00ff_ffff
    })
}

/// The checksum of a segment's payload, as it travels (compressed, if it is).
pub fn crc32(payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&CRC32_PREFIX);
    hasher.update(payload);
    hasher.finalize()
}
