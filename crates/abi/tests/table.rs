//! The table as a host sees it: functions by name, numbers, and bytes at offsets of a native memory.

use std::{collections::BTreeSet, fs, path::Path};

use peristyle_abi::{Core, FUNCTIONS, HASH, Status, Word, typescript};
use peristyle_layout::descriptor::{Column, Descriptor, Group};
use peristyle_memory::Memory;

/// Somebody who calls the core as JavaScript does.
struct Host {
    core: Core,
    memory: Memory,
}

impl Host {
    fn new() -> Host {
        let memory = Memory::reserve(256 << 20).unwrap();
        Host { core: Core::on(memory.clone()).unwrap(), memory }
    }

    fn raw(&mut self, name: &str, arguments: &[f64]) -> f64 {
        let function = FUNCTIONS.iter().find(|function| function.name == name);
        let function = function.unwrap_or_else(|| panic!("no function {name}"));
        assert_eq!(function.arguments.len(), arguments.len(), "{name}");
        (function.call)(&mut self.core, arguments)
    }

    fn call(&mut self, name: &str, arguments: &[f64]) -> f64 {
        let result = self.raw(name, arguments);
        assert!(result >= 0.0, "{name}: {}", self.message());
        result
    }

    /// The status and the message of a call that fails.
    fn fails(&mut self, name: &str, arguments: &[f64]) -> (Status, String) {
        let result = self.raw(name, arguments);
        assert!(result < 0.0, "{name} gave {result}");
        (Status::ALL[(-result) as usize - 1], self.message())
    }

    fn read<T: Copy>(&self, offset: u64) -> T {
        // SAFETY: offsets come from the core, whose memory lives as long as the host, and nobody else touches it.
        unsafe { self.memory.base().as_ptr().add(offset as usize).cast::<T>().read() }
    }

    fn write<T: Copy>(&self, offset: u64, value: T) {
        // SAFETY: as above.
        unsafe { self.memory.base().as_ptr().add(offset as usize).cast::<T>().write(value) }
    }

    fn word(&mut self, word: Word) -> u32 {
        let header = self.call("header", &[]) as u64;
        self.read(header + word as u64 * 4)
    }

    fn message(&mut self) -> String {
        let (at, bytes) = (self.word(Word::ErrorText), self.word(Word::ErrorBytes));
        String::from_utf8((0..bytes).map(|byte| self.read::<u8>(u64::from(at + byte))).collect()).unwrap()
    }

    fn text(&mut self, text: &str) -> f64 {
        let at = self.call("scratch", &[text.len() as f64]) as u64;
        text.bytes().enumerate().for_each(|(byte, value)| self.write(at + byte as u64, value));
        text.len() as f64
    }

    fn words(&mut self, words: &[u32]) -> f64 {
        let at = self.call("scratch", &[words.len() as f64 * 4.0]) as u64;
        words.iter().enumerate().for_each(|(word, value)| self.write(at + word as u64 * 4, *value));
        words.len() as f64
    }

    fn listed<T: Copy>(&mut self, count: f64) -> Vec<T> {
        let at = u64::from(self.word(Word::Scratch));
        (0..count as u64).map(|index| self.read(at + index * size_of::<T>() as u64)).collect()
    }

    fn component(&mut self, text: &str) -> u32 {
        let bytes = self.text(text);
        self.call("define_component", &[bytes]) as u32
    }

    fn table(&mut self, components: &[u32]) -> f64 {
        let count = self.words(components);
        self.call("table", &[count])
    }

    fn query(&mut self, lists: [&[u32]; 5]) -> f64 {
        let words: Vec<u32> = lists.into_iter().flat_map(|list| [&[list.len() as u32], list].concat()).collect();
        let count = self.words(&words);
        self.call("query", &[count])
    }

    fn system(&mut self, text: &str) -> f64 {
        let bytes = self.text(text);
        self.call("system", &[bytes])
    }

