//! Files, imports, and what is wrong with them.

mod support;

use peristyle_agents::{AgentError, Cluster};
use peristyle_jobs::Access::Write;
use peristyle_jobs::{JobError, JobRunner};
use peristyle_layout::Scalar;
use support::{Files, World, file_name, job_of, on_lane, threw};

fn out() -> World {
    World::new(1).component(1, "Out", Write, &[("x", Scalar::F64)])
}

/// What a job of these files writes to the first row.
#[track_caller]
fn value(files: &[(&str, &str)]) -> f64 {
    let dir = Files::with(files);
    let cluster = Cluster::new().unwrap();
    let job = cluster.job(dir.path(files[0].0)).unwrap();
    let mut world = out();
    on_lane(|lane| world.run(lane, &job)).unwrap();
    world.columns[0].get::<f64>()[0]
}

#[track_caller]
fn refused(files: &[(&str, &str)]) -> AgentError {
    let dir = Files::with(files);
    Cluster::new().unwrap().job(dir.path(files[0].0)).unwrap_err()
}

#[test]
fn both_kinds_of_export_and_all_kinds_of_file() {
    for name in ["a.js", "a.mjs", "a.ts", "a.mts"] {
        for export in ["export function handle({ snap })", "export default function ({ snap })"] {
            assert_eq!(value(&[(name, &format!("{export} {{ snap.comps.Out.fields.x[0] = 3; }}"))]), 3.0);
        }
    }
    let both =
        "export default () => { throw 1; }; export const handle = ({ snap }) => { snap.comps.Out.fields.x[0] = 4; };";
    assert_eq!(value(&[("a.js", both)]), 4.0, "handle comes first");
}

#[test]
fn relative_imports_json_cycles_and_top_level_await() {
    let got = value(&[
        (
            "jobs/main.ts",
            "import { type Shape, twice } from '../lib/math.ts';
             import { odd } from './odd';
             import table from './table.json' with { type: 'json' };
             import * as all from './odd.js';
             type Local = Shape;
             const late = await import('../lib/late.mts');
             const data = await import('./table.json', { with: { type: 'json' } });
             export function handle({ snap }: { snap: any }): void {
               const sum: number = twice(table.list[1]) + (odd(3) ? 100 : 0) + late.value + (all.odd === odd ? 1000 : 0);
               snap.comps.Out.fields.x[0] = sum + (data.default === table ? 10000 : 0);
             }",
        ),
        ("lib/math.ts", "export interface Shape { a: number }\nexport const twice = (x: number): number => 2 * x;"),
        ("lib/late.mts", "import { twice } from './math'; export const value = twice(0.25);"),
        ("jobs/odd.js", "import { even } from './even.mjs'; export const odd = (n) => n !== 0 && even(n - 1);"),
        ("jobs/even.mjs", "import { odd } from './odd.js'; export const even = (n) => n === 0 || odd(n - 1);"),
        ("jobs/table.json", "\u{feff}{ \"list\": [1, 21] }"),
    ]);
    assert_eq!(got, 42.0 + 100.0 + 0.5 + 1000.0 + 10000.0);
}

#[test]
fn import_meta_url_is_the_files() {
    let dir = Files::with(&[("a b/ü.ts", "export function handle({ snap }) { throw import.meta.url; }")]);
    let job = Cluster::new().unwrap().job(dir.path("a b/ü.ts")).unwrap();
    let (_, message, _) = threw(on_lane(|lane| out().run(lane, &job)));
    assert!(message.starts_with("uncaught file:///") && message.ends_with("/a%20b/%C3%BC.ts"), "{message}");
    assert_eq!(job.name(), "ü.ts");
}

#[test]
fn a_missing_file_is_named() {
    let error = Cluster::new().unwrap().job("/nowhere/fly.job.ts").unwrap_err();
    assert_eq!(error, AgentError::Missing { path: "/nowhere/fly.job.ts".into() });
    assert_eq!(error.to_string(), "/nowhere/fly.job.ts: no such file");
}

