#[derive(peristyle_world::Component, Clone, Copy)]
struct Wrapper<T> {
    value: T,
}

fn main() {}