    /// The descriptors of the run in the header.
    fn descriptors(&mut self) -> Vec<(u64, Descriptor)> {
        let list = u64::from(self.word(Word::List));
        let [cursor, count, done, failed]: [u32; 4] = self.read(list);
        assert_eq!((cursor, done, failed), (0, 0, 0));
        (0..count)
            .map(|index| {
                let at = u64::from(self.read::<u32>(list + 16 + u64::from(index) * 4));
                (at, self.read(at))
            })
            .collect()
    }

    fn group(&self, descriptor: &Descriptor, index: u32) -> Group {
        self.read(u64::from(descriptor.groups + index * size_of::<Group>() as u32))
    }

    fn column(&self, group: &Group, index: u32) -> Column {
        self.read(u64::from(group.columns + index * size_of::<Column>() as u32))
    }
}

#[test]
fn names_are_unique_and_typescript_is_fresh() {
    let names: BTreeSet<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    assert_eq!(names.len(), FUNCTIONS.len());
    assert!(FUNCTIONS.iter().all(|function| function.doc.trim().ends_with('.')));
    let mut host = Host::new();
    assert_eq!(host.call("abi_hash", &[]), HASH as f64);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packages/peristyle/src/core/abi.ts");
    let committed = fs::read_to_string(&file).unwrap();
    assert!(
        committed == typescript(),
        "{} is stale: cargo run -p peristyle-abi --example typescript > it",
        file.display()
    );
}

#[test]
fn missing_arguments_are_no_numbers_and_refused() {
    let mut host = Host::new();
    let locate = FUNCTIONS.iter().find(|function| function.name == "locate").unwrap();
    assert_eq!((locate.call)(&mut host.core, &[]), Status::Stale.number());
    assert!(host.message().contains("NaN"));
}

#[test]
fn entities_come_move_and_go() {
    let mut host = Host::new();
    let (pos, vel) = (host.component("Pos\nx:f32\ny:f32"), host.component("Vel\nx:f64"));
    let (one, both) = (host.table(&[pos]), host.table(&[vel, pos]));
    assert_eq!(host.call("table_with", &[one, f64::from(vel)]), both);
    assert_eq!(host.call("table_without", &[both, f64::from(vel)]), one);
    let entity = host.call("spawn", &[one]);
    let chunk = f64::from(host.word(Word::Chunk));
    let count = host.call("chunk", &[chunk]);
    let described: Vec<u32> = host.listed(count);
    let y = u64::from(described[10]);
    host.write(y, 2.5_f32);
    let place = host.call("relocate", &[entity, both]);
    assert_eq!(host.call("locate", &[entity]), place);
    let words = host.call("chunk", &[(place / 16_384.0).floor()]);
    let moved: Vec<u32> = host.listed(words);
    assert_eq!((moved[0], moved[1], moved[5]), (both as u32, 1, 2));
    assert_eq!((moved[6], moved[8]), (pos, 2));
    assert_eq!(host.read::<f32>(u64::from(moved[10])), 2.5);
    assert_eq!(host.word(Word::Entities), 1);
    host.call("destroy", &[entity]);
    assert_eq!(host.fails("locate", &[entity]).0, Status::Stale);
    assert_eq!(host.word(Word::Entities), 0);
}

#[test]
fn rows_far_from_the_first_are_zero_whatever_was_there() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:u8\ny:u16\nz:f32\nw:f64");
    let table = host.table(&[pos]);
    for _ in 0..3 {
        let entity = host.call("spawn", &[table]);
        let chunk = f64::from(host.word(Word::Chunk));
        let words = host.call("chunk", &[chunk]);
        let described: Vec<u32> = host.listed(words);
        let row = u64::from(host.word(Word::Row));
        let at = |column: usize, size: u64| u64::from(described[9 + column]) + row * size;
        assert_eq!(host.read::<u8>(at(0, 1)), 0);
        assert_eq!(host.read::<u16>(at(1, 2)), 0);
        assert_eq!((host.read::<f32>(at(2, 4)), host.read::<f64>(at(3, 8))), (0.0, 0.0));
        host.write(at(0, 1), 7_u8);
        host.write(at(1, 2), 7_u16);
        host.write(at(2, 4), 7.0_f32);
        host.write(at(3, 8), 7.0_f64);
        host.call("destroy", &[entity]);
    }
}

