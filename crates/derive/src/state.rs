//! `#[derive(State)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result};

/// The path under which the mirror crate is known to the crate that is compiled.
pub(crate) fn mirror_crate(span: &Ident) -> Result<TokenStream> {
    let read = |directory| std::fs::read_to_string(std::path::Path::new(&directory).join("Cargo.toml"));
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").and_then(|directory| read(directory).ok());
    let Some(manifest) = manifest else {
        return Err(Error::new(span.span(), "deriving this reads the crate's Cargo.toml, which is not there"));
    };
    Ok(if manifest.contains("peristyle-mirror") { quote!(::peristyle_mirror) } else { quote!(::peristyle::mirror) })
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let krate = mirror_crate(ident)?;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(ident, "a module's state is a struct with named fields"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(ident, "a module's state is a struct with named fields"));
    };
    let (mut values, mut records) = (Vec::new(), Vec::new());
    for field in &fields.named {
        let Some(member) = &field.ident else { continue };
        let key = member.to_string();
        let mut key = LitStr::new(key.trim_start_matches("r#"), member.span());
        let (mut is_tracked, mut is_skipped) = (false, false);
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("state")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("tracked") {
                    is_tracked = true;
                } else if meta.path.is_ident("skip") {
                    is_skipped = true;
                } else if meta.path.is_ident("rename") {
                    key = meta.value()?.parse()?;
                } else {
                    return Err(meta.error("expected `tracked`, `skip` or `rename = \"...\"`"));
                }
                Ok(())
            })?;
        }
        if is_skipped {
            continue;
        }
        if is_tracked {
            values.push(quote!((#krate::Text::from(#key), #krate::State::to_value(&self.#member)?)));
            records.push(quote! {
                #krate::record_field(#key, published, changes, |published, changes| {
                    #krate::State::record(&mut self.#member, published, changes)
                })?;
            });
        } else {
            values.push(quote!((#krate::Text::from(#key), #krate::to_value(&self.#member)?)));
            records.push(quote! {
                #krate::record_field(#key, published, changes, |published, changes| {
                    #krate::record_plain(&self.#member, published, changes)
                })?;
            });
        }
    }
    let (impl_generics, type_generics, where_clause) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impl_generics #krate::State for #ident #type_generics #where_clause {
            fn to_value(&self) -> ::std::result::Result<#krate::Value, #krate::ValueError> {
                Ok(#krate::Value::Map(#krate::Map::from_entries(::std::vec![#(#values),*])))
            }

            fn record(
                &mut self,
                published: &mut #krate::Value,
                changes: &mut #krate::Changes,
            ) -> ::std::result::Result<(), #krate::ValueError> {
                #(#records)*
                Ok(())
            }
        }
    })
}
