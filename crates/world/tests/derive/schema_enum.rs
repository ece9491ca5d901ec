#[derive(peristyle_world::Described)]
enum State {
    On,
    Off,
}

fn main() {}
