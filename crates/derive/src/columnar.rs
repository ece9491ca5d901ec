//! `#[derive(Columnar)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, Index, Member, Result};

use crate::{described, krate};

/// What the fields are called in Rust.
pub(crate) fn members(fields: &Fields) -> Vec<Member> {
    let member = |(index, field): (usize, &Field)| match &field.ident {
        Some(ident) => Member::Named(ident.clone()),
        None => Member::Unnamed(Index::from(index)),
    };
    fields.iter().enumerate().map(member).collect()
}

/// What a column of an unnamed field is called: `value`, or `v0`, `v1` if there are several.
pub(crate) fn column_name(member: &Member, count: usize) -> String {
    match member {
        Member::Named(ident) => ident.to_string().trim_start_matches("r#").to_owned(),
        Member::Unnamed(_) if count == 1 => "value".to_owned(),
        Member::Unnamed(index) => format!("v{}", index.index),
    }
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let krate = krate::world(ident)?;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            ident,
            "only a struct of scalars can be split into columns; \
            use `#[component(opaque)]` for any other value",
        ));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a struct that is split into columns cannot be generic"));
    }
    let described = described::implementation(input, &krate)?;
    let vis = &input.vis;
    let types: Vec<_> = data.fields.iter().map(|field| &field.ty).collect();
    let visibilities: Vec<_> = data.fields.iter().map(|field| &field.vis).collect();
    let members = members(&data.fields);
    let names: Vec<String> = members.iter().map(|member| column_name(member, members.len())).collect();
    let locals: Vec<Ident> = (0..members.len()).map(|index| format_ident!("base{index}")).collect();

    let slices = format_ident!("{ident}Slices");
    let slices_mut = format_ident!("{ident}SlicesMut");
    let row_mut = format_ident!("{ident}Mut");
    let companion = |name: &Ident, doc: String, associated: &str| -> TokenStream {
        let associated = format_ident!("{associated}");
        let lifetime = if types.is_empty() { quote!() } else { quote!(<'a>) };
        match &data.fields {
            Fields::Named(_) => quote! {
                #[doc = #doc]
                #[allow(missing_docs, dead_code)]
                #vis struct #name #lifetime { #(#visibilities #members: <#types as #krate::Columnar>::#associated<'a>,)* }
            },
            Fields::Unnamed(_) => quote! {
                #[doc = #doc]
                #[allow(missing_docs, dead_code)]
                #vis struct #name #lifetime (#(#visibilities <#types as #krate::Columnar>::#associated<'a>,)*);
            },
            Fields::Unit => quote! {
                #[doc = #doc]
                #[allow(missing_docs, dead_code)]
                #vis struct #name;
            },
        }
    };
    let slices_struct = companion(&slices, format!("The columns of [`{ident}`], one slice a field."), "Slices");
    let slices_mut_struct =
        companion(&slices_mut, format!("The columns of [`{ident}`], one mutable slice a field."), "SlicesMut");
    let row_struct = companion(&row_mut, format!("One row of [`{ident}`], one mutable reference a field."), "RowMut");
    let generics = if types.is_empty() { quote!() } else { quote!(<'a>) };

    // Each field's columns follow those of the field before it.
    let walk = {
        let mut before = quote!(base);
        let mut lines = Vec::new();
        for (local, ty) in locals.iter().zip(&types) {
            lines.push(quote!(let #local = #before;));
            before = quote!(#local.after::<#ty>());
        }
        quote!(let _ = base; #(#lines)*)
    };

    Ok(quote! {
        #slices_struct
        #slices_mut_struct
        #row_struct
        #described

        // SAFETY: fields are described, located, read and written in the same order, each by its own type.
        unsafe impl #krate::Columnar for #ident {
            const ROW_BYTES: usize = 0 #(+ <#types as #krate::Columnar>::ROW_BYTES)*;
            const COLUMNS: usize = 0 #(+ <#types as #krate::Columnar>::COLUMNS)*;
            type Slices<'a> = #slices #generics;
            type SlicesMut<'a> = #slices_mut #generics;
            type RowMut<'a> = #row_mut #generics;

            fn fields(prefix: &str, out: &mut ::std::vec::Vec<#krate::Field>) {
                let _ = (prefix, &out);
                #(<#types as #krate::Columnar>::fields(&#krate::flattened(prefix, #names), out);)*
            }
            fn visit<Outer: 'static>(
                get: impl ::core::ops::Fn(&Outer) -> &Self + Copy + Send + Sync + 'static,
                get_mut: impl ::core::ops::Fn(&mut Outer) -> &mut Self + Copy + Send + Sync + 'static,
                visitor: &mut impl #krate::ColumnVisitor<Outer>,
            ) {
                let _ = (get, get_mut, &visitor);
                #(<#types as #krate::Columnar>::visit(
                    move |outer: &Outer| &get(outer).#members,
                    move |outer: &mut Outer| &mut get_mut(outer).#members,
                    visitor,
                );)*
            }
            #[inline(always)]
            unsafe fn slices<'a>(base: #krate::Base, rows: ::std::ops::Range<usize>) -> Self::Slices<'a> {
                #walk
                let _ = &rows;
                #slices { #(#members: unsafe { <#types as #krate::Columnar>::slices(#locals, rows.clone()) },)* }
            }
            #[inline(always)]
            unsafe fn slices_mut<'a>(base: #krate::Base, rows: ::std::ops::Range<usize>) -> Self::SlicesMut<'a> {
                #walk
                let _ = &rows;
                #slices_mut { #(#members: unsafe { <#types as #krate::Columnar>::slices_mut(#locals, rows.clone()) },)* }
            }
            unsafe fn slices_at<'a>(
                next: &mut dyn ::core::ops::FnMut(#krate::Scalar) -> *mut u8,
                rows: usize,
            ) -> Self::Slices<'a> {
                let _ = (&next, rows);
                #slices { #(#members: unsafe { <#types as #krate::Columnar>::slices_at(next, rows) },)* }
            }
            unsafe fn slices_mut_at<'a>(
                next: &mut dyn ::core::ops::FnMut(#krate::Scalar) -> *mut u8,
                rows: usize,
            ) -> Self::SlicesMut<'a> {
                let _ = (&next, rows);
                #slices_mut { #(#members: unsafe { <#types as #krate::Columnar>::slices_mut_at(next, rows) },)* }
            }
            #[inline(always)]
            unsafe fn row_mut<'a>(base: #krate::Base, row: usize) -> Self::RowMut<'a> {
                #walk
                let _ = row;
                #row_mut { #(#members: unsafe { <#types as #krate::Columnar>::row_mut(#locals, row) },)* }
            }
            #[inline(always)]
            unsafe fn read(base: #krate::Base, row: usize) -> Self {
                #walk
                let _ = row;
                #ident { #(#members: unsafe { <#types as #krate::Columnar>::read(#locals, row) },)* }
            }
            #[inline(always)]
            unsafe fn write(self, base: #krate::Base, row: usize) {
                #walk
                let _ = row;
                #(unsafe { <#types as #krate::Columnar>::write(self.#members, #locals, row) };)*
            }
            #[inline(always)]
            fn prefetch(base: #krate::Base, row: usize) {
                #walk
                let _ = row;
                #(<#types as #krate::Columnar>::prefetch(#locals, row);)*
            }
            fn remap(&mut self, map: &mut dyn ::core::ops::FnMut(#krate::Entity) -> #krate::Entity) {
                let _ = &map;
                #(<#types as #krate::Columnar>::remap(&mut self.#members, map);)*
            }
        }
    })
}
