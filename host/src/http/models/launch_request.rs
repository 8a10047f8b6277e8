//! The body of `POST /v1/models`: keys that every launch has, keys that say nothing here, and keys of the model's plugin.

use super::AUDIO;
use crate::{
    http::{
        body::{name_of_type, truth},
        error::{ApiError, clip},
    },
    models::{Isolation, LaunchSpec, WorkerLimits},
};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};
use syrinx_plugin_api::Object;
use utoipa::ToSchema;

/// Keys that Xinference's clients always send and that mean nothing to a server of audio models in one process.
const WITHOUT_MEANING: [&str; 14] = [
    "peft_model_config",
    "model_size_in_billions",
    "n_worker",
    "worker_ip",
    "replica_config",
    "enable_thinking",
    "enable_virtual_env",
    "virtual_env_packages",
    "virtual_env_find_links",
    "envs",
    "trust_remote_code",
    "model_version",
    "enable_xavier",
    "multimodal_projector",
];

/// Where Xinference's users can have models come from.
const HUBS: [&str; 4] = ["huggingface", "modelscope", "openmind_hub", "csghub"];

/// Most copies of a model in one process.
const MOST_REPLICAS: u64 = 64;

/// Keys that are read here, or that say nothing: a null in one of them means that it isn't given. A null in any other key
/// is for the plugin.
const OWN: [&str; 18] = [
    "model_type",
    "model_name",
    "model_uid",
    "model_path",
    "model_engine",
    "model_format",
    "quantization",
    "gpu_idx",
    "request_limits",
    "download_hub",
    "isolation",
    "n_gpu",
    "queue",
    "lazy",
    "pinned",
    "idle_seconds",
    "memory_bytes",
    "cpus",
];

/// Most bytes of all launch options of a plugin together, as JSON. They are kept, and listed at every poll.
const OPTIONS_LIMIT: usize = 256 << 10; // bytes

/// Longest name, path and the like. [bytes]
const TEXT_LIMIT: usize = 4096;

/// The body of a launch, for the description of the API. Every further key is a launch option of the model's plugin.
#[derive(ToSchema)]
#[schema(as = Launch)]
#[expect(dead_code, reason = "describes what `parse` reads")]
pub(crate) struct LaunchBody {
    /// Name of the catalogue.
    model_name: String,
    /// `audio`; missing means LLM to Xinference, which is refused.
    model_type: String,
    /// Uid to serve under: 1 to 100 characters without `/ ? # \` and white space, not ending in `-rep` and digits. None: the
    /// model's name, or that with a random ending when it is taken.
    model_uid: Option<String>,
    /// A directory of the server with the model's files, instead of downloading.
    model_path: Option<String>,
    /// The plugin's name, `PyTorch` or `transformers`.
    model_engine: Option<String>,
    /// Choose among the sources of the catalogue.
    model_format: Option<String>,
    /// Choose among the sources of the catalogue.
    quantization: Option<String>,
    /// Copies to load, 1 to 64.
    #[schema(value_type = u64, required = false, minimum = 1, maximum = 64, default = 1)]
    replica: u64,
    /// `auto`, a number of GPUs, or null for the CPU.
    #[schema(value_type = Option<Value>)]
    n_gpu: (),
    /// A GPU, or a list of them whose length is a multiple of `replica`.
    #[schema(value_type = Option<Value>)]
    gpu_idx: (),
    /// More requests than this at a time get 429.
    request_limits: Option<u64>,
    /// `huggingface`, `modelscope`, `openmind_hub` or `csghub`: where to look first.
    download_hub: Option<String>,
    /// `process`: in a process of its own, whose crash costs no other model; `in-process`: in the server's; `auto`: the
    /// former for plugins with a native runtime. None: as the server is set up.
    #[schema(value_type = Option<String>)]
    isolation: Option<Isolation>,
    /// Requests that may wait beyond those that run; more get 429. None: as the server is set up.
    queue: Option<u64>,
    /// Loaded when the first request needs it. The launch answers at once.
    lazy: Option<bool>,
    /// Never unloaded, neither because it is idle nor to make room.
    pinned: Option<bool>,
    /// Unloaded after so long without a request, and loaded again by the next one. 0: never. None: as the server is set up.
    idle_seconds: Option<u64>,
    /// Most memory of the model's process; with more it is ended. Needs one of its own, see `isolation`. None: as the server
    /// is set up.
    #[schema(minimum = 1)]
    memory_bytes: Option<u64>,
    /// Most CPUs of the model's process, likewise.
    #[schema(minimum = 1)]
    cpus: Option<u64>,
}

