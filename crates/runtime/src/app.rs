//! Apps whose modules live in an agent.
//!
//! ```text
//!  clients ── Host ── Bridge ═ port ═ createWorkerApp ── modules
//!                       │  call, ask for states ──▶
//!                       ◀── changes, states, results ┘     texts, which nobody in between reads
//! ```
//!
//! The agent's words are listed in `packages/peristyle/src/app/agent.ts`. They are handed to the host on the agent's thread.

use std::sync::Arc;
use std::time::Duration;

use peristyle_agents::{
    AgentError, AgentHandle, AgentOptions, CallError, Cluster, Code, Exit, Message, Port, PortEvent, PortLimits,
    ReceiveError, Thrown,
};
use peristyle_mirror::{Failure, Foreign, ForeignApp, ForeignChange, ForeignModule, Host, HostError, Json, Text};
use serde::{Deserialize, Serialize};

use crate::package::Package;

/// What tells an agent that a message brings the host's port, and the host that an agent has an app.
const KEY: &str = "peristyle.app";

/// How an app is started.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// How its agent is spawned. `peristyle` can be imported, beside what is named here.
    pub agent: AgentOptions,
    /// How long it may take until it serves. 30 s unless told.
    pub start_timeout: Duration,
    /// Limits of what waits between host and agent: 65 536 messages and 256 MiB each way unless told.
    pub limits: PortLimits,
}

impl Default for AppOptions {
    fn default() -> AppOptions {
        let limits = PortLimits { message_bytes: 256 << 20, queue_messages: 1 << 16, queue_bytes: 256 << 20 };
        AppOptions { agent: AgentOptions::default(), start_timeout: Duration::from_secs(30), limits }
    }
}

/// Why an app does not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// The agent could not be spawned, or its main module failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The agent's main module makes no app.
    #[error("the agent hosts no app: its main module does not call createWorkerApp")]
    NoApp,
    /// The agent ended before it served.
    #[error("the agent has ended before its app served: {0:?}")]
    Ended(Exit),
    /// It did not serve in time, and was terminated.
    #[error("the app did not serve in {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The agent's first words are none that an app says.
    #[error("the agent said what is no app: {0}")]
    Malformed(String),
    /// The host does not take it in.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What an app says.
#[derive(Deserialize)]
enum FromApp {
    /// Name, actions, other methods, state.
    Modules(Vec<(String, Vec<String>, Vec<String>, String)>),
    /// Module, patches, state.
    Change(Vec<(String, String, Option<String>)>),
    States(Vec<(String, String)>),
    Value(u64, Option<String>),
    Error(u64, String, String),
    Lost(String),
}

/// What an app is told.
#[derive(Serialize)]
enum ToApp<'a> {
    Call(u64, &'a str, &'a str, &'a str),
    States,
    WantStates(bool),
}

/// An app in an agent, served by a host. Dropping it lets the agent go on for as long as the host serves its modules.
#[derive(Debug)]
pub struct AgentApp {
    agent: AgentHandle,
    app: App,
}

struct App(ForeignApp);

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("is_served", &self.0.is_served()).finish()
    }
}

impl AgentApp {
    /// Spawns an agent, waits until its main module is evaluated, and serves the app that it made by `createWorkerApp`.
    ///
    /// Called before [`Host::started`], the app is part of the first snapshot; later, its modules are added.
    ///
    /// # Errors
    /// [`AppError`]; the agent is terminated.
    pub fn start(cluster: &Cluster, code: Code, options: AppOptions, host: &Host) -> Result<AgentApp, AppError> {
        let AppOptions { agent: mut options, start_timeout, limits } = options;
        options.loader = Some(Arc::new(Package::hosted().and(options.loader)));
        let agent = cluster.spawn(code, options)?;
        match serve(&agent, limits, start_timeout, host) {
            Ok(app) => Ok(AgentApp { agent, app: App(app) }),
            Err(error) => {
                agent.terminate();
                match (error, agent.join().wait_timeout(start_timeout)) {
                    // What it ended of says more than that it has ended.
                    (AppError::Ended(_), Ok(Exit::Failed(error))) => Err(error.into()),
                    (AppError::Ended(_), Ok(exit)) => Err(AppError::Ended(exit)),
                    (error, _) => Err(error),
                }
            }
        }
    }

    /// The agent.
    pub fn agent(&self) -> &AgentHandle {
        &self.agent
    }

