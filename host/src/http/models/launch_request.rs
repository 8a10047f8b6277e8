//! The body of `POST /v1/models`: keys that every launch has, keys that say nothing here, and keys of the model's plugin.

use super::AUDIO;
use crate::{
    http::{
        body::name_of_type,
        error::{ApiError, clip},
    },
    models::LaunchSpec,
};
use serde_json::Value;
use std::path::PathBuf;
use syrinx_plugin_api::Object;

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

/// Reads a launch.
///
/// # Errors
/// 400 that names the key at fault.
pub(crate) fn parse(mut body: Object) -> Result<LaunchSpec, ApiError> {
    body.retain(|name, value| !value.is_null() || name == "replica");
    check_type(&mut body)?;
    let model_name = text(&mut body, "model_name")?
        .ok_or_else(|| ApiError::invalid("model_name", "`model_name` is required: a name of the catalogue"))?;
    let replica = match body.remove("replica") {
        None => 1,
        Some(value) => whole(&value, 1, MOST_REPLICAS)
            .ok_or_else(|| invalid("replica", &value, &format!("a whole number from 1 to {MOST_REPLICAS}")))?,
    };
    check_devices(&mut body, replica)?;
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
    check_engine(&mut body)?;
    let spec = LaunchSpec {
        model_name,
        model_uid: text(&mut body, "model_uid")?,
        model_path: text(&mut body, "model_path")?.map(PathBuf::from),
        replica: usize::try_from(replica).unwrap_or(usize::MAX),
        request_limits: request_limits.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        download_hub,
        quantization: text(&mut body, "quantization")?.filter(|name| !name.eq_ignore_ascii_case("none")),
        model_format: text(&mut body, "model_format")?,
        options: Object::new(),
    };
    body.retain(|name, _| !WITHOUT_MEANING.contains(&name.as_str()));
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

/// Checks `n_gpu` and `gpu_idx` as Xinference does; which device is used is the plugin's option `device`.
fn check_devices(body: &mut Object, replica: u64) -> Result<(), ApiError> {
    match body.remove("n_gpu") {
        None => {}
        Some(Value::String(word)) if ["auto", "none", "null", "cpu"].contains(&word.to_ascii_lowercase().as_str()) => {}
        Some(value) if whole(&value, 0, u64::from(u32::MAX)).is_some() => {}
        Some(value) => return Err(invalid("n_gpu", &value, "\"auto\", null or a whole number")),
    }
    match body.remove("gpu_idx") {
        None => Ok(()),
        Some(value) if whole(&value, 0, u64::from(u32::MAX)).is_some() => Ok(()),
        Some(Value::Array(indices)) => {
            let all_whole = indices.iter().all(|index| whole(index, 0, u64::from(u32::MAX)).is_some());
            if all_whole && (indices.len() as u64).is_multiple_of(replica) {
                return Ok(());
            }
            let accepted = format!("whole numbers, as many as `replica` ({replica}) or a multiple of it");
            Err(invalid("gpu_idx", &Value::Array(indices), &accepted))
        }
        Some(value) => Err(invalid("gpu_idx", &value, "a whole number or a list of them")),
    }
}

/// Which runtime a model uses is its plugin's affair; engines of other machines are refused.
fn check_engine(body: &mut Object) -> Result<(), ApiError> {
    match text(body, "model_engine")? {
        Some(engine) if ["mlx", "vllm", "sglang", "llama.cpp"].contains(&engine.to_ascii_lowercase().as_str()) => {
            let message =
                format!("the engine \"{}\" can't run audio models here; leave `model_engine` out", clip(&engine));
            Err(ApiError::invalid("model_engine", message))
        }
        _ => Ok(()),
    }
}

/// Takes a text out of the body; empty means none.
fn text(body: &mut Object, name: &'static str) -> Result<Option<String>, ApiError> {
    match body.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Some(other) => Err(ApiError::invalid(name, format!("`{name}` must be text, not {}", name_of_type(&other)))),
    }
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
            "trust_remote_code": true, "lang_code": "z", "vad_kwargs": {"max_single_segment_time": 30000}, "compile": false,
        }))
        .unwrap();
        let options = json!({"lang_code": "z", "vad_kwargs": {"max_single_segment_time": 30000}, "compile": false});
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
            (json!({"model_engine": "MLX"}), "model_engine"),
            (json!({"model_path": ["x"]}), "model_path"),
        ] {
            let error = launch(body.clone()).unwrap_err();
            let rendered = serde_json::to_value(error.body()).unwrap();
            assert_eq!(rendered["error"]["param"], param, "{body}");
        }
        assert_eq!(launch(json!({"replica": "2", "gpu_idx": [0, 1], "n_gpu": null})).unwrap().replica, 2);
    }
}
