//! Messages of a replica stream from a hostile peer: never a panic, and what is refused changes nothing.
//!
//! The first byte chooses the schema, the next two bytes the length of the first frame; the rest is the second one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peristyle_replica::{Answer, LossyViewWorld, Request, Schema, Topic, ViewWorld};

/// A schema with a field of each way: exact and quantised, narrow and wide, held, linear and plain.
fn own_schema() -> Vec<u8> {
    use peristyle_replica::{ComponentView, Predictor, View, ViewSpec};
    use peristyle_world::{Component, World};

    #[derive(Component, Clone, Copy)]
    struct Position {
        x: f32,
        y: f64,
        n: i16,
    }
    #[derive(Component, Clone, Copy)]
    struct State {
        id: u64,
        on: bool,
    }
    let mut world = World::new().expect("addresses");
    let position = ComponentView::of::<Position>()
        .quantised("x", 0.01)
        .predicted("x", Predictor::Linear)
        .predicted("n", Predictor::None);
    let spec = ViewSpec::new().with(position).with(ComponentView::of::<State>().optional());
    let view = View::new(&mut world, spec).expect("a view");
    let mut schema = Vec::new();
    view.schema().encode(&mut schema);
    schema
}

/// A frame's body, packed.
fn packed(header: &[u8], body: &[u8]) -> Vec<u8> {
    let mut message = header.to_vec();
    let mut left = body.len();
    while left >= 0x80 {
        message.push(left as u8 | 0x80);
        left >>= 7;
    }
    message.push(left as u8);
    message.extend(zstd::bulk::compress(body, 1).expect("memory"));
    message
}

fuzz_target!(|data: &[u8]| {
    let _ = (Request::decode(data), Answer::decode(data), Topic::split(data));
    if let Ok(schema) = Schema::decode(data) {
        let mut again = Vec::new();
        schema.encode(&mut again);
        assert_eq!(Schema::decode(&again).as_ref(), Ok(&schema));
    }
    let [low, high, rest @ ..] = data else { return };
    let schema = own_schema();
    let split = (usize::from(*low) | usize::from(*high) << 8).min(rest.len());
    let (first, second) = rest.split_at(split);
    // Fuzzers cannot guess a header: it is put before what they make.
    let mut header = vec![schema[0], schema[1], 1];
    header.extend_from_slice(&schema[3..7]);
    let packed_header = [&[schema[0], schema[1], 3], &schema[3..7]].concat();
    let mut world = ViewWorld::open(&schema).expect("our own schema");
    world.set_bytes_max(1 << 16);
    let mut lossy = LossyViewWorld::open(&schema).expect("our own schema");
    world.set_rows_max(1 << 16);
    for body in [first, second] {
        let frame = [&header, body].concat();
        let before = (world.tick(), world.hash());
        match world.apply(&frame) {
            Err(error) if !matches!(error, peristyle_replica::FrameError::Hash { .. }) => {
                assert_eq!(before, (world.tick(), world.hash()));
            }
            _ => {}
        }
        let _ = lossy.apply(&frame);
        // The same bytes as what a packed frame consists of, and packed as they should be.
        for message in [[&packed_header, body].concat(), packed(&packed_header, body)] {
            let before = (world.tick(), world.hash());
            match world.apply(&message) {
                Err(error) if !matches!(error, peristyle_replica::FrameError::Hash { .. }) => {
                    assert_eq!(before, (world.tick(), world.hash()));
                }
                _ => {}
            }
        }
    }
});
