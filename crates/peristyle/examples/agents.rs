//! A program with agents in it: the program of the guide "Embed agents".

use std::sync::{Arc, mpsc};

use peristyle::agents::{
    AgentOptions, CallError, Cluster, Code, Exit, LoadError, LoadedModule, ModuleFormat, ModuleLoader,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::new()?;
    call(&cluster)?;
    post(&cluster)?;
    load(&cluster)?;
    limit(&cluster)?;
    terminate(&cluster)
}

// ANCHOR: call
/// Functions that a module exports are called by name; promises are awaited.
fn call(cluster: &Cluster) -> Result<(), Box<dyn std::error::Error>> {
    let code = Code::source(
        "prices.ts",
        "export async function total(prices: number[], rate: number) {
             return prices.reduce((sum, price) => sum + price, 0) * (1 + rate);
         }
         export function fail() { throw new RangeError('no such price'); }",
    );
    let agent = cluster.spawn(code, AgentOptions::default())?;
    let total: f64 = agent.call("total", &([10.0, 20.0, 30.0], 0.25)).wait()?;
    println!("total: {total}");
    match agent.call::<()>("fail", &()).wait() {
        Err(CallError::Threw(thrown)) => println!("threw: {}: {}", thrown.name, thrown.message),
        other => println!("{other:?}"),
    }
    Ok(())
}
// ANCHOR_END: call

// ANCHOR: post
/// Messages go both ways; what the agent posts is handed to a callback on its thread.
fn post(cluster: &Cluster) -> Result<(), Box<dyn std::error::Error>> {
    let code = Code::source("words.ts", "onmessage = ({ data }) => postMessage({ word: data, length: data.length });");
    let agent = cluster.spawn(code, AgentOptions { name: "words".into(), ..AgentOptions::default() })?;
    let (told, heard) = mpsc::channel();
    agent.on_message(move |message| {
        let _ = told.send(message.get::<serde_json::Value>());
    });
    agent.post("colonnade")?;
    agent.post("peristyle")?;
    for _ in 0..2 {
        println!("message: {}", heard.recv()??);
    }
    println!("words ended: {:?}", agent.join().wait());
    Ok(())
}
// ANCHOR_END: post

// ANCHOR: load
/// Modules named `app:...`, which are wherever the program has them.
struct AppModules;

impl ModuleLoader for AppModules {
    fn resolve(&self, specifier: &str, _importer: &str) -> Result<Option<String>, LoadError> {
        Ok(specifier.starts_with("app:").then(|| specifier.to_owned()))
    }

    fn load(&self, url: &str) -> Result<LoadedModule, LoadError> {
        match url {
            "app:greeting" => {
                let text = "export const greet = (name: string) => `Welcome, ${name}`;".to_owned();
                Ok(LoadedModule { format: ModuleFormat::TypeScript, text })
            }
            _ => Err(LoadError(format!("this program has no {url}"))),
        }
    }
}

fn load(cluster: &Cluster) -> Result<(), Box<dyn std::error::Error>> {
    let options = AgentOptions { loader: Some(Arc::new(AppModules)), ..AgentOptions::default() };
    let code = Code::source("main.ts", "import { greet } from 'app:greeting'; export { greet };");
    let agent = cluster.spawn(code, options.clone())?;
    println!("loaded: {}", agent.call::<String>("greet", &("Vitruvius",)).wait()?);

    let code = Code::source("main.ts", "import 'app:farewell';");
    if let Exit::Failed(error) = cluster.spawn(code, options)?.join().wait() {
        println!("not loaded: {error}");
    }
    Ok(())
}
// ANCHOR_END: load

// ANCHOR: limit
/// Who outgrows its heap ends alone.
fn limit(cluster: &Cluster) -> Result<(), Box<dyn std::error::Error>> {
    let options = AgentOptions { heap_bytes: 16 << 20, ..AgentOptions::default() };
    let code = Code::source("hoard.ts", "const kept = []; for (;;) kept.push({ kept: kept.length });");
    println!("hoard ended: {:?}", cluster.spawn(code, options)?.join().wait());
    Ok(())
}
// ANCHOR_END: limit

// ANCHOR: terminate
/// A script that never ends is stopped from outside, whatever it does.
fn terminate(cluster: &Cluster) -> Result<(), Box<dyn std::error::Error>> {
    let agent =
        cluster.spawn(Code::source("spin.ts", "postMessage('spinning'); for (;;);"), AgentOptions::default())?;
    println!("it says: {}", agent.receive().wait()?.get::<String>()?);
    agent.terminate();
    println!("spin ended: {:?}", agent.join().wait());
    Ok(())
}
// ANCHOR_END: terminate
