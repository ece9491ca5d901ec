//! Deep recursion, of scripts and of what the engine and we do for them: an error that can be caught, and a usable agent.

use peristyle_agents::{AgentOptions, CallError, Cluster, Code, Exit};

/// What recurses, and how it ends: the name of the error, or `fine` where depth is no matter.
const DEPTHS: [(&str, &str); 25] = [
    ("const f = () => f() + 1; f();", "InternalError"),
    ("const f = (...rest) => Math.max(...rest, f(...rest, 1)); f();", "InternalError"),
    ("class A { constructor() { new A(); } } new A();", "InternalError"),
    ("const o = { get x() { return o.x; } }; o.x;", "InternalError"),
    ("const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x;", "InternalError"),
    ("let p = {}; for (let i = 0; i < 5e4; i++) p = new Proxy(p, {}); p.x;", "InternalError"),
    ("const f = () => [1, 2].sort(f); f();", "InternalError"),
    ("const f = () => [1].map(f); f();", "InternalError"),
    ("const f = () => 'x'.replace(/x/, f); f();", "InternalError"),
    ("const f = () => JSON.stringify({ toJSON: f }); f();", "InternalError"),
    ("const f = () => Reflect.apply(f, null, []); f();", "InternalError"),
    ("const o = { toString() { return `${o}`; } }; `${o}`;", "InternalError"),
    ("const f = () => structuredClone({ get x() { return f(); } }); f();", "InternalError"),
    ("const f = () => eval('f()'); f();", "InternalError"),
    ("function* g() { yield* g(); } [...g()];", "InternalError"),
    ("let a = []; for (let i = 0; i < 1e6; i++) a = [a]; a.flat(Infinity);", "InternalError"),
    ("let a = []; for (let i = 0; i < 5e4; i++) a = [a]; `${a}`;", "InternalError"),
    ("let a = []; for (let i = 0; i < 5e4; i++) a = [a]; JSON.stringify(a);", "InternalError"),
    ("JSON.parse('['.repeat(2e5) + ']'.repeat(2e5));", "fine"),
    ("new RegExp('('.repeat(2e5) + ')'.repeat(2e5));", "InternalError"),
    ("new RegExp('(?:'.repeat(2e5) + ')'.repeat(2e5)).test('');", "InternalError"),
    ("/^(?:x|y)*$/.test('xy'.repeat(2e6));", "fine"),
    ("new Function('return ' + '('.repeat(2e5) + ')'.repeat(2e5));", "InternalError"),
    ("new Function('a', `${'if (a) {'.repeat(1e5)}${'}'.repeat(1e5)}`);", "InternalError"),
    ("let a = []; for (let i = 0; i < 1e5; i++) a = [a]; structuredClone(a);", "fine"),
];

#[test]
fn deep_recursion_is_caught_and_the_agent_goes_on() {
    let cluster = Cluster::new().unwrap();
    for stack_bytes in [512 << 10, 4 << 20] {
        for (text, expected) in DEPTHS {
            let program = format!(
                "export const go = () => {{ try {{ {text} }} catch (e) {{ return e.name ?? String(e); }} return 'fine'; }};
                 export const live = (n) => n ? live(n - 1) + 1 : 0;"
            );
            let options = AgentOptions { stack_bytes, ..AgentOptions::default() };
            let agent = cluster.spawn(Code::source("x.mjs", program), options).unwrap();
            let end = agent.call::<String>("go", &()).wait();
            assert_eq!(end.as_deref(), Ok(expected), "{text} on {stack_bytes} bytes");
            assert_eq!(agent.call::<u32>("live", &[100]).wait(), Ok(100), "{text}");
            assert_eq!(agent.join().wait(), Exit::Finished, "{text}");
        }
    }
}

#[test]
fn deep_values_cross_or_are_refused() {
    let agent = Cluster::new()
        .unwrap()
        .spawn(
            Code::source(
                "x.mjs",
                "const deep = (n) => { let a = []; for (let i = 0; i < n; i++) a = [a]; return a; };
                 export const give = (n) => deep(n);
                 export const post = (n) => { try { postMessage(deep(n)); return 'posted'; } catch (e) { return e.name; } };
                 export const depth = (a) => { let n = 0; for (; a.length; a = a[0]) n++; return n; };",
            ),
            AgentOptions { stack_bytes: 512 << 10, ..AgentOptions::default() },
        )
        .unwrap();
    #[derive(serde::Serialize)]
    struct Deep<'a>(&'a [Deep<'a>]);
    assert_eq!(agent.call::<u32>("depth", &(Deep(&[Deep(&[Deep(&[])])]),)).wait(), Ok(2));
    let refused = agent.call::<serde_json::Value>("give", &[1_000_000]).wait();
    assert!(matches!(&refused, Err(CallError::Threw(thrown)) if thrown.name == "InternalError"), "{refused:?}");
    assert_eq!(agent.call::<String>("post", &[1_000_000]).wait(), Ok("InternalError".into()));
    assert_eq!(agent.call::<String>("post", &[10]).wait(), Ok("posted".into()));
    assert!(agent.receive().wait().is_ok());
}

#[test]
fn an_uncaught_overflow_is_an_error_like_others() {
    let cluster = Cluster::new().unwrap();
    let (send, errors) = std::sync::mpsc::channel();
    let options = AgentOptions {
        on_error: Some(std::sync::Arc::new(move |thrown| drop(send.send(thrown.name.clone())))),
        ..AgentOptions::default()
    };
    let text =
        "const f = () => f() + 1; setTimeout(f, 0); queueMicrotask(f); new Promise(f); export const live = () => 1;";
    let agent = cluster.spawn(Code::source("x.mjs", text), options).unwrap();
    assert_eq!(agent.call::<u32>("live", &()).wait(), Ok(1));
    assert_eq!(agent.join().wait(), Exit::Finished);
    assert_eq!(errors.try_iter().collect::<Vec<_>>(), ["InternalError", "InternalError", "InternalError"]);
    let exit = cluster.spawn(Code::source("x.mjs", "const f = () => f() + 1; f();"), AgentOptions::default());
    let exit = exit.unwrap().join().wait();
    assert!(matches!(&exit, Exit::Failed(error) if error.to_string().contains("too much recursion")), "{exit:?}");
}

#[test]
fn a_stack_too_small_to_start_on_is_an_error() {
    let cluster = Cluster::new().unwrap();
    let options = AgentOptions { stack_bytes: 64 << 10, ..AgentOptions::default() };
    let exit = cluster.spawn(Code::source("x.mjs", ""), options).unwrap().join().wait();
    assert!(matches!(&exit, Exit::Failed(error) if error.to_string().contains("stack")), "{exit:?}");
}
