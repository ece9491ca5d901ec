//! Each kind of value that a structured clone holds, from agent to agent; sizes; and clones from outside of the process.

use std::env;
use std::process::Command;
use std::time::Duration;

use peristyle_agents::{AgentHandle, AgentOptions, CallError, Cluster, Code, Exit, PortLimits};
use serde_json::{Value, json};

fn spawn_with(text: &str, options: AgentOptions) -> AgentHandle {
    Cluster::new().unwrap().spawn(Code::source("main.mjs", text), options).unwrap()
}

#[track_caller]
fn posted(agent: &AgentHandle) -> Value {
    agent.receive().wait_timeout(Duration::from_secs(60)).unwrap().get().unwrap()
}

/// Values, and what must hold of a copy. `same` is a value of the sender that the copy is compared with.
const KINDS: &str = r#"
  const wasm = new Uint8Array([0,97,115,109,1,0,0,0, 1,5,1,96,0,1,127, 3,2,1,0, 7,5,1,1,102,0,0, 10,6,1,4,0,65,42,11]);
  const views = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView, ...(globalThis.Float16Array ? [Float16Array] : [])];
  const kinds = {
    primitives: [() => [1, -0, NaN, Infinity, 'ü🦀\ud800', '', true, null, undefined, 5n, -(2n ** 100n)], (c) => Object.is(c[1], -0) && Object.is(c[2], NaN) && c[4] === 'ü🦀\ud800' && c[8] === undefined && c[10] === -(2n ** 100n)],
    wrappers: [() => [Object(1), Object('s'), Object(true), Object(2n)], (c) => c.every((x, i) => typeof x === 'object' && x.valueOf() === [1, 's', true, 2n][i]) && c[1] instanceof String],
    dates: [() => [new Date(5), new Date(NaN)], (c) => c[0].getTime() === 5 && Number.isNaN(c[1].getTime())],
    regexps: [() => { const r = /a\/b/giu; r.lastIndex = 3; return r; }, (c) => String(c) === '/a\\/b/giu' && c.lastIndex === 0],
    maps: [() => { const m = new Map([[{ k: 1 }, new Set([2])]]); m.set('self', m); return m; }, (c) => c.get('self') === c && [...c][0][1].has(2)],
    sets: [() => { const s = new Set([1, 'a']); s.add(s); return s; }, (c) => c.has(c) && c.has('a') && c.size === 3],
    holes: [() => Object.assign([1, , 3, ,], { extra: 'x' }), (c) => c.length === 4 && !(1 in c) && !(3 in c) && c.extra === 'x'],
    sparse: [() => { const a = []; a[4000000000] = 1; return a; }, (c) => c.length === 4000000001 && Object.keys(c).length === 1],
    cycles: [() => { const a = { list: [] }; a.self = a; a.list.push(a, a.list); return a; }, (c) => c.self === c && c.list[0] === c && c.list[1] === c.list],
    shared_references: [() => { const o = {}, b = new ArrayBuffer(4); return [o, o, new Uint8Array(b, 1), new Uint8Array(b), b]; }, (c) => c[0] === c[1] && c[2].buffer === c[3].buffer && c[3].buffer === c[4]],
    errors: [() => [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((E) => new E('m', { cause: { deep: [E.name] } })),
             (c) => c.every((e, i) => e.message === 'm' && e.cause.deep[0] === e.name && typeof e.stack === 'string' && e.stack.includes('main.mjs') && e instanceof [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError][i])],
    odd_errors: [() => { const e = new Error('x'); e.name = 'Odd'; e.extra = 1; const f = new TypeError('y'); f.cause = f; return [e, f, new Error('z')]; }, (c) => c[0].name === 'Error' && !('extra' in c[0]) && c[1].cause === c[1] && !('cause' in c[2])],
    exceptions: [() => { const e = new DOMException('m', 'AbortError'); return { e, again: e }; }, (c) => c.e === c.again && c.e.code === 20 && c.e.message === 'm' && c.e instanceof DOMException],
    objects: [() => { class P { x = 1; } return { get g() { return 7; }, p: new P(), ['a key']: 1, 5: 2, __proto__: { inherited: 1 }, hidden: Object.defineProperty({}, 'h', { value: 1 }), [Symbol()]: 1 }; },
              (c) => c.g === 7 && c.p.x === 1 && Object.getPrototypeOf(c.p) === Object.prototype && c['a key'] === 1 && c[5] === 2 && c.inherited === undefined && !('h' in c.hidden) && Object.getOwnPropertySymbols(c).length === 0],
    buffers: [() => { const b = new ArrayBuffer(9); new Uint8Array(b)[8] = 7; return b; }, (c) => c.byteLength === 9 && new Uint8Array(c)[8] === 7 && !c.resizable],
    resizable: [() => { const b = new ArrayBuffer(4, { maxByteLength: 16 }); return [b, new Uint8Array(b), new Uint8Array(b, 1, 2)]; }, (c) => { const [b, all, part] = c; b.resize(8); return b.resizable && b.maxByteLength === 16 && all.length === 8 && part.length === 2; }],
    views: [() => views.map((View) => new View(new ArrayBuffer(64), 16, 2)), (c) => c.every((v, i) => v instanceof views[i] && v.byteOffset === 16 && v.buffer.byteLength === 64 && (v.length ?? v.byteLength) === 2)],
    shared_memory: [(s) => s.sab, (c) => c instanceof SharedArrayBuffer && new Int32Array(c)[0] === 77],
    growable: [(s) => s.grow, (c) => { if (c.byteLength === 8) c.grow(16); return c.growable && c.maxByteLength === 32 && c.byteLength === 16; }],
    shared_views: [(s) => new Int32Array(s.sab, 4), (c) => c.buffer instanceof SharedArrayBuffer && c.byteOffset === 4 && c.length === 1],
    module: [(s) => [s.module, s.module], (c) => c[0] === c[1] && c[0] instanceof WebAssembly.Module && new WebAssembly.Instance(c[0]).exports.f() === 42 && WebAssembly.Module.exports(c[0])[0].name === 'f'],
    memory: [(s) => s.memory, (c) => { if (c.buffer.byteLength === 65536) c.grow(1); return c instanceof WebAssembly.Memory && c.buffer instanceof SharedArrayBuffer && c.buffer.byteLength === 131072 && new Int32Array(c.buffer)[3] === 9; }],
    long_text: [() => 'long '.repeat(50000), (c) => c.length === 250000 && c.endsWith('long ')],
    deep: [() => { let a = []; for (let i = 0; i < 50000; i++) a = [a]; return a; }, (c) => { let n = 0; while (c.length) { c = c[0]; n++; } return n === 50000; }],
  };
"#;

#[test]
fn each_kind_of_value_goes_there_and_back() {
    let worker = format!(
        "{KINDS} onmessage = ({{ data: [name, value] }}) => {{ let held; try {{ held = kinds[name][1](value); }} catch (error) {{ held = String(error); }} postMessage([name, held, value]); }};"
    );
    let main = format!(
        "{KINDS}
         const memory = new WebAssembly.Memory({{ initial: 1, maximum: 2, shared: true }});
         new Int32Array(memory.buffer)[3] = 9;
         const same = {{ sab: new SharedArrayBuffer(8), grow: new SharedArrayBuffer(8, {{ maxByteLength: 32 }}), memory, module: new WebAssembly.Module(wasm) }};
         new Int32Array(same.sab)[0] = 77;
         const worker = new Worker('./worker.mjs');
         const wrong = [];
         let left = Object.keys(kinds).length;
         worker.onmessage = ({{ data: [name, held, back] }}) => {{
           if (held !== true) wrong.push([name, 'there', held]);
           let again; try {{ again = kinds[name][1](back); }} catch (error) {{ again = String(error); }}
           if (again !== true) wrong.push([name, 'and back', again]);
           if (--left === 0) {{
             // What is shared is one thing.
             if (same.grow.byteLength !== 16 || memory.buffer.byteLength !== 131072) wrong.push('not shared');
             postMessage(wrong);
             worker.terminate();
           }}
         }};
         worker.onmessageerror = () => postMessage('messageerror');
         for (const name in kinds) {{
           const value = kinds[name][0](same);
           const own = kinds[name][1](structuredClone(value));
           if (own !== true) wrong.push([name, 'here', own]);
           worker.postMessage([name, value]);
         }}"
    );
    let code = Code::bundle("main.mjs", [("main.mjs", main), ("worker.mjs", worker)]);
    let agent = Cluster::new().unwrap().spawn(code, AgentOptions::default()).unwrap();
    assert_eq!(posted(&agent), json!([]));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

#[test]
fn compiled_modules_outlive_their_makers_and_their_messages() {
    let text = format!(
        "{KINDS}
         const {{ port1, port2 }} = new MessageChannel();
         for (let i = 0; i < 200; i++) port1.postMessage([new WebAssembly.Module(wasm), new WebAssembly.Module(wasm)]);
         // Half of them are never read.
         let read = 0;
         port2.onmessage = ({{ data }}) => {{ if (new WebAssembly.Instance(data[1]).exports.f() !== 42) throw 1; if (++read === 100) {{ port2.close(); postMessage(new WebAssembly.Module(wasm).constructor === WebAssembly.Module); }} }};
         export const make = () => {{ globalThis.kept = structuredClone(new WebAssembly.Module(wasm)); return kept instanceof WebAssembly.Module; }};"
    );
    for _ in 0..4 {
        let agent = spawn_with(&text, AgentOptions::default());
        assert_eq!(posted(&agent), true);
        assert!(agent.call::<bool>("make", &()).wait().unwrap());
        assert_eq!(agent.join().wait(), Exit::Finished);
    }
}

#[test]
fn a_message_that_is_too_large_leaves_all_it_would_transfer() {
    let ports = PortLimits { message_bytes: 64 << 10, queue_messages: 4, queue_bytes: 100 << 10 };
    let text = "
      const { port1, port2 } = new MessageChannel();
      const wrong = [];
      const attempt = (value, list, expected) => {
        const kept = [new ArrayBuffer(1000), new ArrayBuffer(500, { maxByteLength: 1000 }), new MessageChannel().port1];
        let reads = 0;
        const message = { value, kept, get once() { return ++reads; } };
        let got = 'ok';
        try { port1.postMessage(message, [...kept, ...list]); } catch (error) { got = error.name; }
        if (got !== expected) wrong.push(`${got} is not ${expected}`);
        if (reads > 1) wrong.push(`read ${reads} times`);
        let usable = kept[0].byteLength === 1000 && kept[1].byteLength === 500;
        try { structuredClone(0, { transfer: [kept[2]] }); } catch { usable = false; }
        if (usable !== (got !== 'ok')) wrong.push(`${got}: ${kept[0].byteLength} ${kept[1].byteLength}`);
      };
      attempt('small', [], 'ok');
      attempt(new Uint8Array(70000), [], 'DataCloneError');
      attempt(Array.from({ length: 20000 }, (_, i) => ({ i })), [], 'DataCloneError');
      attempt(0, [new ArrayBuffer(70000)], 'DataCloneError');
      // Transferred and copied bytes count together.
      attempt(new Uint8Array(40000), [new ArrayBuffer(40000)], 'DataCloneError');
      attempt(new Uint8Array(50000), [], 'ok');
      attempt(new Uint8Array(60000), [], 'QuotaExceededError');
      attempt('small', [], 'ok');
      attempt('small', [], 'ok');
      attempt('small', [], 'QuotaExceededError');
      let count = 0;
      port2.onmessage = ({ data }) => {
        if (data.kept[0].byteLength !== 1000 || !data.kept[1].resizable || !(data.kept[2] instanceof MessagePort) || data.once !== 1) wrong.push('not whole');
        if (++count === 4) { port2.close(); postMessage(wrong); }
      };";
    let agent = spawn_with(text, AgentOptions { ports, ..AgentOptions::default() });
    assert_eq!(posted(&agent), json!([]));
    assert_eq!(agent.join().wait(), Exit::Finished);
    // To Rust, too.
    let text = "const b = new ArrayBuffer(8);
         try { postMessage([new Uint8Array(70000), b], [b]); } catch (error) { postMessage([error.name, b.byteLength]); }";
    let agent = spawn_with(text, AgentOptions { ports, ..AgentOptions::default() });
    assert_eq!(posted(&agent), json!(["DataCloneError", 8]));
}

#[test]
fn a_buffer_that_is_its_own_message_goes_whole_or_stays() {
    let ports = PortLimits { message_bytes: 4096, queue_messages: 100, queue_bytes: 1 << 20 };
    // The limit lies between these sizes, as a message is larger than what it moves.
    let text = "
      const { port1, port2 } = new MessageChannel();
      const wrong = [], sent = [];
      for (let size = 3960; size <= 4104; size += 8) {
        const buffer = new ArrayBuffer(size);
        let got = 'ok';
        try { port1.postMessage(buffer, [buffer]); sent.push(size); } catch (error) { got = error.name; }
        if (got !== 'ok' && got !== 'DataCloneError') wrong.push(got);
        if (buffer.byteLength !== (got === 'ok' ? 0 : size)) wrong.push(`${size}: ${got}, ${buffer.byteLength}`);
      }
      if (sent[0] !== 3960 || sent.at(-1) >= 4096) wrong.push(sent);
      port2.onmessage = ({ data }) => {
        if (data.byteLength !== sent.shift()) wrong.push(data.byteLength);
        if (sent.length === 0) { port2.close(); postMessage(wrong); }
      };";
    let agent = spawn_with(text, AgentOptions { ports, ..AgentOptions::default() });
    assert_eq!(posted(&agent), json!([]));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

// ---- clones from outside of the process ----

/// Values without shared or transferred parts.
const PORTABLE: &str = r#"(() => {
  const error = new RangeError('m', { cause: new Map([[1, 2n]]) });
  const cycle = { list: [1, , 'text', 'ü🦀', -0, NaN, null, undefined, true, 12345678901234567890n], when: new Date(5), pattern: /a+/gi };
  cycle.self = cycle;
  return [cycle, error, new Map([['k', new Set([cycle])]]), new Uint8Array([1, 2, 3]), new Float64Array(4), new DataView(new ArrayBuffer(8), 2), new ArrayBuffer(5),
          new ArrayBuffer(4, { maxByteLength: 8 }), Object('boxed'), Object(7n), new DOMException('d', 'AbortError'), 'long '.repeat(30), new BigInt64Array(2), new AggregateError([1, error], 'a')];
})()"#;

#[test]
fn clones_leave_the_process_and_come_back() {
    let writer = spawn_with("", AgentOptions::default());
    let bytes = writer.eval_to_clone(PORTABLE).wait().unwrap();
    let reader = spawn_with(
        "export const look = (c) => [c.length, c[0].self === c[0], c[0].list.length, 1 in c[0].list, c[0].when.getTime(), String(c[0].pattern), c[1] instanceof RangeError, c[1].cause.get(1) === 2n,
             c[2].get('k').has(c[0]), c[3][2], c[5].byteLength, c[7].resizable, c[8] instanceof String, c[10] instanceof DOMException && c[10].code, c[11].length, c[13].errors[1] === c[1]];",
        AgentOptions::default(),
    );
    let looked: Value = reader.call_with_clone("look", &bytes).wait().unwrap();
    let expected = json!([14, true, 10, false, 5, "/a+/gi", true, true, true, 3, 6, true, true, 20, 150, true]);
    assert_eq!(looked, expected);
    let simple = writer.eval_to_clone("({ a: [1, 'x'] })").wait().unwrap();
    assert_eq!(reader.read_clone::<Value>(&simple).wait().unwrap(), json!({ "a": [1, "x"] }));
    // A promise's value, as `eval` gives it.
    let awaited = writer.eval_to_clone("Promise.resolve(5)").wait().unwrap();
    assert_eq!(reader.read_clone::<i32>(&awaited).wait().unwrap(), 5);
    assert!(matches!(reader.call_with_clone::<Value>("nothing", &simple).wait(), Err(CallError::NoExport { .. })));
}

