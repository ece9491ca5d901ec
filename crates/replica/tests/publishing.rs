//! Many clients of one view: slow ones, ones that come back, and ones whose frames get lost.

use peristyle_replica::{
    ComponentView, FrameError, LossyViewWorld, Predictor, Publisher, PublisherOptions, ViewSpec, ViewWorld,
};
use peristyle_world::{ColumnReader, Component, Entity, World};
use proptest::prelude::*;

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
}

struct Host {
    world: World,
    publisher: Publisher,
    entities: Vec<Entity>,
    tick: u64,
}

impl Host {
    fn new(options: PublisherOptions) -> Host {
        let mut world = World::new().unwrap();
        let position = ComponentView::of::<Position>().quantised("x", 0.01).predicted("x", Predictor::Linear);
        let publisher = Publisher::new(&mut world, ViewSpec::new().with(position), options).unwrap();
        Host { world, publisher, entities: Vec::new(), tick: 0 }
    }

    /// A tick in which somebody comes, somebody goes and some move.
    fn step(&mut self) {
        self.tick += 1;
        let step = self.tick as usize;
        self.world.begin_tick().unwrap();
        self.entities.push(self.world.spawn((Position { x: step as f32 },)).unwrap());
        if step.is_multiple_of(3) {
            let gone = self.entities.swap_remove(step * 7 % self.entities.len());
            self.world.despawn(gone).unwrap();
        }
        for at in (0..self.entities.len()).filter(|at| (at + step).is_multiple_of(4)) {
            self.world.set(self.entities[at], Position { x: (at * step) as f32 * 0.37 }).unwrap();
        }
        self.publisher.publish(ColumnReader::new(&mut self.world), self.tick);
        self.world.end_tick().unwrap();
    }
}

fn follow(host: &mut Host, client: peristyle_replica::ClientId, mirror: &mut ViewWorld) -> usize {
    let mut taken = 0;
    while let Some(bytes) = host.publisher.take(client) {
        mirror.apply(&bytes).unwrap();
        taken += 1;
    }
    assert_eq!(mirror.hash(), host.publisher.view().hash());
    taken
}

fn open(host: &mut Host, client: peristyle_replica::ClientId) -> ViewWorld {
    ViewWorld::open(&host.publisher.take(client).unwrap()).unwrap()
}

#[test]
fn clients_share_frames_and_join_at_any_time() {
    let mut host = Host::new(PublisherOptions::default());
    let early = host.publisher.connect();
    let mut first = open(&mut host, early);
    assert!(host.publisher.take(early).is_none(), "nothing was published yet");
    host.step();
    assert_eq!(follow(&mut host, early, &mut first), 1);
    let late = host.publisher.connect();
    let mut second = open(&mut host, late);
    for _ in 0..50 {
        host.step();
        let shared = [early, late].map(|client| host.publisher.take(client).unwrap());
        first.apply(&shared[0]).unwrap();
        second.apply(&shared[1]).unwrap();
        assert_eq!((first.hash(), second.hash()), (host.publisher.view().hash(), first.hash()));
        if host.tick > 2 {
            assert!(std::sync::Arc::ptr_eq(&shared[0], &shared[1]), "encoded once");
        }
    }
    assert_eq!(host.publisher.snapshots(), 2);
}

#[test]
fn who_never_reads_starts_again_from_a_snapshot() {
    let mut host = Host::new(PublisherOptions { log_frames: 10, ..PublisherOptions::default() });
    let client = host.publisher.connect();
    let mut mirror = open(&mut host, client);
    host.step();
    follow(&mut host, client, &mut mirror);
    (0..10).for_each(|_| host.step());
    assert_eq!(host.publisher.behind(client), 10);
    assert_eq!(follow(&mut host, client, &mut mirror), 10);
    (0..11).for_each(|_| host.step());
    assert_eq!(follow(&mut host, client, &mut mirror), 1, "one snapshot instead of eleven frames");
    assert_eq!(host.publisher.snapshots(), 2);
}

#[test]
fn who_comes_back_gets_what_it_missed_or_a_snapshot() {
    let mut host = Host::new(PublisherOptions { log_frames: 10, ..PublisherOptions::default() });
    let client = host.publisher.connect();
    let mut mirror = open(&mut host, client);
    host.step();
    follow(&mut host, client, &mut mirror);
    for (away, frames) in [(0, 0), (5, 5), (9, 9), (10, 1), (25, 1)] {
        host.publisher.disconnect(client);
        (0..away).for_each(|_| host.step());
        let again = host.publisher.resume(mirror.tick().unwrap());
        assert_eq!(follow(&mut host, again, &mut mirror), frames, "{away} ticks away");
        host.publisher.disconnect(again);
    }
    assert_eq!(host.publisher.clients(), 0);
}

