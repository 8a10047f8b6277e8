//! `syrinx launch`.

use super::{
    Endpoint, Failure, Outcome,
    client::{self, Client, encoded},
    screen,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    io::{self, IsTerminal as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Time between two looks at a launch.
const GLANCE: Duration = Duration::from_millis(300);

/// Launches a model and waits until it serves. Every further `--key value` goes to the model's plugin as a launch option.
#[derive(Debug, Args)]
#[command(override_usage = "syrinx launch [OPTIONS] MODEL [--KEY VALUE]...")]
pub(super) struct Launch {
    /// Catalogue name, see `syrinx models`
    #[arg(long, short = 'n')]
    model_name: Option<String>,
    /// Catalogue name, for those who type little
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Name to serve under [default: the model's name]
    #[arg(long, short = 'u')]
    model_uid: Option<String>,
    /// Always audio here
    #[arg(long, short = 't', default_value = "audio")]
    model_type: String,
    /// Copies to load
    #[arg(long, short = 'r', default_value_t = 1)]
    replica: u32,
    /// Pick a quantization that the catalogue offers
    #[arg(long, short = 'q')]
    quantization: Option<String>,
    /// Directory with the model's files, instead of downloading (also -mp)
    #[arg(long)]
    model_path: Option<String>,
    /// Return at once instead of waiting
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    xinference: Xinference,
    /// Launch options of the plugin, as `--key value`, anywhere among the others
    #[arg(last = true, allow_hyphen_values = true, value_name = "--KEY VALUE")]
    options: Vec<String>,
}

/// What Xinference's command line has besides; sent as it is there, and mostly without a meaning here.
#[derive(Debug, Args)]
struct Xinference {
    /// Engine (also -en); plugins choose their own
    #[arg(long, hide_short_help = true)]
    model_engine: Option<String>,
    /// Without a meaning for audio
    #[arg(long, short = 's', alias = "model-size-in-billions", hide = true)]
    size_in_billions: Option<String>,
    /// Pick files of a format that the catalogue offers
    #[arg(long, short = 'f', hide_short_help = true)]
    model_format: Option<String>,
    /// Without a meaning in one process
    #[arg(long, default_value_t = 1, hide = true)]
    n_worker: u32,
    /// auto, none, or a count; see also the plugins' option --device
    #[arg(long, default_value = "auto", hide_short_help = true)]
    n_gpu: String,
    /// Indices of GPUs, such as 0,1
    #[arg(long, hide_short_help = true)]
    gpu_idx: Option<String>,
    #[arg(long, hide = true)]
    worker_ip: Option<String>,
    #[arg(long, hide = true)]
    replica_config: Option<String>,
    /// Nothing here executes code of a model
    #[arg(long, default_value = "true", value_name = "BOOL", hide = true)]
    trust_remote_code: String,
    #[arg(long, hide = true)]
    enable_thinking: bool,
    #[arg(long, overrides_with = "disable_virtual_env", hide = true)]
    enable_virtual_env: bool,
    #[arg(long, hide = true)]
    disable_virtual_env: bool,
    #[arg(long, hide = true)]
    virtual_env_package: Vec<String>,
    #[arg(long, hide = true)]
    virtual_env_find_link: Vec<String>,
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], allow_hyphen_values = true, hide = true)]
    env: Vec<String>,
    #[command(flatten)]
    _ignored: Ignored,
}

/// For models of other kinds; accepted, so that scripts go on working.
#[derive(Debug, Args)]
struct Ignored {
    #[arg(long, num_args = 2, value_names = ["NAME", "PATH"], allow_hyphen_values = true, hide = true)]
    lora_modules: Vec<String>,
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], allow_hyphen_values = true, hide = true)]
    image_lora_load_kwargs: Vec<String>,
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], allow_hyphen_values = true, hide = true)]
    image_lora_fuse_kwargs: Vec<String>,
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"], allow_hyphen_values = true, hide = true)]
    quantization_config: Vec<String>,
}

impl Launch {
    pub(super) fn run(self) -> Outcome {
        let client = Client::new(&self.endpoint);
        let body = self.body()?;
        let response = client.post_json("/v1/models?wait_ready=false", &Value::Object(body))?;
        let uid = client::json(response)?["model_uid"]
            .as_str()
            .map(ToOwned::to_owned)
            .ok_or_else(|| Failure::new("the server didn't say under which uid the model runs"))?;
        if !self.no_wait {
            wait(&client, &uid)?;
        }
        screen::line(format!("Model uid: {uid}"));
        Ok(())
    }

