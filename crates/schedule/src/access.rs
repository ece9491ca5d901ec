//! What a system touches, and when two systems conflict.

use std::collections::BTreeMap;

use peristyle_world::{ComponentId, ResourceId, World};

/// How something is touched. Several may be true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Touch {
    /// Rust reads it.
    pub(crate) read: bool,
    /// Another language is lent it to read, which nothing enforces.
    pub(crate) lend: bool,
    /// Somebody writes it.
    pub(crate) write: bool,
}

impl Touch {
    pub(crate) const READ: Touch = Touch { read: true, lend: false, write: false };
    pub(crate) const LEND: Touch = Touch { read: false, lend: true, write: false };
    pub(crate) const WRITE: Touch = Touch { read: false, lend: false, write: true };

    fn join(&mut self, other: Touch) {
        self.read |= other.read;
        self.lend |= other.lend;
        self.write |= other.write;
    }

    fn conflicts(self, other: Touch) -> bool {
        self.write || other.write || (self.read && other.lend) || (self.lend && other.read)
    }
}

/// Everything a system touches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    components: BTreeMap<ComponentId, Touch>,
    resources: BTreeMap<ResourceId, Touch>,
    /// It sets despawn bits.
    pub(crate) despawns: bool,
    /// It has the world to itself.
    pub(crate) exclusive: bool,
}

impl Access {
    pub(crate) fn component(&mut self, id: ComponentId, touch: Touch) {
        self.components.entry(id).or_default().join(touch);
    }

    pub(crate) fn resource(&mut self, id: ResourceId, touch: Touch) {
        self.resources.entry(id).or_default().join(touch);
    }

    pub(crate) fn touches_resource(&self, id: ResourceId) -> Option<Touch> {
        self.resources.get(&id).copied()
    }

    /// What keeps two systems from running side by side, in words; none if nothing does.
    pub(crate) fn conflict(&self, other: &Access, world: &World) -> Option<String> {
        if self.exclusive || other.exclusive {
            return Some("the world".to_owned());
        }
        if self.despawns && other.despawns {
            return Some("despawn bits".to_owned());
        }
        let component = self.components.iter().find_map(|(id, touch)| {
            let clash = other.components.get(id).is_some_and(|other| touch.conflicts(*other));
            clash.then(|| world.components().info(*id).name().to_owned())
        });
        component.or_else(|| {
            self.resources.iter().find_map(|(id, touch)| {
                let clash = other.resources.get(id).is_some_and(|other| touch.conflicts(*other));
                clash.then(|| world.resource_name(*id).to_owned())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_of_the_same_kind_run_side_by_side() {
        let kinds = [Touch::READ, Touch::LEND, Touch::WRITE];
        for a in kinds {
            for b in kinds {
                assert_eq!(a.conflicts(b), a != b || a.write, "{a:?} {b:?}");
            }
        }
    }
}
