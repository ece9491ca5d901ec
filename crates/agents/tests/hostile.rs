//! Messages that fight back: code of the script that runs while a value is cloned or converted.

use peristyle_agents::{AgentOptions, Cluster, Code, Exit};

/// An expression that makes a value, and how sending it ends: `sent`, or the name of what was thrown.
const VALUES: [(&str, &str); 20] = [
    ("{ get a() { throw new RangeError('mine'); } }", "RangeError"),
    ("{ get a() { throw undefined; } }", "undefined"),
    ("{ get a() { throw { toString() { throw 1; } }; } }", "object"),
    ("new Proxy({}, { ownKeys() { throw new RangeError('mine'); } })", "DataCloneError"),
    ("(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })()", "DataCloneError"),
    (
        "(() => { const b = new ArrayBuffer(64); return [{ get a() { structuredClone(b, { transfer: [b] }); } }, new Uint8Array(b)]; })()",
        "DataCloneError",
    ),
    (
        "(() => { const b = new ArrayBuffer(64, { maxByteLength: 128 }), v = new Uint8Array(b); return [{ get a() { b.resize(1); return 1; } }, v]; })()",
        "sent",
    ),
    (
        "(() => { const o = { get a() { for (let i = 0; i < 1000; i++) o[`x${i}`] = i; delete o.b; return 1; }, b: 2 }; return o; })()",
        "sent",
    ),
    ("(() => { const m = new Map([[{ get a() { m.clear(); return 1; } }, 1], [2, 2]]); return m; })()", "sent"),
    ("(() => { const a = [{ get a() { a.length = 0; return 1; } }, 2, 3]; return a; })()", "sent"),
    ("(() => { const a = [{ get a() { a.push(() => 1); return 1; } }]; return a; })()", "sent"),
    ("Object.assign(new Error('e'), { get cause() { throw 1; } })", "number"),
    ("Object.defineProperty(new Error('e'), 'message', { get() { throw new RangeError('mine'); } })", "sent"),
    ("Object.defineProperty(new Error('e'), 'name', { get() { throw new RangeError('mine'); } })", "RangeError"),
    (
        "Object.defineProperty(new Error('e'), 'name', { value: { toString() { throw new RangeError('mine'); } } })",
        "sent",
    ),
    ("Object.setPrototypeOf(new Map([[1, 2]]), null)", "sent"),
    ("Object.assign(Object.create({ get b() { throw 1; } }), { a: 1 })", "sent"),
    ("{ toJSON() { throw 1; }, valueOf() { throw 1; }, toString() { throw 1; } }", "DataCloneError"),
    ("{ [Symbol.toPrimitive]: null, get [Symbol.toStringTag]() { throw 1; } }", "sent"),
    ("(() => { const d = new Date(); d.getTime = () => { throw 1; }; delete d.getTime; return d; })()", "sent"),
];

/// Options of a transfer that are no list of things to transfer.
const LISTS: [(&str, &str); 7] = [
    ("{ transfer: 1 }", "TypeError"),
    ("{ transfer: { [Symbol.iterator]() { throw new RangeError('mine'); } } }", "RangeError"),
    ("{ get transfer() { throw new RangeError('mine'); } }", "RangeError"),
    ("{ transfer: [{}] }", "DataCloneError"),
    ("{ transfer: new Proxy([], { get() { throw new RangeError('mine'); } }) }", "RangeError"),
    ("{ transfer: [new Proxy(new ArrayBuffer(1), {})] }", "DataCloneError"),
    ("{ transfer: (function* () { yield new ArrayBuffer(1); throw new RangeError('mine'); })() }", "RangeError"),
];