#[test]
fn what_cannot_leave_the_process_does_not() {
    let agent = spawn_with("", AgentOptions::default());
    for script in [
        "new SharedArrayBuffer(1)",
        "new Uint8Array(new SharedArrayBuffer(1))",
        "new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })",
        "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))",
        "new MessageChannel().port1",
        "() => 1",
        "Symbol()",
        "({ get x() { throw new DOMException('', 'DataCloneError'); } })",
    ] {
        match agent.eval_to_clone(script).wait() {
            Err(CallError::Threw(thrown)) => assert_eq!(thrown.name, "DataCloneError", "{script}: {thrown}"),
            other => panic!("{script}: {other:?}"),
        }
    }
    let ports = PortLimits { message_bytes: 1024, ..PortLimits::default() };
    let small = spawn_with("", AgentOptions { ports, ..AgentOptions::default() });
    let large = agent.eval_to_clone("new Uint8Array(2000)").wait().unwrap();
    assert!(matches!(small.eval_to_clone("new Uint8Array(2000)").wait(), Err(CallError::Threw(_))));
    let error = small.read_clone::<Value>(&large).wait().unwrap_err().to_string();
    assert!(error.contains("the limit is 1024"), "{error}");
}

#[test]
fn bytes_that_are_no_clone_are_typed_errors() {
    let agent = spawn_with("export const take = (value) => value;", AgentOptions::default());
    let good = agent.eval_to_clone("[1, 'two']").wait().unwrap();
    let no_clone = |bytes: &[u8]| match agent.call_with_clone::<Value>("take", bytes).wait() {
        Err(CallError::NoClone { reason }) => reason,
        other => panic!("{bytes:?}: {other:?}"),
    };
    let word = |tag: u32, data: u32| [data.to_le_bytes(), tag.to_le_bytes()].concat();
    let header = |scope| word(0xFFF1_0000, scope);
    assert!(no_clone(&[]).contains("byte 0"));
    assert!(no_clone(b"{}").contains("whole words"));
    assert!(no_clone(&[0; 8]).contains("byte 0"));
    assert!(no_clone(&header(2)).contains("byte 8"));
    // What claims to come from this process could hold addresses.
    for scope in [0, 1, 3, 4, 5, 99] {
        assert!(no_clone(&[header(scope), word(0xFFFF_0000, 0)].concat()).contains("byte 0"), "{scope}");
    }
    let ports_and_modules = [0xFFFF_8001u32, 0xFFFF_8002, 0xFFFF_8003, 0xFFFF_8004, 0xFFFF_8005, 0xFFFF_FFFF];
    for tag in ports_and_modules {
        assert!(!no_clone(&[header(2), word(tag, 0)].concat()).is_empty(), "{tag:x}");
    }
    let transfers =
        [header(2), word(0xFFFF_0200, 0), vec![1, 0, 0, 0, 0, 0, 0, 0], word(0xFFFF_8001, 3), vec![0x41; 16]];
    assert!(no_clone(&transfers.concat()).contains("transfer"));
    for cut in (8..good.len()).step_by(8) {
        assert!(!no_clone(&good[..cut]).is_empty(), "{cut}");
    }
    assert_eq!(agent.call_with_clone::<Value>("take", &good).wait().unwrap(), json!([1, "two"]));
}

