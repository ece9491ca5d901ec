//! Over a channel that loses, repeats, delays, reorders and is cut, a mirror equals its host once the channel heals.

#[path = "../examples/reference/app.rs"]
mod app;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use peristyle_mirror::{
    ClientCore, Event, Extensions, Failure, Frame, Host, HostOptions, Invalid, Json, Receiver, Transport,
    TransportError, Value, parse_json,
    transport::{Faults, Lossy, memory_pair},
};

const RUNS: u64 = 10_000;

/// Faulty steps of a run.
const STEPS: u64 = 20;

/// Steps after which a healed channel must have done all.
const HEALING: u64 = 60;

/// Virtual time of a step.
const STEP: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Inbox(Mutex<VecDeque<Arc<Frame>>>);

impl Receiver for Inbox {
    fn receive(self: Arc<Self>, received: Result<Arc<Frame>, Invalid>) {
        self.0.lock().unwrap().push_back(received.unwrap());
    }

    fn closed(self: Arc<Self>, _: &TransportError) {}
}

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % below
}

/// Changes something.
fn change(host: &Host, seed: &mut u64) {
    let (what, at) = (random(seed, 4), random(seed, 8));
    let changed = match what {
        0 => host.update(|counter: &mut app::Counter| {
            counter.add(1.0);
            Ok(())
        }),
        1 => host.update(|items: &mut app::Items| {
            items.grow(at as usize);
            Ok(())
        }),
        2 => host.update(|items: &mut app::Items| {
            items.shrink(at as usize);
            Ok(())
        }),
        _ => host.update(|doc: &mut app::Doc| doc.set(&format!("k{at}"), Value::from(random(seed, 100) as u32))),
    };
    changed.unwrap();
}

struct Run {
    core: ClientCore,
    inbox: Arc<Inbox>,
    to_client: Lossy<peristyle_mirror::transport::Memory>,
    to_host: Lossy<peristyle_mirror::transport::Memory>,
    now: Duration,
}

impl Run {
    fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Post(frame, _) = event {
                self.to_host.post(&frame).unwrap();
            }
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        self.to_host.advance();
        self.to_client.advance();
        let frames = std::mem::take(&mut *self.inbox.0.lock().unwrap());
        let mut events = Vec::new();
        for frame in frames {
            // As text, so that this is read as well.
            let message = peristyle_mirror::Message::parse(frame.text(), 1 << 20).map(Frame::new);
            self.core.receive(message, self.now, &mut events);
        }
        self.core.expire(self.now, &mut events);
        self.tell(events);
    }
}

fn run(seed: u64) {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let kind = ["patch", "snapshot", "sections"][(seed % 3) as usize];
    let options = HostOptions { epoch: Some(seed + 1), extensions: seed.is_multiple_of(2), ..HostOptions::default() };
    let host = app::builder(kind).unwrap().options(options).build().unwrap();
    let faults = Faults {
        drop: random(&mut dice, 300) as u32,
        repeat: random(&mut dice, 200) as u32,
        delay: random(&mut dice, 500) as u32,
        delay_max: 1 + random(&mut dice, 8),
        cut: random(&mut dice, 30) as u32,
    };
    let (near, far) = memory_pair();
    let to_client = Lossy::new(near, faults, seed);
    let to_host = Lossy::new(far, faults, !seed);
    let inbox = Arc::new(Inbox::default());
    to_host.subscribe(inbox.clone()).unwrap();
    host.connect(to_client.clone()).unwrap();
    let core = ClientCore::new(Extensions::default());
    let mut run = Run { core, inbox, to_client, to_host, now: Duration::ZERO };
    for _ in 0..STEPS {
        for _ in 0..random(&mut dice, 4) {
            change(&host, &mut dice);
        }
        if random(&mut dice, 5) == 0 {
            let mut events = Vec::new();
            let args = Json::from(parse_json("[1]").unwrap());
            run.core.call("counter".into(), "increase".into(), args, 0.0, false, run.now, &mut events).unwrap();
            run.tell(events);
        }
        run.step();
    }
    run.to_client.mend();
    run.to_host.mend();
    // What was lost last shows with what comes next.
    let add = |counter: &mut app::Counter| {
        counter.add(1.0);
        Ok::<_, Failure>(())
    };
    host.update(add).unwrap();
    for _ in 0..HEALING {
        run.step();
    }
    let (state, _) = host.state();
    let expected: Value = match kind {
        "sections" => {
            let section = |name: &str| (name.to_owned(), state.get(name).unwrap().clone());
            Value::Map([section("counter"), section("list")].into_iter().collect())
        }
        _ => state,
    };
    let mirror = run.core.state().cloned().unwrap_or_default();
    assert_eq!(mirror.hash64(), expected.hash64(), "seed {seed}: {mirror} instead of {expected}");
}

#[test]
fn a_mirror_equals_its_host_once_the_channel_heals() {
    (0..RUNS).for_each(run);
}
