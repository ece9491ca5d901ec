//! How long a step may take. One that takes longer is ended with all that it started, so that a job fails and says where,
//! and does not wait for ever.

use std::{
    collections::HashMap,
    process::{self, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// Runs `work`; whether it succeeded in time. Only one may run at a time: what this process started is its own.
pub(crate) fn within(limit: Duration, name: &str, work: impl FnOnce() -> bool) -> bool {
    thread::scope(|scope| {
        let (over, is_over) = mpsc::channel::<()>();
        let watchdog = scope.spawn(move || {
            let mut wait = limit;
            // A step may start the next program when one was ended.
            while is_over.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                eprintln!("x: {name}: is ended, for it takes longer than {} min", limit.as_secs() / 60);
                end(&started());
                wait = Duration::from_secs(1);
            }
            wait == limit
        });
        let has_succeeded = work();
        drop(over);
        watchdog.join().expect("it does not panic") && has_succeeded
    })
}

/// All processes that this one started, and those that they did. A group of their own would be simpler, and would not hear
/// of Ctrl-C.
fn started() -> Vec<String> {
    let Ok(output) = Command::new("ps").args(["-A", "-o", "ppid=,pid="]).output() else { return Vec::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut children: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in text.lines() {
        if let [parent, child] = line.split_whitespace().collect::<Vec<_>>()[..] {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut started = vec![process::id().to_string()];
    let mut at = 0;
    while at < started.len() {
        started.extend(children.remove(&*started[at]).into_iter().flatten().map(str::to_owned));
        at += 1;
    }
    started.split_off(1)
}

fn end(processes: &[String]) {
    // Some have ended by themselves.
    let _ = Command::new("kill").arg("-KILL").args(processes).stderr(Stdio::null()).status();
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::*;

    #[test]
    fn what_takes_too_long_is_ended_with_all_that_it_started() {
        assert!(within(Duration::from_secs(1000), "one in time", || true));
        assert!(!within(Duration::from_secs(1000), "one that fails", || false));
        let (mut told, tell) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & sleep 1000; exit 0"]).stdout(tell);
        assert!(!within(Duration::from_millis(200), "one that hangs", move || command.status().unwrap().success()));
        // Comes to its end when nobody is left who could write.
        assert_eq!(told.read(&mut [0]).unwrap(), 0);
    }
}
