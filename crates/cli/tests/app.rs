//! Apps of the package `peristyle` under `peristyle run`: the same files as in Node, and what only this host has.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio_tungstenite::tungstenite::Message;

/// What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A directory of an app's files, removed in the end.
struct App(PathBuf);

impl App {
    fn new(name: &str, files: &[(&str, &str)]) -> App {
        let path = std::env::temp_dir().join(format!("peristyle-app-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("it can be made");
        let app = App(fs::canonicalize(path).expect("it was made"));
        files.iter().for_each(|(name, text)| app.write(name, text));
        app
    }

    /// Writes a file, so that whoever reads it sees all of it or nothing.
    fn write(&self, name: &str, text: &str) {
        let new = self.0.join(format!("{name}.new"));
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, self.0.join(name)).expect("it can be moved");
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path that is UTF-8").into()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peristyle"));
    command.arg("run").args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().expect("the binary can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// A run whose lines are looked at while it runs; ended when it is dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Running {
        let mut child =
            command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
        let (send, lines) = mpsc::channel();
        let pipes: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("it is piped")), Box::new(child.stderr.take().expect("it is piped"))];
        for pipe in pipes {
            let send = send.clone();
            thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
            });
        }
        Running { child, lines }
    }

    /// The next line that has this text.
    fn line(&self, text: &str) -> String {
        self.until(text).pop().expect("the line")
    }

    /// All lines up to the next one that has this text.
    fn until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while seen.len() < 100_000 {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => seen.push(line),
                Err(error) => {
                    panic!("no line with {text:?}: {error}; the last were {:#?}", &seen[seen.len().saturating_sub(9)..])
                }
            }
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
        panic!("no line with {text:?} among many");
    }
}

impl Running {
    /// Where its world is served.
    fn address(&self) -> SocketAddr {
        let line = self.line("watch the world at http://");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(['/', ' ']).next());
        address.expect("it has an address").parse().expect("it is one")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A world of ten rows that a job moves; its system `log` prints the sum of what it moved.
const MOVING: &str = r#"
import { Scheduler, World } from "peristyle";

const world = new World();
const Position = world.defineComponent({ name: "Position", fields: { x: "f32", y: "f32" } });
for (let i = 0; i < 10; i++) world.createEntity({ [Position.id]: { x: i, y: 0 } });
export const scheduler = new Scheduler(world);
scheduler.register({
  name: "move",
  offload: { module: new URL("./move.job.ts", import.meta.url), reads: [], writes: [Position], extra: () => Position.id },
});
scheduler.register({
  name: "log",
  stage: "late",
  readsComponents: [Position],
  run() {
    let sum: number = 0;
    for (const [, , p] of world.iter(world.makeQuery({ all: [Position] }), Position)) sum += p.y;
    console.log(`sum ${sum}`);
  },
});
"#;

const MOVE: &str = r#"
import { step } from "./step.ts";

export function handle({ snap, extra }: { snap: any; extra: number }): void {
  const { fields, changed } = snap.comps[extra];
  for (let i = 0; i < snap.rows; i++) fields.y[i] += step;
  changed.fill(255);
}
"#;

/// The same sum in every frame: what a run says on its two streams comes in any order.
const SET: &str = r#"
import { step } from "./step.ts";

export function handle({ snap, extra }: { snap: any; extra: number }): void {
  const { fields, changed } = snap.comps[extra];
  fields.y.fill(step);
  changed.fill(255);
}
"#;

fn moving(name: &str) -> App {
    App::new(name, &[("app.ts", MOVING), ("move.job.ts", MOVE), ("step.ts", "export const step: number = 1;")])
}

#[test]
fn an_app_runs_for_as_many_frames_as_it_is_asked_for() {
    let app = moving("ticks");
    let main = app.path("app.ts");
    let (code, stdout, stderr) = run(&[&main, "--ticks", "3"]);
    assert_eq!((code, &*stdout, &*stderr), (Some(0), "sum 10\nsum 20\nsum 30\n", ""));
    let (code, stdout, _) = run(&["--ticks=1", "--hz", "1000", &main]);
    assert_eq!((code, &*stdout), (Some(0), "sum 10\n"));
}

#[test]
fn the_golden_app_comes_to_the_same_as_elsewhere() {
    let golden = package_test("golden");
    let written = fs::read_to_string(golden.join("hash.ts")).expect("the hash is written down");
    let expected = written.split('"').nth(1).expect("the text of a constant");
    let (code, stdout, stderr) = run(&[golden.join("main.ts").to_str().expect("a path that is UTF-8")]);
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &*format!("golden {}\n", expected), ""));
}

