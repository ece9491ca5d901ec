//! Records a stream of frames and what a view-world holds after each, for view-worlds in other languages to be checked by.
//!
//! ```text
//! cargo run -p peristyle-replica --example replica_vectors -- DIRECTORY [ENTITIES] [TICKS] [SEED]
//! ```
//!
//! It writes three files. `stream.bin`: the messages, each after its length as u32, little-endian; the first is the schema.
//! `states.json`: for each frame an object with what the view-world says after it: tick, rows, hash, what was added,
//! removed and changed, and every value of every row; 64-bit integers are texts, values of rows that lack the component
//! are null. `requests.json`: requests of clients and their bytes in hexadecimal digits.

use std::fmt::Write as _;
use std::path::PathBuf;

use peristyle_layout::Scalar;
use peristyle_replica::{ComponentView, Gone, Interest, Predictor, Request, View, ViewSpec, ViewWorld};
use peristyle_world::{ColumnReader, Component, Entity, World};

#[derive(Component, Clone, Copy)]
struct Position {
    x: f32,
    y: f64,
    z: f32,
}

#[derive(Component, Clone, Copy)]
struct Body {
    small: i8,
    byte: u8,
    short: i16,
    unsigned: u16,
    count: i32,
    bits: u32,
    since: i64,
    id: u64,
    alive: bool,
    mass: f64,
    heat: f32,
}

#[derive(Component, Clone, Copy)]
struct Route {
    leg: i32,
    time: f64,
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() >> 33) as usize % end.max(1)
    }

    fn between(&mut self, least: f64, end: f64) -> f64 {
        least + (self.roll() >> 11) as f64 / (1_u64 << 53) as f64 * (end - least)
    }

    fn body(&mut self) -> Body {
        let bits = self.roll();
        Body {
            small: bits as i8,
            byte: (bits >> 8) as u8,
            short: (bits >> 16) as i16,
            unsigned: (bits >> 24) as u16,
            count: (bits >> 32) as i32,
            bits: bits as u32,
            since: bits as i64,
            id: self.roll(),
            alive: bits & 1 != 0,
            mass: self.between(-1e3, 1e9),
            heat: self.between(-1.0, 1.0) as f32,
        }
    }
}

fn spec() -> ViewSpec {
    let position = ComponentView::of::<Position>()
        .quantised("x", 1.0 / 64.0)
        .predicted("x", Predictor::Linear)
        .quantised("y", 0.0005);
    let body = ComponentView::of::<Body>()
        .optional()
        .predicted("since", Predictor::Linear)
        .predicted("count", Predictor::Linear)
        .predicted("bits", Predictor::None)
        .predicted("mass", Predictor::None);
    let route = ComponentView::of::<Route>().optional().predicted("leg", Predictor::None);
    ViewSpec::new().with(position).with(body).with(route).hash_every(3)
}

struct Scene {
    world: World,
    entities: Vec<Entity>,
    dice: Dice,
}

impl Scene {
    fn spawn(&mut self, count: usize) -> Result<(), Box<dyn std::error::Error>> {
        for _ in 0..count {
            let dice = &mut self.dice;
            let x = dice.between(-100.0, 100.0);
            let position = Position { x: x as f32, y: x * 0.5, z: (x * 1e-3) as f32 };
            let entity = match dice.below(3) {
                0 => self.world.spawn((position,))?,
                1 => self.world.spawn((position, dice.body()))?,
                _ => {
                    let route = Route { leg: dice.below(9) as i32, time: dice.between(0.0, 1.0) };
                    self.world.spawn((position, dice.body(), route))?
                }
            };
            self.entities.push(entity);
        }
        Ok(())
    }

    fn despawn(&mut self, count: usize) -> Result<(), Box<dyn std::error::Error>> {
        for _ in 0..count.min(self.entities.len()) {
            let at = self.dice.below(self.entities.len());
            self.world.despawn(self.entities.swap_remove(at))?;
        }
        Ok(())
    }

