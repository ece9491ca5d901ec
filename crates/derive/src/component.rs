//! `#[derive(Component)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, Result};

use crate::{columnar, krate};

struct Options {
    name: LitStr,
    opaque: bool,
}

fn options(input: &DeriveInput) -> Result<Options> {
    let mut options = Options { name: LitStr::new(&input.ident.to_string(), input.ident.span()), opaque: false };
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("component")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                options.name = meta.value()?.parse()?;
                Ok(())
            } else if meta.path.is_ident("opaque") {
                options.opaque = true;
                Ok(())
            } else {
                Err(meta.error("expected `opaque` or `name = \"...\"`"))
            }
        })?;
    }
    Ok(options)
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Options { name, opaque } = options(input)?;
    let ident = &input.ident;
    let krate = krate::world(ident)?;
    if opaque {
        let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
        return Ok(quote! {
            // SAFETY: the storage is declared by the same type that reads and writes it.
            unsafe impl #impl_generics #krate::Component for #ident #type_generics #where_clause {
                const NAME: &'static str = #name;
                type Storage = #krate::Opaque<Self>;
            }
        });
    }
    let columnar = columnar::expand(input)?;
    Ok(quote! {
        #columnar

        // SAFETY: the storage is declared by the same type that reads and writes it.
        unsafe impl #krate::Component for #ident {
            const NAME: &'static str = #name;
            type Storage = #krate::Columns<Self>;
        }
    })
}
