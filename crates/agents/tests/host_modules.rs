//! Modules of spawned agents: what the host provides, import maps, JSON, `data:`, and what goes wrong.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use peristyle_agents::{
    AgentError, AgentHandle, AgentOptions, Cluster, Code, Exit, ImportMap, LoadError, LoadedModule, ModuleFormat,
    ModuleLoader, Thrown,
};
use serde_json::{Value, json};

mod support;
use support::Files;

fn spawn(code: Code, options: AgentOptions) -> AgentHandle {
    Cluster::new().unwrap().spawn(code, options).unwrap()
}

#[track_caller]
fn posted(agent: &AgentHandle) -> Value {
    agent.receive().wait_timeout(Duration::from_secs(60)).unwrap().get().unwrap()
}

/// How an agent fails whose main module is this.
#[track_caller]
fn failure(code: Code, options: AgentOptions) -> AgentError {
    match Cluster::new().unwrap().spawn(code, options).map(|agent| agent.join().wait()) {
        Ok(Exit::Failed(error)) | Err(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Serves modules at `app:` URLs, and names that begin with a sign.
struct App {
    loads: Mutex<Vec<String>>,
}

impl ModuleLoader for App {
    fn resolve(&self, specifier: &str, importer: &str) -> Result<Option<String>, LoadError> {
        match specifier {
            "@forbidden" => Err(LoadError(format!("{importer} may not have it"))),
            name if name.starts_with('@') => Ok(Some(format!("app://host/names/{}.mjs", &name[1..]))),
            url if url.starts_with("app:") => Ok(Some(url.to_owned())),
            _ => Ok(None),
        }
    }

    fn load(&self, url: &str) -> Result<LoadedModule, LoadError> {
        self.loads.lock().unwrap().push(url.to_owned());
        let (format, text) = match url.strip_prefix("app://host/").unwrap_or(url) {
            "names/one.mjs" => (
                ModuleFormat::JavaScript,
                "export { two } from './sub/two'; export { table } from '../table'; export const url = import.meta.url; export * as self from '@one'; export const counter = { n: 0 };",
            ),
            "names/sub/two" => (ModuleFormat::TypeScript, "export const two: number = 2;"),
            "table" => (
                ModuleFormat::JavaScript,
                "import data from './data' with { type: 'json' }; export const table = data.list;",
            ),
            "data" => (ModuleFormat::Json, r#"{ "list": [1, 2] }"#),
            "names/wrong.mjs" => (ModuleFormat::TypeScript, "\nlet a: = 1;"),
            "names/worker.mjs" => (
                ModuleFormat::JavaScript,
                "import { counter } from '@one'; postMessage([++counter.n, import.meta.url]);",
            ),
            "names/throws.mjs" => (ModuleFormat::JavaScript, "\n\nthrow new RangeError('while it loads');"),
            "names/panics.mjs" => panic!("a loader that panics"),
            _ => return Err(LoadError("it is not there".into())),
        };
        Ok(LoadedModule { format, text: text.into() })
    }
}

fn with_app() -> (Arc<App>, AgentOptions) {
    let app = Arc::new(App { loads: Mutex::default() });
    (app.clone(), AgentOptions { loader: Some(app), ..AgentOptions::default() })
}

#[test]
fn a_host_provides_modules_of_its_schemes_and_names() {
    let (app, options) = with_app();
    let text = "import { two, table, url, self, counter } from '@one';
         import * as again from 'app://host/names/one.mjs';
         counter.n = 5;
         const late = await import('@one');
         const first = [two, table, url, self === again, late.counter.n];
         const worker = new Worker('@worker');
         worker.onmessage = ({ data }) => postMessage([...first, ...data, import.meta.resolve('@one'), import.meta.resolve('@not-there')]);";
    let agent = spawn(Code::source("main.mjs", text), options);
    let (one, worker) = ("app://host/names/one.mjs", "app://host/names/worker.mjs");
    let not_there = "app://host/names/not-there.mjs";
    assert_eq!(posted(&agent), json!([2, [1, 2], one, true, 5, 1, worker, one, not_there]));
    assert_eq!(agent.join().wait(), Exit::Finished);
    // Once for the agent and its worker.
    let mut loads = app.loads.lock().unwrap().clone();
    loads.sort();
    assert_eq!(loads, ["app://host/data", one, "app://host/names/sub/two", worker, "app://host/table"]);
}

#[test]
fn what_a_host_does_not_provide_is_a_typed_error() {
    for (text, expected) in [
        ("import '@not-there'", "app://host/names/not-there.mjs: it is not there"),
        ("import 'app:x'", "app:x: it is not there"),
        ("import '@wrong'", "app://host/names/wrong.mjs:2:8: "),
        ("\n  import '@forbidden'", "main.mjs:2:10: cannot import \"@forbidden\": file:///"),
        ("import 'https://example.com/x.mjs'", "main.mjs:1:8: cannot import \"https://example.com/x.mjs\": "),
        ("import 'bare'", "main.mjs:1:8: cannot import \"bare\": "),
    ] {
        let error = failure(Code::source("main.mjs", text), with_app().1).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let error = failure(Code::source("main.mjs", "import '@wrong'"), with_app().1);
    assert!(matches!(error, AgentError::Syntax { line: 2, column: 8, .. }), "{error:?}");
    let error = failure(Code::source("main.mjs", "import '@throws'"), with_app().1);
    match error {
        AgentError::Threw { name, message, stack } => {
            assert_eq!((&*name, &*message), ("RangeError", "while it loads"));
            assert!(stack.contains("app://host/names/throws.mjs:3:"), "{stack}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_stays_usable_after_imports_that_fail() {
    let text = "export async function attempt(specifier) {
           try { await import(specifier); return 'imported'; } catch (error) { return [error.name, error.message]; }
         }";
    let files = Files::with(&[
        ("main.mjs", text),
        ("good.mjs", "import './cycle.mjs'; export default 1;"),
        ("cycle.mjs", "import './good.mjs'; export default 2;"),
        ("syntax.mjs", "\n let x = ;"),
        ("deep.mjs", "import './deeper.mjs';"),
        ("deeper.mjs", "import './nowhere.mjs';"),
        ("no-export.mjs", "import { nothing } from './good.mjs';"),
        ("throws.mjs", "await 0; throw new RangeError('at its top level');"),
        ("table.json", "[1, 2"),
    ]);
    let agent = spawn(Code::file(files.path("main.mjs")), with_app().1);
    let attempt = |specifier: &str| agent.call::<Value>("attempt", &[specifier]).wait().unwrap();
    for (specifier, name, part) in [
        ("./nowhere.mjs", "TypeError", "no such file"),
        ("./syntax.mjs", "SyntaxError", "syntax.mjs:2:10"),
        ("./deep.mjs", "TypeError", "deeper.mjs:1:8: cannot import \"./nowhere.mjs\""),
        ("./no-export.mjs", "SyntaxError", "nothing"),
        ("./throws.mjs", "RangeError", "at its top level"),
        ("./table.json", "TypeError", "JSON is imported with"),
        ("bare", "TypeError", "bare"),
        ("@not-there", "TypeError", "it is not there"),
        ("@panics", "TypeError", ""),
        ("data:text/html,x", "TypeError", "is no module"),
        ("data:text/javascript,%0A%20let%20a;%20let%20a", "SyntaxError", ":2:"),
        ("data:text/javascript,throw new EvalError('d')", "EvalError", "d"),
    ] {
        for _ in 0..2 {
            let got = attempt(specifier);
            assert_eq!(got[0], name, "{specifier}: {got}");
            assert!(got[1].as_str().unwrap().contains(part), "{specifier}: {got}");
        }
    }
    assert_eq!(attempt("./good.mjs"), "imported");
    assert_eq!(attempt("data:text/javascript,export default 1"), "imported");
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn json_and_data_modules_and_awaits_at_the_top_level() {
    let text = r#"
        import data from 'data:application/json,{"a":[1]}' with { type: 'json' };
        import other from 'data:application/ld+json,2' with { type: 'json' };
        import table from './table.json' with { type: 'json' };
        import typed, { url } from 'data:text/typescript,export default 3 as number; export const url = import.meta.url;';
        const { default: late } = await import('data:application/json;base64,WzVd', { with: { type: 'json' } });
        await new Promise((resolve) => setTimeout(resolve, 1));
        const slow = await import('./slow.mjs');
        postMessage([data, other, table, typed, url.startsWith('data:text/typescript,export'), late, slow.value]);"#;
    let modules = [
        ("main.mjs", text),
        ("table.json", "{\"rows\": 4}"),
        ("slow.mjs", "export const value = await new Promise((resolve) => setTimeout(() => resolve('slow'), 1));"),
    ];
    let agent = spawn(Code::bundle("main.mjs", modules), AgentOptions::default());
    let expected = json!([{"a": [1]}, 2, {"rows": 4}, 3, true, [5], "slow"]);
    assert_eq!(posted(&agent), expected);
}

#[test]
fn an_import_map_says_what_specifiers_stand_for() {
    let files = Files::with(&[
        (
            "main.mjs",
            "import dep from 'dep'; import { part } from 'dep/part.mjs'; import replaced from './replaced.mjs'; import inner from './scoped/inner.mjs';
             const refused = await import('forbidden').catch((error) => error.name);
             const worker = new Worker('./worker.mjs');
             worker.onmessage = ({ data }) => postMessage([dep, part, replaced, inner, refused, import.meta.resolve('dep').split('/').pop(), data]);",
        ),
        ("vendor/dep.mjs", "export default 'dep';"),
        ("vendor/dep/part.mjs", "export const part = 'part';"),
        ("other.mjs", "export default 'other';"),
        ("scoped/inner.mjs", "export { default } from 'dep';"),
        ("vendor/scoped.mjs", "export default 'scoped';"),
        ("worker.mjs", "import dep from 'dep'; postMessage(dep);"),
    ]);
    let base = format!("file://{}/", files.path("").display().to_string().trim_end_matches('/'));
    let map = r#"{ "imports": { "dep": "./vendor/dep.mjs", "dep/": "./vendor/dep/", "./replaced.mjs": "./other.mjs", "forbidden": null },
                   "scopes": { "./scoped/": { "dep": "./vendor/scoped.mjs" } } }"#;
    let map = Arc::new(ImportMap::parse(map, &base).unwrap());
    let options = AgentOptions { import_map: Some(map), ..AgentOptions::default() };
    let agent = spawn(Code::file(files.path("main.mjs")), options.clone());
    let expected = json!(["dep", "part", "other", "scoped", "TypeError", "dep.mjs", "dep"]);
    assert_eq!(posted(&agent), expected);
    let error = failure(Code::source("x.mjs", "import 'forbidden'"), options).to_string();
    assert!(error.contains("the import map forbids \"forbidden\""), "{error}");
}

#[test]
fn import_meta_tells_where_a_module_is_and_where_others_would_be() {
    let text = "import { meta } from './lib/x.mjs';
         const r = (specifier) => { try { return meta.resolve(specifier); } catch (error) { return error.name; } };
         postMessage([import.meta.url, meta.url, r('./y.mjs'), r('../z'), r('/root'), r('https://a/b'), r('main.mjs'), r('bare'), r('data:,x'), Object.keys(meta)]);";
    let code = Code::bundle("main.mjs", [("main.mjs", text), ("lib/x.mjs", "export const meta = import.meta;")]);
    let agent = spawn(code, AgentOptions::default());
    assert_eq!(
        posted(&agent),
        json!([
            "source:///main.mjs",
            "source:///lib/x.mjs",
            "source:///lib/y.mjs",
            "source:///z",
            "source:///root",
            "https://a/b",
            "source:///main.mjs",
            "TypeError",
            "data:,x",
            ["resolve", "url"]
        ])
    );
    // A source is at its place in the working directory.
    let agent = spawn(Code::source("m.mjs", "postMessage(import.meta.url)"), AgentOptions::default());
    let url = posted(&agent).as_str().unwrap().to_owned();
    assert!(url.starts_with("file:///") && url.ends_with("/m.mjs"), "{url}");
}

// ---- hooks ----

#[test]
fn hooks_are_told_of_start_end_errors_and_rejections() {
    let (send, told) = mpsc::channel();
    let teller = |what: &'static str| {
        let send = send.clone();
        move |text: String| drop(send.send(format!("{what} {text}")))
    };
    let (start, exit, error, rejection) = (teller("start"), teller("exit"), teller("error"), teller("rejection"));
    let options = AgentOptions {
        name: "n".into(),
        on_start: Some(Arc::new(move |name: &str| start(name.into()))),
        on_exit: Some(Arc::new(move |how: &Exit| exit(format!("{how:?}")))),
        on_error: Some(Arc::new(move |thrown: &Thrown| error(thrown.message.clone()))),
        on_unhandled_rejection: Some(Arc::new(move |thrown: &Thrown| rejection(thrown.message.clone()))),
        ..AgentOptions::default()
    };
    let text = "console.debug('main');
         addEventListener('unhandledrejection', (event) => { if (event.reason.message === 'prevented') event.preventDefault(); });
         Promise.reject(new Error('prevented'));
         const handled = Promise.reject(new Error('handled')); handled.catch(() => {});
         Promise.reject(new Error('rejected'));
         setTimeout(() => { throw new Error('thrown'); }, 1);
         setTimeout(() => Promise.reject(5), 5);
         // A worker's hooks are its parent's business.
         new Worker('data:text/javascript,').onerror = null;";
    let agent = spawn(Code::source("main.mjs", text), options);
    assert_eq!(agent.join().wait(), Exit::Finished);
    drop(send);
    let expected = ["start n", "rejection rejected", "error thrown", "rejection uncaught 5", "exit Finished"];
    assert_eq!(told.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn without_a_hook_rejections_are_errors() {
    let (send, told) = mpsc::channel();
    let on_error = Arc::new(move |thrown: &Thrown| drop(send.send(thrown.message.clone())));
    let options = AgentOptions { on_error: Some(on_error), ..AgentOptions::default() };
    let agent = spawn(Code::source("main.mjs", "Promise.reject(new Error('rejected'))"), options);
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["rejected"]);
}

#[test]
fn hooks_may_post_spawn_and_terminate() {
    let cluster = Arc::new(Cluster::new().unwrap());
    let this = Arc::new(Mutex::new(None::<Arc<AgentHandle>>));
    let (send, told) = mpsc::channel();
    let (own, told_of) = (this.clone(), cluster.clone());
    let on_error = move |thrown: &Thrown| {
        let handle = own.lock().unwrap().clone().unwrap();
        match &*thrown.message {
            "post" => handle.post("from a hook").unwrap(),
            "spawn" => {
                let code = Code::source("other.mjs", "postMessage('from another')");
                let other = told_of.spawn(code, AgentOptions::default()).unwrap();
                send.send(other.receive().wait().unwrap().get::<String>().unwrap()).unwrap();
            }
            "panic" => panic!("a hook that panics"),
            _ => handle.terminate(),
        }
    };
    let (ended, end) = mpsc::channel();
    let on_exit = move |exit: &Exit| drop(ended.send(exit.clone()));
    let (on_error, on_exit) = (Some(Arc::new(on_error) as _), Some(Arc::new(on_exit) as _));
    let options = AgentOptions { on_error, on_exit, ..AgentOptions::default() };
    let text = "onmessage = ({ data }) => {
           if (data !== 'go') { postMessage(data); reportError(new Error('end')); for (;;); }
           reportError(new Error('spawn'));
           try { reportError(new Error('panic')); } catch (error) { postMessage(error.name); }
           reportError(new Error('post'));
         };";
    let agent = Arc::new(cluster.spawn(Code::source("main.mjs", text), options).unwrap());
    *this.lock().unwrap() = Some(agent.clone());
    agent.post("go").unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), "from another");
    assert_eq!(posted(&agent), "TypeError");
    assert_eq!(posted(&agent), "from a hook");
    assert!(matches!(end.recv_timeout(Duration::from_secs(60)).unwrap(), Exit::Terminated(_)));
    // The hook's own handle would keep the agent's.
    this.lock().unwrap().take();
}

#[test]
fn hooks_that_panic_end_or_spare_their_agent() {
    let code = || Code::source("main.mjs", "postMessage(1)");
    let on_start = AgentOptions { on_start: Some(Arc::new(|_| panic!("at the start"))), ..AgentOptions::default() };
    assert!(matches!(failure(code(), on_start), AgentError::Engine(why) if why.contains("on_start")));
    let on_exit = AgentOptions { on_exit: Some(Arc::new(|_| panic!("at the end"))), ..AgentOptions::default() };
    let agent = spawn(code(), on_exit);
    assert_eq!(posted(&agent), 1);
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn an_exit_is_told_however_an_agent_ends() {
    static ENDS: AtomicU32 = AtomicU32::new(0);
    let options = || {
        let hook = |_: &Exit| {
            ENDS.fetch_add(1, Ordering::SeqCst);
        };
        AgentOptions { on_exit: Some(Arc::new(hook)), ..AgentOptions::default() }
    };
    for (text, stop) in
        [("", false), ("close()", false), ("throw 1", false), ("for (;;);", true), ("let a; let a;", false)]
    {
        let before = ENDS.load(Ordering::SeqCst);
        let agent = spawn(Code::source("main.mjs", text), options());
        if stop {
            agent.terminate();
        }
        let exit = agent.join().wait();
        // Whoever joins finds it told.
        assert_eq!(ENDS.load(Ordering::SeqCst), before + 1, "{text}: {exit:?}");
    }
}

#[test]
fn a_query_makes_another_module_of_a_file() {
    let files = Files::with(&[
        ("main.ts", "export const load = (name: string) => import(name).then((module) => module.told());"),
        (
            "job.ts",
            "import { step } from './step.ts';\nlet count = 0;\nexport const told = () => [++count, step as number];",
        ),
        ("step.ts", "export const step = 1;"),
    ]);
    let cluster = Cluster::new().unwrap();
    let agent = cluster.spawn(Code::file(files.path("main.ts")), AgentOptions::default()).unwrap();
    let load = |name: &str| agent.call::<(u32, u32)>("load", &(name,)).wait().unwrap();
    assert_eq!(load("./job.ts"), (1, 1));
    assert_eq!(load("./job.ts?a"), (1, 1), "another module");
    assert_eq!(load("./job.ts?a"), (2, 1), "the same query, the same module");
    assert_eq!(cluster.refresh(), [] as [std::path::PathBuf; 0]);

    files.write("step.ts", "export const step = 20;");
    assert_eq!(load("./job.ts?b"), (1, 1), "files are read once");
    assert_eq!(cluster.refresh(), [files.path("step.ts")]);
    assert_eq!(load("./job.ts?c"), (1, 1), "what it imports is the same as before, as in Node");
    assert_eq!(load("./job.ts?afresh=1"), (1, 20), "with all that it imports");
    assert_eq!(load("./job.ts"), (2, 1), "what was loaded stays");

    files.write("job.ts", "export const told = () => [7 7];");
    assert_eq!(cluster.refresh(), [files.path("job.ts")]);
    let broken = agent.call::<(u32, u32)>("load", &("./job.ts?afresh=2",)).wait().unwrap_err().to_string();
    assert!(broken.contains(&format!("{}:1:", files.path("job.ts").display())), "{broken}");
    assert!(cluster.refresh().is_empty());
    files.write("job.ts", "export const told = () => [7, 70];");
    assert_eq!(cluster.refresh(), [files.path("job.ts")], "what could not be loaded is followed, too");
    assert_eq!(load("./job.ts?afresh=3"), (7, 70));
    std::fs::remove_file(files.path("job.ts")).unwrap();
    assert!(cluster.refresh().is_empty(), "what is away may come back");
    files.write("job.ts", "export const told = () => [7, 70];");
    assert_eq!(cluster.refresh(), [files.path("job.ts")], "and is another then");

    let fails = |name: &str| agent.call::<(u32, u32)>("load", &(name,)).wait().unwrap_err().to_string();
    assert!(fails("./late.ts?afresh=4").contains("no such file"));
    assert!(cluster.refresh().is_empty());
    files.write("late.ts", "export const told = (): = [8, 80];");
    assert_eq!(cluster.refresh(), [files.path("late.ts")], "what an import missed has come");
    assert!(fails("./late.ts?afresh=5").contains(&format!("{}:1:", files.path("late.ts").display())));
    files.write("late.ts", "export const told = () => [8, 80];");
    assert_eq!(cluster.refresh(), [files.path("late.ts")], "what never could be read is followed, too");
    assert_eq!(load("./late.ts?afresh=6"), (8, 80));
    for last in 1..=9 {
        // As long as before, and perhaps within one step of the file system's clock.
        files.write("late.ts", format!("export const told = () => [{last}, 90];"));
        assert_eq!(cluster.refresh(), [files.path("late.ts")], "the write {last}");
        assert_eq!(load(&format!("./late.ts?afresh=7{last}")), (last, 90));
    }
}

#[test]
fn typescript_may_name_what_it_is_compiled_to() {
    let files = Files::with(&[
        (
            "main.ts",
            "import { one } from './one.js';\nimport { two } from './two.mjs';\nexport const sum = () => one + two;",
        ),
        ("one.ts", "export const one: number = 1;"),
        ("two.mts", "export const two: number = 2;"),
    ]);
    let cluster = Cluster::new().unwrap();
    let agent = cluster.spawn(Code::file(files.path("main.ts")), AgentOptions::default()).unwrap();
    assert_eq!(agent.call::<u32>("sum", &()).wait(), Ok(3));
    let bundle = Code::bundle(
        "main.ts",
        [
            (
                "main.ts",
                "import { one } from './one.js';\nimport { two } from './two.mjs';\nexport const sum = () => one + two;",
            ),
            ("one.ts", "export const one: number = 1;"),
            ("two.mts", "export const two: number = 2;"),
        ],
    );
    let agent = cluster.spawn(bundle, AgentOptions::default()).unwrap();
    assert_eq!(agent.call::<u32>("sum", &()).wait(), Ok(3), "in a bundle as in files");
    // What is there is taken as it is named.
    files.write("one.js", "export const one = 10;");
    let agent = Cluster::new().unwrap().spawn(Code::file(files.path("main.ts")), AgentOptions::default()).unwrap();
    assert_eq!(agent.call::<u32>("sum", &()).wait(), Ok(12));
}
