use std::{
    process::Command,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use super::{
    super::drive::{answer::Failure, pace::Missed},
    availability::{HandOff, hand_off, judge, steadiness, worst_syncs},
    collector::Collector,
    disk_probe::DiskProbe,
    generators::Generators,
    process::{Meter, Sample, cpu_of, machine, sample_of},
    quiet,
    recorder::{News, Recorder, Span},
    result::{FaultEvent, Second},
    slice::{add_counts, counts, fine},
    window::Window,
};

/// A recorder of a run with one second of warm-up and three that are measured, and what it said at the end.
fn recorded(record: impl FnOnce(&mut Recorder, Instant)) -> Collector {
    let start = Instant::now();
    let span = Span {
        start,
        measured: start + Duration::from_secs(1),
        end: Some(start + Duration::from_secs(4)),
    };
    let (news, received) = channel();
    let mut recorder = Recorder::new(span, 2, news);
    record(&mut recorder, start);
    recorder.close();
    drop(recorder);
    let mut collector = Collector::new(1, Some(4));
    for news in received {
        match news {
            News::Slice(slice) => collector.slice(&slice),
            News::Total(total) => collector.total(total),
        }
    }
    collector
}

fn ms(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn latency_counts_from_when_an_operation_should_have_begun() {
    let collector = recorded(|recorder, start| {
        recorder.done(0, ms(start, 1000), ms(start, 1002));
        // It waited for a second behind others.
        recorder.done(0, ms(start, 1500), ms(start, 2502));
        recorder.wrote(100, ms(start, 1500));
    });
    let (operations, total) = collector.operations(&["read".into(), "write".into()], 3.0);
    assert_eq!((operations[0].count, operations[1].count, total.count), (2, 0, 2));
    assert!((1000..=1003).contains(&(total.max_us / 1000)), "{}", total.max_us);
    assert_eq!(collector.payload_bytes(), 100);
    assert!((total.per_second - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn the_warm_up_is_shown_and_not_counted() {
    let collector = recorded(|recorder, start| {
        recorder.done(0, ms(start, 500), ms(start, 501));
        recorder.wrote(100, ms(start, 500));
        recorder.done(1, ms(start, 2100), ms(start, 2101));
        // Begun in the warm-up, and answered later.
        recorder.done(1, ms(start, 900), ms(start, 2101));
    });
    let (_, total) = collector.operations(&["read".into(), "write".into()], 3.0);
    assert_eq!((total.count, collector.payload_bytes()), (1, 0));
    assert_eq!(collector.all_payload_bytes(), 100, "it lies on the disk too");
    let timeline = collector.timeline();
    let done: Vec<u64> = timeline.iter().map(|second| second.done).collect();
    assert_eq!(done, [1, 0, 2, 0]);
    assert!(timeline[0].warm_up && !timeline[1].warm_up);
}

#[test]
fn errors_are_counted_by_kind_and_the_first_message_is_kept() {
    let collector = recorded(|recorder, start| {
        for message in ["first", "second"] {
            let failure = Failure::lost("Timeout", message);
            recorder.failed(0, ms(start, 1100), ms(start, 1200), &failure);
        }
        recorder.never_sent(Missed {
            first: ms(start, 3990),
            interval: Duration::from_millis(1),
            number: 7,
        });
    });
    let (operations, total) = collector.operations(&["read".into(), "write".into()], 3.0);
    assert_eq!(operations[0].errors["Timeout"], 2);
    assert_eq!((total.errors["NeverSent"], total.failed()), (7, 9));
    assert_eq!(collector.examples()["Timeout"], "first");
    assert_eq!(collector.timeline()[1].errors["Timeout"], 2);
}

#[test]
fn slow_answers_and_errors_are_placed_within_their_second() {
    let collector = recorded(|recorder, start| {
        recorder.done(0, ms(start, 1100), ms(start, 1150));
        recorder.done(0, ms(start, 1100), ms(start, 1190));
        let failure = Failure::lost("Timeout", "late");
        recorder.failed(0, ms(start, 1100), ms(start, 1999), &failure);
        recorder.done(0, ms(start, 2900), ms(start, 3001));
    });
    let timeline = collector.timeline();
    let slowest = timeline[1].tenths.map(|tenth| tenth.slowest_us);
    assert_eq!(slowest, [0, 90_000, 0, 0, 0, 0, 0, 0, 0, 0]);
    let failed = timeline[1].tenths.map(|tenth| tenth.failed);
    let begun = [false, true, true, false, false, false, false, false, false, false];
    assert_eq!(failed, begun, "where it should have begun, and the tenth after");
    // It was under way when the second ended.
    assert_eq!(timeline[2].tenths[9].slowest_us, 101_000);
    assert_eq!(timeline[3].tenths[0].slowest_us, 101_000);
}

#[test]
fn what_fails_after_the_end_belongs_to_where_it_should_have_begun() {
    let collector = recorded(|recorder, start| {
        recorder.done(0, ms(start, 2000), ms(start, 2001));
        let failure = Failure::lost("ClientTimeout", "silent");
        recorder.failed(0, ms(start, 3500), ms(start, 13_500), &failure);
    });
    let mut timeline = collector.timeline();
    assert_eq!(timeline.len(), 4);
    assert_eq!(timeline[3].errors["ClientTimeout"], 1);
    let mut faults = [FaultEvent {
        at: 3.05,
        action: "pause node1".into(),
        outcome: "done".into(),
        done: true,
        last_slow_after: None,
    }];
    timeline[3].done = 100;
    let availability = judge(&timeline, &mut faults);
    assert!(availability.without_errors < 0.5, "{availability:?}");
    assert_eq!(faults[0].last_slow_after, Some(3.7 - 3.05));
}

#[test]
fn a_stall_at_the_end_belongs_to_the_last_second() {
    let collector = recorded(|recorder, start| {
        for second in 1..4 {
            recorder.done(0, ms(start, second * 1000), ms(start, second * 1000 + 1));
        }
        // Due in the run, and answered when it was over.
        recorder.done(0, ms(start, 3500), ms(start, 5500));
    });
    let timeline = collector.timeline();
    assert_eq!(timeline.len(), 4, "the run has no further second");
    assert_eq!((timeline[3].done, timeline[3].late), (1, 1));
    let (worst, median) = steadiness(&timeline).expect("three seconds");
    assert!(
        (1_900_000..2_100_000).contains(&worst) && median < 2000,
        "{worst} {median}"
    );
    // Nothing came in the last second itself: it has no success, and its latency all the same.
    let collector = recorded(|recorder, start| {
        recorder.done(0, ms(start, 1000), ms(start, 1001));
        recorder.done(0, ms(start, 3500), ms(start, 5500));
    });
    let timeline = collector.timeline();
    let availability = judge(&timeline, &mut []);
    assert_eq!(availability.longest_gap_seconds, 2, "{timeline:?}");
    assert!(steadiness(&timeline).is_some_and(|(worst, _)| worst > 1_900_000));
}

#[test]
fn what_was_never_sent_is_an_error_where_it_was_due() {
    let collector = recorded(|recorder, start| {
        recorder.done(0, ms(start, 490), ms(start, 495));
        recorder.never_sent(Missed {
            first: ms(start, 500),
            interval: Duration::from_millis(20),
            number: 175,
        });
    });
    let timeline = collector.timeline();
    let errors: Vec<u64> = timeline
        .iter()
        .map(|second| second.errors.get("NeverSent").copied().unwrap_or(0))
        .collect();
    assert_eq!(errors, [25, 50, 50, 50]);
    let failed = timeline[0].tenths.map(|tenth| tenth.failed);
    assert_eq!(failed.iter().position(|&failed| failed), Some(5));
    let (operations, total) = collector.operations(&["read".into(), "write".into()], 3.0);
    assert_eq!(total.errors["NeverSent"], 150, "25 were of the warm-up");
    assert_eq!(operations[0].failed(), 0, "nobody knows which it would have been");
}

#[test]
fn throughput_is_what_was_answered_within_the_measured_time() {
    let collector = recorded(|recorder, start| {
        // The server is slower than the rate: what it answers is ever older, and goes on after the end.
        for answered in 1..8_u64 {
            recorder.begun(ms(start, answered * 500), ms(start, answered * 1000 - 1));
            recorder.done(0, ms(start, answered * 500), ms(start, answered * 1000));
        }
    });
    let (_, total) = collector.operations(&["read".into(), "write".into()], 3.0);
    assert_eq!((total.count, total.answered), (6, 3), "at 1, 2 and 3 s");
    assert!((total.per_second - 1.0).abs() < 1e-9);
    let late = collector.lateness_p99_us().expect("the load is open");
    assert!((3_400_000..3_600_000).contains(&late), "{late}");
}

#[test]
fn histograms_survive_as_lists() {
    let mut histogram = fine();
    for value in [1, 7, 7, 1000, 123_456, 600_000_000] {
        histogram.saturating_record(value);
    }
    let mut again = fine();
    add_counts(&mut again, &counts(&histogram));
    assert_eq!(histogram, again);
}

#[test]
fn cpu_is_the_difference_of_samples() {
    let mut collector = Collector::new(0, None);
    collector.slice(&super::slice::Slice {
        second: 1,
        ..Default::default()
    });
    let sample = |seconds, memory_bytes| Sample {
        cpu: Duration::from_secs(seconds),
        memory_bytes,
        own_memory_bytes: memory_bytes - 1,
        written_bytes: None,
    };
    collector.sample(0, sample(10, 5));
    collector.sample(1, sample(12, 7));
    let timeline = collector.timeline();
    assert_eq!(timeline[0].server_cpu_seconds, None, "nothing to compare with");
    assert_eq!(timeline[1].server_cpu_seconds, Some(2.0));
    assert_eq!(
        (timeline[1].server_memory_bytes, collector.memory_peak()),
        (Some(7), 7)
    );
    assert_eq!(collector.own_memory_peak(), 6);
}

#[test]
fn the_worst_sync_of_a_second_counts() {
    let mut collector = Collector::new(1, None);
    for second in 0..3 {
        collector.slice(&super::slice::Slice {
            second,
            ..Default::default()
        });
    }
    for (second, millis) in [(0, 900), (1, 2), (1, 70), (1, 3)] {
        collector.disk_sync(second, Duration::from_millis(millis));
    }
    let timeline = collector.timeline();
    let syncs: Vec<Option<u64>> = timeline.iter().map(|second| second.disk_sync_us).collect();
    assert_eq!(syncs, [Some(900_000), Some(70_000), None]);
    assert_eq!(
        worst_syncs(&timeline),
        Some((70_000, 70_000)),
        "the warm-up does not count"
    );
}

#[test]
fn a_probe_tells_of_each_sync_until_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let probe = DiskProbe::new(&dir.path().join("servers")).unwrap();
    let (news, told) = channel();
    let (end, ended) = channel();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let probe = &probe;
        scope.spawn(move || probe.follow(start, &ended, &news));
        let (second, took) = told.recv().unwrap();
        assert!(took <= start.elapsed() && second <= start.elapsed().as_secs());
        drop(end);
    });
}

#[test]
fn processes_are_read_from_proc() {
    let stat = "17 (a (strange) name) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
    assert_eq!(cpu_of(stat, 100), Some(Duration::from_secs(3)));
    assert_eq!(cpu_of("nothing", 100), None);
    let process = std::process::id();
    let mut meter = Meter::default();
    let running = meter.sample(&[process]);
    assert!(running.memory_bytes > 1 << 20);
    let own = running.own_memory_bytes;
    assert!(
        own > 1 << 16 && own < running.memory_bytes,
        "the program's file is mapped"
    );
    let ended = meter.sample(&[]);
    assert_eq!(
        (ended.memory_bytes, ended.cpu >= running.cpu),
        (0, true),
        "what it spent still counts"
    );
    assert!(machine().cores > 0);
}

#[test]
fn servers_that_go_on_working_are_not_quiet() {
    let shell = |script: &str| {
        let started = Command::new("sh").args(["-c", script]).spawn();
        started.expect("a shell")
    };
    let (mut busy, mut idle) = (shell("while :; do :; done"), shell("exec sleep 600"));
    let are_quiet = |processes: &[u32], limit| quiet::wait_within(processes, limit);
    let found = (
        are_quiet(&[busy.id()], Duration::from_millis(1500)),
        are_quiet(&[idle.id()], Duration::from_mins(1)),
    );
    for process in [&mut busy, &mut idle] {
        process.kill().expect("it runs");
        process.wait().expect("it ends");
    }
    assert_eq!(found, (false, true));
    assert!(are_quiet(&[], Duration::from_mins(1)), "nobody works");
}

#[test]
fn only_what_is_spent_in_the_measured_time_counts() {
    let start = Instant::now();
    let spent = |seconds| Sample {
        cpu: Duration::from_secs(seconds),
        ..Sample::default()
    };
    let cpu = |(before, after): (Sample, Sample)| (before.cpu.as_secs(), after.cpu.as_secs());
    let mut window = Window::new(ms(start, 1000), Some(ms(start, 4000)));
    assert_eq!(window.next(ms(start, 900)), Some(Duration::from_millis(100)));
    window.look(ms(start, 999), || panic!("the warm-up is not over"));
    assert!(!window.is_open());
    window.look(ms(start, 1001), || spent(3));
    assert!(window.is_open());
    assert_eq!(window.next(ms(start, 1001)), Some(Duration::from_millis(2999)));
    window.look(ms(start, 3999), || panic!("nothing is due"));
    window.look(ms(start, 4000), || spent(7));
    assert!(!window.is_open());
    // The last answers come seconds later.
    assert_eq!(window.next(ms(start, 4001)), None);
    window.look(ms(start, 6000), || panic!("it is over"));
    assert_eq!(cpu(window.close(|| panic!("it is over"))), (3, 7));
    // A number of operations ends the run, and there is no warm-up.
    let mut counted = Window::new(start, None).since(spent(1));
    counted.look(ms(start, 5000), || panic!("nobody knows the end"));
    assert_eq!(cpu(counted.close(|| spent(9))), (1, 9));
}

#[test]
fn a_generator_that_needs_its_core_is_known() {
    let own = std::process::id();
    let mut generators = Generators::new(vec![own]);
    let start = Instant::now();
    generators.look(start);
    assert!(generators.cores().is_empty(), "one look says nothing");
    let spent = || sample_of(own).expect("it runs").cpu;
    let before = spent();
    while spent() < before + Duration::from_millis(100) {}
    // As if that had taken half a second, or other tests more.
    generators.look(start + Duration::from_millis(500));
    let cores = generators.cores();
    assert!(cores.len() == 1 && cores[0] > 0.19, "{cores:?}");
    // One that has ended is not looked at any more.
    let mut ended = Generators::new(vec![own, u32::MAX]);
    ended.look(start);
    ended.look(start + Duration::from_secs(1));
    assert!(ended.cores().is_empty());
}

fn second(number: u64, done: u64, max_us: u64, failed: u64) -> Second {
    let mut second = Second {
        second: number,
        done,
        p99_us: 300,
        max_us,
        ..Second::default()
    };
    if failed > 0 {
        second.errors.insert("Timeout".into(), failed);
    }
    second
}

#[test]
fn availability_is_judged_by_seconds() {
    let mut timeline: Vec<Second> = (0..10).map(|number| second(number, 100, 500, 0)).collect();
    timeline[0].warm_up = true;
    timeline[4] = second(4, 50, 90_000, 3);
    timeline[5] = second(5, 0, 0, 0);
    timeline[6] = second(6, 0, 0, 0);
    timeline[7] = second(7, 10, 5000, 0);
    timeline[4].tenths[9].failed = true;
    timeline[7].tenths[2].slowest_us = 5000;
    timeline[7].tenths[3].slowest_us = 500;
    let fault = |at, action: &str| FaultEvent {
        at,
        action: action.into(),
        outcome: "done".into(),
        done: true,
        last_slow_after: None,
    };
    let mut faults = [fault(4.5, "kill node2"), fault(8.5, "restart node2")];
    let availability = judge(&timeline, &mut faults);
    assert_eq!((availability.seconds, availability.longest_gap_seconds), (9, 2));
    assert!(
        (availability.without_errors - 6.0 / 9.0).abs() < 1e-9,
        "{availability:?}"
    );
    assert_eq!(availability.slow_from_us, Some(3000), "ten times the usual p99");
    assert_eq!(faults.map(|fault| fault.last_slow_after), [Some(7.3 - 4.5), None]);
}

#[test]
fn without_a_usual_second_nobody_knows_what_is_slow() {
    let mut timeline: Vec<Second> = (0..3).map(|number| second(number, 100, 500, 0)).collect();
    timeline[0].tenths[5].slowest_us = 90_000;
    timeline[2].tenths[2].failed = true;
    let mut faults = [FaultEvent {
        at: 0.3,
        action: "kill node2".into(),
        outcome: "done".into(),
        done: true,
        last_slow_after: None,
    }];
    let availability = judge(&timeline, &mut faults);
    assert_eq!(
        (availability.slow_from_us, faults[0].last_slow_after),
        (None, None)
    );
}

#[test]
fn hints_wait_and_are_handed_over() {
    let kept = |bytes: &[Option<u64>]| -> Vec<Second> {
        let mut collector = Collector::new(0, None);
        for (second, bytes) in (0..).zip(bytes) {
            collector.slice(&super::slice::Slice {
                second,
                ..Default::default()
            });
            if let Some(bytes) = bytes {
                collector.hints(second, *bytes);
            }
        }
        collector.timeline()
    };
    let some = |bytes: &[u64]| kept(&bytes.iter().copied().map(Some).collect::<Vec<_>>());
    let handed = |most_bytes, seconds| Some(HandOff { most_bytes, seconds });
    assert_eq!(hand_off(&some(&[0, 5, 9, 9, 4, 0, 0])), handed(9, Some(2)));
    assert_eq!(hand_off(&some(&[0, 5, 9, 4])), handed(9, None));
    assert_eq!(
        hand_off(&kept(&[Some(0), Some(7), None, Some(0)])),
        handed(7, Some(2))
    );
    assert_eq!(hand_off(&some(&[0, 0])), None);
    assert_eq!(hand_off(&kept(&[None])), None);
}

#[test]
fn cliffs_show_in_the_worst_second() {
    let with = |number, p99_us, warm_up| Second {
        second: number,
        warm_up,
        done: 10,
        p99_us,
        ..Second::default()
    };
    // The warm-up and seconds without success do not count.
    let mut timeline = vec![
        with(0, 9000, true),
        with(1, 100, false),
        with(2, 700, false),
        with(3, 200, false),
    ];
    timeline.push(Second {
        second: 4,
        ..Second::default()
    });
    assert_eq!(steadiness(&timeline), Some((700, 200)));
    assert_eq!(steadiness(&[]), None);
}
