//! How much sound a job makes.

use syrinx_plugin_api::{Flow, ReceivePcm, SpeechEvent};

/// Counts the samples that pass.
pub(super) struct Counted<'a, R> {
    receiver: &'a mut R,
    samples: u64,
}

impl<'a, R: ReceivePcm> Counted<'a, R> {
    pub(super) fn new(receiver: &'a mut R) -> Self {
        Self { receiver, samples: 0 }
    }

    /// Seconds so far, at a rate in Hz; none where a model doesn't say its rate.
    pub(super) fn seconds(&self, rate: Option<u32>) -> f64 {
        rate.filter(|rate| *rate > 0).map_or(0.0, |rate| self.samples as f64 / f64::from(rate))
    }
}

impl<R: ReceivePcm> ReceivePcm for Counted<'_, R> {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.samples += samples.len() as u64;
        self.receiver.push(samples)
    }

    fn note(&mut self, event: SpeechEvent) -> Flow {
        self.receiver.note(event)
    }

    fn flow(&self) -> Flow {
        self.receiver.flow()
    }
}
