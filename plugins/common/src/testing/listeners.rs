//! The other end of a job: keeps what comes, and may have enough of it.

use syrinx_plugin_api::{
    Error, Flow, Model, PcmSink, ReceivePcm, ReceiveTranscript, Segment, SpeechEvent, SpeechRequest, TranscribeRequest,
    TranscriptEvent, TranscriptSink,
};

/// What a model has spoken.
#[derive(Clone, Debug, Default)]
pub struct HeardSpeech {
    /// All samples.
    pub samples: Vec<f32>,
    /// How often samples came.
    pub pushes: usize,
    /// What the caller was warned of.
    pub warnings: Vec<String>,
    /// Pushes after which nobody listens any more; none: it is heard to the end.
    most: Option<usize>,
}

impl HeardSpeech {
    /// Lets `model` serve a request, up to `most` pushes.
    ///
    /// # Errors
    /// The model's.
    pub fn of(model: &dyn Model, request: SpeechRequest<'_>, most: Option<usize>) -> Result<Self, Error> {
        let mut heard = Self { most, ..Self::default() };
        model.synthesize(request, &mut PcmSink::to(&mut heard))?;
        Ok(heard)
    }
}

impl ReceivePcm for HeardSpeech {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.samples.extend_from_slice(samples);
        self.pushes += 1;
        self.flow()
    }

    fn note(&mut self, event: SpeechEvent) -> Flow {
        if let SpeechEvent::Warning { message } = event {
            self.warnings.push(message);
        }
        self.flow()
    }

    fn flow(&self) -> Flow {
        flow(self.pushes, self.most)
    }
}

/// What a model has written down.
#[derive(Clone, Debug, Default)]
pub struct HeardText {
    /// In their order.
    pub segments: Vec<Segment>,
    /// Languages that it has told of.
    pub languages: Vec<String>,
    /// How far it said that it was, s.
    pub progress: Vec<f64>,
    /// Segments after which nobody reads any more; none: it is read to the end.
    most: Option<usize>,
}

impl HeardText {
    /// Lets `model` serve a request, up to `most` segments.
    ///
    /// # Errors
    /// The model's.
    pub fn of(model: &dyn Model, request: TranscribeRequest<'_>, most: Option<usize>) -> Result<Self, Error> {
        let mut heard = Self { most, ..Self::default() };
        model.transcribe(request, &mut TranscriptSink::to(&mut heard))?;
        Ok(heard)
    }

    /// The text of all segments.
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect::<String>().trim().to_owned()
    }
}

impl ReceiveTranscript for HeardText {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        match event {
            TranscriptEvent::Segment { segment } => self.segments.push(segment),
            TranscriptEvent::Language { language, .. } => self.languages.push(language),
            TranscriptEvent::Progress { seconds } => self.progress.push(seconds),
            _ => {}
        }
        self.flow()
    }

    fn flow(&self) -> Flow {
        flow(self.segments.len(), self.most)
    }
}

fn flow(heard: usize, most: Option<usize>) -> Flow {
    if most.is_some_and(|most| heard >= most) { Flow::Stop } else { Flow::Continue }
}
