//! Under which path the deriving crate knows what is derived.
//!
//! A word in the manifest is all that is looked for. A library that parses manifests would do more, but would change with
//! which features crates of SpiderMonkey's build are compiled, and so have it built twice.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, Ident, Result};

fn manifest(span: &Ident) -> Result<String> {
    let read = |directory| std::fs::read_to_string(std::path::Path::new(&directory).join("Cargo.toml"));
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").and_then(|directory| read(directory).ok());
    manifest.ok_or_else(|| Error::new(span.span(), "deriving this reads the crate's Cargo.toml, which is not there"))
}

/// The crates that export the traits and what the derived code names, in the order in which they are looked for.
const EXPORTERS: [&str; 3] = ["peristyle-world", "peristyle-offload", "peristyle-bevy"];

/// The first of `EXPORTERS` that the manifest names, else the facade `peristyle`.
pub(crate) fn world(span: &Ident) -> Result<TokenStream> {
    let manifest = manifest(span)?;
    let exporter = EXPORTERS.into_iter().find(|exporter| manifest.contains(exporter)).unwrap_or("peristyle");
    let exporter = Ident::new(&exporter.replace('-', "_"), Span::call_site());
    Ok(quote!(::#exporter))
}

/// `peristyle_layout` if the manifest names that crate and no world, else as [`world`].
pub(crate) fn schema(span: &Ident) -> Result<TokenStream> {
    let manifest = manifest(span)?;
    if manifest.contains("peristyle-layout") && !EXPORTERS.iter().any(|exporter| manifest.contains(exporter)) {
        return Ok(quote!(::peristyle_layout));
    }
    world(span)
}