#[test]
fn files_that_are_no_modules_are_refused() {
    for (name, text) in [("a.tsx", &b""[..]), ("a.wasm", b""), ("a", b""), ("a.ts", b"ok\xff"), ("a.js", b"\xc3")] {
        let dir = Files::new();
        let path = dir.write(name, text);
        assert!(matches!(Cluster::new().unwrap().job(path), Err(AgentError::Unreadable { .. })), "{name}");
    }
    let dir = Files::new();
    dir.write("a.ts/b", "");
    assert!(matches!(Cluster::new().unwrap().job(dir.path("a.ts")), Err(AgentError::Unreadable { .. })));
}

#[test]
fn syntax_errors_stand_where_they_are_in_the_typescript() {
    for (name, text, at) in [
        // Found by the stripper.
        ("a.ts", "const a: number = 1;\nlet b: = 2;", (2, 8)),
        ("a.ts", "export function handle(): void {\n  const x = ;\n}", (2, 13)),
        ("a.ts", "const a = 1;\n/* 🦀 */ enum E { A }\n", (2, 10)),
        ("a.ts", "namespace N { export const x = 1 }", (1, 1)),
        ("a.ts", "const a = <any>1;", (1, 11)),
        ("a.ts", "const d = (a: any) => a;\n@d class A {}", (2, 1)),
        ("a.ts", "class A { constructor(public x: number) {} }", (1, 30)),
        // Found by the engine.
        ("a.js", "\n  let x = ;", (2, 11)),
        ("a.ts", "type T = string;\nlet a: T; /* 🦀 */ let a: T;", (2, 24)),
        ("a.json.js", "{ \"a\": }", (1, 6)),
    ] {
        match refused(&[(name, text)]) {
            AgentError::Syntax { path, line, column, message } => {
                assert_eq!((line, column), at, "{text:?}: {message}");
                assert_eq!(file_name(&path), name);
                assert!(!message.is_empty());
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
    let error = refused(&[("a.ts", "import './b.ts'; export default () => {};"), ("b.ts", "\nenum E {}")]).to_string();
    assert!(error.contains("/b.ts:2:1: ") && error.contains("enum"), "{error}");
    let error = refused(&[("a.ts", "import './b.js'; export default () => {};"), ("b.js", "\n\n let")]).to_string();
    assert!(error.contains("/b.js:3:"), "{error}");
    let error =
        refused(&[("a.ts", "import b from './b.json' with { type: 'json' };"), ("b.json", "[1,\n ]")]).to_string();
    assert!(error.contains("/b.json:"), "{error}");
    let error = refused(&[("a.ts", "\nimport { missing } from './b.ts';"), ("b.ts", "export const b = 1;")]);
    match error {
        AgentError::Syntax { line: 2, message, .. } => assert!(message.contains("missing"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn imports_that_cannot_be_had_say_who_wanted_what() {
    let with =
        |import: &str| refused(&[("dir/a.ts", import), ("dir/b.ts", ""), ("dir/c.json", "1"), ("dir/d.txt", "")]);
    for (import, specifier, says) in [
        ("\n  import './nowhere.ts';", "./nowhere.ts", "no such file"),
        ("\n  import 'lodash';", "lodash", "packages"),
        ("\n  import 'node:fs';", "node:fs", "packages"),
        ("\n  import c from './c.json';", "./c.json", "type: \"json\""),
        ("\n  import b from './b.ts' with { type: 'json' };", "./b.ts", "not JSON"),
    ] {
        match with(import) {
            AgentError::Import { importer, line, column, specifier: wanted, reason } => {
                assert_eq!((file_name(&importer), line, wanted.as_str()), ("a.ts", 2, specifier));
                assert!(column > 2 && reason.contains(says), "{column}: {reason}");
            }
            other => panic!("{import}: {other:?}"),
        }
    }
    assert!(matches!(with("import './d.txt'"), AgentError::Unreadable { .. }));
    // In the middle of a graph.
    let error =
        refused(&[("a.ts", "import './b.ts';"), ("b.ts", "import './c';"), ("c.ts", "import 'd';")]).to_string();
    assert!(error.contains("/c.ts:1:") && error.contains("\"d\""), "{error}");
}

#[test]
fn imports_that_fail_at_run_time_are_thrown() {
    let text = "export async function handle({ snap }) {
        const seen = [];
        for (const wanted of ['./no.ts', 'bare', './bad.ts', './bad.js', './link.js', './deep.js']) {
          try { await import(wanted); seen.push('came'); } catch (error) { seen.push(`${error.name} ${error.message}`); }
        }
        throw new Error(seen.join('\\n'));
      }";
    let dir = Files::with(&[
        ("a.ts", text),
        ("bad.ts", "enum E {}"),
        ("bad.js", "let let"),
        ("link.js", "import { a } from './a.ts'"),
        ("deep.js", "import './bad.js'"),
    ]);
    let job = Cluster::new().unwrap().job(dir.path("a.ts")).unwrap();
    let (_, message, stack) = threw(on_lane(|lane| out().run(lane, &job)));
    let lines: Vec<_> = message.lines().collect();
    for (line, says) in
        lines.iter().zip(["no such file", "packages", "enum", "bad.js:1:5", "SyntaxError", "bad.js:1:5"])
    {
        assert!(line.contains(says), "{line} / {says}");
    }
    assert_eq!(lines.len(), 6);
    assert!(stack.contains("a.ts:6:15"), "{stack}");
}

#[test]
fn long_chains_of_imports_load_or_are_refused() {
    for (length, fits) in [(200, true), (2000, false)] {
        let dir = Files::new();
        for at in 0..length {
            let text = if at + 1 < length { format!("import './m{}.js';", at + 1) } else { String::new() };
            dir.write(&format!("m{at}.js"), text + "export default () => {};");
        }
        let result = Cluster::new().unwrap().job(dir.path("m0.js"));
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
}

#[test]
fn a_module_without_a_handler_is_refused() {
    for text in [
        "",
        "export const handle = 1;",
        "export default {};",
        "function handle() {}",
        "export { handle as other }; const handle = () => {};",
    ] {
        match refused(&[("a.ts", text)]) {
            AgentError::NoHandle { path } => assert_eq!(file_name(&path), "a.ts"),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn what_a_module_throws_is_told_when_the_job_is_made() {
    match refused(&[("a.ts", "type T = 1;\nexport default () => {};\nthrow new RangeError('early');")]) {
        AgentError::Threw { name, message, stack } => {
            assert_eq!((name.as_str(), message.as_str()), ("RangeError", "early"));
            assert!(stack.contains("a.ts:3:7"), "{stack}");
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(refused(&[("a.ts", "await 1; throw 2;")]), AgentError::Threw { .. }));
    assert!(matches!(refused(&[("a.ts", "await new Promise(() => {});")]), AgentError::Unsettled { .. }));
    assert!(matches!(refused(&[("a.ts", "import './b.ts'"), ("b.ts", "throw 1")]), AgentError::Threw { .. }));
}

#[test]
fn a_module_that_fails_on_one_lane_only_is_a_failed_call() {
    let (_files, _cluster, job) = job_of(
        "if (globalThis.loaded) throw new Error('no');
         export function handle() {}",
    );
    let job = job.unwrap();
    on_lane(|lane| job.prepare(lane)).unwrap();
    let (_files, _cluster, job) = job_of("console.log('x'); export default () => {}; await 0;");
    on_lane(|lane| job.unwrap().prepare(lane)).unwrap();
}

#[test]
fn a_cluster_reads_a_file_once() {
    let dir = Files::with(&[("a.ts", "export default ({ snap }) => { snap.comps.Out.fields.x[0] = 1; };")]);
    let cluster = Cluster::new().unwrap();
    let job = cluster.job(dir.path("a.ts")).unwrap();
    dir.write("a.ts", "export default ({ snap }) => { snap.comps.Out.fields.x[0] = 2; };");
    let run = |job: &_| {
        let mut world = out();
        on_lane(|lane| world.run(lane, job)).unwrap();
        world.columns[0].get::<f64>()[0]
    };
    assert_eq!(run(&job), 1.0);
    assert_eq!(run(&cluster.job(dir.path("a.ts")).unwrap()), 1.0);
    assert_eq!(run(&Cluster::new().unwrap().job(dir.path("a.ts")).unwrap()), 2.0);
}

#[test]
fn a_source_need_not_be_a_file() {
    let cluster = Cluster::new().unwrap();
    let text = "type T = 1;\nexport default ({ snap }) => { if (snap.rows) throw new Error(import.meta.url); };";
    let job = cluster.job_from_source("my jobs/fly.job.ts", text).unwrap();
    let (_, message, stack) = threw(on_lane(|lane| out().run(lane, &job)));
    assert_eq!(message, "source:///my%20jobs/fly.job.ts");
    assert!(stack.contains("my jobs/fly.job.ts:2:"), "{stack}");
    assert_eq!((job.name(), job.path().to_str()), ("fly.job.ts", Some("my jobs/fly.job.ts")));
    // The same text again is the same source; another one would not be what agents compiled.
    assert!(cluster.job_from_source("my jobs/fly.job.ts", text).is_ok());
    let other = cluster.job_from_source("my jobs/fly.job.ts", "export default () => {};");
    assert!(matches!(other, Err(AgentError::Unreadable { .. })), "{other:?}");
    match cluster.job_from_source("broken.job.ts", "\nenum E {}") {
        Err(AgentError::Syntax { path, line: 2, column: 1, .. }) => assert_eq!(path.to_str(), Some("broken.job.ts")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(cluster.job_from_source("x", ""), Err(AgentError::Unreadable { .. })));
    match cluster.job_from_source("imports.ts", "import './nowhere.ts'") {
        Err(AgentError::Import { specifier, .. }) => assert_eq!(specifier, "./nowhere.ts"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn modules_are_instances_of_an_agent_shared_by_its_jobs() {
    let dir = Files::with(&[
        ("count.ts", "export const state = { count: 0 };"),
        (
            "a.ts",
            "import { state } from './count.ts'; export default ({ snap }) => { snap.comps.Out.fields.x[0] = ++state.count; };",
        ),
        ("b.ts", "export { default } from './a.ts';"),
    ]);
    let cluster = Cluster::new().unwrap();
    let (a, b) = (cluster.job(dir.path("a.ts")).unwrap(), cluster.job(dir.path("b.ts")).unwrap());
    let mut world = out();
    on_lane(|lane| {
        world.run(lane, &a).unwrap();
        world.run(lane, &b).unwrap();
        world.run(lane, &a).unwrap();
    });
    assert_eq!(world.columns[0].get::<f64>()[0], 3.0);
    on_lane(|lane| world.run(lane, &b).unwrap());
    assert_eq!(world.columns[0].get::<f64>()[0], 1.0);
}

#[test]
fn jobs_have_no_clock_and_no_randomness() {
    let text = "
        const forbidden = [
          () => Math.random(), () => Date.now(), () => new Date(), () => Date(), () => new (class extends Date {})(),
          () => Temporal.Now.instant(), () => Temporal.Now.plainDateTimeISO(), () => new Intl.DateTimeFormat('en').format(),
          () => new Intl.DateTimeFormat('en').formatToParts(), () => new (new Date(0).constructor)(),
        ];
        export function handle() {
          for (const call of forbidden) {
            let thrown;
            try { call(); } catch (error) { thrown = error; }
            if (!(thrown instanceof TypeError) || !/a job has no (clock|randomness)/.test(thrown.message)) {
              throw new Error(`${call}: ${thrown}`);
            }
          }
          for (const name of ['WeakRef', 'FinalizationRegistry', 'WebAssembly', 'Atomics', 'SharedArrayBuffer', 'setTimeout', 'performance']) {
            if (name in globalThis || typeof globalThis[name] !== 'undefined') throw new Error(name);
          }
          const date = new Date(86400000);
          class Mine extends Date {}
          if (date.getTime() !== Date.UTC(1970, 0, 2) || !(date instanceof Date) || Date.parse('1970-01-02') !== 86400000) throw 1;
          if (!(new Mine(0) instanceof Mine) || new Mine(5).getTime() !== 5 || new Date(2001, 1, 1).getDate() !== 1) throw 2;
          if (date.constructor !== Date || typeof Math.sin(1) !== 'number') throw 3;
          if (new Intl.DateTimeFormat('en', { timeZone: 'UTC' }).format(date) !== '1/2/1970') throw 4;
          if (Temporal.PlainDate.from('2001-01-01').add({ days: 1 }).toString() !== '2001-01-02') throw 5;
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| out().run(lane, &job)).unwrap();
}

#[test]
fn job_errors_name_what_could_not_be_loaded() {
    let error = JobError::from(AgentError::Missing { path: "/x.ts".into() });
    assert_eq!(error.to_string(), "cannot be loaded: /x.ts: no such file");
}
