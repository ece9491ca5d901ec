//! The parts of a realm come when their globals are looked up, and a script cannot tell.

use peristyle_agents::{AgentOptions, Cluster, Code};

fn eval(script: &str) -> String {
    let cluster = Cluster::new().unwrap();
    let agent = cluster.spawn(Code::source("main.mjs", ""), AgentOptions::default()).unwrap();
    agent.eval::<String>(script).wait().unwrap()
}

#[test]
fn globals_look_like_data_properties_before_they_are_used() {
    let shown = eval(
        "(() => {
           const { value, ...rest } = Object.getOwnPropertyDescriptor(globalThis, 'performance');
           return [typeof value.now, JSON.stringify(rest), Object.hasOwn(globalThis, 'navigator')].join();
         })()",
    );
    assert_eq!(shown, r#"function,{"writable":true,"enumerable":false,"configurable":true},true"#);
}

#[test]
fn all_globals_are_named_before_they_are_used() {
    let names = "Object.getOwnPropertyNames(globalThis).filter((name) => !before.includes(name)).join()";
    let script = format!(
        "const before = Object.getOwnPropertyNames(globalThis);
         for (const name of before) void globalThis[name];
         void MessagePort.prototype;
         [{names}, ['performance', 'navigator', 'postMessage', 'Map', 'self'].every((name) => before.includes(name)),
           new Set(before).size === before.length].join()"
    );
    assert_eq!(eval(&script), ",true,true");
}

#[test]
fn handlers_of_the_global_are_enumerable() {
    assert_eq!(
        eval("const names = []; for (const name in globalThis) names.push(name); names.sort().join()"),
        "onerror,onmessage,onmessageerror,onunhandledrejection"
    );
}

#[test]
fn a_global_that_was_deleted_stays_away() {
    assert_eq!(
        eval("delete globalThis.performance; [typeof performance, typeof navigator].join()"),
        "undefined,object"
    );
}

#[test]
fn a_global_that_was_replaced_stays_so() {
    assert_eq!(eval("performance = 1; void navigator; String(performance)"), "1");
    assert_eq!(eval("var navigator = 2; void performance; String(navigator)"), "2");
    assert_eq!(eval("function navigator() { return 3; } void performance; String(navigator())"), "3");
    assert_eq!(
        eval(
            "let shown = 0; for (let i = 0; i < 50; i++) shown += typeof later === 'undefined'; \
                     globalThis.later = 1; `${shown} ${later}`"
        ),
        "50 1"
    );
}
