//! What goes over one connection beside frames: topics, requests of clients, and how a connection is asked for.
//!
//! A connection carries several topics. Text messages are `process.state`: module state and calls in JSON. Binary messages
//! start with a byte that names their topic:
//!
//! ```text
//! 1 render.state   then a schema, a frame or an answer of this crate; from a client a request
//! 2 trace          then timeline events
//! ```
//!
//! A client's requests on `render.state`:
//!
//! ```text
//! u8 magic, u8 version, u8 kind
//!   16 acknowledge  varint tick of a frame that the host may build on
//!   17 interest     text component (empty: everything), varint limits, for each: text field, f64 least, f64 end
//!   18 input        varint number, then the input's bytes to the end
//! ```
//!
//! and a host's answer to inputs, as frames are shared by clients and inputs are not:
//!
//! ```text
//! u8 magic, u8 version, u8 kind = 2, varint tick, varint number of the last input that is in that tick
//! ```
//!
//! A connection is asked for as `/ws/NAME?topics=render.state,process.state&epoch=7&tick=123`: topics are `process.state`
//! unless told, so that a client that knows of nothing else works; with the epoch and the tick of the frame that it had
//! last, a client that returns is given what it missed; to one that says `packing=zstd`, frames may come packed.

use crate::bytes::{Reader, put_varint};
use crate::error::FrameError;
use crate::schema::{MAGIC, VERSION, header};
use crate::view::{Interest, LIMITS_MAX};

const ACKNOWLEDGE: u8 = 16;
const INTEREST: u8 = 17;
const INPUT: u8 = 18;
/// Kind of the answer to inputs.
const ANSWER: u8 = 2;
/// Bytes of a name in a request.
const NAME_MAX: usize = 1024;

/// What a message of a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Topic {
    /// Module state and calls, in JSON: text messages.
    ProcessState = 0,
    /// Table deltas: binary messages that start with this byte.
    RenderState = 1,
    /// Timeline events: binary messages that start with this byte.
    Trace = 2,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 3] = [Topic::ProcessState, Topic::RenderState, Topic::Trace];

    /// The name by which clients ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Topic::ProcessState => "process.state",
            Topic::RenderState => "render.state",
            Topic::Trace => "trace",
        }
    }

    /// The topic of a binary message, and the rest of it.
    ///
    /// # Errors
    /// [`FrameError`]: an empty message, or a topic that binary messages do not have.
    pub fn split(message: &[u8]) -> Result<(Topic, &[u8]), FrameError> {
        match message.split_first() {
            Some((1, rest)) => Ok((Topic::RenderState, rest)),
            Some((2, rest)) => Ok((Topic::Trace, rest)),
            Some(_) => Err(FrameError::Invalid { offset: 0, what: "an unknown topic" }),
            None => Err(FrameError::Truncated { offset: 0, missing: 1 }),
        }
    }
}

/// What a client asks of the host of a view.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// It took in a frame that the host may build on.
    Acknowledge {
        /// The frame's tick.
        tick: u64,
    },
    /// It wants to see this part; everything if none.
    Interest(Option<Interest>),
    /// It did something: for the host's systems.
    Input {
        /// Counted by the client, from 1.
        number: u64,
        /// What it did, in a form that client and systems agree on.
        bytes: Vec<u8>,
    },
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

impl Request {
    /// Appends the request, without its topic.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut start = |kind| out.extend_from_slice(&[MAGIC, VERSION, kind]);
        match self {
            Request::Acknowledge { tick } => {
                start(ACKNOWLEDGE);
                put_varint(out, *tick);
            }
            Request::Interest(interest) => {
                start(INTEREST);
                put_text(out, interest.as_ref().map_or("", Interest::component));
                let limits = interest.as_ref().map_or(&[][..], Interest::limits);
                put_varint(out, limits.len() as u64);
                for (field, least, end) in limits {
                    put_text(out, field);
                    out.extend_from_slice(&least.to_le_bytes());
                    out.extend_from_slice(&end.to_le_bytes());
                }
            }
            Request::Input { number, bytes } => {
                start(INPUT);
                put_varint(out, *number);
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Reads a request, without its topic.
    ///
    /// # Errors
    /// [`FrameError`], with the place in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Request, FrameError> {
        let mut reader = Reader::new(bytes);
        let request = match header(&mut reader)? {
            ACKNOWLEDGE => Request::Acknowledge { tick: reader.varint()? },
            INTEREST => {
                let component = reader.text(NAME_MAX)?;
                let count = reader.bounded(LIMITS_MAX, "more bounds than an interest has")?;
                let mut interest = Interest::on(component);
                for _ in 0..count {
                    let field = reader.text(NAME_MAX)?;
                    let (least, end) = (f64::from_bits(reader.u64()?), f64::from_bits(reader.u64()?));
                    if least.is_nan() || end.is_nan() {
                        return Err(reader.invalid("a bound that is no number"));
                    }
                    interest = interest.within(field, least, end);
                }
                Request::Interest((!component.is_empty()).then_some(interest))
            }
            INPUT => {
                let number = reader.varint()?;
                Request::Input { number, bytes: reader.take(reader.left())?.to_vec() }
            }
            _ => return Err(reader.invalid("an unknown request")),
        };
        if reader.left() != 0 {
            return Err(reader.invalid("bytes after the end of the request"));
        }
        Ok(request)
    }
}

/// The host's word that a client's inputs up to a number are in what it shows of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The tick.
    pub tick: u64,
    /// The number.
    pub input: u64,
}

