//! An app's world on the network: the live page, and clients of `peristyle/client`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use peristyle_gateway::{FeedOptions, Gateway, WorldFeed};
use peristyle_replica::{ComponentView, ViewSpec};
use peristyle_timeline::Timeline;
use peristyle_world::World;

/// A world that is served from its first frame on. A handle: clones are the same.
#[derive(Clone)]
pub(super) struct Served {
    address: SocketAddr,
    timeline: Timeline,
    started: Arc<Mutex<Option<(WorldFeed, Gateway)>>>,
}

impl Served {
    pub(super) fn at(address: SocketAddr, timeline: &Timeline) -> Served {
        Served { address, timeline: timeline.clone(), started: Arc::default() }
    }

    /// Publishes the world, between two ticks. The first time it begins to serve: components that have columns by then are
    /// shown, those that are defined later are not.
    pub(super) fn publish(&self, world: &mut World) -> Result<(), String> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let (feed, _) = match &mut *started {
            Some(started) => started,
            none => none.insert(self.start(world)?),
        };
        feed.publish(world);
        Ok(())
    }

    /// Says goodbye to clients, and waits for them a little.
    pub(super) fn end(&self) {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, gateway)) = started {
            gateway.shutdown();
        }
    }

    fn start(&self, world: &mut World) -> Result<(WorldFeed, Gateway), String> {
        let shown = world.components().iter().filter(|component| !component.fields().is_empty());
        let spec =
            shown.fold(ViewSpec::new(), |spec, component| spec.with(ComponentView::named(component.name()).optional()));
        let cannot = |why: &dyn std::fmt::Display| format!("the world cannot be served at {}: {why}", self.address);
        let feed = WorldFeed::new(world, spec, FeedOptions::default()).map_err(|error| cannot(&error))?;
        let gateway = Gateway::builder().world(&feed).timeline(&self.timeline).live_page().serve(self.address);
        let gateway = gateway.map_err(|error| cannot(&error))?;
        eprintln!("watch the world at {} (Ctrl-C ends it)", gateway.url());
        Ok((feed, gateway))
    }
}