/// The body of a launch by version: [`LaunchBody`] without `model_name`.
#[derive(ToSchema)]
#[schema(as = LaunchByVersion)]
#[expect(dead_code, reason = "describes what is read")]
pub(crate) struct VersionBody {
    /// As `GET /v1/models/{model_type}/{model_name}/versions` lists it.
    model_version: String,
    /// `audio`
    model_type: Option<String>,
    /// See `POST /v1/models`.
    model_uid: Option<String>,
    /// See `POST /v1/models`.
    model_engine: Option<String>,
    /// See `POST /v1/models`.
    #[schema(value_type = u64, required = false, minimum = 1, maximum = 64, default = 1)]
    replica: u64,
    /// See `POST /v1/models`.
    #[schema(value_type = Option<Value>)]
    n_gpu: (),
}

/// Reads a launch.
///
/// # Errors
/// 400 that names the key at fault.
pub(crate) fn parse(mut body: Object) -> Result<LaunchSpec, ApiError> {
    let cpu_only = cpu_only(&mut body)?;
    body.retain(|name, value| !value.is_null() || !OWN.contains(&name.as_str()));
    check_type(&mut body)?;
    let model_name = text(&mut body, "model_name")?
        .ok_or_else(|| ApiError::invalid("model_name", "`model_name` is required: a name of the catalogue"))?;
    let replica = match body.remove("replica") {
        None => 1,
        Some(value) => whole(&value, 1, MOST_REPLICAS)
            .ok_or_else(|| invalid("replica", &value, &format!("a whole number from 1 to {MOST_REPLICAS}")))?,
    };
    let gpu_idx = gpu_idx(&mut body, replica)?;
    let request_limits = match body.remove("request_limits") {
        None => None,
        Some(value) => Some(
            whole(&value, 0, u64::MAX).ok_or_else(|| invalid("request_limits", &value, "a whole number, 0 or more"))?,
        ),
    };
    let download_hub = text(&mut body, "download_hub")?;
    if let Some(hub) = download_hub.as_deref().filter(|hub| !HUBS.contains(hub)) {
        return Err(invalid("download_hub", &Value::from(hub), &format!("one of {}", HUBS.join(", "))));
    }
    let isolation = match text(&mut body, "isolation")? {
        None => None,
        Some(name) => Some(
            name.parse()
                .map_err(|()| invalid("isolation", &Value::from(name), &format!("one of {}", Isolation::NAMES)))?,
        ),
    };
    let number = |body: &mut Object, name, least| match body.remove(name) {
        None => Ok(None),
        Some(value) => {
            let accepted = format!("a whole number, {least} or more");
            whole(&value, least, u64::MAX).map(Some).ok_or_else(|| invalid(name, &value, &accepted))
        }
    };
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let worker = WorkerLimits {
        memory_bytes: number(&mut body, "memory_bytes", 1)?,
        cpus: number(&mut body, "cpus", 1)?.map(size),
    };
    let spec = LaunchSpec {
        queue: number(&mut body, "queue", 0)?.map(size),
        lazy: flag(&mut body, "lazy")?,
        pinned: flag(&mut body, "pinned")?,
        idle: number(&mut body, "idle_seconds", 0)?.map(Duration::from_secs),
        worker,
        model_name,
        model_uid: uid(&mut body)?,
        model_path: text(&mut body, "model_path")?.map(PathBuf::from),
        replica: usize::try_from(replica).unwrap_or(usize::MAX),
        request_limits: request_limits.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        download_hub,
        model_engine: text(&mut body, "model_engine")?,
        quantization: text(&mut body, "quantization")?.filter(|name| !name.eq_ignore_ascii_case("none")),
        model_format: text(&mut body, "model_format")?,
        isolation,
        source: None,
        cpu_only,
        gpu_idx,
        options: Object::new(),
    };
    body.retain(|name, _| !WITHOUT_MEANING.contains(&name.as_str()));
    let size = serde_json::to_vec(&body).map_or(usize::MAX, |options| options.len());
    if size > OPTIONS_LIMIT {
        let message = format!("the launch options have {size} bytes together, the limit is {OPTIONS_LIMIT}");
        return Err(ApiError::bad_request(message));
    }
    Ok(LaunchSpec { options: body, ..spec })
}

/// A launch without a type means a language model to Xinference.
fn check_type(body: &mut Object) -> Result<(), ApiError> {
    match body.remove("model_type") {
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case(AUDIO) => Ok(()),
        Some(other) => Err(invalid("model_type", &other, "audio: this server runs audio models only")),
        None => {
            let message = "`model_type` is missing, which means LLM; this server runs audio models: say \"model_type\": \"audio\"";
            Err(ApiError::invalid("model_type", message))
        }
    }
}

