//! Reading cases: `cases/<name>.json` with `cases/<name>.safetensors` beside it, and `<set>/*.jsonl` with a case per file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Tensor;

/// One recorded call of the reference.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The family's folder in the kit; paths in `params` are relative to it.
    pub root: PathBuf,
    /// File name without extension.
    pub name: String,
    /// What was called.
    pub op: String,
    /// A folder under `models/`, or the id of a package (`wheel:…`), or none.
    pub model: Option<String>,
    /// Arguments.
    pub params: Value,
    /// Results that are no tensors.
    pub expect: Value,
    /// Per output: how far off a result may be.
    pub tolerance: Value,
    /// `in.*`, `out.*` and `mid.*`.
    pub tensors: BTreeMap<String, Tensor>,
}

#[derive(Deserialize)]
struct CaseFile {
    op: String,
    model: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    expect: Value,
    #[serde(default)]
    tolerance: Value,
}

impl Case {
    /// Reads `path` (JSON) and the tensors beside it.
    ///
    /// # Errors
    /// Says which file can't be read, and why.
    pub fn read(root: &Path, path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let file: CaseFile = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let beside = path.with_extension("safetensors");
        let tensors = if beside.exists() {
            read_tensors(&beside).map_err(|e| format!("{}: {e}", beside.display()))?
        } else {
            BTreeMap::new()
        };
        Ok(Self {
            root: root.to_path_buf(),
            name: stem(path),
            op: file.op,
            model: file.model,
            params: file.params,
            expect: file.expect,
            tolerance: file.tolerance,
            tensors,
        })
    }

    /// Reads `<family>/<set>/<name>.jsonl` as one case of op `<set>.<name>`: `params.lang` is the file's name,
    /// `params.lines` its objects, `expect.lines` the same objects without what was put in (`text`, `lang`, `group`).
    ///
    /// # Errors
    /// Says which line is not a JSON object.
    pub fn read_lines(root: &Path, set: &str, path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut lines: Vec<Map<String, Value>> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let object = serde_json::from_str(line).map_err(|e| format!("{}:{}: {e}", path.display(), number + 1))?;
            lines.push(object);
        }
        let mut wanted = lines.clone();
        for object in &mut wanted {
            object.retain(|key, _| !matches!(key.as_str(), "text" | "lang" | "group"));
        }
        Ok(Self {
            root: root.to_path_buf(),
            name: format!("{set}_{}", stem(path)),
            op: format!("{set}.{}", stem(path)),
            model: None,
            params: json!({ "lang": stem(path), "lines": lines }),
            expect: json!({ "lines": wanted }),
            tolerance: Value::Null,
            tensors: BTreeMap::new(),
        })
    }

    /// A tensor of the case by its full name.
    ///
    /// # Errors
    /// The case has no such tensor.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, String> {
        self.tensors.get(name).ok_or_else(|| format!("the case has no tensor {name}"))
    }

    /// A parameter, deserialised.
    ///
    /// # Errors
    /// The parameter is missing or of another type.
    pub fn param<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let value = self.params.get(name).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value).map_err(|e| format!("params.{name}: {e}"))
    }

    /// All parameters, deserialised.
    ///
    /// # Errors
    /// They have another form.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_value(self.params.clone()).map_err(|e| format!("params: {e}"))
    }

    /// The path of the case's model below the kit's `models/`.
    ///
    /// # Errors
    /// The case has no model, it is in a package (ids with a colon: the plugin's test resolves those), or it is not there.
    pub fn model_path(&self) -> Result<PathBuf, String> {
        let id = self.model.as_deref().ok_or("the case names no model")?;
        if id.contains(':') {
            return Err(format!("the model {id} is not part of the kit"));
        }
        let path = self.root.join("models").join(id);
        if path.exists() { Ok(path) } else { Err(format!("{} is missing", path.display())) }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
    file.iter()
        .map(|(name, view)| Ok((name.to_owned(), Tensor::from_view(&view).map_err(|e| format!("{name}: {e}"))?)))
        .collect()
}

/// Paths of all cases of a family, sorted: JSON files of `cases/`, then the `.jsonl` files of other folders (with the folder's name).
pub(super) fn list(root: &Path) -> Result<Vec<(PathBuf, Option<String>)>, String> {
    let read = |dir: &Path, extension: &str| -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == extension))
            .collect();
        paths.sort();
        Ok(paths)
    };
    let mut found: Vec<_> = read(&root.join("cases"), "json")?.into_iter().map(|path| (path, None)).collect();
    let entries = fs::read_dir(root).map_err(|e| format!("{}: {e}", root.display()))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    for folder in folders {
        let set = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        found.extend(read(&folder, "jsonl")?.into_iter().map(|path| (path, set.clone())));
    }
    Ok(found)
}
