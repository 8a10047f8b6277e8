//! `syrinx models`: the catalogue of this machine, without a server.

use super::{Failure, Outcome, Places, screen, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};
use syrinx_registry::{Catalogue, CatalogueError, CustomModel, JsonMap};

/// Lists the catalogue, checks its files, adds to them.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Models {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    places: Places,
    /// Only check catalogue files, and say what is wrong with them and where [default: those of the catalogue directories]
    #[arg(long, num_args = 0.., value_name = "DIR|FILE")]
    check: Option<Vec<PathBuf>>,
    /// Print the JSON Schema of catalogue files, for editors
    #[arg(long, conflicts_with = "check")]
    schema: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write an entry for a model of your own
    Add(Box<Add>),
}

impl Models {
    pub(super) fn run(self) -> Outcome {
        match (self.action, self.check) {
            (Some(Action::Add(add)), _) => add.run(),
            (None, Some(paths)) if paths.is_empty() => check(&self.places.settings()?.catalogue_dirs, self.json),
            (None, Some(paths)) => check(&paths, self.json),
            (None, None) if self.schema => {
                screen::line(format_args!("{:#}", Catalogue::json_schema()));
                Ok(())
            }
            (None, None) => list(&self.places, self.json),
        }
    }
}

fn list(places: &Places, as_json: bool) -> Outcome {
    let (catalogue, store) = places.open()?;
    let rows: Vec<(String, String, String, bool)> = catalogue
        .models()
        .map(|entry| {
            let abilities: Vec<&str> = entry.abilities.iter().map(|ability| ability.as_str()).collect();
            (entry.name.clone(), entry.family.clone(), abilities.join(" "), store.locate(entry).is_some())
        })
        .collect();
    if as_json {
        let rows: Vec<Value> = rows
            .into_iter()
            .map(|(name, family, ability, cached)| json!({"model_name": name, "model_family": family, "model_ability": ability.split(' ').collect::<Vec<_>>(), "cached": cached}))
            .collect();
        screen::line(format_args!("{:#}", Value::Array(rows)));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(name, family, ability, cached)| {
            vec![name, family, if cached { "yes" } else { "no" }.to_owned(), ability]
        })
        .collect();
    table::print(&["Name", "Family", "Cached", "Ability"], &rows);
    Ok(())
}

fn check(paths: &[PathBuf], as_json: bool) -> Outcome {
    let (models, error) = match Catalogue::check(paths) {
        Ok(catalogue) => (catalogue.models().filter(|entry| !entry.builtin).count(), None),
        Err(error) => (0, Some(error)),
    };
    if as_json {
        let problems = error.as_ref().map(|error| error.problems.as_slice()).unwrap_or_default();
        screen::line(format_args!("{:#}", json!({"models": models, "problems": problems})));
    }
    match error {
        Some(CatalogueError { problems }) if as_json => Err(Failure::new(counted(problems.len()))),
        Some(error) => Err(Failure::new(format!("{}\n{error}", counted(error.problems.len())))),
        None => {
            if !as_json {
                screen::line(format_args!("{models} models of yours, no problems"));
            }
            Ok(())
        }
    }
}

