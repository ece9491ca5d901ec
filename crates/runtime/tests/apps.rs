//! Apps in agents, served beside modules in Rust: what clients see of changes, failures and ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peristyle_agents::{AgentError, AgentOptions, Cluster, Code, Exit};
use peristyle_mirror::transport::memory_pair;
use peristyle_mirror::{
    CallError, Client, ClientOptions, Failure, Foreign, ForeignChange, ForeignModule, Host, HostError, HostOptions,
    Json, State, SyncMode, Text, Value, block_on, module,
};
use peristyle_runtime::{AgentApp, AppError, AppOptions};

#[derive(Clone, State)]
struct Here {
    count: i64,
}

#[module]
impl Here {
    #[action]
    fn add(&mut self, step: i64) -> i64 {
        self.count += step;
        self.count
    }
}

const NOTES: &str = r#"
    import { createWorkerApp, defineModule } from "peristyle";
    class Notes {
        list: { text: string; done: boolean }[] = [];
        title = "";
        #secret = 1;
        write(text: string) { return this.list.push({ text, done: false }); }
        finish(index: number) { this.list[index].done = true; }
        clear() { this.list = []; this.title = ""; }
        both(text: string) { this.title = text; this.write(text); }
        careful(text: string) {
            try { this.fails(text); } catch (error) { this.title = `caught ${error.message}`; }
        }
        fails(text: string) { this.write(text); this.title = text; throw new RangeError(text); }
        odd(what: string) {
            const list = this.list as any, self = this as any;
            if (what === "function") return () => 1;
            if (what === "cycle") { const cycle: any = {}; cycle.self = cycle; return cycle; }
            if (what === "put function") self.title = () => 1;
            if (what === "put date") self.title = new Date(0);
            if (what === "hole") list[list.length + 1] = 1;
            if (what === "delete") delete list[0];
            if (what === "deep") { let deep: any = 1; for (let i = 0; i < 600; i++) deep = [deep]; self.title = deep; }
            if (what === "string") throw "just text";
        }
        numbers(...values: number[]) { (this as any).list = values; }
        sort() { (this.list as any).sort((a: number, b: number) => a - b); }
        turn() { this.list.reverse(); }
        cut(start: number, count: number, ...rest: any[]) { return this.list.splice(start, count, ...rest).length; }
        drain() { while (this.list.length > 0) this.list.shift(); }
        async later(text: string) { this.title = "soon"; await new Promise((go) => setTimeout(go, 1)); this.write(text); }
        hang() { for (;;) {} }
        async never() { await new Promise(() => {}); }
        secret() { return this.#secret; }
    }
    createWorkerApp({ providers: [defineModule(Notes, {
        name: "notes", state: ["list", "title"],
        actions: ["write", "finish", "clear", "both", "careful", "fails", "odd", "numbers", "sort", "turn", "cut", "drain",
                  "later", "hang", "never"],
    })] });
"#;

fn code(text: &str) -> Code {
    Code::source("app.ts", text)
}

fn host(mode: SyncMode) -> Host {
    Host::builder().sync(mode).module(Here { count: 0 }).build().unwrap()
}

fn client(host: &Host) -> Client {
    let (near, far) = memory_pair();
    host.connect(near).unwrap();
    let client = Client::connect(far, ClientOptions::default()).unwrap();
    block_on(client.ready()).unwrap();
    client
}

fn call(client: &Client, module: &str, method: &str, args: &[Value]) -> Result<Value, CallError> {
    block_on(client.call::<Value>(module, method, args.to_vec()))
}

fn state(client: &Client) -> String {
    client.state().unwrap().to_json()
}

/// A state of the notes' app beside the module in Rust.
fn with_notes(notes: &str, count: i64) -> String {
    peristyle_mirror::parse_json(&format!(r#"{{"here":{{"count":{count}}},"notes":{notes}}}"#)).unwrap().to_json()
}

#[test]
fn both_kinds_of_modules_are_one_app_to_clients() {
    for mode in [SyncMode::Patch, SyncMode::Snapshot] {
        let cluster = Cluster::new().unwrap();
        let host = host(mode);
        let first = client(&host);
        let app = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
        assert_eq!(call(&first, "here", "add", &[2.into()]).unwrap(), Value::from(2));
        assert_eq!(call(&first, "notes", "write", &["a".into()]).unwrap(), Value::from(1));
        call(&first, "notes", "both", &["b".into()]).unwrap();
        call(&first, "notes", "finish", &[1.into()]).unwrap();
        let expected = with_notes(r#"{"list":[{"text":"a","done":false},{"text":"b","done":true}],"title":"b"}"#, 2);
        assert_eq!(state(&first), expected, "{mode:?}");
        // Whoever comes later gets a snapshot that the agent was asked for.
        let second = client(&host);
        assert_eq!(state(&second), expected, "{mode:?}");
        assert_eq!(second.version(), first.version());
        call(&second, "notes", "clear", &[]).unwrap();
        assert_eq!(state(&second), with_notes(r#"{"list":[],"title":""}"#, 2));
        assert!(app.is_served());
        assert_eq!(app.stop(), Exit::Terminated("terminated".into()));
    }
}

/// Runs actions, and returns the patches of each as JSON text.
fn patches(actions: &[(&str, &[Value])]) -> Vec<String> {
    let cluster = Cluster::new().unwrap();
    let host = host(SyncMode::Patch);
    let _app = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
    let client = client(&host);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = heard.clone();
    let _watch = client.subscribe(move |_, frame| {
        let message = peristyle_mirror::parse_json(frame.text()).unwrap();
        keep.lock().unwrap().push(message.get("patches").map(Value::to_json).unwrap_or_default());
    });
    for (method, args) in actions {
        let _ = call(&client, "notes", method, args);
    }
    // What the client made of the patches is what the agent has.
    assert_eq!(state(&client), state(&self::client(&host)));
    std::mem::take(&mut *heard.lock().unwrap())
}

#[test]
fn patches_say_what_changed_and_no_more() {
    let numbers: Vec<Value> = (0..20).map(Value::from).collect();
    let heard = patches(&[
        ("numbers", &numbers),
        ("cut", &[3.into(), 1.into()]),
        ("cut", &[0.into(), 1.into(), 7.into(), 8.into()]),
        ("cut", &[0.into(), 0.into()]),
        ("sort", &[]),
        ("cut", &[(-1).into(), 1.into()]),
        ("cut", &[0.into(), 18.into()]),
        ("turn", &[]),
        ("clear", &[]),
        ("clear", &[]),
    ]);
    let short = |at: usize| heard[at].as_str();
    assert_eq!(short(1), r#"[{"op":"remove","path":["notes","list",3]}]"#);
    assert_eq!(
        short(2),
        r#"[{"op":"replace","path":["notes","list",0],"value":7},{"op":"add","path":["notes","list",1],"value":8}]"#
    );
    assert!(short(3).contains(r#""path":["notes","list",0],"value":1"#), "sorted: {}", short(3));
    assert_eq!(short(4), r#"[{"op":"remove","path":["notes","list",19]}]"#);
    // Where most of a list goes, the list that is left is shorter than the removals.
    assert_eq!(short(5), r#"[{"op":"replace","path":["notes","list"],"value":[18]}]"#);
    assert_eq!(short(6), r#"[{"op":"replace","path":["notes","list"],"value":[]}]"#);
    assert_eq!(heard.len(), 7, "what changes nothing is not published: {heard:?}");
}

#[test]
fn an_action_that_throws_changes_nothing() {
    let cluster = Cluster::new().unwrap();
    let host = host(SyncMode::Patch);
    let _app = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
    let client = client(&host);
    let failure = |method: &str, argument: &str| match call(&client, "notes", method, &[argument.into()]) {
        Err(CallError::Remote(error)) => (error.name, error.message),
        other => panic!("{method}({argument}): {other:?}"),
    };
    let before = (state(&client), client.version());
    assert_eq!(failure("fails", "x"), ("RangeError".into(), "x".into()));
    assert_eq!(failure("odd", "string"), ("Error".into(), "just text".into()));
    for (what, name) in [
        ("function", "TypeError"),
        ("cycle", "TypeError"),
        ("put function", "TypeError"),
        ("put date", "TypeError"),
        ("hole", "RangeError"),
        ("delete", "TypeError"),
        ("deep", "RangeError"),
    ] {
        assert_eq!(failure("odd", what).0, name, "{what}");
    }
    assert_eq!((state(&client), client.version()), before);
    // An action that another one calls, and whose failure it catches, is undone alone.
    call(&client, "notes", "careful", &["y".into()]).unwrap();
    assert_eq!(state(&client), with_notes(r#"{"list":[],"title":"caught y"}"#, 0));
    // What was changed before an await stays.
    call(&client, "notes", "later", &["z".into()]).unwrap();
    assert_eq!(state(&client), with_notes(r#"{"list":[{"text":"z","done":false}],"title":"soon"}"#, 0));
    assert_eq!(client.version(), before.1 + 3);
    // What the host exposes is callable, what nobody declared is not.
    assert_eq!(failure("secret", ""), ("CosystemError".into(), "notes.secret is neither an action nor exposed".into()));
}

#[test]
fn a_host_exposes_methods_of_an_agents_module() {
    let cluster = Cluster::new().unwrap();
    let host = Host::builder().expose("notes", &["secret", "constructor"]).build().unwrap();
    let _app = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
    let client = client(&host);
    assert_eq!(call(&client, "notes", "secret", &[]).unwrap(), Value::from(1));
    assert!(
        matches!(call(&client, "notes", "constructor", &[]), Err(CallError::Remote(error)) if error.name == "CosystemError")
    );
}

#[test]
fn modules_of_an_agent_that_ends_are_gone_and_others_stay() {
    let cluster = Cluster::new().unwrap();
    let host = host(SyncMode::Patch);
    let app = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
    let client = client(&host);
    call(&client, "notes", "write", &["a".into()]).unwrap();
    let pending = [client.call::<Value>("notes", "never", ()), client.call::<Value>("notes", "hang", ())];
    app.agent().terminate();
    for call in pending {
        let error = block_on(call).unwrap_err().to_string();
        assert_eq!(error, "Remote worker error: the module is gone: its agent has ended");
    }
    // The results came after the change, as always.
    assert_eq!(state(&client), r#"{"here":{"count":0}}"#);
    let refused = call(&client, "notes", "write", &["b".into()]).unwrap_err().to_string();
    assert_eq!(refused, "Remote worker error: module `notes` is gone: its agent has ended");
    assert_eq!(call(&client, "here", "add", &[1.into()]).unwrap(), Value::from(1));
    assert!(!app.is_served());
    // The name is free for the next one.
    let _again = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
    call(&client, "notes", "write", &["c".into()]).unwrap();
    assert_eq!(state(&client), with_notes(r#"{"list":[{"text":"c","done":false}],"title":""}"#, 1));
}

#[test]
fn an_agent_that_hangs_is_given_up_by_who_needs_its_state() {
    let cluster = Cluster::new().unwrap();
    let options = HostOptions { state_timeout: Duration::from_millis(200), ..HostOptions::default() };
    let host = Host::builder().sync(SyncMode::Patch).options(options).module(Here { count: 0 }).build().unwrap();
    let app = AgentApp::start(&cluster, code(NOTES), AppOptions::default(), &host).unwrap();
    let first = client(&host);
    call(&first, "notes", "write", &["a".into()]).unwrap();
    let hanging = first.call::<Value>("notes", "hang", ());
    // Clients that are there go on, ...
    assert_eq!(call(&first, "here", "add", &[1.into()]).unwrap(), Value::from(1));
    // ... one that needs the state waits, and is served without the module in the end.
    let second = client(&host);
    assert_eq!(state(&second), r#"{"here":{"count":1}}"#);
    let error = block_on(hanging).unwrap_err().to_string();
    assert_eq!(error, "Remote worker error: the module is gone: it did not tell its state in time");
    assert_eq!(app.stop(), Exit::Terminated("terminated".into()));
}

#[test]
fn what_is_no_app_is_refused() {
    let cluster = Cluster::new().unwrap();
    let host = host(SyncMode::Patch);
    let start = |text: &str| {
        let options = AppOptions { start_timeout: Duration::from_secs(20), ..AppOptions::default() };
        AgentApp::start(&cluster, code(text), options, &host).map(|_| ()).unwrap_err()
    };
    assert_eq!(start("export const nothing = 1;"), AppError::NoApp);
    assert!(
        matches!(start("throw new TypeError('no');"), AppError::Agent(AgentError::Threw { message, .. }) if message == "no")
    );
    assert!(matches!(start("let ="), AppError::Agent(AgentError::Syntax { .. })));
    assert!(matches!(start("close();"), AppError::Ended(Exit::Closed)));
    let module = |name: &str, more: &str| {
        format!(
            r#"import {{ createWorkerApp, defineModule }} from "peristyle";
            createWorkerApp({{ providers: [defineModule({{ x: 1, act() {{}} }}, {{ name: "{name}", {more} }})] }});"#
        )
    };
    let threw = |text: &str| match start(text) {
        AppError::Agent(AgentError::Threw { message, .. }) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(threw(&module("prototype", "")), "state must not have a key `prototype`");
    assert_eq!(threw(&module("a", r#"actions: ["x"]"#)), "module `a`: its action `x` is no method");
    assert_eq!(threw(&module("a", r#"state: ["__proto__"]"#)), "state must not have a key `__proto__`");
    assert_eq!(threw(&module("a", r#"state: ["act"]"#)), "state is plain data, not a function");
    assert_eq!(start(&module("here", "")), AppError::Host(HostError::DuplicateModule("here".into())));
    let options = AppOptions { start_timeout: Duration::from_millis(50), ..AppOptions::default() };
    let endless = AgentApp::start(&cluster, code("for (;;) {}"), options, &host);
    assert_eq!(endless.map(|_| ()).unwrap_err(), AppError::Timeout(Duration::from_millis(50)));
}

#[test]
fn a_change_of_one_element_costs_the_same_in_a_list_of_any_length() {
    let cluster = Cluster::new().unwrap();
    let host = host(SyncMode::Patch);
    let text = r#"
        import { createWorkerApp, defineModule } from "peristyle";
        class Big {
            items: { x: number }[] = [];
            fill(n: number) { this.items = Array.from({ length: n }, () => ({ x: 0 })); }
            touch(at: number) { this.items[at].x += 1; }
        }
        createWorkerApp({ providers: [defineModule(Big, { name: "big", state: ["items"], actions: ["fill", "touch"] })] });
    "#;
    let _app = AgentApp::start(&cluster, code(text), AppOptions::default(), &host).unwrap();
    let client = client(&host);
    let bytes = Arc::new(AtomicUsize::new(0));
    let count = bytes.clone();
    let _watch = client.subscribe(move |_, frame| count.store(frame.text().len(), Ordering::Relaxed));
    let sizes = [10, 100_000].map(|n| {
        call(&client, "big", "fill", &[n.into()]).unwrap();
        call(&client, "big", "touch", &[7.into()]).unwrap();
        // Versions have one digit.
        bytes.load(Ordering::Relaxed)
    });
    assert_eq!(sizes[0], sizes[1]);
}

/// An app that is asked, and says nothing by itself.
struct Silent;

impl Foreign for Silent {
    fn call(&self, _: u64, _: &Text, _: &Text, _: &Json) -> Result<(), Failure> {
        Ok(())
    }
    fn ask_states(&self) {}
    fn want_states(&self, _: bool) {}
}

#[test]
fn an_app_that_says_nonsense_is_gone() {
    let nonsense: [(&str, &str); 4] = [("a", "x"), ("a", ""), ("here", "[]"), ("b", "[]")];
    for (name, patches) in nonsense {
        let host = host(SyncMode::Patch);
        let module = ForeignModule { name: "a".into(), actions: vec![], methods: vec![], state: "{}".into() };
        let app = host.attach(vec![module], Arc::new(Silent)).unwrap();
        let client = client(&host);
        app.change(vec![ForeignChange { module: name.into(), patches: patches.into(), state: None }]);
        assert!(!app.is_served(), "{name} {patches}");
        assert_eq!(state(&client), r#"{"here":{"count":0}}"#);
    }
    // Brackets with nonsense between them are for the client to refuse: nobody read them before.
    let host = host(SyncMode::Patch);
    let module = ForeignModule { name: "a".into(), actions: vec![], methods: vec![], state: "{}".into() };
    let app = host.attach(vec![module], Arc::new(Silent)).unwrap();
    let client = client(&host);
    app.change(vec![ForeignChange {
        module: "a".into(),
        patches: r#"[{"op":"add"}]"#.into(),
        state: Some("{}".into()),
    }]);
    assert_eq!((app.is_served(), state(&client)), (true, r#"{"a":{},"here":{"count":0}}"#.into()));
}

#[test]
fn a_heap_that_is_full_ends_the_app_and_nothing_else() {
    let cluster = Cluster::new().unwrap();
    let host = host(SyncMode::Patch);
    let text = r#"
        import { createWorkerApp, defineModule } from "peristyle";
        const kept: unknown[] = [];
        const hoard = { fill() { for (;;) kept.push({ a: {}, b: {}, c: {} }); } };
        createWorkerApp({ providers: [defineModule(hoard, { name: "hoard", actions: ["fill"] })] });
    "#;
    let agent = AgentOptions { heap_bytes: 16 << 20, ..AgentOptions::default() };
    let _app = AgentApp::start(&cluster, code(text), AppOptions { agent, ..AppOptions::default() }, &host).unwrap();
    let client = client(&host);
    let error = call(&client, "hoard", "fill", &[]).unwrap_err().to_string();
    assert_eq!(error, "Remote worker error: the module is gone: its agent has ended");
    assert_eq!(call(&client, "here", "add", &[1.into()]).unwrap(), Value::from(1));
}
