//! What an agent may be doing when it is told to stop. Shared by tests and the bench.
#![allow(dead_code, reason = "each binary uses its part")]

use std::sync::LazyLock;

/// A program for an agent: posts `"up"` once, and never ends by itself.
pub struct Shape {
    pub name: &'static str,
    /// Runs after `"up"` was posted, with `cells` (shared `Int32Array`) and `never()` in scope.
    pub text: &'static str,
}

const fn shape(name: &'static str, text: &'static str) -> Shape {
    Shape { name, text }
}

pub const SHAPES: [Shape; 28] = [
    shape("loop", "for (;;);"),
    shape("loop in try/finally", "for (;;) try { for (;;); } catch {} finally { continue; }"),
    shape("finally that loops", "try { for (;;) if (never()) break; } finally { for (;;); }"),
    shape("calls", "const f = (n) => n <= 0 ? 0 : f(n - 1) + f(n - 2); for (;;) f(20);"),
    shape(
        "generator",
        "function* g() { try { for (;;) yield 1; } finally { yield 2; } } for (const _ of g()) never();",
    ),
    shape("proxy and getters", "const p = new Proxy({}, { get: (_, k) => k === 'x' ? p.y : 1 }); for (;;) p.x;"),
    shape("allocation", "let kept = []; for (;;) { kept = [kept.length, {}, `${kept}`.slice(0, 9)]; }"),
    shape("evaluation", "for (let i = 0;; i++) new Function('a', `return a + ${i}`)(1);"),
    shape("regular expression", "/^(a+)+$/.test('a'.repeat(40) + 'b');"),
    shape("sort that compares for ever", "[1, 2, 3].sort(() => { for (;;); });"),
    shape("toJSON that loops", "JSON.stringify({ toJSON() { for (;;); } });"),
    shape("Atomics.wait", "Atomics.wait(cells, 0, 0);"),
    shape("Atomics.wait in a loop", "for (;;) try { Atomics.wait(cells, 0, 0, 0.05); } finally { continue; }"),
    shape("Atomics.waitAsync", "await Atomics.waitAsync(cells, 0, 0).value;"),
    shape("wasm loop", "wasm(LOOP).exports.f();"),
    shape("wasm wait", "wasm(WAIT).exports.f();"),
    shape("wasm memory.grow", "wasm(GROW).exports.f();"),
    shape("endless awaits", "for (;;) await 0;"),
    shape("endless microtasks", "const f = () => queueMicrotask(f); f();"),
    shape("endless jobs", "const f = () => Promise.resolve().then(f); f();"),
    shape("async generator", "async function* g() { for (;;) yield 1; } for await (const _ of g()) never();"),
    shape(
        "timers",
        "const f = () => { for (let i = 0; i < 100; i++) never(); setTimeout(f, 0); }; for (let i = 0; i < 10; i++) f();",
    ),
    shape(
        "messages to itself",
        "const { port1, port2 } = new MessageChannel(); port1.onmessage = () => port2.postMessage([1]); port2.postMessage(0);",
    ),
    shape("clones", "for (;;) structuredClone({ a: [1, new Map([[1, 2]])] });"),
    shape("pending promise", "setInterval(() => {}, 1e6); await new Promise(() => {});"),
    shape("idle", "onmessage = () => {};"),
    shape("import that loops", "await import('data:text/javascript,for (;;);');"),
    shape("nested workers", "await tree(2);"),
];

/// What every shape may use.
const BEFORE: &str = "
const cells = new Int32Array(new SharedArrayBuffer(16));
const never = () => Math.random() > 2;
const shared = new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true });
const wasm = (bytes) => new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes)), { a: { m: shared } });
// Two workers, which have two workers each, and so on; all wait, and the agent itself loops.
const worker = (depth) => `
  const up = () => { postMessage(1); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); };
  let left = ${depth && 2};
  const worker = ${depth ? worker : '() => 0'};
  for (let i = left; i; i--) new Worker('data:text/javascript,' + encodeURIComponent(worker(${depth - 1}))).onmessage = () => --left || up();
  if (!left) up();`;
const tree = (depth) => {
  let left = 2;
  const up = () => { postMessage('up'); for (;;); };
  for (let i = 0; i < 2; i++) new Worker('data:text/javascript,' + encodeURIComponent(worker(depth - 1))).onmessage = () => --left || up();
  return new Promise(() => {});
};
";

fn bytes(wat: &str) -> String {
    format!("{:?}", wat::parse_str(wat).expect("the text is WebAssembly"))
}

static WASM: LazyLock<String> = LazyLock::new(|| {
    let looping = bytes(r#"(module (func (export "f") (loop (br 0))))"#);
    let waiting = bytes(
        r#"(module (import "a" "m" (memory 1 4 shared))
            (func (export "f") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#,
    );
    let growing = bytes(r#"(module (memory 1) (func (export "f") (loop (drop (memory.grow (i32.const 0))) (br 0))))"#);
    format!("const LOOP = {looping}, WAIT = {waiting}, GROW = {growing};")
});

impl Shape {
    /// The program.
    pub fn program(&self) -> String {
        let nested = self.name == "nested workers";
        let up = if nested { "" } else { "postMessage('up');" };
        format!("{}{BEFORE}{up}\n{}", *WASM, self.text)
    }
}
