//! `#[derive(Component)]`, `#[derive(Columnar)]`, `#[derive(Described)]`, `#[derive(State)]` and `#[module]`.
//!
//! `Columnar` splits a struct of scalars, fixed arrays and other columnar structs into columns. It makes, beside the
//! struct `Pos`: `PosSlices` (a slice a field), `PosSlicesMut` and `PosMut` (a mutable reference a field).
//! `Component` does that too and makes the struct a component; with `#[component(opaque)]` the values stay Rust values
//! on the heap and nothing is split.
//! `Described` gives a struct a schema; `Columnar`, and so `Component`, does that too.
//!
//! `State` makes a struct's fields say what changed, and `#[module]` makes methods of an `impl` block callable from afar.

mod columnar;
mod component;
mod described;
mod krate;
mod module;
mod state;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemImpl, parse_macro_input};

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

/// Makes a struct with named fields the state of a module.
///
/// Fields are serde values that are compared with what was published, unless they say otherwise:
///
/// - `#[state(tracked)]`: the field knows what changed in it: a `StateList`, a `StateMap`, or another derived struct.
/// - `#[state(rename = "theName")]`: the field's key.
/// - `#[state(skip)]`: the field is not published. It is undone with the others when an action fails.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    state::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a module of a state's `impl` block: `Counter` becomes the module `counter`, or what `name = "..."` says, and a
/// client's methods `CounterProxy` are made beside it.
///
/// - `#[action]`: everybody may call the method. Its name is in camel case, or what `name = "..."` says.
/// - `#[method]`: it may be called if the host exposes it.
/// - `#[rest]` on a last argument, a `Vec`: it takes all arguments that are left.
///
/// Methods take `&self` or `&mut self`. An `async` one takes `Live<Self>` instead, through which it changes the state in
/// stretches. They return a serde value, nothing, or a `Result` of these and anything that a `Failure` is made from.
#[proc_macro_attribute]
pub fn module(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as module::Options);
    let item = parse_macro_input!(item as ItemImpl);
    module::expand(&options, item).unwrap_or_else(syn::Error::into_compile_error).into()
}
