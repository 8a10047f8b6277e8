//! From an author's traits to the ABI: documents are decoded and encoded here, and panics end here.

use crate::{
    abi::{
        PluginModule, PluginModule_Ref, RawAudioRef, RawClip, RawHostBox, RawModel, RawModelBox, RawModel_TO,
        RawPcmSinkRef, RawPlugin, RawPluginBox, RawPlugin_TO, RawTranscriptSinkRef, ABI_VERSION,
    },
    audio::AudioInput,
    Clip, Error, Host, LoadRequest, Model, PcmSink, Plugin, SpeechRequest, TranscribeRequest, TranscriptSink,
};
use abi_stable::{
    prefix_type::PrefixTypeTrait,
    sabi_trait::TD_Opaque,
    std_types::{RResult, RSlice, RStr, RString},
};
use serde::de::DeserializeOwned;
use std::panic::{catch_unwind, AssertUnwindSafe};

#[doc(hidden)]
pub use abi_stable;

/// The compiler that built this copy of the crate, and so the plugin around it.
pub const BUILT_WITH: &str = env!("SYRINX_RUSTC_VERSION");

/// Exports a plugin from a `cdylib`: `export_plugin!(MyPlugin::new)` with anything callable that makes the [`Plugin`].
///
/// In a crate that is also linked into another one (`rlib`, for tests), put it behind nothing: the symbol is only
/// looked up in the library file. But two such crates can't be linked into one binary; then hide it behind a feature.
#[macro_export]
macro_rules! export_plugin {
    ($make:expr) => {
        /// The root of the plugin: what the host looks up.
        // SAFETY: the name is Syrinx's own, and a library has one plugin: nothing else defines it.
        #[unsafe(export_name = "syrinx_plugin_v1")]
        pub static SYRINX_PLUGIN: $crate::export::abi_stable::library::LibHeader = {
            extern "C" fn create() -> $crate::abi::RawPluginBox {
                $crate::export::plugin_object(|| $make())
            }
            extern "C" fn root() -> $crate::export::abi_stable::library::RootModuleResult {
                fn module() -> $crate::abi::PluginModule_Ref {
                    $crate::export::plugin_module(create)
                }
                $crate::export::abi_stable::library::__call_root_module_loader(module)
            }
            // SAFETY: `root` returns the module type that is named here.
            unsafe {
                $crate::export::abi_stable::library::LibHeader::from_constructor::<$crate::abi::PluginModule_Ref>(
                    root,
                    $crate::export::abi_stable::library::CheckTypeLayout::Yes,
                )
            }
        };
    };
}

/// Wraps the creation function into the root module. Called by [`export_plugin!`].
#[doc(hidden)]
pub fn plugin_module(create: extern "C" fn() -> RawPluginBox) -> PluginModule_Ref {
    PluginModule {
        #[cfg(feature = "test-abi-broken-layout")]
        surprise: 0,
        create,
    }
    .leak_into_prefix()
}

/// Wraps an author's plugin for the host. Called by [`export_plugin!`], and by hosts that link a plugin statically.
pub fn plugin_object<P: Plugin>(make: impl FnOnce() -> P) -> RawPluginBox {
    let plugin: Result<Box<dyn Plugin>, Error> =
        contained("creating the plugin", || Ok(Box::new(make()) as Box<dyn Plugin>));
    RawPlugin_TO::from_value(PluginAdapter(plugin), TD_Opaque)
}

/// Runs author code; a panic becomes an error of this call.
fn contained<T>(what: &str, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Author state may be inconsistent after a panic. It stays memory safe, `Mutex` poisoning tells the author's own
    // code, and one request's failure must not cost the others.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let reason = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".to_owned());
        // The payload's own destructor may panic as well; that must not cross the boundary either.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
        Err(Error::internal(format!("the plugin panicked while {what}: {reason}")))
    })
}

fn document<T: DeserializeOwned>(text: RStr<'_>, what: &str) -> Result<T, Error> {
    serde_json::from_str(text.as_str()).map_err(|error| Error::internal(format!("{what} from the host: {error}")))
}

