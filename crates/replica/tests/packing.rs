//! Frames packed by zstd: for those who asked, shorter, and never more than is allowed.

use peristyle_replica::{
    ComponentView, FrameError, Interest, MAGIC, Publisher, PublisherOptions, ReplicaHost, Request, Subscription,
    VERSION, ViewSpec, ViewWorld,
};
use peristyle_world::{ColumnReader, Component, World};

const PACKED: u8 = 3;

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

fn is_packed(message: &[u8]) -> bool {
    message.starts_with(&[MAGIC, VERSION, PACKED])
}

/// A world whose values repeat in a way that ranges and runs do not see.
fn world() -> World {
    let mut world = World::new().unwrap();
    let at = |i: u32| Position { x: [1.5, -70.25, 1e6][i as usize % 3], y: [0.1, 0.2][i as usize % 2] };
    world.spawn_batch((0..3000).map(|i| (at(i),))).unwrap();
    world
}

fn publisher(world: &mut World) -> Publisher {
    let spec = ViewSpec::new().with(ComponentView::of::<Position>()).hash_every(1);
    Publisher::new(world, spec, PublisherOptions { log_frames: 8, ..PublisherOptions::default() }).unwrap()
}

#[test]
fn who_asks_takes_packed_frames_and_sees_the_same() {
    let mut world = world();
    let mut publisher = publisher(&mut world);
    let (plain, packing, late) = (publisher.connect(), publisher.connect(), publisher.connect());
    publisher.pack(packing);
    publisher.pack(late);
    let schema = publisher.take(plain).unwrap();
    assert_eq!(publisher.take(packing).unwrap(), schema);
    publisher.take(late).unwrap();
    let mut mirrors = [ViewWorld::open(&schema).unwrap(), ViewWorld::open(&schema).unwrap()];
    let (mut sizes, mut packed) = ([0, 0], 0);
    for tick in 1..30_u64 {
        let by = if tick % 5 == 0 { 0.0 } else { (tick as f32 * 37.0) % 11.0 };
        world.query::<&mut Position>().for_each(&mut world, |position| *position.x = -*position.x + by);
        publisher.publish(ColumnReader::new(&mut world), tick);
        for (at, client) in [plain, packing].into_iter().enumerate() {
            while let Some(bytes) = publisher.take(client) {
                assert!(at == 1 || !is_packed(&bytes), "nobody asked");
                packed += usize::from(is_packed(&bytes));
                sizes[at] += bytes.len();
                // A hash in each frame proves that both hold what the host does.
                mirrors[at].apply(&bytes).unwrap();
            }
        }
        assert_eq!(mirrors[0].hash(), mirrors[1].hash());
    }
    assert!(packed > 20 && sizes[1] * 4 < sizes[0] * 3, "{packed} packed, {sizes:?} bytes");
    // Who fell behind the log starts from a packed snapshot.
    let snapshot = publisher.take(late).unwrap();
    assert!(is_packed(&snapshot));
    let mut mirror = ViewWorld::open(&schema).unwrap();
    assert!(mirror.apply(&snapshot).unwrap().snapshot);
    assert_eq!(mirror.hash(), mirrors[0].hash());
    // What zstd would not shorten goes as it is.
    publisher.publish(ColumnReader::new(&mut world), 30);
    assert!(!is_packed(&publisher.take(packing).unwrap()));
}

#[test]
fn a_connection_asks_in_its_address_and_keeps_it_with_another_interest() {
    let mut world = world();
    let spec = ViewSpec::new().with(ComponentView::of::<Position>());
    let mut host = ReplicaHost::new(&mut world, spec, PublisherOptions::default(), 1).unwrap();
    let asked = Subscription::parse("topics=render.state&packing=zstd").unwrap();
    let unaware = Subscription::parse("topics=render.state").unwrap();
    let connections = [asked, unaware].map(|subscription| {
        let connection = host.open(subscription.resume);
        if subscription.packed {
            host.pack(connection);
        }
        connection
    });
    let mut packed = [0; 2];
    for tick in 1..4 {
        if tick == 2 {
            let interest = Request::Interest(Some(Interest::on("Position").within("x", 0.0, 1e9)));
            let mut request = Vec::new();
            interest.encode(&mut request);
            connections.iter().for_each(|connection| host.receive(*connection, &request).unwrap());
        }
        host.publish(&mut world, tick);
        for (connection, packed) in connections.iter().zip(&mut packed) {
            while let Some(bytes) = host.take(*connection) {
                *packed += usize::from(is_packed(&bytes));
            }
        }
    }
    assert_eq!(packed, [2, 0], "a snapshot of each part");
}

