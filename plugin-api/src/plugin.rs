//! What an author implements.

use crate::{Error, Host, LoadRequest, Manifest, ModelCard, PcmSink, SpeechRequest, TranscribeRequest, TranscriptSink};

/// A family of models. Made once per process, by [`export_plugin!`](crate::export_plugin).
pub trait Plugin: Send + Sync + 'static {
    /// Describes the plugin. Cheap: nothing is loaded or looked for.
    fn manifest(&self) -> Manifest;

    /// Loads a model. Runs on a thread of its own and may take its time; see [`Host::progress`], [`Host::is_cancelled`].
    ///
    /// # Errors
    /// Launch options that don't fit, files that are missing or broken, a device or library that isn't there.
    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error>;
}

/// A loaded model. Jobs come from several threads at once, up to the card's `max_concurrency`.
pub trait Model: Send + Sync + 'static {
    /// Describes the model. Asked once after the load.
    fn card(&self) -> ModelCard;

    /// Runs the model once on throw-away input, so that the first request isn't the slow one.
    ///
    /// # Errors
    /// When the model doesn't work; the launch then fails.
    fn warm_up(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Writes down what is said. Events are pushed as they become known; after [`Flow::Stop`](crate::Flow) it returns `Ok`.
    ///
    /// # Errors
    /// When the request can't be served. Events pushed before stay valid.
    fn transcribe(&self, request: TranscribeRequest<'_>, sink: &mut TranscriptSink<'_>) -> Result<(), Error> {
        let _ = (request, sink);
        Err(Error::not_supported("this model does not transcribe"))
    }

    /// Speaks. Samples are pushed as they are made; after [`Flow::Stop`](crate::Flow) it returns `Ok`.
    ///
    /// # Errors
    /// When the request can't be served. Samples pushed before stay valid.
    fn synthesize(&self, request: SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
        let _ = (request, sink);
        Err(Error::not_supported("this model does not speak"))
    }
}
