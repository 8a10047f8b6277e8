//! A speech job on its way out: samples become the bytes of one file as they are made.

use crate::{
    audio::encode::{EncodeError, Encoder, WholeFile},
    http::error::ApiError,
    memory::Reservation,
    metrics,
    models::{Events, Running, SpeechOutput},
};
use bytes::Bytes;
use syrinx_plugin_api::SpeechEvent;

/// A job and what encodes its samples.
pub(super) struct Speaking {
    uid: String,
    /// Of the model's plugin.
    generation: u64,
    events: Events<SpeechOutput>,
    /// Taken at the end of the file.
    encoder: Option<Box<dyn Encoder>>,
    /// Samples so far.
    samples: u64,
    /// How many of them make a second of the file.
    samples_per_second: f64,
    /// Memory of the clips that the job has.
    _held: Vec<Reservation>,
}

impl Speaking {
    /// A job of the model `running`, of whose samples `samples_per_second` make a second of the file. Keeps the memory
    /// that is `held` for the job.
    pub(super) fn new(
        running: &Running,
        events: Events<SpeechOutput>,
        encoder: Box<dyn Encoder>,
        samples_per_second: f64,
        held: Vec<Reservation>,
    ) -> Self {
        Self {
            uid: running.uid().to_owned(),
            generation: running.generation(),
            events,
            encoder: Some(encoder),
            samples: 0,
            samples_per_second,
            _held: held,
        }
    }

    /// The next samples; none at the end of the job.
    async fn samples(&mut self) -> Result<Option<Vec<f32>>, ApiError> {
        while let Some(output) = self.events.next().await {
            match output? {
                SpeechOutput::Pcm(samples) => {
                    self.samples += samples.len() as u64;
                    let seconds = samples.len() as f64 / self.samples_per_second;
                    metrics::audio_out(&self.uid, self.generation, seconds);
                    return Ok(Some(samples));
                }
                SpeechOutput::Event(SpeechEvent::Warning { message }) => tracing::warn!(uid = self.uid, "{message}"),
                SpeechOutput::Event(_) => {}
            }
        }
        Ok(None)
    }

    /// The next bytes of the file; none after its end.
    ///
    /// # Errors
    /// When the job or the encoder fails.
    pub(super) async fn bytes(&mut self) -> Result<Option<Bytes>, ApiError> {
        while let Some(encoder) = self.encoder.take() {
            let bytes = match self.samples().await? {
                Some(samples) => {
                    let (encoder, bytes) = off_thread(encoder, move |encoder| encoder.push(&samples)).await?;
                    self.encoder = Some(encoder);
                    bytes
                }
                None => off_thread(encoder, |encoder| encoder.finish()).await?.1.tail,
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }

    /// All of the file, with true sizes in its header.
    ///
    /// # Errors
    /// When the job or the encoder fails.
    pub(super) async fn whole(mut self) -> Result<Bytes, ApiError> {
        let Some(encoder) = self.encoder.take() else { return Ok(Bytes::new()) };
        let mut file = WholeFile::new(encoder);
        while let Some(samples) = self.samples().await? {
            file = off_thread(file, move |file| file.push(&samples)).await?.0;
        }
        let bytes = tokio::task::spawn_blocking(move || file.finish()).await.map_err(ApiError::internal)?;
        bytes.map(Bytes::from).map_err(ApiError::internal)
    }

    /// Seconds spoken so far.
    pub(super) fn seconds(&self) -> f64 {
        self.samples as f64 / self.samples_per_second
    }
}

/// Encodes on a thread that may take its time.
async fn off_thread<E: Send + 'static, T: Send + 'static>(
    mut encoder: E,
    encode: impl FnOnce(&mut E) -> Result<T, EncodeError> + Send + 'static,
) -> Result<(E, T), ApiError> {
    let work = move || encode(&mut encoder).map(|result| (encoder, result));
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?.map_err(ApiError::internal)
}
