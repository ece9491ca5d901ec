//! Frames packed by zstd, for clients that ask for them.
//!
//! ```text
//! u8 magic, u8 version, u8 kind = 3, u32 low half of the schema's hash
//! varint bytes                          what follows unpacks to
//! then one zstd frame
//! ```
//!
//! The seven bytes at the start with kind 1, and after them what was unpacked, are the frame.
//!
//! # Rules
//! - Nobody is sent a packed frame who did not ask for it: by `packing=zstd` in a connection's address, or at the publisher.
//!   A client that knows nothing of packing never sees one.
//! - A frame that packing would not shorten goes as it is. A frame is packed once for all clients, when the first takes it.
//! - What a frame unpacks to is said before it, and bounded; nothing is written beyond that.
//!
//! Without the feature `zstd` frames are never packed, and packed ones are refused.

use std::fmt;

use crate::bytes::{Reader, put_varint};
use crate::error::FrameError;
use crate::schema::{KIND_FRAME, MAGIC, VERSION};

/// Kind of a packed frame.
pub(crate) const KIND_PACKED: u8 = 3;
/// Bytes before what is packed: magic, version, kind, and half of the schema's hash.
const HEAD: usize = 7;
/// Bytes that a frame unpacks to, unless told otherwise.
pub(crate) const BYTES_MAX: usize = 64 << 20;

/// Whether a message is a packed frame.
pub(crate) fn is_packed(message: &[u8]) -> bool {
    message.starts_with(&[MAGIC, VERSION, KIND_PACKED])
}

/// Packs frames, one after the other.
#[derive(Default)]
pub(crate) struct Packer(codec::Packer);

impl Packer {
    /// Appends a frame, packed, to an empty buffer; `false` if it would not be shorter, and then the buffer means nothing.
    pub(crate) fn pack(&mut self, frame: &[u8], out: &mut Vec<u8>) -> bool {
        let Some((head, rest)) = frame.split_at_checked(HEAD) else { return false };
        out.extend_from_slice(head);
        out[2] = KIND_PACKED;
        put_varint(out, rest.len() as u64);
        let at = out.len();
        let Some(room) = frame.len().checked_sub(at + 1) else { return false };
        out.resize(at + room, 0);
        match self.0.pack(rest, &mut out[at..]) {
            Some(bytes) => {
                out.truncate(at + bytes);
                true
            }
            None => false,
        }
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

/// Unpacks frames, one after the other.
#[derive(Default)]
pub(crate) struct Unpacker(codec::Unpacker);

impl Unpacker {
    /// Makes `frame` the frame that a message packs, of at most `bytes_max` bytes.
    pub(crate) fn unpack(&mut self, message: &[u8], bytes_max: usize, frame: &mut Vec<u8>) -> Result<(), FrameError> {
        let mut reader = Reader::new(message);
        let head = reader.take(HEAD)?;
        let bytes = reader.bounded(bytes_max, "a frame that unpacks to more bytes than are allowed")?;
        frame.clear();
        frame.extend_from_slice(head);
        frame[2] = KIND_FRAME;
        frame.resize(HEAD + bytes, 0);
        let invalid = |what| FrameError::Invalid { offset: message.len() - reader.left(), what };
        let rest = reader.clone().take(reader.left())?;
        self.0.unpack(rest, &mut frame[HEAD..]).map_err(invalid)
    }
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

#[cfg(feature = "zstd")]
mod codec {
    use zstd::bulk::{Compressor, Decompressor};

    /// The level that costs least: frames are small, and made every tick.
    const LEVEL: i32 = 1;

    #[derive(Default)]
    pub(super) struct Packer(Option<Compressor<'static>>);

    impl Packer {
        /// Returns the packed bytes; none if they do not fit.
        pub(super) fn pack(&mut self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
            if self.0.is_none() {
                self.0 = Compressor::new(LEVEL).ok();
            }
            self.0.as_mut()?.compress_to_buffer(bytes, out).ok()
        }
    }

    #[derive(Default)]
    pub(super) struct Unpacker(Option<Decompressor<'static>>);

    impl Unpacker {
        pub(super) fn unpack(&mut self, packed: &[u8], out: &mut [u8]) -> Result<(), &'static str> {
            if self.0.is_none() {
                self.0 = Decompressor::new().ok();
            }
            let decompressor = self.0.as_mut().ok_or("zstd has no memory")?;
            match decompressor.decompress_to_buffer(packed, out) {
                Ok(bytes) if bytes == out.len() => Ok(()),
                Ok(_) => Err("a packed frame that is shorter than it says"),
                Err(_) => Err("no zstd frame, or one that is longer than it says"),
            }
        }
    }
}

#[cfg(not(feature = "zstd"))]
mod codec {
    #[derive(Default)]
    pub(super) struct Packer;

    impl Packer {
        pub(super) fn pack(&mut self, _: &[u8], _: &mut [u8]) -> Option<usize> {
            None
        }
    }

    #[derive(Default)]
    pub(super) struct Unpacker;

    impl Unpacker {
        pub(super) fn unpack(&mut self, _: &[u8], _: &mut [u8]) -> Result<(), &'static str> {
            Err("a packed frame: this side is built without zstd")
        }
    }
}
