//! Threads of this process, by name.

use std::time::Duration;

/// Waits until no thread has a name that begins with this: the kernel shows a joined thread for a moment longer.
#[track_caller]
pub fn none_left(prefix: &str) {
    let count = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.starts_with(prefix)).count()
    };
    let gone = (0..10_000).any(|_| {
        let none = count() == 0;
        if !none {
            std::thread::sleep(Duration::from_millis(1));
        }
        none
    });
    assert!(gone, "{} threads are left", count());
}