/// The engine is too heavy for the fuzzer's builds: this is its target, with a generator of its own. Each run is seeded, in a
/// process of its own: a crash is a failure with its seed. `PERISTYLE_CLONE_RUNS` makes more of them.
#[test]
fn mutated_clones_never_harm_the_process() {
    const INPUTS: u64 = 12_000;
    if let Ok(seed) = env::var("PERISTYLE_CLONE_SEED") {
        return read_mutated(seed.parse().unwrap(), INPUTS);
    }
    let runs = env::var("PERISTYLE_CLONE_RUNS").map_or(4, |runs| runs.parse().unwrap());
    for seed in 1..=runs {
        let this = env::current_exe().unwrap();
        let child = Command::new(this)
            .args(["mutated_clones_never_harm_the_process", "--exact", "--nocapture"])
            .env("PERISTYLE_CLONE_SEED", seed.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success(), "seed {seed}: {}\n{text}", child.status);
    }
}

fn read_mutated(seed: u64, inputs: u64) {
    let limits = PortLimits { message_bytes: 1 << 20, ..PortLimits::default() };
    let options = AgentOptions { ports: limits, heap_bytes: 64 << 20, ..AgentOptions::default() };
    let spawn = || {
        spawn_with(
            "const look = (value, depth) => {
           if (typeof value !== 'object' || value === null || depth > 3) return;
           for (const key in value) look(value[key], depth + 1);
           if (value instanceof Map || value instanceof Set) value.forEach((item) => look(item, depth + 1));
           if (value instanceof Error) look([value.name, value.message, value.stack, value.cause, value.errors], depth + 1);
           if (ArrayBuffer.isView(value) && value.fill) try { value.fill(1); } catch {}
         };
         export const touch = (value) => { look(value, 0); structuredClone(value); return 1; };",
            options.clone(),
        )
    };
    let mut agent = spawn();
    let scripts = [
        PORTABLE,
        "[1, 'two', { three: 3 }]",
        "new Map([[{}, new Set([/x/g])]])",
        "new Error('e', { cause: 1 })",
        "[new Uint8Array(9), new Date(1), 1n << 200n]",
    ];
    let corpus: Vec<Vec<u8>> = scripts.iter().map(|script| agent.eval_to_clone(script).wait().unwrap()).collect();
    // SplitMix64.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut random = move |below: usize| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % below.max(1) as u64) as usize
    };
    let (mut read, mut refused) = (0, 0);
    for _ in 0..inputs {
        let mut bytes = corpus[random(corpus.len())].clone();
        for _ in 0..=random(4) {
            let at = 8 + random(bytes.len().saturating_sub(8));
            let word = at / 8 * 8;
            match random(8) {
                0 if at < bytes.len() => bytes[at] = random(256) as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << random(8),
                // Another tag of the engine's, or ours.
                2 if word + 8 <= bytes.len() => {
                    let tag = [0xFFFF_0000u32, 0xFFFF_0100, 0xFFFF_0200, 0xFFFF_8000][random(4)] + random(64) as u32;
                    bytes[word + 4..word + 8].copy_from_slice(&tag.to_le_bytes());
                }
                3 if word + 8 <= bytes.len() => {
                    let length = [0u32, 1, 7, 8, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 20][random(8)];
                    bytes[word..word + 4].copy_from_slice(&length.to_le_bytes());
                }
                4 => bytes.truncate(word.max(16)),
                5 => {
                    let other = &corpus[random(corpus.len())];
                    let from = random(other.len() / 8) * 8;
                    bytes.splice(word.min(bytes.len())..word.min(bytes.len()), other[from..].iter().copied());
                }
                6 if word + 16 <= bytes.len() => drop(bytes.drain(word..word + 8)),
                _ => {
                    let place = word.min(bytes.len());
                    let number = u64::from(random(1 << 31) as u32) << 32 | random(1 << 31) as u64;
                    bytes.splice(place..place, number.to_le_bytes());
                }
            }
        }
        match agent.call_with_clone::<i32>("touch", &bytes).wait() {
            // What came of it may be too much for the script.
            Ok(_) | Err(CallError::Threw(_)) => read += 1,
            Err(CallError::NoClone { reason }) => {
                assert!(!reason.is_empty());
                refused += 1;
            }
            // It may have asked for more memory than it may have; then the next one takes its place.
            Err(CallError::Ended) => agent = spawn(),
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    assert!(read > inputs / 100 && refused > inputs / 100, "seed {seed}: {read} read, {refused} refused");
}
