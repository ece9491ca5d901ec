//! Connections of a mirror: parts of the world, inputs, returning.

use std::sync::Arc;

use peristyle_replica::{
    Answer, ComponentView, ConnectionId, Interest, PublisherOptions, ReceiveError, ReplicaHost, Request, ViewError,
    ViewSpec, ViewWorld,
};
use peristyle_world::{Component, Entity, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f32,
}

struct Scene {
    world: World,
    host: ReplicaHost,
    entities: Vec<Entity>,
    tick: u64,
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new().unwrap();
        let entities =
            world.spawn_batch((0..100).map(|x| (Position { x: x as f32, y: 0.0 },))).unwrap().iter().collect();
        let spec = ViewSpec::new().with(ComponentView::of::<Position>());
        let host = ReplicaHost::new(&mut world, spec, PublisherOptions::default(), 7).unwrap();
        Scene { world, host, entities, tick: 0 }
    }

    fn tick(&mut self) {
        self.tick += 1;
        self.host.publish(&mut self.world, self.tick);
    }

    fn send(&mut self, connection: ConnectionId, request: &Request) -> Result<(), ReceiveError> {
        let mut message = Vec::new();
        request.encode(&mut message);
        self.host.receive(connection, &message)
    }

    fn near(&mut self, connection: ConnectionId, least: f64, end: f64) {
        let interest = Interest::on("Position").within("x", least, end).within("y", -1.0, 1.0);
        self.send(connection, &Request::Interest(Some(interest))).unwrap();
    }
}

/// A client: what it shows, and the answers that it got.
struct Client {
    connection: ConnectionId,
    mirror: Option<ViewWorld>,
    answers: Vec<Answer>,
}

impl Client {
    fn open(scene: &mut Scene) -> Client {
        Client { connection: scene.host.open(None), mirror: None, answers: Vec::new() }
    }

    fn follow(&mut self, scene: &mut Scene) -> usize {
        let mut taken = 0;
        while let Some(message) = scene.host.take(self.connection) {
            taken += 1;
            if let Some(answer) = Answer::decode(&message).unwrap() {
                self.answers.push(answer);
            } else if message[2] == 0 {
                // The same schema again, when it sees another part.
                self.mirror.get_or_insert_with(|| ViewWorld::open(&message).unwrap());
            } else {
                self.mirror.as_mut().unwrap().apply(&message).unwrap();
            }
        }
        taken
    }

    fn xs(&self) -> Vec<f32> {
        let mirror = self.mirror.as_ref().unwrap();
        let xs = mirror.column::<f32>("Position", "x").unwrap();
        let mut xs: Vec<f32> =
            (0..mirror.rows()).filter(|row| mirror.entity(*row).is_some()).map(|row| xs[row]).collect();
        xs.sort_by(f32::total_cmp);
        xs
    }
}

#[test]
fn clients_choose_their_part_and_share_it() {
    let mut scene = Scene::new();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(&mut scene)).collect();
    scene.tick();
    for client in &mut clients {
        client.follow(&mut scene);
        assert_eq!(client.xs().len(), 100);
    }
    scene.near(clients[0].connection, 10.0, 13.0);
    scene.near(clients[1].connection, 10.0, 13.0);
    scene.tick();
    for client in &mut clients {
        client.follow(&mut scene);
    }
    assert_eq!(clients[0].xs(), [10.0, 11.0, 12.0]);
    assert_eq!(clients[2].xs().len(), 100);
    // One walks in, one walks out.
    scene.world.set(scene.entities[50], Position { x: 10.5, y: 0.0 }).unwrap();
    scene.world.set(scene.entities[11], Position { x: 11.0, y: 5.0 }).unwrap();
    scene.tick();
    let frames = [0, 1].map(|client: usize| scene.host.take(clients[client].connection).unwrap());
    assert!(Arc::ptr_eq(&frames[0], &frames[1]), "the same part is encoded once");
    clients[0].mirror.as_mut().unwrap().apply(&frames[0]).unwrap();
    assert_eq!(clients[0].xs(), [10.0, 10.5, 12.0]);
    let removed = clients[0].mirror.as_ref().unwrap().removed();
    assert_eq!((removed.len(), removed[0].entity), (1, scene.entities[11]));
    // Back to everything.
    scene.send(clients[0].connection, &Request::Interest(None)).unwrap();
    scene.tick();
    clients[0].follow(&mut scene);
    assert_eq!(clients[0].xs().len(), 100);
}

#[test]
fn a_part_that_cannot_be_is_refused_and_the_client_goes_on() {
    let mut scene = Scene::new();
    let mut client = Client::open(&mut scene);
    scene.tick();
    client.follow(&mut scene);
    let nowhere = Interest::on("Position").within("z", 0.0, 1.0);
    scene.send(client.connection, &Request::Interest(Some(nowhere))).unwrap();
    scene.tick();
    assert!(client.follow(&mut scene) == 1 && client.xs().len() == 100);
    let refusal = scene.host.refusal(client.connection).unwrap();
    assert_eq!(refusal, ViewError::NoField { component: "Position".into(), field: "z".into() });
    assert!(matches!(scene.host.receive(client.connection, b"nonsense"), Err(ReceiveError::Frame(_))));
    scene.host.close(client.connection);
    assert_eq!(scene.host.receive(client.connection, b""), Err(ReceiveError::Closed));
    assert!(scene.host.take(client.connection).is_none());
}

#[test]
fn inputs_come_in_order_once_and_are_answered_with_the_tick_that_has_them() {
    let mut scene = Scene::new();
    let (mut first, second) = (Client::open(&mut scene), Client::open(&mut scene));
    let input = |number| Request::Input { number, bytes: vec![number as u8] };
    for (connection, number) in
        [(second.connection, 1), (first.connection, 1), (first.connection, 2), (first.connection, 1)]
    {
        scene.send(connection, &input(number)).unwrap();
    }
    let mut taken = Vec::new();
    scene.host.inputs(|input| taken.push((input.connection, input.number)));
    assert_eq!(taken, [(first.connection, 1), (first.connection, 2), (second.connection, 1)]);
    scene.tick();
    first.follow(&mut scene);
    assert_eq!(first.answers, [Answer { tick: 1, input: 2 }]);
    // Sent again because it might have been lost: not run twice.
    scene.send(first.connection, &input(2)).unwrap();
    scene.host.inputs(|input| panic!("{input:?} again"));
    scene.tick();
    first.follow(&mut scene);
    assert_eq!(first.answers.len(), 1);
    for number in 3..259 {
        scene.send(first.connection, &input(number)).unwrap();
    }
    assert_eq!(scene.send(first.connection, &input(259)), Err(ReceiveError::Flooded { waiting: 256 }));
}

#[test]
fn who_returns_in_the_same_epoch_gets_what_it_missed() {
    let mut scene = Scene::new();
    let mut client = Client::open(&mut scene);
    scene.tick();
    client.follow(&mut scene);
    scene.host.close(client.connection);
    scene.world.set(scene.entities[0], Position { x: -5.0, y: 0.0 }).unwrap();
    scene.tick();
    scene.tick();
    client.connection = scene.host.open(Some((7, 1)));
    assert_eq!(client.follow(&mut scene), 2);
    assert_eq!(client.xs()[0], -5.0);
    client.connection = scene.host.open(Some((6, 3)));
    client.mirror = None;
    assert_eq!(client.follow(&mut scene), 2, "another epoch: schema and snapshot");
    assert_eq!(client.xs().len(), 100);
}