fn to_raw<T>(result: Result<T, Error>) -> RResult<T, RString> {
    result.map_err(|error| RString::from(error.to_document())).into()
}

struct PluginAdapter(Result<Box<dyn Plugin>, Error>);

impl RawPlugin for PluginAdapter {
    fn manifest(&self) -> RString {
        let manifest = contained("describing itself", || {
            let mut manifest = self.0.as_ref().map_err(Error::clone)?.manifest();
            manifest.built_with = BUILT_WITH.to_owned();
            manifest.abi_version = ABI_VERSION.to_owned();
            serde_json::to_string(&manifest).map_err(|error| Error::internal(error.to_string()))
        });
        // A document that is not a manifest but an error: the host reads `kind` and `message` out of it.
        RString::from(manifest.unwrap_or_else(|error| error.to_document()))
    }

    fn load(&self, request: RStr<'_>, host: RawHostBox) -> RResult<RawModelBox, RString> {
        to_raw(contained("loading a model", || {
            let request: LoadRequest = document(request, "load request")?;
            let model = self.0.as_ref().map_err(Error::clone)?.load(request, Host::from_raw(host))?;
            Ok(RawModel_TO::from_value(ModelAdapter(Some(model)), TD_Opaque))
        }))
    }
}

/// The option is taken in `drop` only.
struct ModelAdapter(Option<Box<dyn Model>>);

impl ModelAdapter {
    fn model(&self) -> Result<&dyn Model, Error> {
        self.0.as_deref().ok_or_else(|| Error::internal("the model is gone"))
    }
}

impl Drop for ModelAdapter {
    fn drop(&mut self) {
        let model = self.0.take();
        // A panicking destructor costs its own leftovers, not the host.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(model)));
    }
}

fn clip<'a>(raw: &RawClip<'a>) -> Clip<'a> {
    Clip { name: raw.name.as_str(), samples: raw.samples.as_slice(), sample_rate: raw.sample_rate }
}

impl RawModel for ModelAdapter {
    fn card(&self) -> RString {
        let card = contained("describing a model", || {
            serde_json::to_string(&self.model()?.card()).map_err(|error| Error::internal(error.to_string()))
        });
        RString::from(card.unwrap_or_else(|error| error.to_document()))
    }

    fn transcribe(
        &self,
        request: RStr<'_>,
        audio: RawAudioRef<'_>,
        sink: RawTranscriptSinkRef<'_>,
    ) -> RResult<(), RString> {
        to_raw(contained("transcribing", || {
            let settings = document(request, "transcription request")?;
            let request = TranscribeRequest::new(settings, AudioInput::from_host(audio));
            self.model()?.transcribe(request, &mut TranscriptSink::from_host(sink))
        }))
    }

    #[cfg(not(feature = "test-abi-1-0"))]
    fn transcribe_known<'a>(
        &self,
        request: RStr<'_>,
        audio: RawAudioRef<'a>,
        known_speakers: RSlice<'a, RawClip<'a>>,
        sink: RawTranscriptSinkRef<'_>,
    ) -> RResult<(), RString> {
        to_raw(contained("transcribing", || {
            let settings = document(request, "transcription request")?;
            let known_speakers = known_speakers.iter().map(clip).collect();
            let request = TranscribeRequest { settings, audio: AudioInput::from_host(audio), known_speakers };
            self.model()?.transcribe(request, &mut TranscriptSink::from_host(sink))
        }))
    }

    fn synthesize(
        &self,
        request: RStr<'_>,
        clips: RSlice<'_, RawClip<'_>>,
        sink: RawPcmSinkRef<'_>,
    ) -> RResult<(), RString> {
        to_raw(contained("speaking", || {
            let settings = document(request, "speech request")?;
            let clips = clips.iter().map(clip).collect();
            self.model()?.synthesize(SpeechRequest { settings, clips }, &mut PcmSink::from_host(sink))
        }))
    }

    #[cfg(not(feature = "test-abi-1-0"))]
    fn warm_up(&self) -> RResult<(), RString> {
        to_raw(contained("warming up", || self.model()?.warm_up()))
    }
}
