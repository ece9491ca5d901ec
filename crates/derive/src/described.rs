//! `#[derive(Described)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, LitInt, Result};

use crate::{
    columnar::{column_name, members},
    krate,
};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    implementation(input, &krate::schema(&input.ident)?)
}

/// The implementation of `Described`, which `krate` has in its module `schema`.
pub(crate) fn implementation(input: &DeriveInput, krate: &TokenStream) -> Result<TokenStream> {
    let ident = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(ident, "only a struct has a schema"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a struct that has a schema cannot be generic"));
    }
    let members = members(&data.fields);
    let names = members.iter().map(|member| column_name(member, members.len()));
    let types = data.fields.iter().map(|field| &field.ty);
    let repr = repr(input)?;
    Ok(quote! {
        impl #krate::schema::Described for #ident {
            fn describe() -> #krate::schema::Type {
                #krate::schema::Struct::new()
                    #(.field(#names, <#types as #krate::schema::Described>::describe()))*
                    #repr
                    .into()
            }
        }
    })
}

/// What `#[repr(...)]` says about the layout.
fn repr(input: &DeriveInput) -> Result<TokenStream> {
    let mut calls = TokenStream::new();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            // `C`, `Rust` and `transparent` leave every field where C would lay it.
            let argument = if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                Some(content.parse::<LitInt>()?)
            } else {
                None
            };
            let bytes = argument.map(|argument| argument.base10_parse::<u64>()).transpose()?;
            if meta.path.is_ident("align") {
                calls.extend(quote!(.align(#bytes)));
            } else if meta.path.is_ident("packed") {
                if bytes.is_some_and(|bytes| bytes != 1) {
                    return Err(meta.error("a schema is packed to 1 byte or not at all"));
                }
                calls.extend(quote!(.packed()));
            }
            Ok(())
        })?;
    }
    Ok(calls)
}
