//! Servers with FunASR's models, and what is asked of them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use syrinx_tests::{
    http,
    server::{Server, Settings, real_plugins},
    sound::Sound,
    workspace,
};
use tempfile::TempDir;

use crate::{
    made::{self, Made},
    table::{MODELS, Row},
};

/// Samples per second of everything here.
pub(crate) const SAMPLE_RATE: u32 = 16_000;

pub(crate) fn kit(path: &str) -> PathBuf {
    workspace::root().join("tests/kits/funasr").join(path)
}

/// The kit that the environment names, which has more than what is in the project.
fn whole_kit() -> Option<PathBuf> {
    std::env::var_os("SYRINX_KITS").map(|kits| PathBuf::from(kits).join("funasr"))
}

/// What the reference says in a case; none where there is no kit with that case.
pub(crate) fn expected(case: &str) -> Option<Value> {
    let name = format!("cases/{case}.json");
    let paths = [Some(kit(&name)), whole_kit().map(|kit| kit.join(&name))];
    let text = paths.into_iter().flatten().find_map(|path| fs::read_to_string(path).ok())?;
    Some(serde_json::from_str::<Value>(&text).expect("JSON")["expect"].clone())
}

/// The clips that the kit's recognisers were made for: 29.7 s.
pub(crate) fn clips() -> Vec<f32> {
    Sound::open(&kit("audio/long_mix.wav")).expect("16-bit mono").samples
}

/// Files that vanish with the test program.
fn scratch() -> &'static TempDir {
    static SCRATCH: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a temporary directory"));
    &SCRATCH
}

/// A file of the tests' own.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = scratch().path().join(name);
    fs::create_dir_all(path.parent().expect("it lies in the directory")).expect("a temporary directory");
    fs::write(&path, content).expect("a test's file");
    path
}

/// The directory of a recogniser: of the kit, or `contextual` and `seaco`, which are made of one of the kit's. A whole kit has a trained SeACo model.
pub(crate) fn files(name: &str) -> PathBuf {
    fn made(kind: Made) -> PathBuf {
        let directory = scratch().path().join(format!("{kind:?}"));
        fs::create_dir_all(&directory).expect("a temporary directory");
        made::make(kind, &kit("models/paraformer-long-tiny"), &directory);
        directory
    }
    static CONTEXTUAL: LazyLock<PathBuf> = LazyLock::new(|| made(Made::Contextual));
    static SEACO: LazyLock<PathBuf> = LazyLock::new(|| {
        let trained = whole_kit().map(|kit| kit.join("models/seaco-tiny")).filter(|directory| directory.is_dir());
        trained.unwrap_or_else(|| made(Made::Seaco))
    });
    match name {
        "contextual" => CONTEXTUAL.clone(),
        "seaco" => SEACO.clone(),
        _ => kit("models").join(name),
    }
}

/// The server that all tests share, with every model of the table as the catalogue has it. The released companions are on no package index: the
/// kit's stand for them.
pub(crate) fn server() -> &'static Server {
    static SERVER: LazyLock<Server> = LazyLock::new(|| {
        let companion = |(name, files): (&str, &str)| {
            let path = kit("models").join(files);
            format!(
                "[[asset]]\nname = \"{name}\"\n[[asset.source]]\nid = \"path\"\n[[asset.source.item]]\npath = {path:?}\nfiles = [\"*\"]\n"
            )
        };
        let companions = [("ct-punc", "punc-tiny"), ("cam++", "campplus-tiny")].map(companion).concat();
        let file = file("catalogue/companions.toml", &format!("schema = 1\n{companions}"));
        let server = Server::start(Settings {
            plugins: vec![real_plugins()],
            catalogues: file.parent().map(Path::to_owned).into_iter().collect(),
            own_store: true,
            ..Settings::default()
        });
        for row in MODELS {
            server.launch(&launch_of(row, row.model, &json!({})));
        }
        server
    });
    &SERVER
}

