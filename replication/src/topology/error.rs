//! Why a change of the ring was not made.

use std::net::SocketAddr;

use starling_model::{NodeId, Timestamp};

/// Why a change of the ring was not made. The ring is what it was, unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// One change at a time.
    #[error("another change of the ring is under way: {what}, since {}; nothing was changed; wait for it, give it up (`starling topology abort`), or remove or replace the dead node that it waits for (`starling remove`, `starling node --replace`)", written(*since))]
    Busy {
        /// What it does.
        what: String,
        /// Since when, by its coordinator's clock.
        since: Timestamp,
    },
    /// A member is down that has to take part.
    #[error(
        "the node {id} at {address} is down, and every member has to take part in a change of the ring; nothing was changed; bring it back, or if it is dead for good remove it (`starling remove`) or start a node in its place (`starling node --replace`)"
    )]
    Down {
        /// Which.
        id: NodeId,
        /// Where it was.
        address: SocketAddr,
    },
    /// The reason passes by itself.
    #[error("{0}; nothing was changed; try again")]
    NotYet(String),
    /// It makes no sense.
    #[error("{0}; nothing was changed")]
    Refused(String),
    /// Somebody gave the change up.
    #[error("the change of the ring was given up; the ring is what it was before")]
    Aborted,
    /// There is none.
    #[error("no change of the ring is under way")]
    Nothing,
    /// This node's disk does not take the ring state.
    #[error("the ring can't be stored on this node: {0}; repair its disk")]
    Disk(String),
    /// The process ends; the change goes on when it is back.
    #[error("the node is stopping; the change goes on when it is back")]
    Stopping,
}

/// A moment in UTC, to the second.
fn written(at: Timestamp) -> String {
    // Days to civil date: the calendar repeats every 400 years of 146,097 days; years begin in March.
    let seconds = at.0.div_euclid(1_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_read_them() {
        assert_eq!(written(Timestamp(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(
            written(Timestamp(1_709_210_096_000_000)),
            "2024-02-29 12:34:56 UTC"
        );
        assert_eq!(written(Timestamp(-1)), "1969-12-31 23:59:59 UTC");
    }
}
