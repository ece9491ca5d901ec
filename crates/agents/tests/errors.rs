//! Calls that fail.

mod support;

use peristyle_jobs::JobError;
use support::{World, job_of, on_lane, run_once, threw};

#[test]
fn a_throw_names_the_line_and_column_of_the_typescript() {
    let text = "type Wide<T> = { [key: string]: T };
interface Other { a: string }
function inner(value: Wide<number>, other?: Other): never {
  /* 🦀 */ throw new RangeError(`no ${(value as any).x as string}`);
}
export function handle({ snap }: { snap: { rows: number } }): void {
  const wide: Wide<number> = ({ x: snap.rows } satisfies any);
  for (const one of [wide]) inner(one!);
}";
    let (name, message, stack) = threw(run_once(text, &mut World::new(3)));
    assert_eq!((name.as_str(), message.as_str()), ("RangeError", "no 3"));
    let frames: Vec<&str> = stack.lines().collect();
    assert_eq!(frames.len(), 2, "{stack}");
    assert!(frames[0].starts_with("inner (/") && frames[0].ends_with("/test.job.ts:4:18)"), "{stack}");
    assert!(frames[1].starts_with("handle (/") && frames[1].ends_with("/test.job.ts:8:34)"), "{stack}");
}

#[test]
fn whatever_is_thrown_is_told() {
    for (thrown, name, message) in [
        ("42", "number", "uncaught 42"),
        ("'text'", "string", "uncaught text"),
        ("undefined", "undefined", "uncaught undefined"),
        ("null", "null", "uncaught null"),
        ("{ a: [1, 'b'] }", "object", "uncaught { a: [1, \"b\"] }"),
        ("Symbol('s')", "symbol", "uncaught Symbol(s)"),
        ("7n", "bigint", "uncaught 7n"),
        ("Object.create(null)", "object", "uncaught [Object: null prototype] {}"),
        (
            "{ get name() { throw 1; }, toString() { throw 2; } }",
            "object",
            "uncaught { name: [Getter], toString: [Function: toString] }",
        ),
        ("new Proxy({}, { get() { throw 1; }, ownKeys() { throw 1; } })", "object", "uncaught [cannot be shown]"),
        ("new Proxy({}, { getPrototypeOf() { throw 1; } })", "Error", "its properties throw"),
        ("Object.assign(new Error('m'), { name: 'Mine' })", "Mine", "m"),
        ("Object.assign(new Error('m'), { stack: 5, name: 6 })", "6", "m"),
        ("Object.defineProperty(new Error('m'), 'stack', { get() { throw 1; } })", "Error", "its properties throw"),
        ("new AggregateError([1], 'all')", "AggregateError", "all"),
    ] {
        let text = format!("\nexport function handle() {{ const it = {thrown}; throw it; }}");
        let (got, said, stack) = threw(run_once(&text, &mut World::new(1)));
        assert_eq!((got.as_str(), said.as_str()), (name, message), "{thrown}");
        if name == "number" {
            assert!(stack.ends_with("/test.job.ts:2:43"), "{stack}");
        }
    }
}

#[test]
fn a_failed_call_leaves_the_agent_as_it_was() {
    let text = "let calls = 0; export function handle() { if (++calls % 2) throw new Error(String(calls)); }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| {
        let mut world = World::new(1);
        for call in 1..100 {
            let result = world.run(lane, &job);
            if call % 2 == 1 { assert_eq!(threw(result).1, call.to_string()) } else { result.unwrap() }
        }
    });
}

#[test]
fn async_handlers_settle_within_the_call() {
    let mut world =
        World::new(1).component(1, "P", peristyle_jobs::Access::Write, &[("x", peristyle_layout::Scalar::F32)]);
    let text = "
        const step = async (n) => { if (n === 0) return 1; await null; return step(n - 1); };
        export async function handle({ snap }) {
          await step(50);
          await Promise.all([1, 2, 3].map(async (n) => { await n; snap.comps.P.fields.x[0] += n; }));
          Promise.resolve().then(() => { snap.comps.P.fields.x[0] += 10; });
        }";
    run_once(text, &mut world).unwrap();
    assert_eq!(world.columns[0].get::<f32>()[0], 16.0);

    let text = "export async function handle() { await 0;\n await 0; throw new SyntaxError('late'); }";
    let (name, message, stack) = threw(run_once(text, &mut World::new(1)));
    assert_eq!((name.as_str(), message.as_str()), ("SyntaxError", "late"));
    assert!(stack.contains("test.job.ts:2:"), "{stack}");

    let (_, message, _) = threw(run_once("export const handle = () => new Promise(() => {});", &mut World::new(1)));
    assert!(message.contains("nothing in this call settles"), "{message}");
}

#[test]
fn a_rejection_that_nobody_handles_fails_the_call() {
    let text = "let calls = 0; export function handle() { if (++calls === 1) (async () => { await 1; throw new Error('lost'); })(); }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| {
        assert_eq!(threw(World::new(1).run(lane, &job)).1, "lost");
        World::new(1).run(lane, &job).unwrap();
    });
    let text = "export async function handle() { const p = Promise.reject(1); await 0; await p.catch(() => {}); }";
    run_once(text, &mut World::new(1)).unwrap();
    assert_eq!(
        threw(run_once("export const handle = () => { Promise.reject(7); throw 8; }", &mut World::new(1))).1,
        "uncaught 8"
    );
}

#[test]
fn patches_are_not_ignored_in_silence() {
    for text in ["export const handle = () => [{ op: 'destroy' }];", "export const handle = async () => [1];"] {
        let (_, message, _) = threw(run_once(text, &mut World::new(1)));
        assert!(message.contains("patches"), "{message}");
    }
    for value in ["undefined", "[]", "5", "{}", "'text'", "null"] {
        run_once(&format!("export const handle = () => ({value});"), &mut World::new(1)).unwrap();
    }
}

#[test]
fn a_panic_of_the_host_is_an_error_of_the_job() {
    struct Broken;
    impl peristyle_jobs::EntityLookup for Broken {
        fn entity(&self, _: u32) -> peristyle_layout::Entity {
            panic!("broken lookup")
        }
    }
    let (_files, _cluster, job) = job_of("export const handle = ({ snap }) => { snap.entity(0); };");
    let job = job.unwrap();
    let mut eids = support::Column::new(peristyle_layout::Scalar::U32, 1);
    let shape = peristyle_jobs::JobShape::default();
    // SAFETY: the only memory lent is that of `eids`.
    let call = unsafe {
        peristyle_jobs::JobCall::lease(peristyle_jobs::JobCallParts {
            memory: None,
            shape: &shape,
            rows: 1,
            eids: eids.lend(),
            entities: &Broken,
            values: None,
            columns: &[],
            changed: &[],
            despawn: None,
            resources: &[],
            dt: 0.0,
            time: 0.0,
            extra: None,
            patches: None,
        })
    };
    let result: Result<(), JobError> = on_lane(|lane| peristyle_jobs::JobRunner::run(&job, lane, &call));
    assert!(threw(result).1.contains("broken lookup"));
}
