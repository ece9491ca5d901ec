#[derive(peristyle_world::Component, Clone, Copy)]
#[component(opaqe)]
struct Typo {
    x: f32,
}

fn main() {}