    /// Everybody moves on, and counts.
    fn advance(&mut self) {
        self.world.query::<&mut Position>().for_each(&mut self.world, |position| *position.x += 0.75);
        self.world.query::<&mut Route>().for_each(&mut self.world, |route| *route.leg += 1);
        let dice = &mut self.dice;
        self.world.query::<&mut Body>().for_each(&mut self.world, |body| *body.since += dice.below(9) as i64 - 4);
    }

    /// Changes something, another thing in each tick.
    fn step(&mut self, tick: u64, entities: usize) -> Result<(), Box<dyn std::error::Error>> {
        let few = (self.entities.len() / 20).max(1);
        match tick % 8 {
            1 => self.advance(),
            2 => self.world.query::<&mut Position>().for_each(&mut self.world, |position| {
                *position.x += 0.75;
                *position.y -= *position.z as f64;
            }),
            3 => {
                self.advance();
                self.despawn(few * 2)?;
                self.spawn(few)?;
            }
            // Some, far from each other.
            4 => {
                for _ in 0..few {
                    let at = self.dice.below(self.entities.len());
                    let y = self.dice.between(-1e6, 1e6);
                    self.world.set(self.entities[at], Position { x: y as f32, y, z: -0.0 })?;
                }
            }
            // Half of them, anywhere.
            5 => {
                for at in 0..self.entities.len() {
                    let body = self.dice.body();
                    if self.dice.below(2) == 0 {
                        // Not everybody has one.
                        let _ = self.world.set(self.entities[at], body);
                    }
                }
            }
            // Components come and go.
            6 => {
                for _ in 0..few {
                    let at = self.dice.below(self.entities.len());
                    let body = self.dice.body();
                    let _ = self.world.remove::<Route>(self.entities[at]);
                    self.world.insert(self.entities[(at + 1) % self.entities.len()], (body,))?;
                }
                self.spawn(entities.saturating_sub(self.entities.len()))?;
                if tick > 8 {
                    self.advance();
                }
            }
            // Neighbours.
            7 => {
                for at in self.entities.len() / 3..self.entities.len() / 2 {
                    self.world.set(self.entities[at], Position { x: at as f32, y: -1.0, z: f32::INFINITY })?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn list(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

/// The rows of a bitset.
fn rows(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    (0..words.len() * 64).filter(|row| words[row / 64] >> (row % 64) & 1 != 0)
}

/// A field's values, one for each row.
fn values(mirror: &ViewWorld, component: usize, field: usize) -> String {
    let schema = &mirror.schema().components()[component];
    let (name, field) = (&schema.name, &schema.fields[field]);
    let has = |row: usize| mirror.has(component).get(row / 64).is_some_and(|word| word >> (row % 64) & 1 != 0);
    macro_rules! each {
        ($type:ty, $value:ident => $text:expr) => {{
            let column = mirror.column::<$type>(name, &field.name).unwrap_or_default().iter().enumerate();
            list(column.map(|(row, $value)| if has(row) { $text } else { "null".to_owned() }))
        }};
    }
    let float = |value: f64| if value.is_finite() { format!("{value:?}") } else { format!("\"{value}\"") };
    match field.scalar {
        Scalar::F32 => each!(f32, value => float((*value).into())),
        Scalar::F64 => each!(f64, value => float(*value)),
        Scalar::I8 => each!(i8, value => value.to_string()),
        Scalar::U8 => each!(u8, value => value.to_string()),
        Scalar::I16 => each!(i16, value => value.to_string()),
        Scalar::U16 => each!(u16, value => value.to_string()),
        Scalar::I32 => each!(i32, value => value.to_string()),
        Scalar::U32 => each!(u32, value => value.to_string()),
        Scalar::I64 => each!(i64, value => format!("\"{value}\"")),
        Scalar::U64 => each!(u64, value => format!("\"{value}\"")),
        Scalar::Bool => each!(bool, value => u8::from(*value).to_string()),
    }
}

fn dump(mirror: &ViewWorld, snapshot: bool, input: Option<u64>) -> String {
    let components = mirror.schema().components();
    let removed = mirror.removed().iter().map(|gone| {
        let why = match gone.why {
            Gone::Destroyed => "destroyed",
            Gone::LeftView => "left-view",
            Gone::Unknown => "unknown",
        };
        format!("[{},{},\"{why}\"]", gone.entity.to_f64(), gone.row)
    });
    let changed = (0..components.len()).map(|at| list(rows(mirror.changed(at)).map(|row| row.to_string())));
    let values = components
        .iter()
        .enumerate()
        .map(|(component, schema)| list((0..schema.fields.len()).map(|field| values(mirror, component, field))));
    let entity = |row: usize| mirror.entity(row).map_or(0.0, |entity| entity.to_f64()).to_string();
    let mut out = String::new();
    let _ = write!(
        out,
        "{{\"tick\":{},\"snapshot\":{snapshot},\"input\":{},\"hash\":\"{:016x}\",\"length\":{},\"entities\":{},\
         \"added\":{},\"removed\":{},\"changed\":{},\"values\":{}}}",
        mirror.tick().unwrap_or_default(),
        input.map_or("null".to_owned(), |input| input.to_string()),
        mirror.hash(),
        mirror.len(),
        list((0..mirror.rows()).map(entity)),
        list(mirror.added().iter().map(u32::to_string)),
        list(removed),
        list(changed),
        list(values),
    );
    out
}

fn requests() -> String {
    let line = |said: &str, request: &Request| {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{{said},\"bytes\":\"{digits}\"}}")
    };
    let part = Interest::on("Position").within("x", -10.5, f64::INFINITY).within("z", 0.0, 1e9);
    let numbers = [1, 300, (1 << 40) + 5];
    let acknowledge =
        numbers.map(|tick| line(&format!("\"acknowledge\":{tick}"), &Request::Acknowledge { tick })).into_iter();
    let input = numbers.map(|number| {
        let bytes = vec![1, 2, 255];
        line(&format!("\"input\":{number},\"payload\":[1,2,255]"), &Request::Input { number, bytes })
    });
    let all = acknowledge.chain(input).chain([
        line("\"interest\":null", &Request::Interest(None)),
        line(
            "\"interest\":{\"component\":\"Position\",\"limits\":[[\"x\",-10.5,null],[\"z\",0,1e9]]}",
            &Request::Interest(Some(part)),
        ),
    ]);
    format!("[\n{}\n]\n", all.collect::<Vec<_>>().join(",\n"))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("where to? name a directory")?);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (entities, ticks, seed) = (number(80)? as usize, number(20)?, number(1)?);

    let mut world = World::new()?;
    let mut view = View::new(&mut world, spec())?;
    let mut scene = Scene { world, entities: Vec::new(), dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1) };
    scene.spawn(entities)?;

    let (mut stream, mut states, mut message) = (Vec::new(), Vec::new(), Vec::new());
    let mut put = |message: &[u8]| -> Result<(), std::num::TryFromIntError> {
        stream.extend_from_slice(&u32::try_from(message.len())?.to_le_bytes());
        stream.extend_from_slice(message);
        Ok(())
    };
    view.schema().encode(&mut message);
    put(&message)?;
    let mut mirror = ViewWorld::open(&message)?;
    for tick in 1..=ticks {
        message.clear();
        let input = (tick % 4 == 0).then_some(tick * 10);
        view.publish(ColumnReader::new(&mut scene.world), tick, input, &mut message);
        put(&message)?;
        let applied = mirror.apply(&message)?;
        assert_eq!(mirror.hash(), view.hash());
        states.push(dump(&mirror, applied.snapshot, applied.input));
        if tick == ticks / 2 {
            // As for one who comes back after the log forgot where it was.
            message.clear();
            view.snapshot(None, &mut message);
            put(&message)?;
            let applied = mirror.apply(&message)?;
            states.push(dump(&mirror, applied.snapshot, applied.input));
        }
        scene.step(tick, entities)?;
        scene.world.begin_tick()?;
        scene.world.end_tick()?;
    }
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("stream.bin"), &stream)?;
    std::fs::write(directory.join("states.json"), format!("[\n{}\n]\n", states.join(",\n")))?;
    std::fs::write(directory.join("requests.json"), requests())?;
    println!("{}: {} bytes in {} messages", directory.display(), stream.len(), states.len() + 1);
    Ok(())
}