/// Whether `n_gpu` says that no GPU is wanted. Which one is used otherwise is the plugin's option `device`.
fn cpu_only(body: &mut Object) -> Result<bool, ApiError> {
    match body.remove("n_gpu") {
        None => Ok(false),
        Some(Value::Null) => Ok(true),
        Some(Value::String(word)) if word.eq_ignore_ascii_case("auto") => Ok(false),
        Some(Value::String(word)) if ["none", "null", "cpu"].contains(&word.to_ascii_lowercase().as_str()) => Ok(true),
        Some(value) => match whole(&value, 0, u64::from(u32::MAX)) {
            Some(count) => Ok(count == 0),
            None => Err(invalid("n_gpu", &value, "\"auto\", null or a whole number")),
        },
    }
}

/// The GPUs that the caller names.
fn gpu_idx(body: &mut Object, replica: u64) -> Result<Option<Vec<u32>>, ApiError> {
    let index = |value: &Value| whole(value, 0, u64::from(u32::MAX)).and_then(|index| u32::try_from(index).ok());
    match body.remove("gpu_idx") {
        None => Ok(None),
        Some(Value::Array(values)) => {
            let indices: Option<Vec<u32>> = values.iter().map(index).collect();
            match indices {
                Some(indices) if (indices.len() as u64).is_multiple_of(replica) => {
                    Ok(Some(indices).filter(|indices| !indices.is_empty()))
                }
                _ => {
                    let accepted = format!("whole numbers, as many as `replica` ({replica}) or a multiple of it");
                    Err(invalid("gpu_idx", &Value::Array(values), &accepted))
                }
            }
        }
        Some(value) => match index(&value) {
            Some(index) => Ok(Some(vec![index])),
            None => Err(invalid("gpu_idx", &value, "a whole number or a list of them")),
        },
    }
}

/// A uid as it is given, also an empty one: what it may look like is checked with the launch.
fn uid(body: &mut Object) -> Result<Option<String>, ApiError> {
    match body.remove("model_uid") {
        None => Ok(None),
        Some(Value::String(uid)) => Ok(Some(uid)),
        Some(other) => {
            Err(ApiError::invalid("model_uid", format!("`model_uid` must be text, not {}", name_of_type(&other))))
        }
    }
}

/// Takes a text out of the body; empty means none.
fn text(body: &mut Object, name: &'static str) -> Result<Option<String>, ApiError> {
    match body.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() > TEXT_LIMIT => {
            Err(ApiError::invalid(name, format!("`{name}` has {} bytes, the limit is {TEXT_LIMIT}", text.len())))
        }
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Some(other) => Err(ApiError::invalid(name, format!("`{name}` must be text, not {}", name_of_type(&other)))),
    }
}

/// Yes or no, also as text; absent means no.
fn flag(body: &mut Object, name: &'static str) -> Result<bool, ApiError> {
    let Some(value) = body.remove(name) else { return Ok(false) };
    let given = match &value {
        Value::Bool(given) => Some(*given),
        Value::String(text) => truth(text),
        _ => None,
    };
    given.ok_or_else(|| invalid(name, &value, "true or false"))
}

/// A whole number, also as text; not a boolean, not a fraction.
fn whole(value: &Value, least: u64, most: u64) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| (least..=most).contains(number))
}

