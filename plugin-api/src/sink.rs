//! Where results go. A sink's answer is flow control: whoever gets [`Flow::Stop`] returns as soon as it can.

use crate::{
    abi::{RawPcmSinkRef, RawTranscriptSinkRef, FLOW_CONTINUE},
    SpeechEvent, TranscriptEvent,
};
use abi_stable::std_types::{RSlice, RStr};

/// Whether the rest of a job is still wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a job that goes on after `Stop` burns CPU for nobody"]
pub enum Flow {
    /// Go on.
    Continue,
    /// The client is gone, the deadline has passed or the server ends: return `Ok(())` now.
    Stop,
}

impl Flow {
    fn from_raw(raw: u8) -> Self {
        if raw == FLOW_CONTINUE {
            Self::Continue
        } else {
            Self::Stop
        }
    }

    #[cfg(feature = "host")]
    pub(crate) fn to_raw(self) -> u8 {
        match self {
            Self::Continue => FLOW_CONTINUE,
            Self::Stop => crate::abi::FLOW_STOP,
        }
    }

    /// Whether to return now.
    pub fn is_stop(self) -> bool {
        self == Self::Stop
    }
}

/// Receives transcript events. Implemented by the host, and by tests.
pub trait ReceiveTranscript: Send {
    /// Takes an event.
    fn push(&mut self, event: TranscriptEvent) -> Flow;
    /// Whether more is wanted.
    fn flow(&self) -> Flow {
        Flow::Continue
    }
}

/// Receives samples. Implemented by the host, and by tests.
pub trait ReceivePcm: Send {
    /// Takes mono samples; may block while the receiver is behind.
    fn push(&mut self, samples: &[f32]) -> Flow;
    /// Takes a mark or a warning.
    fn note(&mut self, event: SpeechEvent) -> Flow {
        let _ = event;
        self.flow()
    }
    /// Whether more is wanted.
    fn flow(&self) -> Flow {
        Flow::Continue
    }
}

/// Where a transcription job pushes.
pub struct TranscriptSink<'a>(TranscriptTarget<'a>);

enum TranscriptTarget<'a> {
    Host(RawTranscriptSinkRef<'a>),
    Local(&'a mut dyn ReceiveTranscript),
}

impl<'a> TranscriptSink<'a> {
    /// A sink within the same binary, for tests and tools.
    pub fn to(receiver: &'a mut dyn ReceiveTranscript) -> Self {
        Self(TranscriptTarget::Local(receiver))
    }

    pub(crate) fn from_host(raw: RawTranscriptSinkRef<'a>) -> Self {
        Self(TranscriptTarget::Host(raw))
    }

    /// Hands an event over.
    pub fn push(&mut self, event: TranscriptEvent) -> Flow {
        match &mut self.0 {
            TranscriptTarget::Host(raw) => match serde_json::to_string(&event) {
                Ok(document) => Flow::from_raw(raw.push(RStr::from_str(&document))),
                Err(_) => Flow::from_raw(raw.flow()),
            },
            TranscriptTarget::Local(receiver) => receiver.push(event),
        }
    }

    /// Asks without pushing; cheap enough for every decoding step.
    pub fn flow(&self) -> Flow {
        match &self.0 {
            TranscriptTarget::Host(raw) => Flow::from_raw(raw.flow()),
            TranscriptTarget::Local(receiver) => receiver.flow(),
        }
    }
}

/// Where a speech job pushes.
pub struct PcmSink<'a>(PcmTarget<'a>);

enum PcmTarget<'a> {
    Host(RawPcmSinkRef<'a>),
    Local(&'a mut dyn ReceivePcm),
}

impl<'a> PcmSink<'a> {
    /// A sink within the same binary, for tests and tools.
    pub fn to(receiver: &'a mut dyn ReceivePcm) -> Self {
        Self(PcmTarget::Local(receiver))
    }

    pub(crate) fn from_host(raw: RawPcmSinkRef<'a>) -> Self {
        Self(PcmTarget::Host(raw))
    }

    /// Hands samples over: mono, about -1…1 (the host clips), at the card's output rate. No copy is made on this side.
    /// Push as soon as there is something to hear, and no more than a second at a time where that is possible.
    pub fn push(&mut self, samples: &[f32]) -> Flow {
        match &mut self.0 {
            PcmTarget::Host(raw) => Flow::from_raw(raw.push(RSlice::from_slice(samples))),
            PcmTarget::Local(receiver) => receiver.push(samples),
        }
    }

    /// Hands a mark or a warning over.
    pub fn note(&mut self, event: SpeechEvent) -> Flow {
        match &mut self.0 {
            PcmTarget::Host(raw) => match serde_json::to_string(&event) {
                Ok(document) => Flow::from_raw(raw.note(RStr::from_str(&document))),
                Err(_) => Flow::from_raw(raw.flow()),
            },
            PcmTarget::Local(receiver) => receiver.note(event),
        }
    }

    /// Asks without pushing; cheap enough for every step.
    pub fn flow(&self) -> Flow {
        match &self.0 {
            PcmTarget::Host(raw) => Flow::from_raw(raw.flow()),
            PcmTarget::Local(receiver) => receiver.flow(),
        }
    }
}