#[test]
fn a_whole_job_sees_one_run_of_rows_and_is_copied_back() {
    let mut host = Host::new();
    let (pos, tag) = (host.component("Pos\nx:f32"), host.component("Tag"));
    let (plain, tagged) = (host.table(&[pos]), host.table(&[pos, tag]));
    host.call("spawn_many", &[plain, 100.0]);
    host.call("spawn_many", &[tagged, 30.0]);
    let watcher = host.query([&[], &[], &[], &[pos], &[]]);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    let system = host.system(&format!("name all\nwrites {pos}\nquery {query}\nshape whole\nflags despawns"));
    let listed = host.call("chunks", &[watcher]);
    for pair in host.listed::<u32>(listed * 2.0).chunks_exact(2) {
        host.call("clear_pending", &[watcher, f64::from(pair[0]), 0.0, f64::from(pair[1])]);
    }
    host.call("frame_begin", &[0.5, 1.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    assert_eq!((host.word(Word::Rows), host.word(Word::OneLane)), (130, 1));
    let descriptors = host.descriptors();
    let [(_, descriptor)] = descriptors[..] else { panic!("one call for all") };
    assert_eq!((descriptor.rows, descriptor.dt, descriptor.time), (130, 0.5, 1.0));
    let group = host.group(&descriptor, 0);
    let column = host.column(&group, 0);
    assert_eq!((group.id, column.len), (pos, 130));
    for row in [0_u64, 99, 100, 129] {
        host.write(u64::from(column.offset) + row * 4, row as f32 + 1.0);
        let byte = u64::from(group.changed) + row / 8;
        host.write(byte, host.read::<u8>(byte) | 1 << (row % 8));
    }
    host.write(u64::from(descriptor.despawn) + 12, 1_u8 << 4);
    let doomed_index: u32 = host.read(u64::from(descriptor.eids) + 100 * 4);
    host.call("settle", &[system, 0.0]);
    assert_eq!(host.call("query_rows", &[watcher]), 4.0);
    assert_eq!(host.call("next", &[]), 3.0);
    assert_eq!(host.call("merge", &[]), 1.0);
    let doomed = host.listed::<f64>(1.0)[0];
    assert_eq!(doomed as u64 as u32, doomed_index);
    assert_eq!(host.call("next", &[]), 0.0);
    host.call("frame_end", &[]);
    let place = host.call("locate", &[doomed]);
    let words = host.call("chunk", &[(place / 16_384.0).floor()]);
    let described: Vec<u32> = host.listed(words);
    assert_eq!(host.read::<f32>(u64::from(described[9]) + (place as u64 % 16_384) * 4), 101.0);
}

#[test]
fn an_atomic_job_that_fails_wrote_nothing() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    host.call("spawn_many", &[table, 2000.0]);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    let system = host.system(&format!("name careful\nwrites {pos}\nquery {query}\nshape rows\nflags atomic"));
    host.call("ranges", &[system, 512.0]);
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    let descriptors = host.descriptors();
    assert_eq!(descriptors.len(), 4);
    let firsts: Vec<u64> = descriptors
        .iter()
        .map(|(_, descriptor)| u64::from(host.column(&host.group(descriptor, 0), 0).offset))
        .collect();
    firsts.iter().for_each(|at| host.write(*at, 9.0_f32));
    let failed = host.words(&[1, 3]);
    host.call("settle", &[system, failed]);
    let after: Vec<f32> = firsts.iter().map(|at| host.read(*at)).collect();
    assert_eq!(after, [9.0, 0.0, 9.0, 0.0]);
    host.call("frame_end", &[]);
}

#[test]
fn a_changed_filter_is_told_which_rows_and_cleared_where_it_succeeded() {
    let mut host = Host::new();
    let (pos, seen) = (host.component("Pos\nx:f32"), host.component("Seen\nn:u32"));
    let table = host.table(&[pos, seen]);
    host.call("spawn_many", &[table, 5000.0]);
    let query = host.query([&[pos, seen], &[], &[], &[pos], &[]]);
    let system = host.system(&format!("name watch\nreads {pos}\nwrites {seen}\nquery {query}\nshape rows"));
    host.call("ranges", &[system, 1024.0]);
    let frame = |host: &mut Host, failed: &[u32]| -> Vec<Vec<u64>> {
        host.call("frame_begin", &[0.0, 0.0, 0.0]);
        let mut pending = Vec::new();
        if host.call("next", &[]) == 2.0 {
            for (_, descriptor) in host.descriptors() {
                let group = host.group(&descriptor, 0);
                pending.push(
                    (0..descriptor.rows.div_ceil(64))
                        .map(|word| host.read(u64::from(group.changed + word * 8)))
                        .collect(),
                );
            }
            let failed = host.words(failed);
            host.call("settle", &[system, failed]);
        }
        host.call("frame_end", &[]);
        pending
    };
    let first = frame(&mut host, &[1]);
    assert_eq!(first.len(), 5, "every row is new once");
    assert!(first[0].iter().all(|word| *word == u64::MAX));
    assert_eq!(frame(&mut host, &[]).len(), 1, "the range that failed is still pending");
    assert!(frame(&mut host, &[]).is_empty());
    host.call("mark", &[0.0, f64::from(pos), 1030.0, 1.0]);
    let marked = frame(&mut host, &[]);
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0][0], 1 << 6);
}

