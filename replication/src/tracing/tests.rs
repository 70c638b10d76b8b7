use std::net::SocketAddr;

use starling_model::Timestamp;

use super::{MAX_EVENTS, Trace, TraceRing, Tracer};

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9042))
}

fn trace(session: u128) -> Trace {
    Trace {
        session,
        coordinator: address(),
        client: None,
        started: Timestamp(1),
        duration: 2,
        request: "query".to_owned(),
        parameters: Vec::new(),
        events: Vec::new(),
    }
}

#[test]
fn the_oldest_trace_goes_when_the_ring_is_full() {
    let ring = TraceRing::new(2);
    for session in 1..=3 {
        ring.push(trace(session));
    }
    assert_eq!(ring.get(1), None);
    assert_eq!(
        ring.all().iter().map(|t| t.session).collect::<Vec<_>>(),
        vec![2, 3]
    );
}

#[test]
fn a_tracer_that_is_off_does_not_even_format() {
    Tracer::OFF.note(
        || unreachable!("no clock is read"),
        || unreachable!("nothing is formatted"),
    );
    assert!(Tracer::OFF.take().is_empty());
}

#[test]
fn events_are_bounded_and_timed() {
    let tracer = Tracer::recording(address(), Timestamp(100));
    for i in 0..(MAX_EVENTS as i64 + 10) {
        tracer.note(|| Timestamp(100 + i), || format!("step {i}"));
    }
    let events = tracer.take();
    assert_eq!(events.len(), MAX_EVENTS);
    assert_eq!((events[7].elapsed, events[7].activity.as_str()), (7, "step 7"));
}
