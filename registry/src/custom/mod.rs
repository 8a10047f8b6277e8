//! Models that clients register while the server runs, and the directory where those that should outlive it are kept.
//!
//! They lie over the catalogue: [`CustomModels::overlay`] makes the catalogue that clients see out of the one of the files,
//! each time that either of the two changes.

mod spec;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use spec::{CustomModel, SpecError};

use crate::catalogue::{Catalogue, Sha256Digest};
use crate::error::StoreError;

/// Most custom models at a time: many more than anybody has, few enough that a list of them stays cheap.
pub const MOST_CUSTOM_MODELS: usize = 1000;

/// Why a model wasn't registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The specification can't be used.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A model or an alias has the name.
    #[error("there is a model named `{0}` already")]
    Taken(String),
    /// There is no room for another one.
    #[error("there are {MOST_CUSTOM_MODELS} registered models already; unregister one of them first")]
    Full,
    /// It can't be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All registered models, and where they are kept.
#[derive(Debug)]
pub struct CustomModels {
    directory: PathBuf,
    models: BTreeMap<String, CustomModel>,
}

impl CustomModels {
    /// Reads what an earlier server kept in `directory`, which may not exist. A file that can't be read is left where it
    /// is and told to `warn`.
    pub fn open(directory: &Path, mut warn: impl FnMut(String)) -> Self {
        let mut models = BTreeMap::new();
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_registration(path)).collect();
        paths.sort();
        for path in paths {
            let model = fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
                let spec = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
                CustomModel::from_spec(spec).map_err(|error| error.to_string())
            });
            match model {
                Ok(model) => drop(models.insert(model.name().to_owned(), model)),
                Err(why) => warn(format!("{} is not a registration: {why}", path.display())),
            }
        }
        Self { directory: directory.to_owned(), models }
    }

    /// Adds a model to those over `catalogue`, which is the one of the files. `plugins` are installed. With `persist` it is there again after a restart.
    ///
    /// # Errors
    /// Nothing is changed then.
    pub fn register(
        &mut self,
        model: CustomModel,
        persist: bool,
        catalogue: &Catalogue,
        plugins: &[String],
    ) -> Result<(), RegistrationError> {
        model.entry(catalogue, plugins)?;
        model.check_directory()?;
        if catalogue.model(model.name()).is_ok() || self.models.contains_key(model.name()) {
            return Err(RegistrationError::Taken(model.name().to_owned()));
        }
        if self.models.len() >= MOST_CUSTOM_MODELS {
            return Err(RegistrationError::Full);
        }
        if persist {
            self.write(&model)?;
        }
        self.models.insert(model.name().to_owned(), model);
        Ok(())
    }

    /// Removes a model, also from where it is kept. `false` when there is none of this name.
    ///
    /// # Errors
    /// Its file can't be removed; the model stays.
    pub fn unregister(&mut self, name: &str) -> Result<bool, StoreError> {
        if !self.models.contains_key(name) {
            return Ok(false);
        }
        let path = self.path_of(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", path)(error));
            }
            _ => drop(self.models.remove(name)),
        }
        Ok(true)
    }

    /// `base` and all custom models. A model whose name `base` has taken meanwhile is left out and told to `warn`. That its
    /// family is known has been checked when it came; the plugin may just not be loaded yet.
    pub fn overlay(&self, base: &Catalogue, mut warn: impl FnMut(String)) -> Catalogue {
        let mut catalogue = base.clone();
        for model in self.models.values() {
            let added = model
                .entry(base, &[model.family().to_owned()])
                .map_err(|error| error.to_string())
                .and_then(|entry| catalogue.register(entry).map_err(|error| error.to_string()));
            if let Err(why) = added {
                warn(format!("the registered model `{}` can't be used: {why}", model.name()));
            }
        }
        catalogue
    }

    /// Named so that a person finds it, and so that names that differ in case only have two files everywhere.
    fn path_of(&self, name: &str) -> PathBuf {
        let mark = Sha256Digest::of(name).first_digits(8);
        self.directory.join(format!("{name}.{mark}.json"))
    }

    fn write(&self, model: &CustomModel) -> Result<(), StoreError> {
        fs::create_dir_all(&self.directory).map_err(StoreError::io("create", &self.directory))?;
        let path = self.path_of(model.name());
        // Hidden from `open` until it is whole.
        let temporary = self.directory.join(format!(".{}.new", std::process::id()));
        let text = serde_json::to_vec_pretty(model.spec()).unwrap_or_default();
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&temporary, &path)).map_err(|error| {
            let _ = fs::remove_file(&temporary);
            StoreError::io("write", path)(error)
        })
    }
}

