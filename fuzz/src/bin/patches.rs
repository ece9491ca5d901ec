//! Bytes as patches: decoding never panics, what decodes encodes to the same bytes, and a world takes it or refuses it.
#![no_main]

use peristyle_layout::{Field, PatchBuffer, Scalar};
use peristyle_world::{Undo, World};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(records) = PatchBuffer::from_bytes(data) else { return };
    let mut again = PatchBuffer::new();
    records.iter().for_each(|record| again.push(&record));
    assert_eq!(again, records);

    let mut world = World::new().expect("addresses");
    let fields = Scalar::ALL.iter().map(|scalar| Field::new(scalar.name(), *scalar)).collect();
    let all = world.define("All", fields).expect("the name is free");
    let link = world.define("Link", vec![Field::entity("to")]).expect("the name is free");
    let tag = world.define("Tag", Vec::new()).expect("the name is free");
    for components in [&[all][..], &[all, link], &[all, link, tag], &[]] {
        world.spawn_ids(components, 5).expect("memory");
    }
    let before = world.len();
    let mut undo = Undo::new();
    let report = world.apply_patches_keeping(&records, &mut undo);
    assert_eq!(report.applied + report.refused, records.len());
    let undone = world.undo(undo);
    assert!(undone.refusals.is_empty(), "{:?}", undone.refusals);
    assert_eq!(world.len(), before);
    let report = world.apply_patches(&records);
    assert_eq!(report.applied + report.refused, records.len());
});
