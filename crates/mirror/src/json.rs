//! JSON text to values and back.
//!
//! Reading keeps its own stack: the depth of the text costs heap, not stack, and is bounded. What JavaScript's
//! `JSON.parse` takes is taken and nothing else; that includes escaped lone surrogates, numbers of any size (read as
//! doubles) and repeated keys (the last counts).
//!
//! # Not here
//! Typed values: what is read into a type of the user's goes through `serde_json`.

use std::fmt::Write;

use crate::value::{List, Map, Text, Value};

/// The largest integer that a double holds exactly together with its neighbours.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The deepest nesting of lists and maps in a text.
pub const DEPTH_MAX: usize = 512;

/// Where a text is no JSON, or too deep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct JsonError {
    /// The offset into the text.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Reads a whole text.
///
/// # Errors
/// If it is not one JSON value, or is nested deeper than [`DEPTH_MAX`].
pub fn parse(text: &str) -> Result<Value, JsonError> {
    let mut reader = Reader::new(text);
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

/// A place in a text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How deep values may be nested from here.
    depth_max: usize,
    /// Keys seen lately, by hash, so that a list of objects does not hold its keys once per object.
    keys: [Option<Text>; 32],
}

/// A list or map that is being read.
enum Open {
    List(Vec<Value>),
    Map(Vec<(Text, Value)>, Text),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0, depth_max: DEPTH_MAX, keys: [const { None }; 32] }
    }

    /// Reads values that are already this many levels deep.
    pub(crate) fn within(mut self, levels: usize) -> Reader<'a> {
        self.depth_max = DEPTH_MAX - levels;
        self
    }

    /// How far the text was read.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    pub(crate) fn error<T>(&self, what: &'static str) -> Result<T, JsonError> {
        Err(JsonError { offset: self.at, what })
    }

    /// The next byte that is no white space, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `byte`, if it is next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.take(byte) { Ok(()) } else { self.error(what) }
    }

    /// Fails unless nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        if self.peek().is_none() { Ok(()) } else { self.error("something after the end of the value") }
    }

    fn literal(&mut self, literal: &str, value: Value) -> Result<Value, JsonError> {
        if self.text[self.at..].starts_with(literal) {
            self.at += literal.len();
            Ok(value)
        } else {
            self.error("no JSON value")
        }
    }

    /// Reads one value.
    pub(crate) fn value(&mut self) -> Result<Value, JsonError> {
        let mut stack: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.peek() {
                Some(b'{' | b'[') if stack.len() == self.depth_max => return self.error("nested too deeply"),
                Some(b'{') => {
                    self.at += 1;
                    if self.take(b'}') {
                        Value::Map(Map::new())
                    } else {
                        let key = self.key()?;
                        // Objects with more than a few members grow from here.
                        stack.push(Open::Map(Vec::with_capacity(4), key));
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    if self.take(b']') {
                        Value::List(List::new())
                    } else {
                        stack.push(Open::List(Vec::new()));
                        continue;
                    }
                }
                Some(b'"') => Value::String(self.string()?),
                Some(b'-' | b'0'..=b'9') => Value::number(self.number()?),
                Some(b't') => self.literal("true", Value::Bool(true))?,
                Some(b'f') => self.literal("false", Value::Bool(false))?,
                Some(b'n') => self.literal("null", Value::Null)?,
                _ => return self.error("no JSON value"),
            };
            // Hand the value to what it is in, and close all that ends with it.
            loop {
                match stack.pop() {
                    None => return Ok(value),
                    Some(Open::List(mut items)) => {
                        items.push(value);
                        if self.take(b',') {
                            stack.push(Open::List(items));
                            break;
                        }
                        self.expect(b']', "no comma and no end of a list")?;
                        value = Value::List(items.into());
                    }
                    Some(Open::Map(mut entries, key)) => {
                        entries.push((key, value));
                        if self.take(b',') {
                            let key = self.key()?;
                            stack.push(Open::Map(entries, key));
                            break;
                        }
                        self.expect(b'}', "no comma and no end of an object")?;
                        value = Value::Map(Map::from_entries(entries));
                    }
                }
            }
        }
    }

    /// Reads over one value and returns its text.
    pub(crate) fn skip(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let start = self.at;
        // One bit a level: whether it is a map.
        let mut maps = [0_u64; DEPTH_MAX / 64];
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'{' | b'[') if depth == self.depth_max => return self.error("nested too deeply"),
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    let is_map = open == b'{';
                    if !self.take(if is_map { b'}' } else { b']' }) {
                        let bit = 1 << (depth % 64);
                        maps[depth / 64] = if is_map { maps[depth / 64] | bit } else { maps[depth / 64] & !bit };
                        depth += 1;
                        if is_map {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                Some(b'"') => {
                    self.string_span()?;
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number_span()?;
                }
                Some(b't') => {
                    self.literal("true", Value::Null)?;
                }
                Some(b'f') => {
                    self.literal("false", Value::Null)?;
                }
                Some(b'n') => {
                    self.literal("null", Value::Null)?;
                }
                _ => return self.error("no JSON value"),
            }
            loop {
                if depth == 0 {
                    return Ok(&self.text[start..self.at]);
                }
                let is_map = maps[(depth - 1) / 64] >> ((depth - 1) % 64) & 1 == 1;
                if self.take(b',') {
                    if is_map {
                        self.skip_key()?;
                    }
                    break;
                }
                self.expect(if is_map { b'}' } else { b']' }, "no comma and no end of what was opened")?;
                depth -= 1;
            }
        }
    }

    fn skip_key(&mut self) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return self.error("no key");
        }
        self.string_span()?;
        self.expect(b':', "no colon after a key")
    }

    /// Reads a key and the colon after it.
    pub(crate) fn key(&mut self) -> Result<Text, JsonError> {
        if self.peek() != Some(b'"') {
            return self.error("no key");
        }
        let (span, escaped) = self.string_span()?;
        let key = if escaped { unescape(span) } else { self.interned(span) };
        self.expect(b':', "no colon after a key")?;
        Ok(key)
    }

    fn interned(&mut self, key: &str) -> Text {
        let hash = key.bytes().fold(key.len(), |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let slot = &mut self.keys[hash % 32];
        match slot {
            Some(Text::Utf8(known)) if **known == *key => Text::Utf8(known.clone()),
            _ => slot.insert(Text::from(key)).clone(),
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Result<Text, JsonError> {
        let (span, escaped) = self.string_span()?;
        Ok(if escaped { unescape(span) } else { Text::from(span) })
    }

    /// Reads a string that is likely to be among those read lately.
    pub(crate) fn known_string(&mut self) -> Result<Text, JsonError> {
        let (span, escaped) = self.string_span()?;
        Ok(if escaped { unescape(span) } else { self.interned(span) })
    }

    /// Reads over a string; returns what is between the quotes, and whether there are escapes in it.
    fn string_span(&mut self) -> Result<(&'a str, bool), JsonError> {
        self.at += 1;
        let (start, bytes, mut escaped) = (self.at, self.bytes(), false);
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
                        Some(b'u') => {
                            let digits = bytes.get(self.at + 2..self.at + 6);
                            if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                                return self.error("an escape without four digits");
                            }
                            self.at += 6;
                        }
                        _ => return self.error("an unknown escape"),
                    }
                }
                Some(..0x20) => return self.error("a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.error("a string without an end"),
            }
        }
        self.at += 1;
        Ok((&self.text[start..self.at - 1], escaped))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.bytes().get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { self.error("no digit") } else { Ok(()) }
    }

    fn number_span(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        self.at += usize::from(self.bytes()[self.at] == b'-');
        if self.bytes().get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.bytes().get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes().get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads a number as a double; infinite if it is too large for one.
    pub(crate) fn number(&mut self) -> Result<f64, JsonError> {
        let span = self.number_span()?;
        let digits = span.strip_prefix('-').unwrap_or(span);
        // Most numbers are small integers, for which this is exact and several times faster.
        if digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = digits.bytes().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0')) as f64;
            return Ok(if digits.len() < span.len() { -number } else { number });
        }
        // Every JSON number is a number to Rust.
        Ok(span.parse().unwrap_or(f64::INFINITY))
    }
}