/// A file of the npm package's tests.
fn package_test(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/peristyle/test").join(path)
}

/// Compiles the example of a kernel in C to a file of an app's, for a memory that is shared or not.
fn kernel(app: &App, is_shared: bool) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let llvm = Path::new("/usr/lib/llvm-19/bin");
    let clang = if llvm.join("clang").exists() { llvm.join("clang") } else { "clang".into() };
    let module = app.path("kernel.wasm");
    let compiled = Command::new(clang)
        .args("--target=wasm32 -std=c11 -O3 -mbulk-memory -msimd128 -nostdlib".split(' '))
        .args(["-Wl,--no-entry,--import-memory,--max-memory=4294967296,--export=__stack_pointer"])
        .args(is_shared.then_some(["-matomics", "-Wl,--shared-memory"]).into_iter().flatten())
        .arg("-I")
        .arg(root.join("crates/kernel/include"))
        .arg(root.join("examples/kernel-c/kernel.c"))
        .args(["-o", &module])
        // Where clang finds wasm-ld.
        .env("PATH", format!("{}:{}", llvm.display(), std::env::var("PATH").unwrap_or_default()))
        .status();
    assert!(compiled.is_ok_and(|status| status.success()), "clang compiles the example");
    module
}

#[test]
fn a_kernel_comes_to_the_same_as_its_twin_in_typescript_and_as_in_node() {
    let app = App::new("kernel", &[]);
    let module = kernel(&app, true);
    let written = fs::read_to_string(package_test("kernel/hash.ts")).expect("the hash is written down");
    let expected = written.split('"').nth(1).expect("the text of a constant");
    let (code, stdout, stderr) = run(&[package_test("kernel/main.ts").to_str().expect("it is UTF-8"), &module]);
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &*format!("kernel {expected}\njob {expected}\n"), ""));
}

#[test]
fn what_is_no_kernel_for_this_host_is_told() {
    let app = App::new("no-kernel", &[("kernel.txt", "a secret")]);
    let module = kernel(&app, false);
    let main = package_test("kernel/main.ts");
    let main = main.to_str().expect("it is UTF-8");
    for (module, told) in [
        (module, "kernel `sparks` imports a memory that is not shared: link with --shared-memory"),
        (app.path("kernel.txt"), "kernel.txt: it is not WebAssembly"),
        (app.path("nothing.wasm"), "nothing.wasm: No such file"),
        (app.path("."), "not a file"),
    ] {
        let (code, _, stderr) = run(&[main, &module]);
        assert_eq!(code, Some(1), "{module}");
        assert!(stderr.contains("system `sparks` failed: JobError") && stderr.contains(told), "{module}: {stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}

#[test]
fn elementary_functions_have_the_bits_of_rust() {
    let golden = package_test("fixtures/math/golden.ts");
    let text = format!("import {{ goldenHash }} from {golden:?};\nprocess.stdout.write(goldenHash());\n");
    let app = App::new("math", &[("app.ts", &text)]);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../math/vectors/golden.json");
    let expected = fs::read_to_string(vectors).expect("the hashes are written down");
    let (code, stdout, stderr) = run(&[&app.path("app.ts")]);
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &*expected, ""));
}

#[test]
fn the_older_surface_works_with_the_same_job_files_as_in_node() {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app/wiring.ts");
    let (code, stdout, stderr) = run(&[app.to_str().expect("a path that is UTF-8")]);
    let moved = "2.25,4.5 3.25,4.5 4.25,4.5 5.25,4.5";
    let mut expected = String::new();
    for components in ["objects", "columns"] {
        for form in ["patches", "inPlace", "fallback"] {
            expected += &format!("{components} {form} {moved}\n");
        }
    }
    expected += "pool [{\"kind\":\"set\",\"eid\":7,\"cid\":0,\"value\":{\"x\":2,\"y\":3}}]\nbits true false 2\n";
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &*expected, ""));
}

#[test]
fn a_job_that_throws_is_told_with_its_place_in_typescript() {
    let app = moving("throws");
    app.write("move.job.ts", "interface Input {\n  rows: number;\n}\nexport function handle(input: Input): void {\n  fail(input);\n}\nfunction fail(_: Input): never {\n  throw new RangeError('too far');\n}\n");
    let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "2"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("system `move` failed: JobError: ") && stderr.contains("RangeError: too far"), "{stderr}");
    assert!(stderr.contains(&format!("{}:8:9", app.path("move.job.ts"))), "{stderr}");
}