#[test]
fn hostile_values_end_in_standard_exceptions_and_a_usable_agent() {
    let cluster = Cluster::new().unwrap();
    let text = "
        const named = (e) => e !== null && typeof e === 'object' && typeof e.name === 'string' ? e.name : typeof e;
        const attempt = (send) => { try { send(); return 'sent'; } catch (e) { return named(e); } };
        export const clone = (text) => attempt(() => structuredClone((0, eval)(`(${text})`)));
        export const toPort = (text) => attempt(() => { const { port1 } = new MessageChannel(); port1.postMessage((0, eval)(`(${text})`)); });
        export const toRust = (text) => attempt(() => postMessage((0, eval)(`(${text})`)));
        export const give = (text) => (0, eval)(`(${text})`);
        export const list = (text) => attempt(() => structuredClone(null, (0, eval)(`(${text})`)));
        export const works = () => structuredClone([new Map([[1, new Error('x')]])])[0].size;";
    let agent = cluster.spawn(Code::source("x.mjs", text), AgentOptions::default()).unwrap();
    let mut wrong = Vec::new();
    for (value, expected) in VALUES {
        for way in ["clone", "toPort"] {
            let end = agent.call::<String>(way, &[value]).wait();
            if end.as_deref() != Ok(expected) {
                wrong.push(format!("{way} {value}: {end:?}, not {expected}"));
            }
        }
        // Conversion to values has rules of its own; none may break the agent.
        let sent = agent.call::<String>("toRust", &[value]).wait();
        assert!(sent.is_ok(), "{value}: {sent:?}");
        drop(agent.call::<serde_json::Value>("give", &[value]).wait());
        assert_eq!(agent.call::<u32>("works", &()).wait(), Ok(1), "{value}");
    }
    for (list, expected) in LISTS {
        let end = agent.call::<String>("list", &[list]).wait();
        if end.as_deref() != Ok(expected) {
            wrong.push(format!("{list}: {end:?}, not {expected}"));
        }
        assert_eq!(agent.call::<u32>("works", &()).wait(), Ok(1), "{list}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(agent.join().wait(), Exit::Finished);
}

/// Scripts of ours run after this one, which changed what is global.
#[test]
fn a_script_that_changes_globals_first_gets_nothing_of_ours() {
    let text = r#"
        const seen = new Set();
        const hear = (value) => {
          if (value === null || (typeof value !== 'object' && typeof value !== 'function') || value === globalThis) return;
          for (const key of ['native', 'part', 'post', 'settle', 'setTimer', 'transferList']) {
            try { if (key in value) seen.add(key); } catch {}
          }
        };
        for (const owner of [Object, Reflect]) for (const name of Object.getOwnPropertyNames(owner)) {
          const theirs = owner[name];
          if (typeof theirs !== 'function' || name === 'prototype') continue;
          owner[name] = function (...args) { args.forEach(hear); return theirs.apply(this, args); };
        }
        const P = Proxy;
        globalThis.Proxy = new P(P, {
          construct(T, [target, handler]) {
            hear(target), hear(handler);
            // Who reads through it is heard, too.
            return new T(target, new T({}, { get: (_, trap) => (...args) => { args.forEach(hear); return (handler[trap] ?? Reflect[trap])(...args); } }));
          },
        });
        for (const Kind of [Map, Set, Promise, Array]) for (const name of Object.getOwnPropertyNames(Kind.prototype)) {
          const theirs = Object.getOwnPropertyDescriptor(Kind.prototype, name);
          if (typeof theirs.value !== 'function' || name === 'constructor' || (Kind === Array && name === 'forEach')) continue;
          const { value } = theirs;
          Kind.prototype[name] = function (...args) { hear(this); for (let i = 0; i < args.length; i++) hear(args[i]); return value.apply(this, args); };
        }
        onmessage = ({ data }) => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = () => { port1.close(); postMessage([...seen]); };
          setTimeout(() => port2.postMessage(new DOMException('x')), 1);
          dispatchEvent(new Event('x'));
          structuredClone(new Map([[1, data]]));
        };"#;
    let agent = Cluster::new().unwrap().spawn(Code::source("x.mjs", text), AgentOptions::default()).unwrap();
    agent.port().post(&1).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<Vec<String>>(), Ok(vec![]));
}

/// What is read of a transfer list is what is transferred, whatever reading it does.
#[test]
fn a_transfer_list_that_gives_the_port_away_is_read_once() {
    let text = "
        const { port1, port2 } = new MessageChannel();
        const other = new MessageChannel();
        let reads = 0;
        const transfer = { get 0() { reads++; other.port1.postMessage(0, [port1]); other.port2.close(); return new ArrayBuffer(8); }, length: 1,
          *[Symbol.iterator]() { yield this[0]; } };
        let ended = 'sent';
        try { port1.postMessage(1, { transfer }); } catch (error) { ended = error.name; }
        postMessage([ended, reads]);";
    let agent = Cluster::new().unwrap().spawn(Code::source("x.mjs", text), AgentOptions::default()).unwrap();
    // A port that was transferred posts to nobody.
    assert_eq!(agent.receive().wait().unwrap().get::<(String, u32)>(), Ok(("sent".into(), 1)));
}

#[test]
fn files_are_not_read_as_texts() {
    let text = "const ends = [];
        for (const path of ['/etc/passwd', '/proc/self/environ', 'file:///etc/passwd']) {
          await import(path, { with: { type: 'text' } }).then(() => ends.push(path), () => {});
        }
        postMessage(ends);";
    let place = std::env::temp_dir().join(format!("peristyle-texts-{}.mjs", std::process::id()));
    std::fs::write(&place, text).unwrap();
    let agent = Cluster::new().unwrap().spawn(Code::file(&place), AgentOptions::default()).unwrap();
    assert_eq!(agent.receive().wait().unwrap().get::<Vec<String>>(), Ok(vec![]));
    std::fs::remove_file(place).unwrap();
}

/// The first look at what our scripts define comes at the end of the stack.
#[test]
fn scripts_of_ours_are_not_begun_at_the_end_of_the_stack() {
    let text = "
        // Each frame on the way back tries, until it works.
        const deep = (look) => {
          let tries = 0, worked = false;
          const f = () => { try { f(); } catch (error) { if (!worked) try { tries++; look(); worked = true; } catch {} throw error; } };
          try { f(); } catch {}
          if (!worked || tries < 2) postMessage(`${look}: ${tries} tries`);
        };
        deep(() => console.log);
        deep(() => new EventTarget());
        deep(() => setTimeout(() => postMessage('timer'), 1));
        deep(() => new MessageChannel());
        deep(() => new Atomics.Mutex());
        const target = new EventTarget();
        target.addEventListener('x', () => postMessage('event'));
        onmessage = ({ data }) => { target.dispatchEvent(new Event('x')); new Atomics.Mutex(); const { port1, port2 } = new MessageChannel(); port1.addEventListener('y', () => postMessage('port')); port1.dispatchEvent(new Event('y')); };";
    for stack_bytes in [512 << 10, 8 << 20] {
        let options = AgentOptions { stack_bytes, ..AgentOptions::default() };
        let agent = Cluster::new().unwrap().spawn(Code::source("x.mjs", text), options).unwrap();
        agent.port().post(&1).unwrap();
        let mut got = std::collections::BTreeSet::new();
        while got.len() < 3 {
            got.insert(agent.receive().wait().unwrap().get::<String>().unwrap());
        }
        assert_eq!(got.into_iter().collect::<Vec<_>>(), ["event", "port", "timer"], "{stack_bytes}");
    }
}
