//! Scripts under `peristyle run` and under Node: the same stdout, the same exit code.
//!
//! `tests/node/*.mjs` and `*.cjs` are the scripts; each asserts nothing itself, and prints nothing that differs from run to run.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// A script that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, PartialEq, Eq)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> Ran {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; these tests need Node 20 or newer"));
    let read = |mut from: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).expect("a pipe can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = read(Box::new(child.stdout.take().expect("it is piped")));
    let stderr = read(Box::new(child.stderr.take().expect("it is piped")));
    // Both pipes are at their end when the process is; a watchdog ends one that hangs.
    let (over, is_over) = mpsc::channel::<()>();
    let pid = child.id().to_string();
    let watchdog = thread::spawn(move || {
        if is_over.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = Command::new("kill").args(["-9", &pid]).status();
        }
    });
    let (stdout, stderr) = (stdout.join().expect("it reads"), stderr.join().expect("it reads"));
    let code = child.wait().expect("it can be awaited").code();
    drop(over);
    watchdog.join().expect("it does not panic");
    Ran { code, stdout, stderr }
}

fn peristyle(arguments: &[&str]) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_peristyle")).arg("run").args(arguments))
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node")
}

/// Runs a script in both; what differs.
fn difference(script: &Path, arguments: &[&str]) -> Option<String> {
    let name = script.to_str().expect("a path that is UTF-8");
    let node = run(Command::new("node").arg("--no-warnings").arg(name).args(arguments));
    let ours = peristyle(&[&["--allow-env", "--allow-read", name], arguments].concat());
    if (node.code, &node.stdout) == (ours.code, &ours.stdout) {
        return None;
    }
    let differing = node.stdout.lines().zip(ours.stdout.lines()).position(|(node, ours)| node != ours);
    Some(format!(
        "{name}: exit code {:?} in Node, {:?} here; line {differing:?}\n--- Node\n{}--- here\n{}{}",
        node.code, ours.code, node.stdout, ours.stdout, ours.stderr
    ))
}

#[test]
fn scripts_print_and_end_as_in_node() {
    let mut scripts: Vec<_> = fs::read_dir(directory())
        .expect("it is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "mjs" || extension == "cjs"))
        .collect();
    scripts.sort();
    assert!(scripts.len() > 30, "{scripts:?}");
    let differences: Vec<_> = scripts.iter().filter_map(|script| difference(script, &[])).collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), scripts.len(), differences.join("\n"));
}

#[test]
fn the_example_runs_unchanged_in_both() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/workers/primes.mjs");
    let script = fs::canonicalize(script).expect("it is there");
    assert_eq!(difference(&script, &[]), None);
    assert_eq!(difference(&script, &["1000003"]), None);
    assert_eq!(difference(&script, &["none"]), None);
    let ran = peristyle(&[script.to_str().expect("a path that is UTF-8")]);
    assert!(ran.stdout.contains("primes: 17984\n"), "{}", ran.stdout);
}

/// A directory of scripts, removed in the end.
struct Scripts(PathBuf);

