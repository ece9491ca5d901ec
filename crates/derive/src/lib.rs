//! `#[derive(Component)]`, `#[derive(Columnar)]` and `#[derive(Described)]`.
//!
//! `Columnar` splits a struct of scalars, fixed arrays and other columnar structs into columns. It makes, beside the
//! struct `Pos`: `PosSlices` (a slice a field), `PosSlicesMut` and `PosMut` (a mutable reference a field).
//! `Component` does that too and makes the struct a component; with `#[component(opaque)]` the values stay Rust values
//! on the heap and nothing is split.
//! `Described` gives a struct a schema; `Columnar`, and so `Component`, does that too.

mod columnar;
mod component;
mod described;
mod krate;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct of scalars, fixed arrays and columnar structs usable inside components.
#[proc_macro_derive(Columnar)]
pub fn derive_columnar(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    columnar::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Gives a struct of scalars, fixed arrays and described structs a schema, from which its layout is computed.
///
/// `#[repr(packed)]` and `#[repr(align(16))]` are part of it. What derives `Columnar` or `Component` has one already.
#[proc_macro_derive(Described)]
pub fn derive_described(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    described::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a component.
///
/// - `#[component(name = "Position")]`: its name; by default the struct's.
/// - `#[component(opaque)]`: any Rust value, kept on the heap, out of reach of jobs.
#[proc_macro_derive(Component, attributes(component))]
pub fn derive_component(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    component::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
