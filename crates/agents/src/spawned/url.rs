//! URLs, by the URL Standard: what `web/url.js` asks of Rust.
//!
//! Scripts keep a URL as its parts; each change takes the URL and gives new parts.

use std::ffi::CStr;

use mozjs::context::RawJSContext;
use mozjs::jsapi::Value as RawValue;
use mozjs::jsval::UndefinedValue;
use mozjs::rooted;
use url::{Url, form_urlencoded, quirks};

use super::convert::{Pending, from_js, to_js};
use super::natives::{Call, Native, native};
use super::value::Value;

pub(crate) const NATIVES: [(&CStr, Native, u32); 4] =
    [(c"parseUrl", parse_url, 2), (c"setUrl", set_url, 3), (c"parseForm", parse_form, 1), (c"formText", form_text, 1)];

/// The parts of a URL, in the order in which `web/url.js` knows them.
fn parts(url: &Url) -> Value {
    let text = |part: &str| Value::Text(part.to_owned());
    Value::List(vec![
        text(quirks::href(url)),
        text(&quirks::origin(url)),
        text(quirks::protocol(url)),
        text(quirks::username(url)),
        text(quirks::password(url)),
        text(quirks::host(url)),
        text(quirks::hostname(url)),
        text(quirks::port(url)),
        text(quirks::pathname(url)),
        text(quirks::search(url)),
        text(quirks::hash(url)),
    ])
}

fn give(raw: *mut RawJSContext, call: &Call<'_>, value: &Value) -> Result<(), Pending> {
    rooted!(in(raw) let mut given = UndefinedValue());
    // SAFETY: natives run in the agent's realm.
    unsafe { to_js(raw, value, &mut given)? };
    call.give(given.get());
    Ok(())
}

/// `parseUrl(text, base)`: the parts of a URL; nothing for what is none. `base` may be undefined.
unsafe extern "C" fn parse_url(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let text = call.text(cx, 0);
        let url = if call.get(1).is_string() {
            Url::parse(&call.text(cx, 1)).and_then(|base| base.join(&text))
        } else {
            Url::parse(&text)
        };
        url.map_or(Ok(()), |url| give(raw, call, &parts(&url)))
    })
}

/// `setUrl(href, part, value)`: the parts of the URL with another protocol, user name, … ; unchanged if the value does not fit.
unsafe extern "C" fn set_url(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let (part, value) = (call.text(cx, 1), call.text(cx, 2));
        let Ok(mut url) = Url::parse(&call.text(cx, 0)) else { return Ok(()) };
        // A value that does not fit changes nothing, as the standard has it.
        let _ = match part.as_str() {
            "protocol" => quirks::set_protocol(&mut url, &value),
            "username" => quirks::set_username(&mut url, &value),
            "password" => quirks::set_password(&mut url, &value),
            "host" => quirks::set_host(&mut url, &value),
            "hostname" => quirks::set_hostname(&mut url, &value),
            "port" => quirks::set_port(&mut url, &value),
            "pathname" => {
                quirks::set_pathname(&mut url, &value);
                Ok(())
            }
            "search" => {
                quirks::set_search(&mut url, &value);
                Ok(())
            }
            "hash" => {
                quirks::set_hash(&mut url, &value);
                Ok(())
            }
            _ => Ok(()),
        };
        give(raw, call, &parts(&url))
    })
}

/// `parseForm(text)`: names and values of `application/x-www-form-urlencoded`, one after the other.
unsafe extern "C" fn parse_form(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        let text = call.text(cx, 0);
        let pairs = form_urlencoded::parse(text.as_bytes());
        let list = pairs.flat_map(|(name, value)| [name, value]).map(|text| Value::Text(text.into_owned())).collect();
        give(raw, call, &Value::List(list))
    })
}

/// `formText(list)`: the inverse of `parseForm`.
unsafe extern "C" fn form_text(raw: *mut RawJSContext, argc: u32, vp: *mut RawValue) -> bool {
    native(raw, argc, vp, |cx, call| {
        rooted!(in(raw) let list = call.get(0));
        // SAFETY: the context is in the agent's realm; the list is an array of strings.
        let Value::List(items) = (unsafe { from_js(cx, call.realm, &list)? }) else { return Ok(()) };
        let mut form = form_urlencoded::Serializer::new(String::new());
        for pair in items.chunks_exact(2) {
            if let [Value::Text(name), Value::Text(value)] = pair {
                form.append_pair(name, value);
            }
        }
        give(raw, call, &Value::Text(form.finish()))
    })
}