/// Resolves the escapes of a string that was read over.
fn unescape(span: &str) -> Text {
    let mut units: Vec<u16> = Vec::with_capacity(span.len());
    let mut chars = span.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            units.extend_from_slice(char.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match chars.next() {
            Some('b') => 8,
            Some('f') => 12,
            Some('n') => 10,
            Some('r') => 13,
            Some('t') => 9,
            Some('u') => {
                let digits = chars.by_ref().take(4);
                digits.fold(0, |unit, digit| unit << 4 | digit.to_digit(16).unwrap_or(0) as u16)
            }
            other => other.map_or(0, |char| char as u16),
        });
    }
    Text::from_units(&units)
}

/// Appends a value as JSON text.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(*number, out),
        Value::String(text) => write_text(text, out),
        Value::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (at, (key, item)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

/// Appends an integer.
pub(crate) fn write_integer(number: u64, out: &mut String) {
    let mut digits = [0_u8; 20];
    let (mut at, mut left) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    digits[at..].iter().for_each(|&digit| out.push(char::from(digit)));
}

fn write_number(number: f64, out: &mut String) {
    if !number.is_finite() {
        out.push_str("null");
    } else if number.fract() == 0.0 && number.abs() <= INTEGER_MAX as f64 {
        if number < 0.0 {
            out.push('-');
        }
        write_integer(number.abs() as u64, out);
    } else if (1e-6..1e21).contains(&number.abs()) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{number}");
    } else {
        let _ = write!(out, "{number:e}");
    }
}

