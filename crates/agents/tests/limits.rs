//! Jobs that would not end.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peristyle_agents::{AgentError, Cluster, Limits};
use peristyle_jobs::{JobError, JobRunner};
use support::{Files, World, job_of, on_lane, run_once, threw};

/// Interrupts the cluster again and again while `f` runs.
fn interrupting<R>(cluster: &Cluster, f: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(30));
                cluster.interrupt_all();
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        done.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn an_endless_job_is_stopped_and_its_agent_goes_on() {
    let text = "
        export function handle({ extra }) {
          switch (extra) {
            case 1: for (;;);
            case 2: for (;;) try { for (;;); } catch {} finally { continue; }
            case 3: return (async () => { for (;;) await 0; })();
            case 4: return /^(a+)+$/.test('a'.repeat(40) + 'b');
            case 5: return (async () => { for (;;); })();
            case 6: throw { get name() { for (;;); }, toString() { for (;;); } };
            case 7: throw Object.defineProperty(new Error(), 'message', { get() { for (;;); } });
          }
        }";
    let (_files, cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| {
        // Or an interrupt may come while the module is still being loaded.
        job.prepare(lane).unwrap();
        let mut run = |case: u32| World::new(1).with_extra(&case.to_string()).run(lane, &job);
        interrupting(&cluster, || {
            for case in 1..=5 {
                assert_eq!(run(case), Err(JobError::Terminated("interrupted".into())));
            }
            for case in 6..=7 {
                assert!(run(case).is_err());
            }
        });
        run(8).unwrap();
    });
}

#[test]
fn an_endless_module_is_stopped() {
    let files = Files::with(&[("a.ts", "for (;;);"), ("b.ts", "await (async () => { for (;;) await 0; })();")]);
    let cluster = Cluster::new().unwrap();
    interrupting(&cluster, || {
        for name in ["a.ts", "b.ts"] {
            // On a busy machine the word may come while the agent is still being made, which is another error.
            let mut errors = (0..100).map(|_| cluster.job(files.path(name)).unwrap_err());
            assert!(errors.any(|error| error == AgentError::Terminated("interrupted".into())));
        }
    });
}

#[test]
fn an_interrupt_stops_no_later_call() {
    let (_files, cluster, job) = job_of("export function handle() {}");
    let job = job.unwrap();
    on_lane(|lane| {
        World::new(1).run(lane, &job).unwrap();
        for _ in 0..1000 {
            cluster.interrupt_all();
            World::new(1).run(lane, &job).unwrap();
        }
    });
}

#[test]
fn a_time_limit_stops_a_call() {
    let files = Files::with(&[("a.ts", "let calls = 0; export function handle() { if (++calls === 1) for (;;); }")]);
    let limits = Limits { call_time: Some(Duration::from_secs(1)), ..Limits::default() };
    let cluster = Cluster::with_limits(limits).unwrap();
    let job = cluster.job(files.path("a.ts")).unwrap();
    on_lane(|lane| {
        job.prepare(lane).unwrap();
        let begun = Instant::now();
        let result = World::new(1).run(lane, &job);
        assert_eq!(result, Err(JobError::Terminated("it ran longer than 1s".into())));
        assert!(begun.elapsed() >= Duration::from_secs(1));
        // Each has all of its time: together they last longer than one may.
        for _ in 0..30 {
            World::new(1).run(lane, &job).unwrap();
            thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn a_heap_limit_stops_a_call() {
    let text = "let calls = 0, kept;
        export function handle() {
          if (++calls > 1) { kept = undefined; return; }
          kept = [];
          for (;;) kept.push({ a: {}, b: [1, 2, 3], c: `${kept.length}` });
        }";
    let files = Files::with(&[("a.ts", text)]);
    let cluster = Cluster::with_limits(Limits { heap_bytes: 32 << 20, ..Limits::default() }).unwrap();
    let job = cluster.job(files.path("a.ts")).unwrap();
    on_lane(|lane| {
        let begun = Instant::now();
        let result = World::new(1).run(lane, &job);
        assert_eq!(result, Err(JobError::Terminated("its heap grew beyond 33554432 bytes".into())));
        assert!(begun.elapsed() < Duration::from_secs(20));
        (0..100).for_each(|_| World::new(1).run(lane, &job).unwrap());
    });
}

#[test]
fn deep_recursion_is_a_catchable_error_on_any_stack() {
    let text = "
        const deep = (n) => (n === undefined ? 0 : 1) + deep({ n });
        const deeper = (list) => JSON.stringify(list) + [list].map(deeper).toString();
        export function handle({ snap }) {
          let caught = 0;
          for (const call of [() => deep(1), () => deeper([]), () => eval('('.repeat(1e5)), () => RegExp('('.repeat(1e5))]) {
            try { call(); } catch (error) {
              if (error instanceof InternalError || error instanceof SyntaxError) caught++; else throw error;
            }
          }
          if (caught !== 4) throw new Error(`${caught}`);
          return deep(1);
        }";
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    let run = || {
        let (name, message, _) = threw(on_lane(|lane| World::new(1).run(lane, &job)));
        assert_eq!((name.as_str(), message.as_str()), ("InternalError", "too much recursion"));
    };
    run();
    for stack in [512 << 10, 1 << 20, 8 << 20, 64 << 20] {
        thread::scope(|scope| {
            thread::Builder::new().stack_size(stack).spawn_scoped(scope, run).unwrap().join().unwrap()
        });
    }
    // Too small for an agent: an error, not a crash.
    let small = || {
        let result = on_lane(|lane| World::new(1).run(lane, &job));
        assert!(matches!(&result, Err(JobError::Load(why)) if why.contains("stack")), "{result:?}");
    };
    thread::scope(|scope| {
        thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, small).unwrap().join().unwrap();
    });
}

#[test]
fn deep_recursion_through_natives_is_caught() {
    let text = "
        export function handle({ snap }) {
          let depth = 0;
          const dive = () => { depth++; console.debug('%s', { toString: 1 }); snap.entity(0); dive(); };
          try { dive(); } catch (error) { if (!(error instanceof InternalError)) throw error; }
          const load = () => { import('./nowhere.ts').catch(() => {}); load(); };
          try { load(); } catch (error) { if (!(error instanceof InternalError)) throw error; }
          if (depth < 100) throw new Error('shallow');
        }";
    let (_files, cluster, job) = job_of(text);
    cluster.set_console(|_, _| {});
    let job = job.unwrap();
    on_lane(|lane| World::new(1).run(lane, &job)).unwrap();
}

#[test]
fn running_out_of_memory_is_an_error() {
    let (name, message, _) =
        threw(run_once("export function handle() { let s = 'x'; for (;;) s += s; }", &mut World::new(1)));
    assert_eq!(name, "InternalError", "{message}");
    assert!(
        threw(run_once("export function handle() { new Float64Array(2 ** 40); }", &mut World::new(1)))
            .0
            .ends_with("Error")
    );
}