#[test]
fn a_job_that_does_not_load_is_told_with_its_place() {
    let app = moving("load");
    app.write("move.job.ts", "export function handle() {\n  return 1 1;\n}\n");
    let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "1"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("does not load") && stderr.contains(&format!("{}:2:", app.path("move.job.ts"))),
        "{stderr}"
    );
}

#[test]
fn what_an_app_does_wrong_is_an_error_with_its_place() {
    for (text, told) in [
        (
            "scheduler.register({ name: 'x', readsComponents: [{ id: 99, name: 'Nothing' }], run() {} });",
            "`Nothing` is no component",
        ),
        ("world.defineComponent({ name: 'A', fields: { x: 'f16' } });", "f16"),
        ("world.destroyEntity(world.createEntity() + 1);", "EntityError"),
        ("import('peristyle/nothing').catch((error) => { throw error; });", "peristyle has no such entry point"),
    ] {
        let text = format!(
            "import {{ Scheduler, World }} from 'peristyle';\nconst world = new World();\nconst scheduler = new Scheduler(world);\n{text}\n"
        );
        let app = App::new("wrong", &[("app.ts", &text)]);
        let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "1"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(stderr.contains(told) && stderr.contains("app.ts:4:"), "{text}\n{stderr}");
    }
}

#[test]
fn options_of_apps_are_checked() {
    for (arguments, told) in [
        (&["x.ts", "--ticks", "0"][..], "--ticks"),
        (&["x.ts", "--hz", "fast"], "--hz"),
        (&["x.ts", "--hz", "-5"], "more than 0"),
        (&["--serve=nowhere", "x.ts"], "--serve"),
        (&["x.ts", "--trace"], "--trace"),
        (&["--seed", "1", "x.ts", "--watch"], "--seed"),
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!((code, &*stdout), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(told), "{arguments:?}: {stderr}");
    }
}

#[test]
fn jobs_are_loaded_again_when_their_files_are_written() {
    let app = moving("watch");
    let running = Running::start(&[&app.path("app.ts"), "--hz", "200", "--watch"]);
    running.line("sum 10");
    // What a job imports counts, too; the world is as it was.
    app.write("step.ts", "export const step: number = 0.125;");
    running.line("loaded 1 job again");
    let sum = |line: String| line.trim_start_matches("sum ").parse::<f64>().expect("a number");
    let broken = sum(running.line(".25"));
    assert!(broken > 10.0);
    // A job that cannot be loaded leaves the old one, and is told of with its place; twice, if it is written twice.
    for brackets in ["{", "[["] {
        app.write("move.job.ts", &format!("// not\nexport function handle({brackets}"));
        running.line(&format!("{}:2:", app.path("move.job.ts")));
        running.line("the jobs go on as they were");
        assert!(sum(running.line(".25")) > broken);
    }
    app.write("move.job.ts", &MOVE.replace("+= step", "= -1"));
    running.line("loaded 1 job again");
    running.line("sum -10");
}

#[test]
fn a_job_that_throws_under_watch_is_told_once_with_its_place_and_mended() {
    let app = moving("watch-throws");
    app.write("move.job.ts", "export function handle(): void {\n  throw new RangeError('too far');\n}\n");
    let running = Running::start(&[&app.path("app.ts"), "--hz", "500", "--watch"]);
    let mut told = running.until(&format!("{}:2:9", app.path("move.job.ts")));
    (0..20).for_each(|_| told.extend(running.until("sum 0")));
    let times = told.iter().filter(|line| line.contains("FrameFailure: system `move` failed")).count();
    assert_eq!(times, 1, "frames go on, and fail in silence: {told:#?}");
    app.write("move.job.ts", SET);
    running.line("loaded 1 job again");
    running.line("sum 10");
}

#[test]
fn a_job_that_never_loaded_is_taken_up_when_it_is_mended() {
    let app = moving("watch-broken");
    app.write("move.job.ts", "export function handle(x: = 1) {}");
    let running = Running::start(&[&app.path("app.ts"), "--hz", "200", "--watch"]);
    running.line(&format!("{}:1:", app.path("move.job.ts")));
    // It imports what is not there yet.
    app.write("move.job.ts", &SET.replace("./step.ts", "./later.ts"));
    running.line("later.ts");
    running.line("the jobs go on as they were");
    app.write("later.ts", "export const step: number = 3;");
    running.line("loaded 1 job again");
    running.line("sum 30");
}

