#[derive(peristyle_world::Component, Clone, Copy)]
enum State {
    On,
    Off,
}

fn main() {}
