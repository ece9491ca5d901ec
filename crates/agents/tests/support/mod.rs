//! A small world for tests: columns in plain memory, and calls made from them.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use peristyle_agents::{AgentError, Cluster, JsJob};
use peristyle_jobs::{
    Access, ComponentShape, EntityLookup, Extra, JobCall, JobCallParts, JobError, JobRunner, JobShape, Lane, Lent,
    PatchShape, PatchSink, Pool, ResourceShape,
};
use peristyle_layout::{Entity, Field, PatchBuffer, Scalar};

/// A directory of job files, removed in the end.
pub struct Files(PathBuf);

impl Files {
    pub fn new() -> Files {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("peristyle-agents-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Files(fs::canonicalize(path).unwrap())
    }

    pub fn with(files: &[(&str, &str)]) -> Files {
        let dir = Files::new();
        for (name, text) in files {
            dir.write(name, text);
        }
        dir
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Memory of one column: on a cache line of its own, and at another offset in its page than the columns made before it,
/// as in a chunk.
pub struct Column {
    memory: Vec<u64>,
    /// First word in use.
    first: usize,
    len: usize,
    pub scalar: Scalar,
}

/// A type that a column can hold.
pub trait Element: Copy {}
macro_rules! elements { ($($element:ty)*) => { $(impl Element for $element {})* } }
elements!(f32 f64 i8 u8 i16 u16 i32 u32 i64 u64);

impl Column {
    pub fn new(scalar: Scalar, len: usize) -> Column {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let memory = vec![0u64; (len * scalar.size()).div_ceil(8) + 2 * 4096 / 8];
        let page = memory.as_ptr().addr().next_multiple_of(4096);
        let stagger = COUNT.fetch_add(1, Ordering::Relaxed) as usize * 320 % 4096;
        let first = (page + stagger - memory.as_ptr().addr()) / 8;
        Column { memory, first, len, scalar }
    }

    pub fn get<T: Element>(&self) -> &[T] {
        assert_eq!(size_of::<T>(), self.scalar.size());
        // SAFETY: the memory holds `len` elements of that size, aligned to 8; every bit pattern is a `T`.
        unsafe { std::slice::from_raw_parts(self.memory[self.first..].as_ptr().cast(), self.len) }
    }

    pub fn get_mut<T: Element>(&mut self) -> &mut [T] {
        assert_eq!(size_of::<T>(), self.scalar.size());
        // SAFETY: as in `get`.
        unsafe { std::slice::from_raw_parts_mut(self.memory[self.first..].as_mut_ptr().cast(), self.len) }
    }

    pub fn lend(&mut self) -> Lent {
        Lent {
            ptr: NonNull::new(self.memory[self.first..].as_mut_ptr().cast()).unwrap(),
            len: self.len as u32,
            scalar: self.scalar,
        }
    }

    fn part(&mut self, first: usize, len: usize) -> Lent {
        assert!(first + len <= self.len);
        let whole = self.lend();
        // SAFETY: inside of the column.
        let ptr = unsafe { whole.ptr.add(first * self.scalar.size()) };
        Lent { ptr, len: len as u32, ..whole }
    }
}

/// Entities whose generation is their index plus one.
pub struct Plain;

impl EntityLookup for Plain {
    fn entity(&self, index: u32) -> Entity {
        Entity::new(index, index + 1)
    }
}

/// One chunk and what a job may see of it.
pub struct World {
    pub rows: usize,
    pub shape: JobShape,
    pub eids: Column,
    pub columns: Vec<Column>,
    pub changed: Vec<Option<Column>>,
    pub despawn: Option<Column>,
    pub resources: Vec<Column>,
    pub dt: f64,
    pub time: f64,
    pub extra: Option<(String, u64)>,
    /// What calls that succeeded gave.
    pub patches: PatchBuffer,
    lent: (Vec<Lent>, Vec<Option<Lent>>, Vec<Lent>),
}

// SAFETY: the pointers kept between calls are stale and only kept for the capacity of their vectors.
unsafe impl Send for World {}

impl World {
    pub fn new(rows: usize) -> World {
        let mut eids = Column::new(Scalar::U32, rows);
        eids.get_mut::<u32>().iter_mut().enumerate().for_each(|(at, eid)| *eid = 100 + at as u32);
        World {
            rows,
            shape: JobShape::default(),
            eids,
            columns: Vec::new(),
            changed: Vec::new(),
            despawn: None,
            resources: Vec::new(),
            dt: 0.5,
            time: 2.0,
            extra: None,
            patches: PatchBuffer::new(),
            lent: Default::default(),
        }
    }

    pub fn component(mut self, id: u32, name: &str, access: Access, fields: &[(&str, Scalar)]) -> World {
        let fields: Vec<_> = fields.iter().map(|&(name, scalar)| Field::new(name, scalar)).collect();
        self.columns.extend(fields.iter().map(|field| Column::new(field.scalar, self.rows)));
        let bits = (access == Access::Write).then(|| Column::new(Scalar::U8, self.rows.div_ceil(64) * 8));
        self.changed.push(bits);
        self.shape.components.push(ComponentShape { id, name: name.into(), fields, access, opaque: false });
        self
    }

    pub fn resource(mut self, name: &str, rows: usize, fields: &[(&str, Scalar)]) -> World {
        let fields: Vec<_> = fields.iter().map(|&(name, scalar)| Field::new(name, scalar)).collect();
        self.resources.extend(fields.iter().map(|field| Column::new(field.scalar, rows)));
        self.shape.resources.push(ResourceShape { name: name.into(), fields, access: Access::Read });
        self
    }

    pub fn despawns(mut self) -> World {
        self.despawn = Some(Column::new(Scalar::U8, self.rows.div_ceil(64) * 8));
        self.shape.despawns = true;
        self
    }

    pub fn patches(mut self, id: u32, name: &str, fields: &[Field], opaque: bool) -> World {
        self.shape.patches.push(PatchShape { id, name: name.into(), fields: fields.to_vec(), opaque });
        self
    }

    pub fn with_extra(mut self, json: &str) -> World {
        self.extra = Some((json.into(), 1));
        self
    }

    pub fn run(&mut self, lane: &mut Lane, job: &dyn JobRunner) -> Result<(), JobError> {
        self.run_rows(lane, job, 0, self.rows)
    }

    /// Runs one call for all rows, in parts that begin at these rows.
    pub fn run_parts(&mut self, lane: &mut Lane, job: &JsJob, firsts: &[usize]) -> Result<(), JobError> {
        struct Part {
            rows: usize,
            eids: Lent,
            columns: Vec<Lent>,
            changed: Vec<Option<Lent>>,
            despawn: Option<Lent>,
        }
        let ends = firsts.iter().skip(1).copied().chain([self.rows]);
        let mut parts = Vec::new();
        for (&first, end) in firsts.iter().zip(ends) {
            assert_eq!(first % 64, 0);
            let rows = end - first;
            let bits = |column: &mut Column| column.part(first / 8, rows.div_ceil(64) * 8);
            parts.push(Part {
                rows,
                eids: self.eids.part(first, rows),
                columns: self.columns.iter_mut().map(|column| column.part(first, rows)).collect(),
                changed: self.changed.iter_mut().map(|column| column.as_mut().map(bits)).collect(),
                despawn: self.despawn.as_mut().map(bits),
            });
        }
        let resources: Vec<Lent> = self.resources.iter_mut().map(Column::lend).collect();
        let calls: Vec<JobCall<'_>> = parts
            .iter()
            .map(|part| {
                // SAFETY: all of it belongs to this world, which is borrowed until the call returned; parts are different
                // rows.
                unsafe {
                    JobCall::lease(JobCallParts {
                        shape: &self.shape,
                        memory: None,
                        patches: None,
                        rows: part.rows as u32,
                        eids: part.eids,
                        entities: &Plain,
                        values: None,
                        columns: &part.columns,
                        changed: &part.changed,
                        despawn: part.despawn,
                        resources: &resources,
                        dt: self.dt,
                        time: self.time,
                        extra: self.extra.as_ref().map(|(json, version)| Extra { json, version: *version }),
                    })
                }
            })
            .collect();
        job.run_parts(lane, &calls)
    }

    pub fn run_rows(
        &mut self,
        lane: &mut Lane,
        job: &dyn JobRunner,
        first: usize,
        rows: usize,
    ) -> Result<(), JobError> {
        assert_eq!(first % 64, 0);
        let (columns, changed, resources) = &mut self.lent;
        columns.clear();
        columns.extend(self.columns.iter_mut().map(|column| column.part(first, rows)));
        let bits = |column: &mut Column| column.part(first / 8, rows.div_ceil(64) * 8);
        changed.clear();
        changed.extend(self.changed.iter_mut().map(|column| column.as_mut().map(bits)));
        resources.clear();
        resources.extend(self.resources.iter_mut().map(Column::lend));
        let sink = PatchSink::default();
        // SAFETY: all of it belongs to this world, which is borrowed until the call returned.
        let call = unsafe {
            JobCall::lease(JobCallParts {
                shape: &self.shape,
                memory: None,
                rows: rows as u32,
                eids: self.eids.part(first, rows),
                entities: &Plain,
                values: None,
                columns,
                changed,
                despawn: self.despawn.as_mut().map(bits),
                resources,
                dt: self.dt,
                time: self.time,
                extra: self.extra.as_ref().map(|(json, version)| Extra { json, version: *version }),
                patches: Some(&sink),
            })
        };
        let result = job.run(lane, &call);
        if result.is_ok() {
            self.patches.append(sink.into_records().bytes()).unwrap();
        }
        result
    }
}

/// Runs `f` with a lane on this thread.
pub fn on_lane<R>(f: impl FnOnce(&mut Lane) -> R) -> R {
    let mut pool = Pool::new(0).unwrap();
    pool.scope(|scope| scope.with_lane(f))
}

/// A job made of one TypeScript file.
pub fn job_of(text: &str) -> (Files, Cluster, Result<JsJob, AgentError>) {
    let files = Files::with(&[("test.job.ts", text)]);
    let cluster = Cluster::new().unwrap();
    let job = cluster.job(files.path("test.job.ts"));
    (files, cluster, job)
}

/// Runs one TypeScript file once on a world.
pub fn run_once(text: &str, world: &mut World) -> Result<(), JobError> {
    let (_files, _cluster, job) = job_of(text);
    let job = job.unwrap();
    on_lane(|lane| world.run(lane, &job))
}

/// The parts of an error that was thrown.
#[track_caller]
pub fn threw(result: Result<(), JobError>) -> (String, String, String) {
    match result {
        Err(JobError::Threw { name, message, stack }) => (name, message, stack),
        other => panic!("not thrown: {other:?}"),
    }
}

pub fn file_name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}
