//! Where the nodes of a model are, and what chance does to it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where node `n` is.
pub(crate) fn address(n: usize) -> SocketAddr {
    let ip = Ipv4Addr::from(0x0a00_0000 + n as u32);
    SocketAddr::new(IpAddr::V4(ip), 7000)
}

/// Which node is there.
pub(crate) fn number(address: SocketAddr) -> usize {
    match address.ip() {
        IpAddr::V4(ip) => (u32::from(ip) - 0x0a00_0000) as usize,
        IpAddr::V6(_) => 0,
    }
}

/// Random numbers that are the same for the same state (splitmix64).
pub(crate) fn generator(state: &mut u64) -> impl FnMut() -> u64 + '_ {
    move || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
