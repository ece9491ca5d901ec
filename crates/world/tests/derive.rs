//! What the derive macros refuse, and how they say it.

#[test]
fn refusals() {
    trybuild::TestCases::new().compile_fail("tests/derive/*.rs");
}
