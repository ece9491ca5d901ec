//! Clients that run ahead, and values between ticks.

use std::collections::VecDeque;

use peristyle_replica::{
    ComponentView, Interpolation, LossyViewWorld, PredictError, Prediction, Publisher, PublisherOptions, View,
    ViewSpec, ViewWorld,
};
use peristyle_world::{ColumnReader, Component, Entity, World};
use proptest::prelude::*;

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Position {
    x: f32,
    y: f32,
}

#[derive(Component, Clone, Copy, Debug, PartialEq)]
struct Velocity {
    x: f32,
}

/// What host and client run in a tick: the input steers, walls stop.
fn step(world: &mut World, input: &f32) {
    world.query::<(&mut Position, &mut Velocity)>().for_each(world, |(position, velocity)| {
        *velocity.x = (*velocity.x + input).clamp(-4.0, 4.0);
        *position.x = (*position.x + *velocity.x).clamp(-50.0, 50.0);
    });
}

struct Host {
    world: World,
    view: View,
    own: Entity,
    tick: u64,
    /// The last input that was taken in.
    last: u64,
}

impl Host {
    fn new() -> Host {
        let mut world = World::new().unwrap();
        let own = world.spawn((Position { x: 0.0, y: 1.0 }, Velocity { x: 0.0 })).unwrap();
        let spec = ViewSpec::new().with(ComponentView::of::<Position>()).with(ComponentView::of::<Velocity>());
        let view = View::new(&mut world, spec).unwrap();
        Host { world, view, own, tick: 0, last: 0 }
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut frame = Vec::new();
        self.tick += 1;
        self.view.publish(ColumnReader::new(&mut self.world), self.tick, Some(self.last), &mut frame);
        frame
    }
}

fn prediction(view: &ViewWorld) -> Prediction<f32> {
    let mut prediction = Prediction::new(World::new().unwrap());
    prediction.predict::<Position>(view).unwrap();
    prediction.predict::<Velocity>(view).unwrap();
    prediction
}

#[test]
fn what_the_host_agrees_with_is_not_corrected() {
    let mut host = Host::new();
    let mut view = ViewWorld::with_schema(host.view.schema().clone());
    view.apply(&host.frame()).unwrap();
    let mut prediction = prediction(&view);
    let local = prediction.follow(&view, host.own).unwrap().unwrap();
    // The host is five inputs behind all the time.
    let mut on_the_way = VecDeque::new();
    for at in 0..100 {
        let input = (at as f32 * 0.7).sin();
        let number = prediction.input(input, step).unwrap();
        on_the_way.push_back((number, input));
        if on_the_way.len() > 5 {
            let (number, input) = on_the_way.pop_front().unwrap();
            step(&mut host.world, &input);
            host.last = number;
        }
        let applied = view.apply(&host.frame()).unwrap();
        let corrections = prediction.reconcile(&view, applied.input.unwrap(), step).unwrap();
        assert_eq!(corrections, [], "step {at}");
        assert_eq!(prediction.waiting(), on_the_way.len());
    }
    for (_, input) in on_the_way {
        step(&mut host.world, &input);
    }
    let ahead = prediction.world().get::<Position>(local).unwrap();
    assert_eq!(ahead, host.world.get::<Position>(host.own).unwrap());
}

#[test]
fn what_the_host_saw_otherwise_is_corrected_and_inputs_since_are_replayed() {
    let mut host = Host::new();
    let mut view = ViewWorld::with_schema(host.view.schema().clone());
    view.apply(&host.frame()).unwrap();
    let mut prediction = prediction(&view);
    let local = prediction.follow(&view, host.own).unwrap().unwrap();
    for _ in 0..3 {
        prediction.input(1.0, step).unwrap();
    }
    assert_eq!(prediction.world().get::<Position>(local).unwrap().x, 6.0);
    // The host took in one input, and somebody pushed the entity.
    step(&mut host.world, &1.0);
    host.last = 1;
    host.world.set(host.own, Position { x: 11.0, y: 1.0 }).unwrap();
    let applied = view.apply(&host.frame()).unwrap();
    let corrections = prediction.reconcile(&view, applied.input.unwrap(), step).unwrap();
    let [correction] = corrections else { panic!("{corrections:?}") };
    assert_eq!((correction.entity, correction.component, correction.field), (host.own, 0, 0));
    assert_eq!((correction.before, correction.after), (6.0, 16.0));
    assert_eq!(prediction.world().get::<Position>(local).unwrap(), Position { x: 16.0, y: 1.0 });
}