#[test]
fn columns_of_resources_and_extra_texts_are_in_descriptors() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    host.call("spawn_many", &[table, 10.0]);
    let bytes = host.text("Gusts\nx:f32\ny:f64");
    let gusts = host.call("define_resource", &[bytes, 7.0]);
    assert_eq!(host.call("resource_rows", &[gusts]), 7.0);
    let columns = host.call("resource_columns", &[gusts]);
    let offsets: Vec<u32> = host.listed(columns);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    let text = format!("name wind\nwrites {pos}\nwrites-resources {gusts}\nquery {query}\nshape rows");
    let system = host.system(&text);
    let bytes = host.text("{\"force\":3}");
    host.call("extra", &[system, bytes]);
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    assert_eq!(host.word(Word::OneLane), 1, "columns that there are once are one lane's");
    let (_, descriptor) = host.descriptors()[0];
    assert_eq!((descriptor.components, descriptor.resources, descriptor.extra_bytes), (1, 1, 11));
    assert_eq!(host.read::<[u8; 11]>(u64::from(descriptor.extra)), *b"{\"force\":3}");
    let version = descriptor.extra_version;
    let group = host.group(&descriptor, 1);
    assert_eq!((group.access, group.column_count), (1, 2));
    let found: Vec<(u32, u32)> =
        (0..2).map(|column| host.column(&group, column)).map(|column| (column.offset, column.len)).collect();
    assert_eq!(found, [(offsets[0], 7), (offsets[1], 7)]);
    // Until its ranges are given to a lane, the text may still be another: longer, the same, or none.
    let texts = ["{\"force\":3}", "{\"force\":3,\"and\":\"turbulence\"}", ""];
    let mut told = |text: &str| {
        let bytes = host.text(text);
        host.call("extra", &[system, bytes]);
        let (_, descriptor) = host.descriptors()[0];
        let bytes: Vec<u8> =
            (0..descriptor.extra_bytes).map(|at| host.read(u64::from(descriptor.extra + at))).collect();
        (String::from_utf8(bytes).unwrap(), descriptor.extra == 0, descriptor.extra_version - version)
    };
    for (text, version) in texts.into_iter().zip(0..) {
        assert_eq!(told(text), (text.to_owned(), text.is_empty(), version), "the version changes with the text");
    }
    host.call("settle", &[system, 0.0]);
    host.call("frame_end", &[]);
}

