//! Mirrors: the world published to clients as binary deltas.

use std::collections::{BTreeMap, VecDeque};

use peristyle_replica::{
    Bytes, ComponentView, ConnectionId, Input, Predictor, PublisherOptions, ReplicaHost, ViewSpec,
};

use crate::{
    core::{Core, nothing},
    define::text,
    status::{Failure, Status},
};

/// A mirror and its connections.
pub(crate) struct Mirror {
    host: ReplicaHost,
    /// The open ones by number.
    connections: BTreeMap<u32, Connection>,
    /// How many were ever opened: the next one's number.
    opened: u32,
    inputs: VecDeque<Input>,
    /// The newest tick that was published.
    tick: Option<u64>,
}

/// A client's connection.
struct Connection {
    id: ConnectionId,
    /// A message that was taken but not handed over, as there was no room.
    held: Option<Bytes>,
}

/// What a text of lines describes.
fn described(text: &str) -> Result<(ViewSpec, PublisherOptions, u64), Failure> {
    let (mut spec, mut options, mut epoch) = (ViewSpec::new(), PublisherOptions::default(), 0);
    let mut component: Option<ComponentView> = None;
    for line in text.lines() {
        let wrong = || Failure::new(Status::BadText, format!("mirror: `{line}` says nothing"));
        let mut words = line.split(' ');
        let key = words.next().unwrap_or("");
        if key == "component" {
            if let Some(done) = component.take() {
                spec = spec.with(done);
            }
            component = Some(ComponentView::named(line.get("component ".len()..).ok_or_else(wrong)?));
            continue;
        }
        let mut word = || words.next().ok_or_else(wrong);
        let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
        let whole = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        match key {
            "hash-every" => spec = spec.hash_every(whole(word()?)?),
            "bytes-per-tick" => spec = spec.bytes_per_tick(whole(word()?)? as usize),
            "log-frames" => options.log_frames = whole(word()?)? as usize,
            "epoch" => epoch = whole(word()?)?,
            "prefix" => {
                options.prefix = words.map(|byte| byte.parse::<u8>().map_err(|_| wrong())).collect::<Result<_, _>>()?;
            }
            _ => {
                let of = component.take().ok_or_else(wrong)?;
                component = Some(match key {
                    "quantised" => {
                        let field = word()?;
                        of.quantised(field, number(word()?)?)
                    }
                    "linear" => of.predicted(word()?, Predictor::Linear),
                    "none" => of.predicted(word()?, Predictor::None),
                    "hidden" => of.hidden(word()?),
                    "optional" => of.optional(),
                    "priority" => of.priority(number(word()?)? as f32),
                    _ => return Err(wrong()),
                });
            }
        }
    }
    if let Some(done) = component {
        spec = spec.with(done);
    }
    Ok((spec, options, epoch))
}

impl Core {
    fn mirror_mut(&mut self, mirror: u32) -> Result<&mut Mirror, Failure> {
        self.mirrors.get_mut(mirror as usize).and_then(Option::as_mut).ok_or_else(|| nothing("mirror", mirror))
    }

    fn connection(&mut self, mirror: u32, connection: u32) -> Result<(&mut ReplicaHost, &mut Connection), Failure> {
        let Mirror { host, connections, opened, .. } = self.mirror_mut(mirror)?;
        match connections.get_mut(&connection) {
            Some(known) => Ok((host, known)),
            None if connection < *opened => Err(Failure::new(Status::Closed, "the connection is closed")),
            None => Err(nothing("connection", connection)),
        }
    }
}

/// What functions do is said in the [table](crate::functions).
#[allow(missing_docs)]
impl Core {
    pub fn mirror(&mut self, bytes: u32) -> Result<usize, Failure> {
        let text = text(&self.blocks, bytes)?;
        let (spec, options, epoch) = described(&text)?;
        let host = ReplicaHost::new(&mut self.world, spec, options, epoch)?;
        let (connections, inputs) = (BTreeMap::new(), VecDeque::new());
        self.mirrors.push(Some(Mirror { host, connections, opened: 0, inputs, tick: None }));
        Ok(self.mirrors.len() - 1)
    }