impl Scripts {
    fn new(name: &str, files: &[(&str, &str)]) -> Scripts {
        let path = std::env::temp_dir().join(format!("peristyle-run-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("it can be made");
        let path = fs::canonicalize(path).expect("it was made");
        files.iter().for_each(|(name, text)| fs::write(path.join(name), text).expect("it can be written"));
        Scripts(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path that is UTF-8").into()
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_uncaught_error_is_printed_with_its_place_in_typescript() {
    let scripts = Scripts::new(
        "uncaught",
        &[
            ("main.ts", "import { fail } from './lib.ts';\ntype A = {\n  a: number;\n};\nfail({ a: 1 } as A);\n"),
            (
                "lib.ts",
                "interface B { a: number }\n\nexport function fail(b: B): void {\n  throw new RangeError(`no ${b.a}`);\n}\n",
            ),
        ],
    );
    let ran = peristyle(&[&scripts.path("main.ts")]);
    assert_eq!((ran.code, &*ran.stdout), (Some(1), ""));
    let places = format!("    at fail ({}:4:9)\n    at {}:5:5\n", scripts.path("lib.ts"), scripts.path("main.ts"));
    assert_eq!(ran.stderr, format!("Uncaught RangeError: no 1\n{places}"));
}

#[test]
fn what_cannot_run_is_told_with_its_place() {
    let scripts =
        Scripts::new("broken", &[("syntax.ts", "let a = 1;\nlet b: = 2;\n"), ("import.ts", "\nimport 'node:http';\n")]);
    let ran = peristyle(&[&scripts.path("syntax.ts")]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.starts_with(&format!("Uncaught SyntaxError: {}:2:", scripts.path("syntax.ts"))),
        "{}",
        ran.stderr
    );
    let ran = peristyle(&[&scripts.path("import.ts")]);
    assert_eq!(ran.code, Some(1));
    let what = ":2:8: cannot import \"node:http\": there is no built-in module \"node:http\"; there are node:assert, ";
    assert!(ran.stderr.contains(what) && ran.stderr.contains("node:worker_threads"), "{}", ran.stderr);
    let ran = peristyle(&[&scripts.path("nowhere.ts")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.ends_with("nowhere.ts: no such file\n"), "{}", ran.stderr);
}

#[test]
fn reading_is_off_unless_allowed() {
    let script = "
        import { readFileSync, existsSync, readdirSync } from 'node:fs';
        for (const path of process.argv.slice(2)) {
          try {
            console.log(readFileSync(path, 'utf8'), existsSync(path));
          } catch (error) {
            console.log(error.code, error.errno, error.syscall, error.message.replaceAll(path, 'PATH'), existsSync(path));
          }
        }
    ";
    let scripts = Scripts::new("read", &[("main.ts", script), ("open.txt", "open"), ("closed.txt", "closed")]);
    let (main, open, closed) = (scripts.path("main.ts"), scripts.path("open.txt"), scripts.path("closed.txt"));
    std::os::unix::fs::symlink(&closed, scripts.path("link.txt")).expect("it can be made");
    let denied =
        "EACCES -13 open EACCES: permission denied (reading files is allowed by --allow-read), open 'PATH' false\n";
    assert_eq!(peristyle(&[&main, &open]).stdout, denied);
    assert_eq!(peristyle(&["--allow-read", &main, &open]).stdout, "open true\n");
    let one = format!("--allow-read={open}");
    // Neither a link nor `..` leads out.
    let roundabout = format!("{}/../{}", scripts.path(""), closed.trim_start_matches('/'));
    let ran = peristyle(&[&one, &main, &open, &closed, &scripts.path("link.txt"), &roundabout]);
    assert_eq!(ran.stdout, format!("open true\n{}", denied.repeat(3)));
    let all = format!("--allow-read={}", scripts.0.display());
    assert_eq!(peristyle(&[&all, &main, &closed]).stdout, "closed true\n");
    let ran = peristyle(&[&all, &main, &scripts.path("nothing")]);
    assert_eq!(ran.stdout, "ENOENT -2 open ENOENT: no such file or directory, open 'PATH' false\n");
}

#[test]
fn the_environment_is_empty_unless_allowed() {
    let script = "
        import { Worker } from 'node:worker_threads';
        console.log(process.env.ONE, process.env.TWO, 'ONE' in process.env);
        new Worker('console.log(Object.keys(process.env).filter((name) => /ONE|TWO/.test(name)))', { eval: true });
    ";
    let scripts = Scripts::new("env", &[("main.ts", script)]);
    let with = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peristyle"));
        let main = scripts.path("main.ts");
        run(command.arg("run").args(arguments).arg(main).envs([("ONE", "1"), ("TWO", "2")])).stdout
    };
    assert_eq!(with(&[]), "undefined undefined false\n[]\n");
    assert_eq!(with(&["--allow-env=ONE"]), "1 undefined true\n[ 'ONE' ]\n");
    assert_eq!(with(&["--allow-env=TWO,ONE"]), "1 2 true\n[ 'ONE', 'TWO' ]\n");
    assert_eq!(with(&["--allow-env"]), "1 2 true\n[ 'ONE', 'TWO' ]\n");
}

#[test]
fn the_webs_worker_is_there_beside_nodes() {
    let scripts = Scripts::new(
        "web",
        &[
            (
                "main.ts",
                "
                const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
                worker.onmessage = ({ data }: MessageEvent) => { console.log('main', data); worker.terminate(); };
                worker.postMessage({ n: 20 });
            ",
            ),
            (
                "worker.ts",
                "
                import { isMainThread, threadId, parentPort } from 'node:worker_threads';
                onmessage = ({ data }) => { console.log('web', data, isMainThread, threadId); };
                parentPort.on('message', (data) => postMessage(data.n + 1));
            ",
            ),
        ],
    );
    let ran = peristyle(&[&scripts.path("main.ts")]);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (Some(0), "web { n: 20 } false 1\nmain 21\n", ""));
}

#[test]
fn a_text_that_can_only_be_a_module_is_one() {
    let script = "
        import { Worker } from 'node:worker_threads';
        const text = 'import { parentPort } from \"node:worker_threads\"; import n from \"./n.mjs\"; await 0; parentPort.postMessage(n);';
        new Worker(text, { eval: true }).on('message', console.log);
    ";
    let scripts = Scripts::new("eval", &[("main.ts", script), ("n.mjs", "export default 7;")]);
    assert_eq!(peristyle(&[&scripts.path("main.ts")]).stdout, "7\n");
}

#[test]
fn a_worker_that_outgrows_its_heap_dies_alone() {
    let script = "
        import { Worker } from 'node:worker_threads';
        const worker = new Worker('const all = []; for (;;) all.push({ a: all.length, b: [all.length] })', { eval: true, resourceLimits: { maxOldGenerationSizeMb: 24 } });
        console.log(worker.resourceLimits.maxOldGenerationSizeMb);
        worker.on('error', (error) => console.log(error.code));
        worker.on('exit', (code) => console.log('exit', code));
    ";
    let scripts = Scripts::new("heap", &[("main.ts", script)]);
    let ran = peristyle(&[&scripts.path("main.ts")]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "24\nERR_WORKER_OUT_OF_MEMORY\nexit 1\n"), "{}", ran.stderr);
}

#[test]
fn arguments_are_checked() {
    let ran = peristyle(&[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("<SCRIPT"), "{}", ran.stderr);
    let ran = peristyle(&["--max-heap", "1", "x.ts"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--max-heap"), "{}", ran.stderr);
}

#[test]
fn a_seed_replays_a_run() {
    let directory = std::env::temp_dir().join(format!("peristyle-seed-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory can be made");
    let script = directory.join("race.mjs");
    let text = "
      import { Worker, isMainThread, parentPort, threadId } from 'node:worker_threads';
      if (isMainThread) {
        const order = [];
        for (let i = 0; i < 4; i++) {
          const worker = new Worker(new URL(import.meta.url));
          worker.on('message', (line) => { order.push(line); if (order.length === 12) console.log(order.join()); });
        }
      } else {
        for (let i = 0; i < 3; i++) setTimeout(() => parentPort.postMessage(`${threadId} ${i} ${performance.now()}`), Math.random() * 3);
      }";
    fs::write(&script, text).expect("a file can be written");
    let ran = |seed: &str| {
        let turns = directory.join("turns");
        let ran = peristyle(&["--seed", seed, "--turns", &turns.to_string_lossy(), &script.to_string_lossy()]);
        (ran, fs::read_to_string(&turns).expect("turns were written"))
    };
    let first = ran("7");
    assert_eq!((first.0.code, first.0.stderr.as_str()), (Some(0), ""), "{first:?}");
    assert_eq!(first.0.stdout.split(',').count(), 12);
    assert!(first.1.lines().count() > 12 && first.1.contains("message"), "{}", first.1);
    assert_eq!(ran("7"), first);
    assert_ne!(ran("8").1, first.1);
    // What cannot go on is told, and by whom.
    fs::write(&script, "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);").expect("a file can be written");
    let stuck = ran("1").0;
    assert_eq!(stuck.code, Some(1));
    assert!(stuck.stderr.contains("deadlock: 0 waits for a notification"), "{}", stuck.stderr);
    fs::remove_dir_all(&directory).expect("a directory can be removed");
}