#[test]
fn structure_stands_still_while_rows_are_leased() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    let entity = host.call("spawn", &[table]);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    let system = host.system(&format!("name busy\nwrites {pos}\nquery {query}\nshape rows"));
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    host.call("spawn", &[table]);
    assert_eq!(host.call("next", &[]), 2.0);
    for (name, arguments) in [
        ("spawn", &[table][..]),
        ("spawn_many", &[table, 1.0]),
        ("destroy", &[entity]),
        ("destroy_many", &[0.0]),
        ("relocate", &[entity, table]),
        ("reserve", &[table, 9.0]),
    ] {
        let (status, text) = host.fails(name, arguments);
        assert_eq!(status, Status::Leased, "{name}: {text}");
    }
    assert_eq!(host.fails("system", &[0.0]).0, Status::BadText);
    let bytes = host.text("name late");
    assert_eq!(host.fails("system", &[bytes]).0, Status::FrameRunning);
    assert_eq!(host.fails("merge", &[]).0, Status::FrameRunning);
    host.call("settle", &[system, 0.0]);
    host.call("destroy", &[entity]);
    host.call("frame_end", &[]);
}

#[test]
fn a_frame_that_broke_off_leaves_no_bits_behind() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    host.call("spawn_many", &[table, 100.0]);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    host.system(&format!("name doom\nreads {pos}\nquery {query}\nshape rows\nflags despawns"));
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    let (_, descriptor) = host.descriptors()[0];
    host.write(u64::from(descriptor.despawn), 0xff_u8);
    host.call("frame_end", &[]);
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    host.call("settle", &[0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 3.0);
    assert_eq!(host.call("merge", &[]), 0.0);
    host.call("frame_end", &[]);
}

#[test]
fn stages_come_in_the_order_that_was_asked_for() {
    let mut host = Host::new();
    let bytes = host.text("render\nupdate");
    host.call("stages", &[bytes]);
    host.system("name draw\nstage render");
    host.system("name step");
    let systems = host.call("compile", &[]);
    assert_eq!(host.listed::<u32>(systems * 3.0), [0, 0, 0, 1, 1, 0]);
    let bytes = host.text("name end\nstage cleanup");
    let (status, text) = host.fails("system", &[bytes]);
    assert_eq!(status, Status::NoStage, "{text}");
    let bytes = host.text("update\nupdate");
    assert_eq!(host.fails("stages", &[bytes]).0, Status::BadArgument);
    let bytes = host.text("tea");
    assert!(host.fails("stages", &[bytes]).1.contains("startup, update"));
}

#[test]
fn startup_runs_in_the_first_frame_only() {
    let mut host = Host::new();
    host.system("name begin\nstage startup");
    for expected in [[2.0, 3.0, 0.0], [0.0, 0.0, 0.0]] {
        host.call("frame_begin", &[0.0, 0.0, 0.0]);
        let mut said = vec![host.call("next", &[])];
        if said[0] == 2.0 {
            host.call("settle", &[0.0, 0.0]);
        }
        said.push(host.call("next", &[]));
        if said[1] == 3.0 {
            host.call("merge", &[]);
        }
        said.push(host.call("next", &[]));
        assert_eq!(said, expected);
        host.call("frame_end", &[]);
    }
}

#[test]
fn a_system_that_is_dropped_is_in_no_plan_and_leaves_its_number_to_nobody() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    host.call("spawn_many", &[table, 3.0]);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    host.system(&format!("name a\nreads {pos}\nquery {query}\nshape rows"));
    host.system("name b\nafter a");
    assert_eq!(host.call("compile", &[]), 2.0);
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.fails("system_drop", &[0.0]).0, Status::FrameRunning);
    host.call("frame_end", &[]);

    host.call("system_drop", &[0.0]);
    assert!(host.fails("system_drop", &[0.0]).1.contains("no system 0"));
    assert!(host.fails("compile", &[]).1.contains("`a`"), "b is ordered by it");
    host.call("system_drop", &[1.0]);
    // The name is free, the number is not.
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    let bytes = host.text(&format!("name a\nreads {pos}\nquery {query}\nshape rows"));
    assert_eq!(host.call("system", &[bytes]), 2.0);
    let count = host.call("compile", &[]);
    assert_eq!(host.listed::<u32>(count * 3.0), [2, 1, 0]);
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    assert_eq!(host.word(Word::System), 2);
    host.call("settle", &[2.0, 0.0]);
    assert_eq!(host.call("next", &[]), 3.0);
    host.call("merge", &[]);
    assert_eq!(host.call("next", &[]), 0.0);
    host.call("frame_end", &[]);
}