impl Answer {
    /// Appends the answer, without its topic.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[MAGIC, VERSION, ANSWER]);
        put_varint(out, self.tick);
        put_varint(out, self.input);
    }

    /// Reads an answer; none if the message is a schema or a frame.
    ///
    /// # Errors
    /// [`FrameError`], with the place in `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Option<Answer>, FrameError> {
        let mut reader = Reader::new(bytes);
        if header(&mut reader)? != ANSWER {
            return Ok(None);
        }
        let answer = Answer { tick: reader.varint()?, input: reader.varint()? };
        if reader.left() != 0 {
            return Err(reader.invalid("bytes after the end of the answer"));
        }
        Ok(Some(answer))
    }
}

/// What a connection was asked for, in the query of its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topics, each once.
    pub topics: Vec<Topic>,
    /// The epoch and the tick of the frame that a returning client had last.
    pub resume: Option<(u64, u64)>,
    /// Whether the client unpacks frames that zstd packed: `packing=zstd`. Who does not say so is never sent one.
    pub packed: bool,
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription { topics: vec![Topic::ProcessState], resume: None, packed: false }
    }
}

/// What is wrong with the query of a connection's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// An unknown topic.
    #[error("unknown topic `{0}`: there are process.state, render.state and trace")]
    Topic(String),
    /// A number that is none.
    #[error("`{name}` is `{value}`, which is no number")]
    Number {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// An epoch without a tick, or a tick without an epoch.
    #[error("`epoch` and `tick` are given together, or not at all")]
    Half,
}

impl Subscription {
    /// Reads the query of an address: `topics=render.state&epoch=1&tick=9`. Parameters that are not known are left alone.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub fn parse(query: &str) -> Result<Subscription, SubscriptionError> {
        let mut subscription = Subscription::default();
        let (mut epoch, mut tick) = (None, None);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let number = |name| {
                let number = value.parse::<u64>();
                number.map_err(|_| SubscriptionError::Number { name, value: value.to_owned() })
            };
            match name {
                "topics" => {
                    subscription.topics.clear();
                    for name in value.split(',').filter(|name| !name.is_empty()) {
                        let topic = Topic::ALL.into_iter().find(|topic| topic.name() == name);
                        let topic = topic.ok_or_else(|| SubscriptionError::Topic(name.to_owned()))?;
                        if !subscription.topics.contains(&topic) {
                            subscription.topics.push(topic);
                        }
                    }
                }
                "packing" => subscription.packed = value.split(',').any(|packing| packing == "zstd"),
                "epoch" => epoch = Some(number("epoch")?),
                "tick" => tick = Some(number("tick")?),
                _ => {}
            }
        }
        subscription.resume = match (epoch, tick) {
            (Some(epoch), Some(tick)) => Some((epoch, tick)),
            (None, None) => None,
            _ => return Err(SubscriptionError::Half),
        };
        Ok(subscription)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(request: &Request) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(Request::decode(&bytes).as_ref(), Ok(request));
        for cut in 0..bytes.len() {
            let cut = Request::decode(&bytes[..cut]);
            // A shorter input is an input too.
            assert!(matches!((&cut, request), (Err(_), _) | (Ok(Request::Input { .. }), Request::Input { .. })));
        }
    }

    proptest! {
        #[test]
        fn requests_come_back(tick: u64, number: u64, bytes: Vec<u8>, field in "[a-z_]{1,9}", least in -1e9_f64..1e9) {
            there_and_back(&Request::Acknowledge { tick });
            there_and_back(&Request::Input { number, bytes });
            there_and_back(&Request::Interest(None));
            there_and_back(&Request::Interest(Some(Interest::on("Position").within(&field, least, f64::INFINITY))));
        }

        #[test]
        fn hostile_requests_are_errors(bytes: Vec<u8>) {
            let _ = Request::decode(&bytes);
            let _ = Answer::decode(&bytes);
            let _ = Topic::split(&bytes);
        }
    }

    #[test]
    fn queries_say_topics_and_where_to_go_on() {
        assert_eq!(Subscription::parse("").unwrap(), Subscription::default());
        let both = Subscription::parse("topics=render.state,process.state,render.state&epoch=3&tick=9&x=y").unwrap();
        assert_eq!(both.topics, [Topic::RenderState, Topic::ProcessState]);
        assert_eq!((both.resume, both.packed), (Some((3, 9)), false));
        let packed = |query| Subscription::parse(query).unwrap().packed;
        assert!(packed("packing=zstd") && packed("packing=brotli,zstd") && !packed("packing=brotli"));
        let error = |query| Subscription::parse(query).unwrap_err().to_string();
        assert_eq!(error("topics=nothing"), "unknown topic `nothing`: there are process.state, render.state and trace");
        assert_eq!(error("epoch=1&tick=x"), "`tick` is `x`, which is no number");
        assert_eq!(error("tick=1"), "`epoch` and `tick` are given together, or not at all");
    }

    #[test]
    fn answers_are_told_from_frames() {
        let mut bytes = Vec::new();
        Answer { tick: 300, input: 7 }.encode(&mut bytes);
        assert_eq!(Answer::decode(&bytes), Ok(Some(Answer { tick: 300, input: 7 })));
        assert_eq!(Answer::decode(&[MAGIC, VERSION, 1]), Ok(None));
    }
}
