//! What jobs print.

mod support;

use std::sync::{Arc, Mutex};

use peristyle_agents::{Cluster, Level};
use support::{Files, World, on_lane};

fn printed(text: &str) -> Vec<(Level, String)> {
    let files = Files::with(&[("a.ts", text)]);
    let cluster = Cluster::new().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = lines.clone();
    cluster.set_console(move |level, text| sink.lock().unwrap().push((level, text.to_owned())));
    let job = cluster.job(files.path("a.ts")).unwrap();
    on_lane(|lane| {
        World::new(3)
            .component(1, "P", peristyle_jobs::Access::Write, &[("x", peristyle_layout::Scalar::F32)])
            .run(lane, &job)
    })
    .unwrap();
    std::mem::take(&mut lines.lock().unwrap())
}

#[test]
fn every_level_reaches_the_sink() {
    let lines = printed(
        "console.log('once a lane');
         export function handle() { console.debug('a'); console.log('b'); console.info('c'); console.warn('d'); console.error('e'); }",
    );
    let want = [
        (Level::Log, "once a lane"),
        (Level::Debug, "a"),
        (Level::Log, "b"),
        (Level::Info, "c"),
        (Level::Warn, "d"),
        (Level::Error, "e"),
    ];
    assert_eq!(lines, want.map(|(level, text)| (level, text.to_owned())));
}

#[test]
fn values_are_shown() {
    let cases = [
        ("", ""),
        ("'text', 1, -0, 2n, true, null, undefined", "text 1 -0 2n true null undefined"),
        ("{ a: 1, 'b c': 'text', [Symbol('s')]: [] }", "{ a: 1, \"b c\": \"text\", [Symbol(s)]: [] }"),
        ("[1, , 'a', { b: [{ c: { d: { e: 1 } } }] }]", "[1, <empty>, \"a\", { b: [{ c: { d: {} } }] }]"),
        ("new Map([['a', { b: 1 }]]), new Set([1, 'x'])", "Map(1) { \"a\" => { b: 1 } } Set(2) { 1, \"x\" }"),
        ("snap.comps.P.fields.x, new Uint8Array(101)", ""),
        ("class A { x = 1; #y = 2; get z() { return 1; } }", "[Function: A]"),
        (
            "new (class Point { x = 1 })(), () => {}, function named() {}",
            "Point { x: 1 } [Function: (anonymous)] [Function: named]",
        ),
        ("{ get a() { throw 1; } }", "{ a: [Getter] }"),
        ("(() => { const a = { }; a.self = a; return a; })()", "{ self: [Circular] }"),
        (
            "'%s is %d of %i, %f%% %j %o %c.', 'x', 1.5, 2.7, '3.5', { a: 1 }, 'q', 'css', 'rest'",
            "x is 1.5 of 2, 3.5% {\"a\":1} \"q\" . rest",
        ),
        ("'100%', 1, '%s'", "100% 1 %s"),
        (
            "new Date(0), /a/g, Symbol('s'), Promise.resolve(1), new ArrayBuffer(3)",
            "1970-01-01T00:00:00.000Z /a/g Symbol(s) Promise {} ArrayBuffer { byteLength: 3 }",
        ),
        ("new Proxy({}, { getPrototypeOf() { throw 1; } })", "[cannot be shown]"),
        ("'ü€🦀', '\\ud800', 'a\\0b'", "ü€🦀 \u{fffd} a\0b"),
    ];
    let calls: String = cases.iter().map(|(arguments, _)| format!("console.log({});", arguments)).collect();
    let lines = printed(&format!("export function handle({{ snap }}) {{ {calls} }}"));
    assert_eq!(lines.len(), cases.len());
    for ((arguments, want), (_, got)) in cases.iter().zip(&lines) {
        if !arguments.starts_with("snap") && !arguments.starts_with("[1, ,") {
            assert_eq!(got, want, "{arguments}");
        }
    }
    let views = &lines[5].1;
    assert!(
        views.starts_with("Float32Array(3) [0, 0, 0] Uint8Array(101) [0, 0,") && views.ends_with("… 1 more]"),
        "{views}"
    );
    assert!(lines[3].1.starts_with("[1, <empty>, \"a\", { b: [{ c: "), "{}", lines[3].1);
}

#[test]
fn errors_show_their_stack_and_much_is_cut() {
    let lines = printed(
        "export function handle() {
           console.error(new TypeError('bad'), 1);
           console.log('x'.repeat(1e6));
           console.log(Array.from({ length: 1000 }, () => Array.from({ length: 1000 }, () => ({ deep: [1, 2, 3] }))));
         }",
    );
    assert!(
        lines[0].1.starts_with("TypeError: bad\n    at handle (/") && lines[0].1.ends_with("a.ts:2:26) 1"),
        "{}",
        lines[0].1
    );
    assert!(lines[1].1.len() < 20_000 && lines[2].1.len() < 20_000);
}

#[test]
fn a_sink_that_panics_is_an_error_of_the_job() {
    let files = Files::with(&[("a.ts", "export function handle() { console.log(1); }")]);
    let cluster = Cluster::new().unwrap();
    cluster.set_console(|_, _| panic!("broken sink"));
    let job = cluster.job(files.path("a.ts")).unwrap();
    on_lane(|lane| {
        let (_, message, _) = support::threw(World::new(1).run(lane, &job));
        assert!(message.contains("broken sink"), "{message}");
        cluster.set_console(|_, _| {});
        World::new(1).run(lane, &job).unwrap();
    });
}

#[test]
fn a_sink_may_make_jobs() {
    let files = Files::with(&[("a.ts", "export function handle() { console.log(1); }")]);
    let path = files.path("a.ts");
    let cluster = Cluster::new().unwrap();
    let inner = cluster.clone();
    let made = Arc::new(Mutex::new(Vec::new()));
    let sink = made.clone();
    let job = cluster.job(&path).unwrap();
    cluster.set_console(move |_, _| sink.lock().unwrap().push(inner.job(&path).is_ok()));
    on_lane(|lane| {
        World::new(1).run(lane, &job).unwrap();
        World::new(1).run(lane, &job).unwrap();
    });
    assert_eq!(*made.lock().unwrap(), [true, true]);
    // The sink holds its own cluster.
    cluster.set_console(|_, _| {});
}
