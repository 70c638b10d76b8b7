//! How many maps the system gives the process: every table that is open is one.
//!
//! Linux gives 65,530 unless `vm.max_map_count` says otherwise, and answers no request for memory beyond. So tables leave a part
//! of them to the rest of the process, and people are told before there are too many. The limit can be raised while the node
//! runs; it is looked at again and again.

use std::time::Duration;

use starling_sstable::fs::{limit_mapped_files, mapped_files};
use tracing::{error, warn};

/// Where Linux tells the limit.
const LIMIT_FILE: &str = "/proc/sys/vm/max_map_count";

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What Linux gives unless it is told otherwise. Less is little.
const USUAL_LIMIT: u64 = 65_530;

/// For threads and memory, or half of them where there are few.
const RESERVED: u64 = 2_048;

/// How many maps the process may have; `None`: the system does not tell.
pub(crate) fn limit() -> Option<u64> {
    std::fs::read_to_string(LIMIT_FILE).ok()?.trim().parse().ok()
}

/// How many of them may be files: an eighth, and [`RESERVED`], stay free.
fn for_files(limit: u64) -> u64 {
    limit - RESERVED.max(limit / 8).min(limit / 2)
}

/// Has files leave maps to the rest of the process, and tells people when they come near to that. Until it is aborted.
///
/// To be begun once the tables are open: a node with too many of them starts all the same, as far as the system lets it.
pub(crate) async fn watch() {
    let mut watch = Watch::default();
    loop {
        if let Some(limit) = limit() {
            let most = for_files(limit);
            limit_mapped_files(usize::try_from(most).unwrap_or(usize::MAX));
            if let Some(news) = watch.look(mapped_files() as u64, limit) {
                tell(news, limit, most);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    /// The limit is low.
    Low,
    /// So many files are mapped that few more may be.
    Near(u64),
    /// So many are mapped that no more may be.
    Full(u64),
}

/// What people were told.
#[derive(Debug, Default)]
struct Watch {
    low: Option<u64>,
    level: u8,
}

impl Watch {
    /// What is new: a limit that is low, once; and each time that it gets worse that files are mapped.
    fn look(&mut self, mapped: u64, limit: u64) -> Option<News> {
        let most = for_files(limit);
        // Between seven tenths and three quarters it stays as it was, so that nobody is told again and again.
        let level = if mapped >= most {
            2
        } else if mapped >= most - most / 4 {
            1
        } else if mapped >= most - most / 10 * 3 {
            self.level.min(1)
        } else {
            0
        };
        let worse = level > self.level;
        self.level = level;
        let is_low = limit < USUAL_LIMIT && self.low != Some(limit);
        self.low = (limit < USUAL_LIMIT).then_some(limit);
        match level {
            2 if worse => Some(News::Full(mapped)),
            1 if worse => Some(News::Near(mapped)),
            _ => is_low.then_some(News::Low),
        }
    }
}

fn tell(news: News, limit: u64, most: u64) {
    const ADVICE: &str = "raise the limit with `sysctl -w vm.max_map_count=1048576`, and in /etc/sysctl.d for the next boot; no \
                          restart is needed";
    match news {
        News::Low => warn!(
            limit,
            "the system allows this process few maps, and every table is one: {ADVICE}"
        ),
        News::Near(mapped) => warn!(
            mapped,
            most,
            limit,
            "few more tables can be opened, because each is a map and the system allows so many: {ADVICE}"
        ),
        News::Full(mapped) => error!(
            mapped,
            most,
            limit,
            "no more tables can be opened, because each is a map: nothing is lost and reads go on, but flushes and \
             compactions wait, and writes will: {ADVICE}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_leave_maps_to_the_rest() {
        assert_eq!(for_files(65_530), 57_339);
        assert_eq!(for_files(1 << 20), 917_504);
        assert_eq!(for_files(8_192), 6_144);
        assert_eq!(for_files(1_000), 500);
        assert_eq!(for_files(0), 0);
    }

    #[test]
    fn people_are_told_once_each_time_it_gets_worse() {
        let mut watch = Watch::default();
        let most = for_files(65_530);
        let told: Vec<Option<News>> = [
            0, 40_000, 43_005, 43_005, 42_000, 43_005, most, most, 50_000, 40_000, 43_005,
        ]
        .map(|mapped| watch.look(mapped, 65_530))
        .to_vec();
        let near = Some(News::Near(43_005));
        let full = Some(News::Full(most));
        assert_eq!(
            told,
            [None, None, near, None, None, None, full, None, None, None, near]
        );
        assert_eq!(watch.look(43_005, 1 << 20), None, "the limit was raised");
    }

    #[test]
    fn a_low_limit_is_told_once_and_nothing_hides_behind_it() {
        let mut watch = Watch::default();
        assert_eq!(watch.look(10, 30_000), Some(News::Low));
        assert_eq!(watch.look(10, 30_000), None);
        assert_eq!(watch.look(10, 40_000), Some(News::Low), "another one is news");
        assert_eq!(watch.look(10, 65_530), None);
        assert_eq!(watch.look(for_files(30_000), 30_000), Some(News::Full(26_250)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_the_limit() {
        assert!(limit().is_some_and(|limit| limit > 0));
    }
}