fn invalid(name: &'static str, given: &Value, accepted: &str) -> ApiError {
    ApiError::invalid(name, format!("`{name}` is {}, but must be {accepted}", clip(&given.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn launch(mut body: Value) -> Result<LaunchSpec, ApiError> {
        for (name, value) in [("model_name", json!("whisper-base")), ("model_type", json!("audio"))] {
            if body.get(name).is_none() {
                body[name] = value;
            }
        }
        parse(body.as_object().cloned().unwrap())
    }

    #[test]
    fn what_xinferences_client_sends() {
        let spec = launch(json!({
            "model_uid": null, "model_engine": null, "peft_model_config": null, "model_size_in_billions": null,
            "model_format": null, "quantization": "none", "replica": 1, "n_worker": 1, "n_gpu": "auto", "request_limits": null,
            "worker_ip": null, "gpu_idx": null, "replica_config": null, "model_path": null, "enable_thinking": false,
            "enable_virtual_env": null, "virtual_env_packages": null, "virtual_env_find_links": null, "envs": null,
            "trust_remote_code": true, "download_hub": null, "vad_model": null, "lang_code": "z", "vad_kwargs": {"max_single_segment_time": 30000}, "compile": false,
        }))
        .unwrap();
        // A null for the plugin stays: it takes away a default of the catalogue.
        let options = json!({"vad_model": null, "lang_code": "z", "vad_kwargs": {"max_single_segment_time": 30000}, "compile": false});
        assert_eq!(spec.options, options.as_object().cloned().unwrap());
        assert_eq!((spec.model_name.as_str(), spec.replica, spec.quantization), ("whisper-base", 1, None));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (body, param) in [
            (json!({"model_type": "LLM"}), "model_type"),
            (json!({"model_type": null}), "model_type"),
            (json!({"model_name": ""}), "model_name"),
            (json!({"model_name": 3}), "model_name"),
            (json!({"replica": 0}), "replica"),
            (json!({"replica": null}), "replica"),
            (json!({"replica": true}), "replica"),
            (json!({"replica": 1.5}), "replica"),
            (json!({"replica": "x"}), "replica"),
            (json!({"n_gpu": "many"}), "n_gpu"),
            (json!({"gpu_idx": [0, 1, 2], "replica": 2}), "gpu_idx"),
            (json!({"request_limits": -1}), "request_limits"),
            (json!({"download_hub": "nowhere"}), "download_hub"),
            (json!({"model_engine": 1}), "model_engine"),
            (json!({"model_uid": 1}), "model_uid"),
            (json!({"model_uid": ["x"]}), "model_uid"),
            (json!({"n_gpu": true}), "n_gpu"),
            (json!({"n_gpu": -1}), "n_gpu"),
            (json!({"n_gpu": 0.5}), "n_gpu"),
            (json!({"gpu_idx": "x"}), "gpu_idx"),
            (json!({"gpu_idx": [0, -1]}), "gpu_idx"),
            (json!({"gpu_idx": [true]}), "gpu_idx"),
            (json!({"replica": [1]}), "replica"),
            (json!({"replica": 65}), "replica"),
            (json!({"replica": "1.0"}), "replica"),
            (json!({"request_limits": "x"}), "request_limits"),
            (json!({"request_limits": true}), "request_limits"),
            (json!({"quantization": 8}), "quantization"),
            (json!({"lazy": "perhaps"}), "lazy"),
            (json!({"pinned": 1}), "pinned"),
            (json!({"queue": -1}), "queue"),
            (json!({"idle_seconds": "soon"}), "idle_seconds"),
            (json!({"memory_bytes": 0}), "memory_bytes"),
            (json!({"cpus": 0.5}), "cpus"),
            (json!({"model_format": {}}), "model_format"),
            (json!({"model_path": "x".repeat(TEXT_LIMIT + 1)}), "model_path"),
            (json!({"model_path": ["x"]}), "model_path"),
        ] {
            let error = launch(body.clone()).unwrap_err();
            let rendered = serde_json::to_value(error.body()).unwrap();
            assert_eq!(rendered["error"]["param"], param, "{body}");
        }
        let spec = launch(json!({"replica": "2", "gpu_idx": [0, "1"], "n_gpu": null, "request_limits": "0"})).unwrap();
        assert_eq!((spec.replica, spec.gpu_idx, spec.request_limits), (2, Some(vec![0, 1]), Some(0)));
        assert!(spec.cpu_only);
    }

    #[test]
    fn gpus() {
        for (n_gpu, cpu_only) in
            [(json!("auto"), false), (json!("none"), true), (json!(0), true), (json!(2), false), (json!("1"), false)]
        {
            assert_eq!(launch(json!({"n_gpu": n_gpu.clone()})).unwrap().cpu_only, cpu_only, "{n_gpu}");
        }
        assert!(!launch(json!({})).unwrap().cpu_only);
        assert_eq!(launch(json!({"gpu_idx": 3})).unwrap().gpu_idx, Some(vec![3]));
    }

    #[test]
    fn coming_and_going() {
        let spec = launch(
            json!({"lazy": "true", "pinned": true, "idle_seconds": 0, "queue": "3", "memory_bytes": 7, "cpus": 2}),
        );
        let spec = spec.unwrap();
        assert!(spec.lazy && spec.pinned && spec.options.is_empty());
        assert_eq!((spec.idle, spec.queue), (Some(Duration::ZERO), Some(3)));
        assert_eq!(spec.worker, WorkerLimits { memory_bytes: Some(7), cpus: Some(2) });
        let spec = launch(json!({"lazy": null, "queue": null})).unwrap();
        assert_eq!((spec.lazy, spec.queue, spec.idle), (false, None, None));
    }

    #[test]
    fn options_have_an_end() {
        let error = launch(json!({"x": "y".repeat(OPTIONS_LIMIT)})).unwrap_err();
        assert!(error.to_string().contains("the limit is"), "{error}");
    }
}