    /// The request.
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let name = self
            .model_name
            .as_ref()
            .or(self.model.as_ref())
            .ok_or_else(|| Failure::new("which model? Say --model-name NAME; `syrinx models` lists them"))?;
        let Xinference { model_engine, model_format, n_worker, worker_ip, .. } = &self.xinference;
        let body = json!({
            "model_name": name,
            "model_type": self.model_type,
            "model_uid": self.model_uid,
            "model_engine": model_engine,
            "model_size_in_billions": self.xinference.size(),
            "model_format": model_format,
            "quantization": self.quantization,
            "replica": self.replica,
            "replica_config": self.xinference.replica_config()?,
            "n_worker": n_worker,
            "n_gpu": self.xinference.n_gpu()?,
            "gpu_idx": self.xinference.gpu_idx()?,
            "worker_ip": worker_ip,
            "model_path": self.model_path,
            "trust_remote_code": self.xinference.trust()?,
            "enable_thinking": self.xinference.enable_thinking,
            "enable_virtual_env": self.xinference.virtual_env(),
            "virtual_env_packages": some_of(&self.xinference.virtual_env_package),
            "virtual_env_find_links": some_of(&self.xinference.virtual_env_find_link),
            "envs": self.xinference.envs(),
        });
        let Value::Object(mut body) = body else { return Ok(Map::new()) };
        let mut options = parse_options(&self.options)?;
        // This command decides itself how it waits.
        options.remove("wait_ready");
        body.extend(options);
        Ok(body)
    }
}

impl Xinference {
    /// A number, or a text such as `1_8`.
    fn size(&self) -> Option<Value> {
        let text = self.size_in_billions.as_ref()?;
        Some(text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number)))
    }

    fn n_gpu(&self) -> Result<Value, Failure> {
        match self.n_gpu.to_ascii_lowercase().as_str() {
            "auto" => Ok(json!("auto")),
            "none" => Ok(Value::Null),
            count => match count.parse::<u32>() {
                Ok(count) => Ok(json!(count)),
                Err(_) => Err(Failure::new(format!("--n-gpu is `{}`, but must be auto, none or a count", self.n_gpu))),
            },
        }
    }

    fn gpu_idx(&self) -> Result<Option<Vec<u32>>, Failure> {
        let indices =
            |text: &String| text.split(',').map(|index| index.trim().parse::<u32>()).collect::<Result<_, _>>();
        self.gpu_idx.as_ref().map(indices).transpose().map_err(|_| {
            let given = self.gpu_idx.as_deref().unwrap_or_default();
            Failure::new(format!("--gpu-idx is `{given}`, but must be indices with commas between, such as 0,1"))
        })
    }

    fn replica_config(&self) -> Result<Option<Value>, Failure> {
        let Some(text) = &self.replica_config else { return Ok(None) };
        match serde_json::from_str::<Value>(text) {
            Ok(list @ Value::Array(_)) => Ok(Some(list)),
            _ => Err(Failure::new("--replica-config must be a JSON array")),
        }
    }

    fn trust(&self) -> Result<bool, Failure> {
        match self.trust_remote_code.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(true),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(false),
            given => Err(Failure::new(format!("--trust-remote-code is `{given}`, but must be true or false"))),
        }
    }

    fn virtual_env(&self) -> Option<bool> {
        (self.enable_virtual_env || self.disable_virtual_env).then_some(self.enable_virtual_env)
    }

    fn envs(&self) -> Option<Map<String, Value>> {
        let pairs = self.env.chunks_exact(2).map(|pair| (pair[0].clone(), json!(pair[1])));
        (!self.env.is_empty()).then(|| pairs.collect())
    }
}

fn some_of(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

/// Shows the progress of a launch until it is over.
fn wait(client: &Client, uid: &str) -> Outcome {
    let mut progress = Progress::new(uid);
    let interrupted = interrupts();
    loop {
        if interrupted.swap(false, Ordering::Relaxed) {
            progress.end();
            return give_up(client, uid);
        }
        let instances = client.get(&format!("/v1/models/instances?model_uid={}", encoded(uid)))?;
        let instance = instances.get(0).cloned().unwrap_or_default();
        match instance["status"].as_str().unwrap_or_default() {
            "READY" => {
                progress.show(1.0, "ready");
                progress.end();
                return Ok(());
            }
            "UNLOADED" => {
                progress.show(1.0, "will be loaded by the first request");
                progress.end();
                return Ok(());
            }
            "ERROR" => {
                progress.end();
                let message = instance["replica_statuses"][0]["error_message"].as_str().unwrap_or("the launch failed");
                return Err(Failure::new(message));
            }
            "" | "TERMINATING" | "TERMINATED" => {
                progress.end();
                return Err(Failure::new(format!("`{uid}` was terminated before it became ready")));
            }
            _ => {}
        }
        let now = client.get(&format!("/v1/models/{}/progress", encoded(uid)))?;
        // All of it only when it is ready.
        progress.show(now["progress"].as_f64().unwrap_or(0.0).min(0.999), now["stage"].as_str().unwrap_or_default());
        thread::sleep(GLANCE);
    }
}

/// Becomes true with Ctrl-C.
fn interrupts() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    interrupted
}