#[test]
fn a_file_that_is_away_leaves_the_job_until_it_is_back() {
    let app = moving("watch-away");
    let running = Running::start(&[&app.path("app.ts"), "--hz", "200", "--watch"]);
    running.line("sum 10");
    fs::remove_file(app.path("step.ts")).expect("it can be removed");
    // A reload, which misses it.
    app.write("move.job.ts", &format!("{MOVE}// again"));
    running.line("step.ts");
    running.line("the jobs go on as they were");
    running.line("sum ");
    app.write("step.ts", "export const step: number = 0.125;");
    running.line("loaded 1 job again");
    running.line(".25");
}

#[test]
fn of_many_quick_saves_the_last_one_counts() {
    let app = moving("watch-quick");
    app.write("move.job.ts", SET);
    let running = Running::start(&[&app.path("app.ts"), "--hz", "200", "--watch"]);
    running.line("sum 10");
    for last in 1..=5 {
        for save in (11..=50).chain([-last]) {
            // All as long as the others, so that their times alone tell them apart.
            app.write("step.ts", &format!("export const step: number = {save};"));
        }
        running.line(&format!("sum -{last}0"));
    }
}

#[test]
fn a_written_main_module_is_said_to_need_a_restart() {
    let app = moving("watch-main");
    app.write("app.ts", &format!("import './names.ts';\n{MOVING}"));
    app.write("names.ts", "export const name: string = 'a';");
    let running = Running::start(&[&app.path("app.ts"), "--hz", "200", "--watch"]);
    running.line("sum 10");
    app.write("app.ts", &format!("{MOVING}console.log('another world');"));
    let told = running.line("app.ts is part of the app itself");
    assert!(told.contains("goes on as it was started: run it again"), "{told}");
    app.write("names.ts", "export const name: string = 'b';");
    let before = running.until("names.ts is part of the app itself");
    assert!(!before.iter().any(|line| line.contains("another world") || line.contains("loaded")), "{before:#?}");
    // A kernel or a job is still taken up.
    app.write("step.ts", "export const step: number = 0.125;");
    running.line(".25");
}