fn write_text(text: &Text, out: &mut String) {
    match text {
        Text::Utf8(text) => write_str(text, out),
        Text::Wide(units) => {
            out.push('"');
            for unit in char::decode_utf16(units.iter().copied()) {
                match unit {
                    Ok(char) => write_escaped(char.encode_utf8(&mut [0; 4]), out),
                    Err(lone) => {
                        let _ = write!(out, "\\u{:04x}", lone.unpaired_surrogate());
                    }
                }
            }
            out.push('"');
        }
    }
}

/// Appends text as a JSON string.
pub(crate) fn write_str(text: &str, out: &mut String) {
    out.push('"');
    write_escaped(text, out);
    out.push('"');
}

fn write_escaped(text: &str, out: &mut String) {
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            ..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[written..at]);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        written = at + 1;
    }
    out.push_str(&text[written..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn round(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap().to_json(), expected);
        assert_eq!(Reader::new(text).skip().unwrap(), text.trim());
    }

    #[test]
    fn values_come_back() {
        round("null", "null");
        round(" [ 1 , -2.5e0 , true , \"a\\u0062\\n\" ] ", "[1,-2.5,true,\"ab\\n\"]");
        round("{\"b\":{},\"a\":[],\"a\":[[{}]]}", "{\"a\":[[{}]],\"b\":{}}");
        round("-0", "0");
        round("1e999", "null");
        round("12345678901234567890", "12345678901234567000");
        round("[1.5e-9,2e30,0.1]", "[1.5e-9,2e30,0.1]");
        round("\"\\ud83d\\ude00\"", "\"😀\"");
        round("{\"\\ud800\":\"x\\udc00\"}", "{\"\\ud800\":\"x\\udc00\"}");
        round("\"\\u0000\\\"\\\\\"", "\"\\u0000\\\"\\\\\"");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "[",
            "{",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nulll",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "[1 2]",
            "1 2",
            "NaN",
            "'a'",
            "]",
            "}",
            "\u{feff}1",
        ] {
            assert!(parse(text).is_err(), "{text}");
            let mut reader = Reader::new(text);
            assert!(reader.skip().is_err() || reader.end().is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_and_costs_no_stack() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(DEPTH_MAX + 1)).unwrap_err().what, "nested too deeply");
        assert!(parse(&"[{\"a\":".repeat(1_000_000)).is_err());
        assert!(Reader::new(&"[".repeat(1_000_000)).skip().is_err());
    }
}