    /// Whether the host still serves the app.
    pub fn is_served(&self) -> bool {
        self.app.0.is_served()
    }

    /// Ends the app: its modules are gone from the host, and its agent is terminated. Waits for its end.
    pub fn stop(self) -> Exit {
        self.app.0.gone("it was stopped");
        self.agent.terminate();
        self.agent.join().wait()
    }
}

fn serve(agent: &AgentHandle, limits: PortLimits, timeout: Duration, host: &Host) -> Result<ForeignApp, AppError> {
    let ended = || AppError::Ended(Exit::Finished);
    let (port, theirs) = Port::pair(limits);
    agent.port().post_with(KEY, vec![theirs]).map_err(|_| ended())?;
    // Evaluated after the main module: without an app now, there is none.
    let has_app = agent.eval::<bool>(&format!("Symbol.for('{KEY}') in globalThis")).wait_timeout(timeout);
    match has_app.map_err(|_| AppError::Timeout(timeout))? {
        Ok(true) => {}
        Ok(false) => return Err(AppError::NoApp),
        Err(CallError::Threw(Thrown { message, .. })) => return Err(AppError::Malformed(message)),
        Err(_) => return Err(ended()),
    }
    let first = port.receive().wait_timeout(timeout).map_err(|error| match error {
        ReceiveError::Timeout => AppError::Timeout(timeout),
        _ => ended(),
    })?;
    let modules = match said(first) {
        Ok(FromApp::Modules(modules)) => modules,
        Ok(_) => return Err(AppError::Malformed("its modules come first".into())),
        Err(error) => return Err(AppError::Malformed(error)),
    };
    let texts = |names: Vec<String>| names.into_iter().map(Text::from).collect();
    let modules = modules.into_iter().map(|(name, actions, methods, state)| ForeignModule {
        name: name.into(),
        actions: texts(actions),
        methods: texts(methods),
        state: state.into(),
    });
    let bridge = Arc::new(Bridge { port });
    let app = host.attach(modules.collect(), bridge.clone())?;
    // The port keeps its callbacks and the host the bridge, so neither may keep the host.
    let (speaking, ending) = (app.clone(), app.clone());
    bridge.port.on_message(move |message| pass_on(&speaking, message));
    bridge.port.on_event(move |event| {
        if event == PortEvent::Closed {
            ending.gone("its agent has ended");
        }
    });
    Ok(app)
}

fn said(message: Message) -> Result<FromApp, String> {
    message.into().map(|(said, _)| said).map_err(|error| error.to_string())
}

fn pass_on(app: &ForeignApp, message: Message) {
    match said(message) {
        Ok(FromApp::Change(changes)) => {
            let change = |(module, patches, state): (String, String, Option<String>)| ForeignChange {
                module: module.into(),
                patches: patches.into(),
                state: state.map(Arc::from),
            };
            app.change(changes.into_iter().map(change).collect());
        }
        Ok(FromApp::States(states)) => {
            app.states(states.into_iter().map(|(name, state)| (name.into(), state.into())).collect());
        }
        Ok(FromApp::Value(number, value)) => app.answer(number, Ok(value.map(String::into_boxed_str))),
        Ok(FromApp::Error(number, name, message)) => app.answer(number, Err(Failure::new(name, message))),
        Ok(FromApp::Lost(why)) => app.gone(&why),
        Ok(FromApp::Modules(_)) => app.gone("it declared its modules twice"),
        Err(error) => app.gone(&format!("it said what is no message: {error}")),
    }
}

/// The way to an app's agent. The host owns it: when the host lets go of it, the agent's end of the port is closed.
struct Bridge {
    port: Port,
}

impl Foreign for Bridge {
    fn call(&self, number: u64, module: &Text, method: &Text, args: &Json) -> Result<(), Failure> {
        // Both are among the names that the app declared, which are UTF-8.
        let (module, method) = (module.as_str().unwrap_or_default(), method.as_str().unwrap_or_default());
        let call = ToApp::Call(number, module, method, args.text());
        self.port.post(&call).map_err(|error| Failure::error(format!("{module}.{method} cannot be called: {error}")))
    }

    fn ask_states(&self) {
        // An agent that cannot be asked is one that does not answer: the host sees to that.
        let _ = self.port.post(&ToApp::States);
    }

    fn want_states(&self, wanted: bool) {
        // Without states the host asks.
        let _ = self.port.post(&ToApp::WantStates(wanted));
    }
}