/// The launch goes on by itself; whoever sits in front of it can have it stopped.
fn give_up(client: &Client, uid: &str) -> Outcome {
    if io::stdin().is_terminal() && screen::agreed("Cancel the launch? [y/N]: ")? {
        client.post_json(&format!("/v1/models/{}/cancel", encoded(uid)), &Value::Null)?;
        return Err(Failure::new(format!("the launch of `{uid}` was cancelled")));
    }
    Err(Failure::new(format!("interrupted; the launch of `{uid}` goes on, see `syrinx list`")))
}

/// A bar on a terminal, else a line for each change; both on standard error.
struct Progress {
    bar: Option<ProgressBar>,
    uid: String,
    /// In thousandths, and never falling.
    shown: Option<u64>,
    stage: String,
}

impl Progress {
    /// What the bar counts in.
    const WHOLE: u64 = 1000;

    fn new(uid: &str) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(Self::WHOLE);
            if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {percent}% {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(uid.to_owned());
            bar
        });
        Self { bar, uid: uid.to_owned(), shown: None, stage: String::new() }
    }

    fn show(&mut self, fraction: f64, stage: &str) {
        let now = (fraction.clamp(0.0, 1.0) * Self::WHOLE as f64) as u64;
        let now = now.max(self.shown.unwrap_or(0));
        if self.shown == Some(now) && self.stage == stage {
            return;
        }
        self.shown = Some(now);
        stage.clone_into(&mut self.stage);
        match &self.bar {
            Some(bar) => {
                bar.set_position(now);
                bar.set_message(stage.to_owned());
            }
            None => eprintln!("Launching {}: {:.1}% {stage}", self.uid, now as f64 * 100.0 / Self::WHOLE as f64),
        }
    }

    /// Leaves the bar where it is.
    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

/// `--key value` pairs; a key with no value after it is true.
fn parse_options(words: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut options = Map::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let key = word.strip_prefix("--").filter(|key| !key.is_empty()).ok_or_else(|| {
            Failure::new(format!("`{word}` is not an option: launch options are written `--key value`"))
        })?;
        let (key, value) = match key.split_once('=') {
            Some((key, value)) => (key, parse_value(value)),
            None => match words.next_if(|next| !next.starts_with("--")) {
                Some(value) => (key, parse_value(value)),
                None => (key, Value::Bool(true)),
            },
        };
        options.insert(key.replace('-', "_"), value);
    }
    Ok(options)
}