#[test]
fn entities_that_leave_are_followed_no_more_and_a_silent_host_stops_prediction() {
    let mut host = Host::new();
    let mut view = ViewWorld::with_schema(host.view.schema().clone());
    view.apply(&host.frame()).unwrap();
    let mut prediction = prediction(&view);
    assert!(prediction.follow(&view, host.own).unwrap().is_some());
    assert_eq!(prediction.follow(&view, Entity::new(77, 1)).unwrap(), None, "not in view");
    prediction.set_inputs_max(2);
    prediction.input(1.0, step).unwrap();
    prediction.input(1.0, step).unwrap();
    let error = prediction.input(1.0, step).unwrap_err();
    assert!(matches!(error, PredictError::TooFarAhead { inputs: 2 }), "{error}");
    host.world.despawn(host.own).unwrap();
    host.last = 2;
    let applied = view.apply(&host.frame()).unwrap();
    prediction.reconcile(&view, applied.input.unwrap(), step).unwrap();
    assert_eq!((prediction.local(host.own), prediction.world().len(), prediction.waiting()), (None, 0, 0));
}

#[test]
fn components_that_cannot_be_predicted_are_refused_by_name() {
    #[derive(Component, Clone, Copy)]
    struct Other {
        _n: u8,
    }
    mod elsewhere {
        #[derive(peristyle_world::Component, Clone, Copy)]
        pub struct Position {
            pub x: f64,
        }
    }
    let host = Host::new();
    let view = ViewWorld::with_schema(host.view.schema().clone());
    let mut prediction = Prediction::<()>::new(World::new().unwrap());
    let error = prediction.predict::<Other>(&view).unwrap_err();
    assert_eq!(error.to_string(), "component `Other` cannot be predicted: the view does not show it");
    let error = prediction.predict::<elsewhere::Position>(&view).unwrap_err();
    assert_eq!(error.to_string(), "component `Position` cannot be predicted: its fields are others than the host's");
    let _ = elsewhere::Position { x: 0.0 };
}

proptest! {
    /// Inputs and frames get lost. As soon as the client hears of all its inputs, both worlds are the same.
    #[test]
    fn prediction_over_a_lossy_channel_ends_where_the_host_is(
        fates in prop::collection::vec((-1_f32..1.0, any::<bool>(), any::<bool>()), 1..80),
    ) {
        let mut world = World::new().unwrap();
        let own = world.spawn((Position { x: 0.0, y: 1.0 }, Velocity { x: 0.0 })).unwrap();
        let spec = ViewSpec::new().with(ComponentView::of::<Position>()).with(ComponentView::of::<Velocity>());
        let options = PublisherOptions { baseline_every: 1, ..PublisherOptions::default() };
        let mut publisher = Publisher::new(&mut world, spec, options).unwrap();
        let client = publisher.connect_lossy();
        let mut schema = Vec::new();
        publisher.lossy_schema().encode(&mut schema);
        let mut mirror = LossyViewWorld::open(&schema).unwrap();
        publisher.publish(ColumnReader::new(&mut world), 1);
        mirror.apply(&publisher.take(client).unwrap()).unwrap();
        let mut prediction = prediction(mirror.world());
        let local = prediction.follow(mirror.world(), own).unwrap().unwrap();
        // Sent again with each packet until the host says that it has them.
        let mut unheard: VecDeque<(u64, f32)> = VecDeque::new();
        let (mut last, mut tick) = (0, 1);
        let quiet = std::iter::repeat_n((0.0, false, false), 3);
        for (input, loses_input, loses_frame) in fates.into_iter().chain(quiet) {
            unheard.push_back((prediction.input(input, step).unwrap(), input));
            if !loses_input {
                for (number, input) in &unheard {
                    if *number > last {
                        step(&mut world, input);
                        last = *number;
                    }
                }
            }
            tick += 1;
            publisher.publish(ColumnReader::new(&mut world), tick);
            let frame = publisher.take(client).unwrap();
            if !loses_frame && let Some((_, acknowledge)) = mirror.apply(&frame).unwrap() {
                acknowledge.into_iter().for_each(|tick| publisher.acknowledge(client, tick));
                unheard.retain(|(number, _)| *number > last);
                prediction.reconcile(mirror.world(), last, step).unwrap();
            }
        }
        prop_assert_eq!(prediction.waiting(), 0);
        prop_assert_eq!(prediction.world().get::<Position>(local).unwrap(), world.get::<Position>(own).unwrap());
    }
}

#[test]
fn values_between_ticks_lie_on_the_line_and_come_to_rest() {
    let mut host = Host::new();
    let mut view = ViewWorld::with_schema(host.view.schema().clone());
    let mut between = Interpolation::of([("Position", "x"), ("Position", "nothing")]);
    view.apply(&host.frame()).unwrap();
    between.advance(&view);
    assert_eq!(between.value(0, 0, 0.5), Some(0.0), "who is new starts where it is");
    host.world.set(host.own, Position { x: 8.0, y: 0.0 }).unwrap();
    view.apply(&host.frame()).unwrap();
    between.advance(&view);
    assert_eq!([0.0, 0.25, 1.0].map(|part| between.value(0, 0, part).unwrap()), [0.0, 2.0, 8.0]);
    let mut out = [0.0];
    between.sample(0, 0.75, &mut out);
    assert_eq!(out, [6.0]);
    view.apply(&host.frame()).unwrap();
    between.advance(&view);
    assert_eq!(between.value(0, 0, 0.25), Some(8.0), "nothing moved in this tick");
    assert_eq!(between.value(1, 3, 0.5), None);
}