#[test]
fn a_system_that_looks_for_itself_is_left_out_until_something_changes() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    let count = host.call("spawn_many", &[table, 3.0]);
    let entity = host.listed::<f64>(count)[1];
    let chunk = (host.call("locate", &[entity]) / 16_384.0).floor();
    let query = host.query([&[pos], &[], &[], &[pos], &[]]);
    host.system(&format!("name watch\nreads {pos}\nquery {query}\nshape once\nflags skip-if-empty"));
    // (whether something changes before, whether the run works, whether there is one)
    let frames = [
        (false, true, true),
        (false, true, false),
        (true, true, true),
        (true, false, true),
        (false, true, true),
        (false, true, false),
    ];
    for (frame, (changes, works, runs)) in frames.into_iter().enumerate() {
        if changes {
            host.call("mark", &[chunk, f64::from(pos), 1.0, 1.0]);
        }
        host.call("frame_begin", &[0.0, 0.0, 0.0]);
        assert_eq!(host.call("next", &[]) == 2.0, runs, "frame {frame}");
        if runs {
            let failed = if works { 0.0 } else { host.words(&[0]) };
            host.call("settle", &[0.0, failed]);
        }
        host.call("frame_end", &[]);
    }
}

#[test]
fn a_system_names_only_what_its_query_asks_for() {
    let mut host = Host::new();
    let (pos, vel) = (host.component("Pos\nx:f32"), host.component("Vel\nx:f32"));
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    let bytes = host.text(&format!("name a\nreads {vel}\nquery {query}\nshape rows"));
    let (status, text) = host.fails("system", &[bytes]);
    assert_eq!(status, Status::BadArgument);
    assert!(text.contains("`a`") && text.contains("`Vel`"), "{text}");
    let bytes = host.text("name b\nshape rows");
    assert!(host.fails("system", &[bytes]).1.contains("needs a query"));
}

#[test]
fn who_is_despawned_is_settled_before_rows_move() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let table = host.table(&[pos]);
    let count = host.call("spawn_many", &[table, 10.0]);
    let entities = host.listed::<f64>(count);
    let query = host.query([&[pos], &[], &[], &[], &[]]);
    host.system(&format!("name doom\nreads {pos}\nquery {query}\nshape rows\nflags despawns"));
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    let (_, descriptor) = host.descriptors()[0];
    // Rows 2 and 9.
    host.write(u64::from(descriptor.despawn), 0b100_u8);
    host.write(u64::from(descriptor.despawn) + 1, 0b10_u8);
    host.call("settle", &[0.0, 0.0]);
    // The last row moves to the first.
    host.call("destroy", &[entities[0]]);
    assert_eq!(host.call("next", &[]), 3.0);
    let doomed = host.call("merge", &[]);
    assert_eq!(host.listed::<f64>(doomed), [entities[2], entities[9]]);
    host.call("frame_end", &[]);
}

#[test]
fn a_job_that_sees_all_rows_in_one_call_has_a_place_for_each() {
    let mut host = Host::new();
    let (a, b) = (host.component("A\nx:f64"), host.component("B\nx:f32"));
    host.table(&[b]);
    let query = host.query([&[], &[a, b], &[], &[], &[]]);
    let bytes = host.text(&format!("name all\nreads {a}\nwrites {b}\nquery {query}\nshape whole"));
    let (status, text) = host.fails("system", &[bytes]);
    assert_eq!(status, Status::BadArgument);
    assert!(text.contains("`all`") && text.contains("`A`") && text.contains("split"), "{text}");
}