#[test]
fn a_kernel_is_loaded_again_when_it_is_written() {
    let app = App::new("watch-kernel", &[]);
    let module = kernel(&app, true);
    let text = MOVING
        .replace(
            "module: new URL(\"./move.job.ts\", import.meta.url)",
            "kernel: new URL(\"./kernel.wasm\", import.meta.url)",
        )
        .replace("writes: [Position]", "writes: [Position, Velocity, Life], despawns: true")
        .replace(
            "for (let i",
            "const Velocity = world.defineComponent({ name: \"Velocity\", fields: { x: \"f32\", y: \"f32\" } });
             const Life = world.defineComponent({ name: \"Life\", fields: { seconds: \"f32\" } });
             for (let i",
        )
        .replace(
            "[Position.id]: { x: i, y: 0 }",
            "[Position.id]: { x: i, y: 1 }, [Velocity.id]: { x: 0, y: 0 }, [Life.id]: { seconds: 1e9 }",
        );
    app.write("app.ts", &text);
    let running = Running::start(&[&app.path("app.ts"), "--hz", "200", "--watch"]);
    running.line("sum ");
    let bytes = fs::read(&module).expect("it was compiled");
    fs::write(&module, &bytes[..bytes.len() / 2]).expect("it can be written");
    running.line("kernel `move`");
    running.line("the jobs go on as they were");
    fs::write(&module, &bytes).expect("it can be written");
    running.line("loaded 1 job again");
    running.line("sum ");
}

#[test]
fn how_an_app_ends_is_told() {
    let world = "import { Scheduler, World } from 'peristyle';\nconst scheduler = new Scheduler(new World());\n";
    let runs = "scheduler.register({ name: 'a', run() {} });\nexport default scheduler;\n";
    for (rest, options, code, told) in [
        ("throw new RangeError('at top');", &["--ticks", "3"][..], 1, "Uncaught RangeError: at top"),
        ("setTimeout(() => { throw new RangeError('later'); });", &[], 1, "Uncaught RangeError: later"),
        ("Promise.reject(new RangeError('refused'));", &[], 1, "Uncaught RangeError: refused"),
        ("setTimeout(() => process.exit(7));", &[], 7, ""),
        ("await new Promise(() => {});", &[], 13, "awaits at its top level what nothing will settle"),
        ("setTimeout(() => scheduler.close());", &[], 0, ""),
        ("scheduler.register({ name: 'b', run() { process.exit(3); } });", &["--ticks", "3"], 3, ""),
        ("scheduler.register({ name: 'b', run() { throw null; } });", &["--ticks", "3"], 1, "system `b` failed"),
        (
            "scheduler.register({ name: 'b', run: () => scheduler.runFrame(1) });",
            &["--ticks", "3"],
            13,
            "the app ended within a frame",
        ),
    ] {
        let app = App::new("ends", &[("app.ts", &format!("{world}{runs}{rest}"))]);
        let arguments: Vec<_> =
            [&*app.path("app.ts")].into_iter().chain(options.iter().copied()).map(str::to_owned).collect();
        let (found, stdout, stderr) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((found, &*stdout), (Some(code), ""), "{rest}: {stderr}");
        assert!(stderr.contains(told) && stderr.is_empty() == told.is_empty(), "{rest}: {stderr}");
    }
}

#[test]
fn options_of_frames_are_refused_if_there_are_none() {
    let app =
        App::new("none", &[("app.ts", "import 'peristyle';\nexport default 5;"), ("exits.ts", "process.exit(0);")]);
    let trace = app.path("trace.json");
    for (main, options, named) in [
        ("app.ts", &["--ticks", "3"][..], "--ticks"),
        ("app.ts", &["--serve=127.0.0.1:0", "--watch"], "--serve and --watch"),
        ("exits.ts", &["--trace", &trace], "--trace"),
    ] {
        let main = app.path(main);
        let (code, _, stderr) = run(&[&[&*main], options].concat());
        assert_eq!(code, Some(1), "{stderr}");
        let told = format!("error: no frame was run, for which {named} was given: export a scheduler");
        assert!(stderr.starts_with(&told), "{stderr}");
    }
    assert_eq!(run(&[&app.path("app.ts")]), (Some(0), String::new(), String::new()));
}

#[test]
fn a_trace_shows_frames_and_what_ran_in_them() {
    let app = moving("trace");
    let file = app.path("trace.json");
    let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "4", "--trace", &file]);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let trace: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("it was written")).expect("it is JSON");
    let events = trace["traceEvents"].as_array().expect("it has events");
    let named = |name: &str| events.iter().filter(|event| event["name"] == name && event["ph"] == "X").count();
    assert_eq!(named("frame"), 4);
    assert_eq!((named("move"), named("log")), (4, 4));
    let (code, stdout, stderr) = run(&[&app.path("app.ts"), "--ticks", "1", "--trace", "/nowhere/trace.json"]);
    assert_eq!((code, &*stdout), (Some(1), ""), "it is told before a frame is run");
    assert!(stderr.contains("/nowhere/trace.json cannot be written"), "{stderr}");
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("it can be asked");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_world_is_served_while_it_runs() {
    let app = moving("serve");
    let running = Running::start(&[&app.path("app.ts"), "--hz", "100", "--serve=127.0.0.1:0"]);
    let address = running.address();
    assert!(get(address, "/healthz").trim_end().ends_with("ok"), "it is healthy");
    assert!(get(address, "/").contains("<html"), "the live page is there");
    assert!(get(address, "/metrics").contains("peristyle_"), "figures are there");
    // A second one cannot have the address.
    let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "2", &format!("--serve={address}")]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("cannot be served at {address}")), "{stderr}");
}

#[test]
fn who_watches_an_app_is_told_goodbye_when_it_is_told_to_end() {
    let app = moving("goodbye");
    let mut running = Running::start(&[&app.path("app.ts"), "--hz", "100", "--serve=127.0.0.1:0"]);
    let address = running.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("threads can be started");
    let close = runtime.block_on(async {
        let url = format!("ws://{address}/ws?topics=render.state");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("it lets us in");
        let mut pid = Some(Pid::from_child(&running.child));
        loop {
            match socket.next().await.expect("it says goodbye").expect("it is no error") {
                Message::Close(close) => return close.expect("it says why"),
                Message::Binary(_) => {
                    let Some(pid) = pid.take() else { continue };
                    kill_process(pid, Signal::INT).expect("it runs");
                }
                _ => {}
            }
        }
    });
    assert_eq!((u16::from(close.code), &*close.reason), (1001, "the gateway shuts down"));
    assert_eq!(running.child.wait().expect("it ends").code(), Some(130));
    assert!(running.lines.iter().all(|line| !line.contains("error")), "it ended as it was told to");
}

#[test]
fn an_app_that_is_served_needs_something_to_show() {
    let text = "import { Scheduler, World } from 'peristyle';\nexport default new Scheduler(new World());";
    let app = App::new("empty", &[("app.ts", text)]);
    let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "2", "--serve=127.0.0.1:0"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("cannot be served at 127.0.0.1:0"), "{stderr}");
}

#[test]
fn the_example_runs() {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/native/app.ts");
    let (code, _, stderr) = run(&[app.to_str().expect("a path that is UTF-8"), "--ticks", "20"]);
    assert_eq!((code, &*stderr), (Some(0), ""));
}
