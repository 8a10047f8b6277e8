//! The catalogue's vocabularies, for models whose files have none: they are those of the published models.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syrinx_plugin_api::{Host, LoadRequest, Plugin};
use syrinx_plugin_whisper::WhisperPlugin;
use syrinx_plugin_whisper::tokenizer::Tokenizer;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

/// The asset's name in the catalogue.
const ASSET: &str = "whisper-vocabulary";

fn asset() -> PathBuf {
    let store = Store::default_location().expect("a place for the store");
    let asset = Catalogue::builtin().asset(ASSET).expect("in the catalogue");
    store.fetch_asset(&asset, &FetchOptions::default(), &Silent).expect("here, or fetched")
}

fn published(model: &str) -> PathBuf {
    let store = Store::default_location().expect("a place for the store");
    let entry = Catalogue::builtin().model(model).expect("in the catalogue");
    store.fetch(&entry, &FetchOptions::default(), &Silent).expect("here, or fetched").dir
}

#[test]
fn they_are_those_of_the_published_models() {
    for (model, size) in [("whisper-tiny.en", 51_864), ("whisper-base", 51_865)] {
        let [ours, theirs] =
            [asset(), published(model)].map(|dir| Tokenizer::load(&dir, size, None).expect("a vocabulary"));
        assert_eq!(ours.specials(), theirs.specials(), "{model}");
        assert_eq!(ours.is_multilingual(), theirs.is_multilingual(), "{model}");
        for id in 0..ours.specials().eot {
            assert_eq!(ours.bytes(id), theirs.bytes(id), "{model}, token {id}");
        }
        let text = " the quick brown fox, größer 天地 12345 they're";
        assert_eq!(ours.encode(text), theirs.encode(text), "{model}");
    }
}

#[test]
fn a_checkpoint_of_openai_loads_with_them() {
    let model_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper/models/rand-en-pt");
    let request = |assets| LoadRequest {
        model: "random".to_owned(),
        model_dir: model_dir.clone(),
        assets,
        options: Default::default(),
        threads: 1,
    };
    let load = |assets| WhisperPlugin.load(request(assets), Host::detached(Default::default()));
    let model = load(BTreeMap::from([(ASSET.to_owned(), asset())])).expect("it loads");
    assert_eq!(model.card().languages, ["en"]);
    let error = load(BTreeMap::new()).err().expect("it has no vocabulary");
    assert!(error.to_string().contains(ASSET), "{error}");
}
