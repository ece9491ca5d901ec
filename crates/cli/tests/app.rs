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
        let mut seen = Vec::new();
        while seen.len() < 100_000 {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => {
                    panic!("no line with {text:?}: {error}; the last were {:#?}", &seen[seen.len().saturating_sub(9)..])
                }
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
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/peristyle/test/golden");
    let written = fs::read_to_string(golden.join("hash.ts")).expect("the hash is written down");
    let expected = written.split('"').nth(1).expect("the text of a constant");
    let (code, stdout, stderr) = run(&[golden.join("main.ts").to_str().expect("a path that is UTF-8")]);
    assert_eq!((code, &*stdout, &*stderr), (Some(0), &*format!("golden {}\n", expected), ""));
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
    // A job that cannot be loaded leaves the old one.
    app.write("move.job.ts", "export function handle( {");
    running.line("move.job.ts");
    running.line("the jobs go on as they were");
    assert!(sum(running.line(".25")) > broken);
    app.write("move.job.ts", &MOVE.replace("+= step", "= -1"));
    running.line("sum -10");
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
    let (code, _, stderr) = run(&[&app.path("app.ts"), "--ticks", "1", "--trace", "/nowhere/trace.json"]);
    assert_eq!(code, Some(1));
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