#[test]
fn a_system_that_is_refused_leaves_its_query_to_the_caller() {
    let mut host = Host::new();
    let (a, b) = (host.component("A\nx:f64"), host.component("B\nx:f32"));
    let table = host.table(&[a]);
    host.call("spawn_many", &[table, 3.0]);
    let stages = host.text("startup\nupdate");
    host.call("stages", &[stages]);
    host.system("name taken");
    let query = host.query([&[a], &[], &[], &[], &[]]);
    for (text, status) in [
        (format!("name taken\nwrites {a}\nquery {query}\nshape rows"), Status::DuplicateSystem),
        (format!("name late\nstage render\nwrites {a}\nquery {query}\nshape rows"), Status::NoStage),
        (format!("name other\nwrites {b}\nquery {query}\nshape rows"), Status::BadArgument),
    ] {
        let bytes = host.text(&text);
        let (refused, why) = host.fails("system", &[bytes]);
        assert_eq!(refused, status, "{text}: {why}");
        assert_eq!(host.call("chunks", &[query]), 1.0, "{text}");
    }
    host.system(&format!("name all\nwrites {a}\nquery {query}\nshape rows"));
    assert_eq!(host.fails("chunks", &[query]).0, Status::BadArgument, "it is the system's");
}

#[test]
fn a_call_that_fails_for_a_table_without_the_component_fails_alone() {
    let mut host = Host::new();
    let (a, b) = (host.component("A\nx:f64"), host.component("B\nx:f32"));
    let table = host.table(&[b]);
    host.call("spawn_many", &[table, 3.0]);
    let query = host.query([&[], &[a, b], &[], &[], &[]]);
    let system = host.system(&format!("name some\nwrites {a}\nquery {query}\nshape rows"));
    host.call("frame_begin", &[0.0, 0.0, 0.0]);
    assert_eq!(host.call("next", &[]), 2.0);
    let failed = host.words(&[0]);
    host.call("settle", &[system, failed]);
    host.call("frame_end", &[]);
    assert_eq!(host.word(Word::Entities), 3);
}

#[test]
fn what_was_refused_takes_no_room() {
    let mut host = Host::new();
    let (a, b) = (host.component("A\nx:f64"), host.component("B\nx:f64"));
    let (many, few) = (host.table(&[a]), host.table(&[b]));
    host.call("spawn", &[many]);
    let (status, text) = host.fails("spawn_many", &[many, 60_000_000.0]);
    assert_eq!(status, Status::OutOfMemory, "{text}");
    // Views are to be made again, as the chunk may be another.
    let count = host.call("spawn_many", &[few, 1_000_000.0]);
    assert_eq!(count, 1_000_000.0);
    assert_eq!(host.word(Word::Entities), 1_000_001);
}

#[test]
fn numbers_of_dropped_queries_are_used_again_and_those_of_connections_are_not() {
    let mut host = Host::new();
    let pos = host.component("Pos\nx:f32");
    let first = host.query([&[pos], &[], &[], &[], &[]]);
    let second = host.query([&[pos], &[], &[], &[], &[]]);
    host.call("query_drop", &[first]);
    assert_eq!(host.fails("chunks", &[first]).0, Status::BadArgument);
    assert_eq!(host.query([&[], &[], &[pos], &[], &[]]), first);
    assert_eq!(host.call("chunks", &[second]), 0.0);
    let bytes = host.text("component Pos");
    let mirror = host.call("mirror", &[bytes]);
    assert_eq!([0; 3].map(|_| host.call("mirror_open", &[mirror, -1.0, -1.0])), [0.0, 1.0, 2.0]);
    host.call("mirror_close", &[mirror, 1.0]);
    assert_eq!(host.fails("mirror_take", &[mirror, 1.0]).0, Status::Closed);
    // Who has the old number is not taken for another.
    assert_eq!(host.call("mirror_open", &[mirror, -1.0, -1.0]), 3.0);
    assert_eq!(host.fails("mirror_take", &[mirror, 4.0]).0, Status::BadArgument);
    assert!(host.call("mirror_take", &[mirror, 3.0]) > 0.0, "its first message is the schema");
    host.call("mirror_drop", &[mirror]);
    for (function, arguments) in
        [("mirror_publish", &[mirror, 9.0][..]), ("mirror_take", &[mirror, 3.0]), ("mirror_drop", &[mirror])]
    {
        assert!(host.fails(function, arguments).1.contains("no mirror"), "{function}");
    }
    let bytes = host.text("component Pos");
    assert_eq!(host.call("mirror", &[bytes]), mirror + 1.0);
}