/// A packed frame that says that it unpacks to `says` bytes.
fn packed(schema: &ViewWorld, says: u64, content: &[u8]) -> Vec<u8> {
    let mut message = vec![MAGIC, VERSION, PACKED];
    message.extend_from_slice(&(schema.schema().hash() as u32).to_le_bytes());
    let mut left = says;
    while left >= 0x80 {
        message.push(left as u8 | 0x80);
        left >>= 7;
    }
    message.push(left as u8);
    message.extend_from_slice(content);
    message
}

#[test]
fn bombs_and_rubbish_are_refused_and_change_nothing() {
    let mut world = world();
    let mut publisher = publisher(&mut world);
    let client = publisher.connect();
    let mut mirror = ViewWorld::open(&publisher.take(client).unwrap()).unwrap();
    publisher.publish(ColumnReader::new(&mut world), 1);
    mirror.apply(&publisher.take(client).unwrap()).unwrap();
    let before = (mirror.tick(), mirror.hash());
    let zeros = vec![0; 10 << 20];
    let bomb = zstd::bulk::compress(&zeros, 19).unwrap();
    assert!(bomb.len() < 2000, "ten megabytes in {} bytes", bomb.len());
    let cases = [
        (packed(&mirror, 10 << 20, &bomb), "a frame that unpacks to more bytes than are allowed"),
        (packed(&mirror, u64::MAX, &bomb), "a frame that unpacks to more bytes than are allowed"),
        (packed(&mirror, 1000, &bomb), "no zstd frame, or one that is longer than it says"),
        (packed(&mirror, 1000, b"rubbish"), "no zstd frame, or one that is longer than it says"),
        (packed(&mirror, 1000, &bomb[..bomb.len() / 2]), "no zstd frame, or one that is longer than it says"),
        (
            packed(&mirror, 1000, &zstd::bulk::compress(b"short", 1).unwrap()),
            "a packed frame that is shorter than it says",
        ),
        (packed(&mirror, 1000, b""), "a packed frame that is shorter than it says"),
    ];
    mirror.set_bytes_max(1 << 20);
    for (message, expected) in cases {
        match mirror.apply(&message) {
            Err(FrameError::Invalid { what, .. }) => assert_eq!(what, expected),
            other => panic!("{other:?} for {expected}"),
        }
        assert_eq!((mirror.tick(), mirror.hash()), before);
    }
    // What is packed is a frame: one of rubbish is refused like any other, and none lies inside of another.
    let inside = packed(&mirror, 5, &zstd::bulk::compress(b"hello", 1).unwrap());
    for content in [b"hello".as_slice(), &inside] {
        let message = packed(&mirror, content.len() as u64, &zstd::bulk::compress(content, 1).unwrap());
        assert!(mirror.apply(&message).is_err());
        assert_eq!((mirror.tick(), mirror.hash()), before);
    }
}

#[test]
fn a_cut_or_bent_packed_frame_changes_nothing() {
    let mut world = world();
    let mut publisher = publisher(&mut world);
    let client = publisher.connect();
    publisher.pack(client);
    let schema = publisher.take(client).unwrap();
    publisher.publish(ColumnReader::new(&mut world), 1);
    let frame = publisher.take(client).unwrap();
    assert!(is_packed(&frame));
    for at in 0..frame.len() {
        let mut mirror = ViewWorld::open(&schema).unwrap();
        assert!(mirror.apply(&frame[..at]).is_err(), "cut at {at}");
        let mut bent = frame.to_vec();
        bent[at] ^= 1 << (at % 8);
        // The hash tells, where zstd does not.
        if mirror.apply(&bent).is_err() {
            assert_eq!(mirror.tick(), None, "bent at {at}");
        }
    }
}