#[test]
fn a_bound_in_bytes_holds_too() {
    let mut host = Host::new(PublisherOptions { log_bytes: 200, ..PublisherOptions::default() });
    let client = host.publisher.connect();
    let mut mirror = open(&mut host, client);
    (0..100).for_each(|_| host.step());
    assert_eq!(follow(&mut host, client, &mut mirror), 1);
    (0..100).for_each(|_| host.step());
    assert_eq!(follow(&mut host, client, &mut mirror), 1);
}

proptest! {
    /// What happens to each frame and to each acknowledgement: lost, delayed by some ticks, or repeated.
    #[test]
    fn a_mirror_whose_frames_get_lost_is_right_whenever_one_arrives(
        fates in prop::collection::vec((any::<bool>(), 0_usize..4, any::<bool>(), any::<bool>()), 1..120),
    ) {
        let mut host = Host::new(PublisherOptions { baseline_every: 2, ..PublisherOptions::default() });
        let client = host.publisher.connect_lossy();
        let mut schema = Vec::new();
        host.publisher.lossy_schema().encode(&mut schema);
        let mut mirror = LossyViewWorld::open(&schema).unwrap();
        let mut on_the_way: Vec<(u64, peristyle_replica::Bytes)> = Vec::new();
        let mut hashes = std::collections::BTreeMap::new();
        let mut entities = std::collections::BTreeSet::new();
        for (is_lost, delay, is_repeated, is_acknowledged) in fates {
            host.step();
            hashes.insert(host.tick, host.publisher.view().hash());
            let frame = host.publisher.take(client).unwrap();
            if !is_lost {
                on_the_way.push((host.tick + delay as u64, frame.clone()));
            }
            if is_repeated {
                on_the_way.push((host.tick + 2, frame));
            }
            for (_, frame) in on_the_way.extract_if(.., |(due, _)| *due <= host.tick) {
                match mirror.apply(&frame) {
                    Ok(Some((applied, acknowledge))) => {
                        prop_assert_eq!(mirror.world().hash(), hashes[&applied.tick]);
                        for removed in mirror.world().removed() {
                            prop_assert!(entities.remove(&removed.entity));
                        }
                        for row in mirror.world().added() {
                            prop_assert!(entities.insert(mirror.world().entity(*row as usize).unwrap()));
                        }
                        prop_assert_eq!(entities.len(), mirror.world().len());
                        if let Some(tick) = acknowledge.filter(|_| is_acknowledged) {
                            host.publisher.acknowledge(client, tick);
                        }
                    }
                    Ok(None) => {}
                    Err(FrameError::Gap { .. }) => {}
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
        }
        // The channel heals: frame after frame arrives, and both agree.
        for _ in 0..3 {
            host.step();
            let frame = host.publisher.take(client).unwrap();
            let (_, acknowledge) = mirror.apply(&frame).unwrap().unwrap();
            prop_assert_eq!(mirror.world().hash(), host.publisher.view().hash());
            if let Some(tick) = acknowledge {
                host.publisher.acknowledge(client, tick);
            }
        }
    }
}

#[test]
fn all_clients_are_drained_in_order_and_a_full_one_keeps_its_place() {
    let mut host = Host::new(PublisherOptions::default());
    let clients = [(); 3].map(|()| host.publisher.connect());
    host.step();
    let mut mirrors: Vec<ViewWorld> = Vec::new();
    let mut order = Vec::new();
    host.publisher.drain(|client, bytes| {
        order.push(client);
        match mirrors.get_mut(clients.iter().position(|known| *known == client).unwrap()) {
            None => mirrors.push(ViewWorld::open(&bytes).unwrap()),
            Some(mirror) => drop(mirror.apply(&bytes).unwrap()),
        }
        true
    });
    assert_eq!(order, clients.map(|client| [client; 2]).concat());
    (0..3).for_each(|_| host.step());
    let mut handed = [0; 3];
    host.publisher.drain(|client, bytes| {
        let at = clients.iter().position(|known| *known == client).unwrap();
        mirrors[at].apply(&bytes).unwrap();
        handed[at] += 1;
        // The second takes one message at a time.
        at != 1
    });
    assert_eq!((handed, clients.map(|client| host.publisher.behind(client))), ([3, 1, 3], [0, 2, 0]));
    assert_eq!(follow(&mut host, clients[1], &mut mirrors[1]), 2);
    host.publisher.drain(|_, _| panic!("everybody has everything"));
}
