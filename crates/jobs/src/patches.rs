//! Patches that a job gives beside, or instead of, writing in place.
//!
//! A call has a [`PatchSink`] if its job declared anything that it may patch. Records go through the call
//! ([`JobCall::patch`], [`JobCall::patch_bytes`]), which refuses what the job did not declare; whoever made the sink takes
//! them out when the call has returned, and applies them when the stage ends. So patches need no lease, and the rows that
//! other lanes work on meanwhile do not move.

use std::cell::RefCell;

use peristyle_layout::{PatchBuffer, PatchKind, PatchRecord};

use crate::{Access, JobCall, JobError, JobShape, PatchShape};

/// Where a call's patches go. Used by the lane that runs the call.
#[derive(Debug, Default)]
pub struct PatchSink(RefCell<PatchBuffer>);

impl PatchSink {
    /// A sink that appends to `records`.
    pub fn new(records: PatchBuffer) -> PatchSink {
        PatchSink(RefCell::new(records))
    }

    /// Shows the records, those that were there first included.
    pub fn with<R>(&self, f: impl FnOnce(&PatchBuffer) -> R) -> R {
        f(&self.0.borrow())
    }

    /// The records, those that were there first included.
    pub fn into_records(self) -> PatchBuffer {
        self.0.into_inner()
    }
}

impl JobShape {
    /// The components that the job may set, add and remove by patches: those that it writes, then those that it declared
    /// for patches alone.
    pub fn patchable(&self) -> impl Iterator<Item = PatchShape> + '_ {
        let written = self.components.iter().filter(|component| component.access == Access::Write);
        let written = written.map(|component| PatchShape {
            id: component.id,
            name: component.name.clone(),
            fields: component.fields.clone(),
            opaque: false,
        });
        written.chain(self.patches.iter().cloned())
    }

    /// The number of the component of that name, if the job declared it.
    pub(crate) fn component_id(&self, name: &str) -> Option<u32> {
        let patched = self.patches.iter().find(|component| component.name == name).map(|component| component.id);
        let lent = || self.components.iter().find(|component| component.name == name).map(|component| component.id);
        patched.or_else(lent)
    }

    /// Whether the job may patch anything.
    pub fn patches_anything(&self) -> bool {
        self.despawns
            || !self.patches.is_empty()
            || self.components.iter().any(|component| component.access == Access::Write)
    }

    /// Why the job may not give a patch; none if it may.
    fn refuse(&self, record: &PatchRecord<'_>) -> Option<String> {
        let id = record.component;
        if record.kind == PatchKind::Destroy {
            return (!self.despawns).then(|| "the job did not declare that it despawns".to_owned());
        }
        let written = |component: &crate::ComponentShape| component.id == id && component.access == Access::Write;
        if self.components.iter().any(written) || self.patches.iter().any(|component| component.id == id) {
            return None;
        }
        let known = self.components.iter().find(|component| component.id == id);
        let name = known.map_or_else(|| id.to_string(), |component| format!("`{}`", component.name));
        Some(format!("the job did not declare that it writes or patches component {name}"))
    }
}

impl JobCall<'_> {
    /// Gives one patch.
    ///
    /// # Errors
    /// [`JobError::Patch`] if the job did not declare what it patches.
    pub fn patch(&self, record: &PatchRecord<'_>) -> Result<(), JobError> {
        let sink = self.sink(record)?;
        sink.0.borrow_mut().push(record);
        Ok(())
    }

    fn sink(&self, record: &PatchRecord<'_>) -> Result<&PatchSink, JobError> {
        let refused = |message: String| JobError::Patch { index: 0, message };
        match self.shape.refuse(record) {
            Some(message) => Err(refused(message)),
            None => self.patches.ok_or_else(|| refused("this call takes no patches".to_owned())),
        }
    }

    /// Gives patches as records in bytes, and gives their number.
    ///
    /// # Errors
    /// [`JobError::Patch`] with the index of the first that is no record, or that the job did not declare; none is taken
    /// then.
    pub fn patch_bytes(&self, bytes: &[u8]) -> Result<usize, JobError> {
        let (mut offset, mut index) = (0, 0);
        while offset < bytes.len() {
            let (record, next) = PatchRecord::decode(bytes, offset)
                .map_err(|error| JobError::Patch { index, message: error.to_string() })?;
            self.sink(&record).map_err(|error| match error {
                JobError::Patch { message, .. } => JobError::Patch { index, message },
                other => other,
            })?;
            (offset, index) = (next, index + 1);
        }
        if let (Some(sink), true) = (self.patches, index > 0) {
            // Every record was just decoded.
            let appended = sink.0.borrow_mut().append(bytes);
            appended.map_err(|error| JobError::Patch { index: 0, message: error.to_string() })?;
        }
        Ok(index)
    }
}