    pub fn mirror_drop(&mut self, mirror: u32) -> Result<(), Failure> {
        self.mirror_mut(mirror)?;
        self.mirrors[mirror as usize] = None;
        Ok(())
    }

    pub fn mirror_publish(&mut self, mirror: u32, tick: f64) -> Result<(), Failure> {
        self.unless_leased()?;
        let known = self.mirrors.get_mut(mirror as usize).and_then(Option::as_mut);
        let known = known.ok_or_else(|| nothing("mirror", mirror))?;
        let number = tick as u64;
        if known.tick.is_some_and(|last| number <= last) || number as f64 != tick {
            let text = format!("tick {tick} is published after tick {}", known.tick.unwrap_or(0));
            return Err(Failure::new(Status::BadArgument, text));
        }
        known.tick = Some(number);
        known.host.publish(&mut self.world, number);
        Ok(())
    }

    pub fn mirror_open(&mut self, mirror: u32, epoch: f64, tick: f64) -> Result<u32, Failure> {
        let mirror = self.mirror_mut(mirror)?;
        let resume = (epoch >= 0.0 && tick >= 0.0).then_some((epoch as u64, tick as u64));
        let number = mirror.opened;
        mirror.opened += 1;
        mirror.connections.insert(number, Connection { id: mirror.host.open(resume), held: None });
        Ok(number)
    }

    pub fn mirror_receive(&mut self, mirror: u32, connection: u32, bytes: u32) -> Result<(), Failure> {
        let message = self.blocks.bytes(bytes as usize)?.to_vec();
        let (host, known) = self.connection(mirror, connection)?;
        Ok(host.receive(known.id, &message)?)
    }

    pub fn mirror_take(&mut self, mirror: u32, connection: u32) -> Result<usize, Failure> {
        let (host, known) = self.connection(mirror, connection)?;
        let Some(message) = known.held.take().or_else(|| host.take(known.id)) else { return Ok(0) };
        match self.blocks.bytes_out(message.len()) {
            Ok(out) => out.copy_from_slice(&message),
            Err(error) => {
                // The messages of a connection are one stream: none may be lost.
                self.connection(mirror, connection)?.1.held = Some(message);
                return Err(error.into());
            }
        }
        Ok(message.len())
    }

    pub fn mirror_input(&mut self, mirror: u32) -> Result<usize, Failure> {
        let mirror = self.mirror_mut(mirror)?;
        if mirror.inputs.is_empty() {
            let Mirror { host, inputs, .. } = mirror;
            host.inputs(|input| inputs.push_back(input));
        }
        let Some(Input { connection, number, bytes }) = mirror.inputs.pop_front() else { return Ok(0) };
        let at = mirror.connections.iter().find(|(_, known)| known.id == connection).map_or(0, |(number, _)| *number);
        let out = self.blocks.bytes_out(16 + bytes.len())?;
        out[..8].copy_from_slice(&f64::from(at).to_le_bytes());
        out[8..16].copy_from_slice(&(number as f64).to_le_bytes());
        out[16..].copy_from_slice(&bytes);
        Ok(out.len())
    }

    pub fn mirror_schema(&mut self, mirror: u32) -> Result<usize, Failure> {
        let mut bytes = Vec::new();
        self.mirror_mut(mirror)?.host.publisher().view().schema().encode(&mut bytes);
        self.blocks.bytes_out(bytes.len())?.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    pub fn mirror_close(&mut self, mirror: u32, connection: u32) -> Result<(), Failure> {
        let (host, known) = self.connection(mirror, connection)?;
        let id = known.id;
        host.close(id);
        let mirror = self.mirror_mut(mirror)?;
        mirror.connections.remove(&connection);
        mirror.inputs.retain(|input| input.connection != id);
        Ok(())
    }
}
