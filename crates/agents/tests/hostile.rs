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