fn counted(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

/// Writes an entry for a model of your own into a catalogue file. What the family's other models have (plugin, abilities,
/// languages, shared files, defaults) it has, too.
#[derive(Debug, Args)]
struct Add {
    /// Name to launch it by
    name: String,
    /// Family, see `syrinx models`
    #[arg(long)]
    family: String,
    /// Directory with its files
    #[arg(long, value_name = "DIR", required_unless_present_any = ["hf", "modelscope"])]
    path: Option<PathBuf>,
    /// Repository on Hugging Face
    #[arg(long, value_name = "OWNER/NAME", conflicts_with_all = ["path", "modelscope"])]
    hf: Option<String>,
    /// Repository on ModelScope
    #[arg(long, value_name = "OWNER/NAME", conflicts_with = "path")]
    modelscope: Option<String>,
    /// Commit, tag or branch of the repository [default: main or master]
    #[arg(long, conflicts_with = "path")]
    revision: Option<String>,
    /// Plugin that runs it, for a family that the catalogue doesn't have
    #[arg(long)]
    plugin: Option<String>,
    /// What it can do; may be repeated [default: as the family]
    #[arg(long, value_name = "ABILITY")]
    ability: Vec<String>,
    /// Whether it translates, or speaks several languages [default: as the family]
    #[arg(long)]
    multilingual: Option<bool>,
    /// Language as the model's own code; may be repeated [default: as the family]
    #[arg(long, value_name = "CODE")]
    language: Vec<String>,
    /// What it is
    #[arg(long)]
    description: Option<String>,
    /// Launch option that applies when a launch has none; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    option: Vec<String>,
    /// Catalogue file to write to [default: models.toml in the first catalogue directory]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

impl Add {
    fn run(self) -> Outcome {
        let mut directories = self.places.settings()?.catalogue_dirs;
        let file = self.target(&directories)?;
        let directory = file.parent().map(Path::to_owned).unwrap_or_default();
        let is_read = directories.contains(&directory);
        if !is_read {
            directories.push(directory.clone());
        }
        let catalogue = Catalogue::load(&directories).map_err(failed)?;
        if let Ok(there) = catalogue.model(&self.name) {
            let whose = if there.builtin { "it came with the program" } else { "it is in a file of yours" };
            return Err(Failure::new(format!("there is a model `{}` already: {whose}", self.name)));
        }
        let entry = self.entry(&catalogue)?;
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::new(format!("cannot read {}: {error}", file.display()))),
        };
        let text = catalogue.add_to(&file, &text, &entry).map_err(failed)?;
        // What the server will say of it.
        Catalogue::load_draft(&directories, &file, &text).map_err(failed)?;
        replace(&file, &text).map_err(|error| Failure::new(format!("cannot write {}: {error}", file.display())))?;
        screen::line(format_args!("{} is in {}", self.name, file.display()));
        if !is_read {
            screen::line(format_args!("no server reads it yet: add {} to catalogue_dirs", directory.display()));
        }
        Ok(())
    }

    /// The file to write to, below a directory as the settings spell it.
    fn target(&self, directories: &[PathBuf]) -> Result<PathBuf, Failure> {
        match (&self.file, directories) {
            (Some(file), _) if file.extension().is_none_or(|extension| extension != "toml") => {
                Err(Failure::new(format!("{} is no catalogue file: their names end in .toml", file.display())))
            }
            // Whose directory has a name, as those of the settings have.
            (Some(file), _) if file.parent() == Some(Path::new("")) => Ok(Path::new(".").join(file)),
            (Some(file), _) => Ok(file.clone()),
            (None, [first, ..]) => Ok(first.join("models.toml")),
            (None, []) => Err(Failure::new(
                "there is no catalogue directory: name one with --catalogue DIR, or as catalogue_dirs in syrinx.toml",
            )),
        }
    }

    fn entry(&self, catalogue: &Catalogue) -> Result<syrinx_registry::ModelEntry, Failure> {
        let relative = catalogue.models().find(|entry| entry.family == self.family);
        let multilingual = self.multilingual.or(relative.map(|entry| entry.multilingual)).unwrap_or_default();
        let directory = match &self.path {
            Some(path) => {
                Some(path.canonicalize().map_err(|error| Failure::new(format!("--path {}: {error}", path.display())))?)
            }
            None => None,
        };
        let mut spec = JsonMap::new();
        let mut put = |key: &str, value: Value| drop(spec.insert(key.to_owned(), value));
        put("model_name", json!(self.name));
        put("model_family", json!(self.family));
        put("multilingual", json!(multilingual));
        put("model_lang", json!(self.language));
        put("model_ability", json!(self.ability));
        put("model_description", json!(self.description));
        put("model_uri", json!(directory));
        put("model_id", json!(self.hf.as_ref().or(self.modelscope.as_ref())));
        put("model_revision", json!(self.revision));
        put("model_hub", json!(self.modelscope.as_ref().map(|_| "modelscope")));
        let model = CustomModel::from_spec(spec).map_err(failed)?;
        model.check_directory().map_err(failed)?;
        // Whoever names a plugin says that the family is one of its.
        let plugins: Vec<String> = self.plugin.iter().map(|_| self.family.clone()).collect();
        let mut entry = model.entry(catalogue, &plugins).map_err(failed)?;
        if let Some(plugin) = &self.plugin {
            entry.plugin.clone_from(plugin);
        }
        for option in &self.option {
            let (key, value) = option
                .split_once('=')
                .ok_or_else(|| Failure::new(format!("--option {option}: write it as KEY=VALUE")))?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            entry.launch_defaults.insert(key.to_owned(), value);
        }
        Ok(entry)
    }
}

fn failed(error: impl std::error::Error) -> Failure {
    Failure::new(error.to_string())
}

/// Writes a file so that whoever reads it meanwhile finds the old or the new one.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    // No name that the catalogue reads.
    let fresh = file.with_extension("toml.new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, file).inspect_err(|_| drop(fs::remove_file(&fresh)))
}
