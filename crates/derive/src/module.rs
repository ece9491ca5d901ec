//! `#[module]` on an `impl` block.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, LitStr, Pat, Result, ReturnType, Type,
    parse::{Parse, ParseStream},
};

use crate::state::mirror_crate;

/// `name = "counter"`, or nothing.
#[derive(Default)]
pub(crate) struct Options {
    name: Option<LitStr>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.is_empty() {
            return Ok(Options::default());
        }
        let key: Ident = input.parse()?;
        if key != "name" {
            return Err(Error::new(key.span(), "expected `name = \"...\"`"));
        }
        input.parse::<syn::Token![=]>()?;
        Ok(Options { name: Some(input.parse()?) })
    }
}

/// One declared method.
struct Declared {
    ident: Ident,
    /// For callers.
    name: LitStr,
    is_action: bool,
    is_async: bool,
    docs: Vec<Attribute>,
    params: Vec<Param>,
    output: Output,
}

struct Param {
    ident: Ident,
    ty: Type,
    is_rest: bool,
}

/// What a method returns, after it did not fail.
struct Output {
    ty: TokenStream,
    is_unit: bool,
    is_result: bool,
}

/// `fail_after` is `failAfter` to JavaScript.
fn camel_case(ident: &str) -> String {
    let mut name = String::new();
    let mut upper = false;
    for char in ident.trim_start_matches("r#").chars() {
        match char {
            '_' if !name.is_empty() => upper = true,
            char if std::mem::take(&mut upper) => name.extend(char.to_uppercase()),
            char => name.push(char),
        }
    }
    name
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn output(item: &ImplItemFn) -> Result<Output> {
    let unit = |ty: &Type| matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
    let ReturnType::Type(_, ty) = &item.sig.output else {
        return Ok(Output { ty: quote!(()), is_unit: true, is_result: false });
    };
    if let Type::Path(path) = &**ty
        && let Some(last) = path.path.segments.last()
        && last.ident == "Result"
    {
        let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return Err(Error::new_spanned(ty, "write the result's type out: `Result<T, Failure>`"));
        };
        let Some(syn::GenericArgument::Type(value)) = arguments.args.first() else {
            return Err(Error::new_spanned(ty, "write the result's type out: `Result<T, Failure>`"));
        };
        return Ok(Output { ty: quote!(#value), is_unit: unit(value), is_result: true });
    }
    Ok(Output { ty: quote!(#ty), is_unit: unit(ty), is_result: false })
}

/// Takes the attributes that are ours off a method; nothing if it is not declared.
fn declared(item: &mut ImplItemFn) -> Result<Option<Declared>> {
    let is_ours = |attribute: &Attribute| attribute.path().is_ident("action") || attribute.path().is_ident("method");
    let ours: Vec<Attribute> = item.attrs.iter().filter(|attribute| is_ours(attribute)).cloned().collect();
    let [attribute] = &ours[..] else {
        return match ours.get(1) {
            Some(second) => Err(Error::new_spanned(second, "a method is declared once")),
            None => Ok(None),
        };
    };
    item.attrs.retain(|attribute| !is_ours(attribute));
    let mut name = LitStr::new(&camel_case(&item.sig.ident.to_string()), item.sig.ident.span());
    if !matches!(attribute.meta, syn::Meta::Path(_)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name = \"...\"`"));
            }
            name = meta.value()?.parse()?;
            Ok(())
        })?;
    }
    let is_async = item.sig.asyncness.is_some();
    let mut inputs = item.sig.inputs.iter_mut();
    match inputs.next() {
        Some(FnArg::Receiver(receiver)) if !is_async && receiver.reference.is_some() => {}
        Some(FnArg::Typed(_)) if is_async => {}
        _ => {
            return Err(Error::new_spanned(
                &item.sig.ident,
                "a declared method takes `&self` or `&mut self`; one that is async takes `Live<Self>` instead",
            ));
        }
    }
    let mut params = Vec::new();
    for input in inputs {
        let FnArg::Typed(param) = input else { continue };
        let Pat::Ident(pattern) = &*param.pat else {
            return Err(Error::new_spanned(&param.pat, "an argument of a declared method is a plain name"));
        };
        let is_rest = param.attrs.iter().any(|attribute| attribute.path().is_ident("rest"));
        param.attrs.retain(|attribute| !attribute.path().is_ident("rest"));
        params.push(Param { ident: pattern.ident.clone(), ty: (*param.ty).clone(), is_rest });
    }
    if params.iter().rev().skip(1).any(|param| param.is_rest) {
        return Err(Error::new_spanned(&item.sig.inputs, "only the last argument takes the rest"));
    }
    let docs = item.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect();
    let is_action = attribute.path().is_ident("action");
    Ok(Some(Declared { ident: item.sig.ident.clone(), name, is_action, is_async, docs, params, output: output(item)? }))
}

impl Declared {
    /// The entry in the module's table.
    fn entry(&self, krate: &TokenStream, this: &Type) -> TokenStream {
        let Declared { ident, name, is_action, params, output, .. } = self;
        let names: Vec<&Ident> = params.iter().map(|param| &param.ident).collect();
        let takes = params.iter().map(|Param { ident, ty, is_rest }| {
            let (name, take) = (ident.to_string(), if *is_rest { quote!(take_rest) } else { quote!(take) });
            // The rest is a list of something, which inference finds; a single argument names its type.
            let ty = (!is_rest).then(|| quote!(::<#ty>));
            quote!(let #ident = args.#take #ty (#name)?;)
        });
        let unwrapped = if output.is_result {
            quote!(let value = result.map_err(#krate::Failure::from)?;)
        } else {
            quote!(let value = result;)
        };
        let finish = if output.is_unit {
            quote!({
                let () = value;
                Ok(None)
            })
        } else {
            quote!(#krate::outcome(&value))
        };
        let run = if self.is_async {
            quote! {
                #krate::Run::Later(|live, args| {
                    #(#takes)*
                    Ok(::std::boxed::Box::pin(async move {
                        let result = <#this>::#ident(live, #(#names),*).await;
                        #unwrapped
                        #finish
                    }))
                })
            }
        } else {
            quote! {
                #krate::Run::Now(|state, args| {
                    #(#takes)*
                    let result = <#this>::#ident(state, #(#names),*);
                    #unwrapped
                    #finish
                })
            }
        };
        quote!(#krate::Method { name: #name, is_action: #is_action, run: #run })
    }

    /// The method at a client.
    fn proxy(&self, krate: &TokenStream) -> TokenStream {
        let Declared { ident, name, docs, params, output, .. } = self;
        let types = params.iter().map(|param| &param.ty);
        let names: Vec<&Ident> = params.iter().map(|param| &param.ident).collect();
        let pushes = params.iter().map(|Param { ident, is_rest, .. }| {
            if *is_rest {
                quote!(#ident.iter().for_each(|value| arguments.push(value));)
            } else {
                quote!(arguments.push(&#ident);)
            }
        });
        let docs = if docs.is_empty() {
            let text = format!("Calls `{}`.", name.value());
            quote!(#[doc = #text])
        } else {
            quote!(#(#docs)*)
        };
        let ty = &output.ty;
        quote! {
            #docs
            pub fn #ident(&self, #(#names: #types),*) -> #krate::Call<#ty> {
                let mut arguments = #krate::Arguments::default();
                #(#pushes)*
                arguments.call(&self.client, self.module, #name)
            }
        }
    }
}

pub(crate) fn expand(options: &Options, mut item: ItemImpl) -> Result<TokenStream> {
    let this = (*item.self_ty).clone();
    let Type::Path(path) = &this else { return Err(Error::new_spanned(&this, "a module is a struct")) };
    let Some(ident) = path.path.segments.last().map(|segment| segment.ident.clone()) else {
        return Err(Error::new_spanned(&this, "a module is a struct"));
    };
    if item.trait_.is_some() || !item.generics.params.is_empty() {
        return Err(Error::new_spanned(&item.self_ty, "a module is made of an `impl` block without generics"));
    }
    let krate = mirror_crate(&ident)?;
    let mut methods = Vec::new();
    for method in &mut item.items {
        if let ImplItem::Fn(method) = method {
            methods.extend(declared(method)?);
        }
    }
    for (at, method) in methods.iter().enumerate() {
        if methods[..at].iter().any(|other| other.name.value() == method.name.value()) {
            return Err(Error::new(method.name.span(), "two methods have this name"));
        }
    }
    let name = options.name.clone().unwrap_or_else(|| LitStr::new(&lower_first(&ident.to_string()), ident.span()));
    let entries = methods.iter().map(|method| method.entry(&krate, &this));
    let proxies = methods.iter().map(|method| method.proxy(&krate));
    let proxy = format_ident!("{ident}Proxy");
    let docs = format!("The methods of [`{ident}`] at a client.");
    Ok(quote! {
        #item

        impl #krate::Module for #this {
            const NAME: &'static str = #name;
            type Proxy = #proxy;

            fn proxy(client: #krate::Client, module: &'static str) -> #proxy {
                #proxy { client, module }
            }

            fn methods() -> ::std::vec::Vec<#krate::Method<Self>> {
                ::std::vec![#(#entries),*]
            }
        }

        #[doc = #docs]
        #[derive(Clone)]
        pub struct #proxy {
            client: #krate::Client,
            module: &'static str,
        }

        impl #proxy {
            #(#proxies)*
        }
    })
}