fn is_registration(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension == "json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn model(name: &str) -> CustomModel {
        let spec = json!({"model_name": name, "model_family": "whisper", "multilingual": false, "model_id": "me/mine"});
        CustomModel::from_spec(spec.as_object().cloned().unwrap()).unwrap()
    }

    fn quiet(problem: String) {
        panic!("{problem}");
    }

    #[test]
    fn what_is_kept_survives_and_the_rest_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let base = Catalogue::builtin();
        let mut customs = CustomModels::open(dir.path(), quiet);
        customs.register(model("kept"), true, &base, &[]).unwrap();
        customs.register(model("gone"), false, &base, &[]).unwrap();
        let catalogue = customs.overlay(&base, quiet);
        assert!(catalogue.model("kept").is_ok() && catalogue.model("gone").is_ok());
        assert!(matches!(
            customs.register(model("kept"), true, &base, &[]),
            Err(RegistrationError::Taken(name)) if name == "kept"
        ));
        for taken in ["whisper-base", "whisper-base-mlx"] {
            assert!(matches!(customs.register(model(taken), true, &base, &[]), Err(RegistrationError::Taken(_))));
        }
        let mut again = CustomModels::open(dir.path(), quiet);
        let catalogue = again.overlay(&base, quiet);
        assert!(catalogue.model("kept").is_ok() && catalogue.model("gone").is_err());
        assert!(again.unregister("kept").unwrap());
        assert!(!again.unregister("kept").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_file_is_told_and_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bad.json"), "{").unwrap();
        fs::write(dir.path().join(".1.new"), "{").unwrap();
        let mut told = Vec::new();
        let customs = CustomModels::open(dir.path(), |problem| told.push(problem));
        assert!(told.len() == 1 && told[0].contains("bad.json"), "{told:?}");
        assert!(dir.path().join("bad.json").exists() && customs.models.is_empty());
    }

    #[test]
    fn there_is_an_end_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let base = Catalogue::builtin();
        let mut customs = CustomModels::open(dir.path(), quiet);
        for number in 0..MOST_CUSTOM_MODELS {
            customs.register(model(&format!("m{number}")), false, &base, &[]).unwrap();
        }
        assert!(matches!(customs.register(model("one-more"), false, &base, &[]), Err(RegistrationError::Full)));
        customs.unregister("m0").unwrap();
        customs.register(model("one-more"), false, &base, &[]).unwrap();
    }

    #[test]
    fn names_that_the_files_take_later_win() {
        let dir = tempfile::tempdir().unwrap();
        let files = tempfile::tempdir().unwrap();
        let mut customs = CustomModels::open(dir.path(), quiet);
        customs.register(model("mine"), true, &Catalogue::builtin(), &[]).unwrap();
        let text = "schema = 1\n[[model]]\nname = \"mine\"\nfamily = \"whisper\"\nplugin = \"whisper\"\n\
                    abilities = [\"audio2text\"]\nmultilingual = true\n";
        fs::write(files.path().join("mine.toml"), text).unwrap();
        let base = Catalogue::load(&[files.path().to_owned()]).unwrap();
        let mut told = Vec::new();
        let catalogue = customs.overlay(&base, |problem| told.push(problem));
        assert!(catalogue.model("mine").unwrap().multilingual && told.len() == 1, "{told:?}");
    }
}