/// A launch of a row's model under the name `uid`, with options.
pub(crate) fn launch_of(row: &Row, uid: &str, options: &Value) -> Value {
    let mut launch = json!({"model_name": row.model, "model_uid": uid, "model_path": files(row.files)});
    launch.as_object_mut().expect("it is one").extend(options.as_object().expect("an object").clone());
    launch
}

/// A running model.
pub(crate) struct Running<'a> {
    pub(crate) server: &'a Server,
    pub(crate) uid: String,
}

/// A row's model as the catalogue has it.
pub(crate) fn running(row: &Row) -> Running<'static> {
    Running { server: server(), uid: row.model.to_owned() }
}

/// A row's model, launched with options for this test.
pub(crate) fn launched(row: &Row, purpose: &str, options: Value) -> Running<'static> {
    let uid = format!("{}-{purpose}", row.model);
    server().launch(&launch_of(row, &uid, &options));
    Running { server: server(), uid }
}

/// The field that the refusal of a launch blames, and its text.
pub(crate) fn refused_launch(row: &Row, options: &Value) -> (String, String) {
    // Tests of one program may do so at the same time.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let uid = format!("refused-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut launch = launch_of(row, &uid, options);
    launch["model_type"] = json!("audio");
    refusal(&http::post(&server().url("/v1/models")).json(&launch).run(), &options.to_string())
}

fn refusal(response: &http::Response, what: &str) -> (String, String) {
    assert_eq!(response.status, 400, "{what}: {}", response.text());
    (response.blamed().unwrap_or_default(), response.error())
}

impl Running<'_> {
    /// Sends a recording with form fields.
    pub(crate) fn hear(&self, samples: Vec<f32>, fields: &[(&str, &str)]) -> http::Response {
        let wav = Sound { sample_rate: SAMPLE_RATE, samples }.to_wav();
        self.form(fields).file_of("file", &wav).run()
    }

    /// Sends the clips.
    pub(crate) fn answer(&self, fields: &[(&str, &str)]) -> http::Response {
        self.form(fields).file("file", &kit("audio/long_mix.wav")).run()
    }

    /// A form without its recording.
    pub(crate) fn form(&self, fields: &[(&str, &str)]) -> http::Request {
        let request = http::post(&self.server.url("/v1/audio/transcriptions")).field("model", &self.uid);
        fields.iter().fold(request, |request, (name, value)| request.field(name, value))
    }

    /// What it says of the clips, in a format that is JSON.
    pub(crate) fn document(&self, format: &str, fields: &[(&str, &str)]) -> Value {
        let fields = [&[("response_format", format)], fields].concat();
        let response = self.answer(&fields);
        assert_eq!(response.status, 200, "{} {fields:?}: {}", self.uid, response.text());
        response.json()
    }

    /// All that it says of the clips.
    pub(crate) fn verbose(&self, fields: &[(&str, &str)]) -> Value {
        self.document("verbose_json", fields)
    }

    /// The text of the clips.
    pub(crate) fn text(&self, fields: &[(&str, &str)]) -> String {
        self.document("json", fields)["text"].as_str().expect("a text").to_owned()
    }

    /// The field that its refusal blames, and the refusal's text.
    pub(crate) fn refused(&self, fields: &[(&str, &str)]) -> (String, String) {
        refusal(&self.answer(fields), &format!("{} {fields:?}", self.uid))
    }

    /// Whether requests to it may have this parameter.
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        let card = self.server.get(&format!("/v1/models/{}", self.uid));
        let properties = card["parameters"]["properties"].as_object().expect("a schema");
        properties.contains_key(name)
    }
}

/// The members of an array in a document.
pub(crate) fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().map_or(&[], Vec::as_slice)
}

/// Speakers of the segments of a document, those that have one.
pub(crate) fn speakers(document: &Value) -> Vec<&str> {
    list(document, "segments").iter().filter_map(|segment| segment["speaker"].as_str()).collect()
}