/// Python's words, numbers and JSON mean what they say; everything else is a text.
pub(super) fn parse_value(text: &str) -> Value {
    match text {
        "None" | "none" | "null" => return Value::Null,
        "True" | "true" => return Value::Bool(true),
        "False" | "false" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(number) = text.parse::<i64>() {
        return json!(number);
    }
    // Rust's spelling of numbers is JSON's and more (`.5`, `1.`, `+2`); JSON has neither NaN nor infinity.
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
    if let Some(number) = text.parse::<f64>().ok().filter(|number| is_number && number.is_finite()) {
        return json!(number);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    /// The request of a command line; words are separated by one blank.
    fn body(line: &str) -> Result<Value, String> {
        let words = std::iter::once("launch").chain(line.split(' ').filter(|word| !word.is_empty()));
        match Cli::of(std::iter::once("syrinx").chain(words).map(Into::into))
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Launch(launch) => launch.body().map(Value::Object).map_err(|error| error.to_string()),
            other => Err(format!("{other:?}")),
        }
    }

    /// What is always sent.
    fn whole(different: Value) -> Value {
        let mut whole = json!({
            "model_name": "m", "model_type": "audio", "model_uid": null, "model_engine": null,
            "model_size_in_billions": null, "model_format": null, "quantization": null, "replica": 1,
            "replica_config": null, "n_worker": 1, "n_gpu": "auto", "gpu_idx": null, "worker_ip": null,
            "model_path": null, "trust_remote_code": true, "enable_thinking": false, "enable_virtual_env": null,
            "virtual_env_packages": null, "virtual_env_find_links": null, "envs": null,
        });
        whole.as_object_mut().unwrap().extend(different.as_object().unwrap().clone());
        whole
    }

    #[test]
    fn command_lines_become_requests() {
        for (line, different) in [
            ("m", json!({})),
            ("--model-name m", json!({})),
            ("--model-name m --model-type audio", json!({})),
            ("-n m -t audio -u x", json!({"model_uid": "x"})),
            ("-nm -u=x", json!({"model_uid": "x"})),
            ("-n m -t LLM", json!({"model_type": "LLM"})),
            ("-n m --model_uid x --model_path /dir", json!({"model_uid": "x", "model_path": "/dir"})),
            ("-n m -mp /dir", json!({"model_path": "/dir"})),
            (
                "-n m -en transformers -f pytorch -q int8",
                json!({"model_engine": "transformers", "model_format": "pytorch", "quantization": "int8"}),
            ),
            ("-n m -s 7", json!({"model_size_in_billions": 7})),
            ("-n m --size-in-billions 1_8", json!({"model_size_in_billions": "1_8"})),
            ("-n m -r 2 --n-worker 1 --n-gpu none", json!({"replica": 2, "n_gpu": null})),
            ("-n m --n-gpu None", json!({"n_gpu": null})),
            ("-n m --n-gpu 1 --gpu-idx 1,2", json!({"n_gpu": 1, "gpu_idx": [1, 2]})),
            ("-n m --worker-ip 10.0.0.1", json!({"worker_ip": "10.0.0.1"})),
            ("-n m --trust-remote-code False", json!({"trust_remote_code": false})),
            ("-n m --enable-virtual-env", json!({"enable_virtual_env": true})),
            ("-n m --disable-virtual-env", json!({"enable_virtual_env": false})),
            ("-n m -vp torch -vp numpy==2", json!({"virtual_env_packages": ["torch", "numpy==2"]})),
            ("-n m -ev A 1 -ev B -2", json!({"envs": {"A": "1", "B": "-2"}})),
            ("-n m -lm a /a -ld k v -fd k v -qc k v --enable-thinking", json!({"enable_thinking": true})),
            ("-n m -e http://127.0.0.1:1 -ak key", json!({})),
            // The user's document.
            ("--model-name m --model-type audio --lang_code z", json!({"lang_code": "z"})),
            ("--model-name m --model-type audio --small_models_dir /dir", json!({"small_models_dir": "/dir"})),
            (
                "--model-name m --spk_model cam++ --vad_model /dir/fsmn",
                json!({"spk_model": "cam++", "vad_model": "/dir/fsmn"}),
            ),
            ("--compile True --model-name m --device cpu -t audio", json!({"compile": true, "device": "cpu"})),
            ("--download_hub modelscope -n m", json!({"download_hub": "modelscope"})),
            // Values.
            ("m --a None --b true --c False", json!({"a": null, "b": true, "c": false})),
            (
                "m --a 3 --b -3 --c 0.5 --d 1e-3 --e +2 --f 1_000",
                json!({"a": 3, "b": -3, "c": 0.5, "d": 0.001, "e": 2, "f": "1_000"}),
            ),
            (
                "m --a {\"b\":[1,null]} --c [1,2] --d {broken",
                json!({"a": {"b": [1, null]}, "c": [1, 2], "d": "{broken"}),
            ),
            ("m --a nan --b inf --c \"quoted\" --d 007", json!({"a": "nan", "b": "inf", "c": "\"quoted\"", "d": 7})),
            ("m --compile --x=1.5 --long-name y", json!({"compile": true, "x": 1.5, "long_name": "y"})),
            ("m --request_limits 4 --wait_ready true", json!({"request_limits": 4})),
        ] {
            assert_eq!(body(line), Ok(whole(different)), "{line}");
        }
    }

    #[test]
    fn command_lines_are_refused() {
        for (line, part) in [
            ("", "which model?"),
            ("m stray", "`stray` is not an option"),
            ("-n m stray", "`stray` is not an option"),
            ("stray -n m --a 1", "`stray` is not an option"),
            ("m --a 1 2", "`2` is not an option"),
            ("m -r none", "invalid value 'none'"),
            ("m --n-gpu many", "--n-gpu is `many`"),
            ("m --gpu-idx a", "--gpu-idx is `a`"),
            ("m --trust-remote-code perhaps", "--trust-remote-code is `perhaps`"),
            ("m --replica-config {}", "JSON array"),
            ("m -x 1", "unexpected argument '-x'"),
        ] {
            let refusal = body(line).expect_err(line);
            assert!(refusal.contains(part), "{line}: {refusal}");
        }
    }
}
