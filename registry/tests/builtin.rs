//! The catalogue that comes with the program: complete, official names, everything pinned that can be.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use syrinx_registry::{Catalogue, Format, JsonMap, ModelVersion, Origin, Source};

/// Xinference 4.1.0: name, family, Hugging Face id, ModelScope id, abilities (`+x` is `text2audio_x`), multilingual, default_model_config,
/// default_transcription_config (JSON, empty: none); and Fun-CosyVoice3-0.5B.
type Official =
    (&'static str, &'static str, &'static str, Option<&'static str>, &'static str, bool, &'static str, &'static str);
#[rustfmt::skip]
const OFFICIAL: &[Official] = &[
    ("Belle-whisper-large-v3-zh", "whisper", "BELLE-2/Belle-whisper-large-v3-zh", Some("Xorbits/Belle-whisper-large-v3-zh"), "audio2text", false, r#""#, r#""#),
    ("ChatTTS", "ChatTTS", "2Noise/ChatTTS", Some("AI-ModelScope/ChatTTS"), "text2audio +zero_shot", true, r#""#, r#""#),
    ("CosyVoice-300M", "CosyVoice", "FunAudioLLM/CosyVoice-300M", Some("iic/CosyVoice-300M"), "text2audio +voice_cloning", true, r#""#, r#""#),
    ("CosyVoice-300M-Instruct", "CosyVoice", "FunAudioLLM/CosyVoice-300M-Instruct", Some("iic/CosyVoice-300M-Instruct"), "text2audio +zero_shot", true, r#""#, r#""#),
    ("CosyVoice-300M-SFT", "CosyVoice", "FunAudioLLM/CosyVoice-300M-SFT", Some("iic/CosyVoice-300M-SFT"), "text2audio +zero_shot", true, r#""#, r#""#),
    ("CosyVoice2-0.5B", "CosyVoice", "JunHowie/CosyVoice2-0.5B", Some("iic/CosyVoice2-0.5B"), "text2audio +zero_shot +voice_cloning", true, r#""#, r#""#),
    ("FishAudio-S1-mini", "FishAudio", "fishaudio/s1-mini", Some("fishaudio/s1-mini"), "text2audio +zero_shot +voice_cloning", true, r#""#, r#""#),
    ("FishAudio-S2-Pro", "FishAudio", "fishaudio/s2-pro", Some("fishaudio/s2-pro"), "text2audio +zero_shot +voice_cloning", true, r#""#, r#""#),
    ("FishSpeech-1.5", "FishAudio", "fishaudio/fish-speech-1.5", Some("fishaudio/fish-speech-1.5"), "text2audio +zero_shot +voice_cloning", true, r#""#, r#""#),
    ("Fun-ASR-MLT-Nano-2512", "funasr", "FunAudioLLM/Fun-ASR-MLT-Nano-2512", Some("FunAudioLLM/Fun-ASR-MLT-Nano-2512"), "audio2text", false, r#"{"vad_model":"fsmn-vad","vad_kwargs":{"max_single_segment_time":30000}}"#, r#"{"batch_size":1}"#),
    ("Fun-ASR-Nano-2512", "funasr", "FunAudioLLM/Fun-ASR-Nano-2512", Some("FunAudioLLM/Fun-ASR-Nano-2512"), "audio2text", false, r#"{"vad_model":"fsmn-vad","vad_kwargs":{"max_single_segment_time":30000}}"#, r#"{"batch_size":1}"#),
    ("Fun-CosyVoice3-0.5B", "CosyVoice", "FunAudioLLM/Fun-CosyVoice3-0.5B-2512", None, "text2audio +zero_shot +voice_cloning", true, r#""#, r#""#),
    ("IndexTTS-2.5", "IndexTTS2", "IndexTeam/IndexTTS-2.5", Some("IndexTeam/IndexTTS-2.5"), "text2audio +zero_shot +voice_cloning +emotion_control", true, r#""#, r#""#),
    ("IndexTTS2", "IndexTTS2", "IndexTeam/IndexTTS-2", Some("IndexTeam/IndexTTS-2"), "text2audio +zero_shot +voice_cloning +emotion_control", true, r#"{"small_models_dir":null}"#, r#""#),
    ("Kokoro-82M", "Kokoro", "hexgrad/Kokoro-82M", Some("AI-ModelScope/Kokoro-82M"), "text2audio +zero_shot", true, r#""#, r#""#),
    ("Kokoro-82M-v1.1-zh", "Kokoro-zh", "hexgrad/Kokoro-82M-v1.1-zh", Some("AI-ModelScope/Kokoro-82M-v1.1-zh"), "text2audio +zero_shot", false, r#""#, r#""#),
    ("SenseVoiceSmall", "funasr", "FunAudioLLM/SenseVoiceSmall", Some("iic/SenseVoiceSmall"), "audio2text", true, r#"{"vad_model":"fsmn-vad","vad_kwargs":{"max_single_segment_time":30000}}"#, r#"{"use_itn":true,"batch_size_s":60,"merge_vad":true,"merge_length_s":15}"#),
    ("paraformer-zh", "funasr", "funasr/paraformer-zh", Some("iic/speech_paraformer-large_asr_nat-zh-cn-16k-common-vocab8404-pytorch"), "audio2text", false, r#"{"vad_model":"fsmn-vad","punc_model":"ct-punc"}"#, r#"{"batch_size_s":300}"#),
    ("paraformer-zh-hotword", "funasr", "JunHowie/speech_paraformer-large-contextual_asr_nat-zh-cn-16k-common-vocab8404", Some("iic/speech_paraformer-large-contextual_asr_nat-zh-cn-16k-common-vocab8404"), "audio2text", false, r#"{"vad_model":"fsmn-vad","punc_model":"ct-punc"}"#, r#"{"hotword":"","batch_size_s":300}"#),
    ("paraformer-zh-long", "funasr", "JunHowie/speech_paraformer-large-vad-punc_asr_nat-zh-cn-16k-common-vocab8404-pytorch", Some("iic/speech_paraformer-large-vad-punc_asr_nat-zh-cn-16k-common-vocab8404-pytorch"), "audio2text", false, r#"{"vad_model":"fsmn-vad","punc_model":"ct-punc"}"#, r#"{"batch_size_s":300}"#),
    ("paraformer-zh-spk", "funasr", "JunHowie/speech_paraformer-large-vad-punc-spk_asr_nat-zh-cn", Some("iic/speech_paraformer-large-vad-punc-spk_asr_nat-zh-cn"), "audio2text", false, r#"{"vad_model":"fsmn-vad","punc_model":"ct-punc","spk_model":"cam++"}"#, r#"{"batch_size_s":300}"#),
    ("seaco-paraformer-zh", "funasr", "JunHowie/speech_seaco_paraformer_large_asr_nat-zh-cn-16k-common-vocab8404-pytorch", Some("iic/speech_seaco_paraformer_large_asr_nat-zh-cn-16k-common-vocab8404-pytorch"), "audio2text", false, r#"{"vad_model":"fsmn-vad","punc_model":"ct-punc"}"#, r#"{"hotword":"","batch_size_s":300}"#),
    ("whisper-base", "whisper", "openai/whisper-base", None, "audio2text", true, r#""#, r#""#),
    ("whisper-base.en", "whisper", "openai/whisper-base.en", None, "audio2text", false, r#""#, r#""#),
    ("whisper-large-v3", "whisper", "openai/whisper-large-v3", Some("AI-ModelScope/whisper-large-v3"), "audio2text", true, r#""#, r#""#),
    ("whisper-large-v3-turbo", "whisper", "openai/whisper-large-v3-turbo", Some("AI-ModelScope/whisper-large-v3-turbo"), "audio2text", true, r#""#, r#""#),
    ("whisper-medium", "whisper", "openai/whisper-medium", None, "audio2text", true, r#""#, r#""#),
    ("whisper-medium.en", "whisper", "openai/whisper-medium.en", None, "audio2text", false, r#""#, r#""#),
    ("whisper-small", "whisper", "openai/whisper-small", None, "audio2text", true, r#""#, r#""#),
    ("whisper-small.en", "whisper", "openai/whisper-small.en", None, "audio2text", false, r#""#, r#""#),
    ("whisper-tiny", "whisper", "openai/whisper-tiny", None, "audio2text", true, r#""#, r#""#),
    ("whisper-tiny.en", "whisper", "openai/whisper-tiny.en", None, "audio2text", false, r#""#, r#""#),
];

/// What is only listed: name, family, Hugging Face id, ModelScope id, abilities, multilingual, default_model_config.
type Listed =
    (&'static str, &'static str, Option<&'static str>, Option<&'static str>, &'static str, bool, &'static str);
#[rustfmt::skip]
const LISTED: &[Listed] = &[
    ("ACE-Step1.5", "ace_step_1_5", Some("ACE-Step/Ace-Step1.5"), Some("ACE-Step/Ace-Step1.5"), "text2music", true, r#"{"config_path":"acestep-v15-turbo","use_flash_attention":false,"compile_model":false,"offload_to_cpu":false,"offload_dit_to_cpu":false,"quantization":null,"use_mlx_dit":true,"vae_checkpoint":"official","lm_model_path":null,"lm_backend":"pt","lm_offload_to_cpu":false}"#),
    ("AuK", "AuK", Some("tencent/AuK"), Some("Tencent-Hunyuan/AuK"), "text2audio +voice_design +voice_cloning", true, r#""#),
    ("AuK-Flash", "AuK", Some("tencent/AuK-Flash"), Some("Tencent-Hunyuan/AuK-Flash"), "text2audio +voice_design +voice_cloning", true, r#""#),
    ("Breeze-TTS-2", "Breeze-TTS-2", Some("BreezeBlue/Breeze-TTS-2"), Some("BreezeBlue/Breeze-TTS-2"), "text2audio +voice_design +voice_cloning", true, r#""#),
    ("Confucius4-TTS", "Confucius4-TTS", Some("netease-youdao/Confucius4-TTS"), Some("netease-youdao/Confucius4-TTS"), "text2audio +zero_shot +voice_cloning", true, r#""#),
    ("F5-TTS", "F5-TTS", Some("SWivid/F5-TTS"), Some("AI-ModelScope/F5-TTS"), "text2audio +zero_shot +voice_cloning", true, r#""#),
    ("FireRedTTS3-Base", "FireRedTTS3", Some("FireRedTeam/FireRedTTS3"), Some("FireRedTeam/FireRedTTS3"), "text2audio +voice_cloning", true, r#""#),
    ("FireRedTTS3-Instruct", "FireRedTTS3", Some("FireRedTeam/FireRedTTS3"), Some("FireRedTeam/FireRedTTS3"), "text2audio +voice_design +voice_cloning", true, r#""#),
    ("Irodori-TTS-v4.1-Anime", "Irodori-TTS", Some("phasefield-audio/Irodori-TTS-v4.1-Anime"), Some("phasefield-audio/Irodori-TTS-v4.1-Anime"), "text2audio +voice_design +voice_cloning +emotion_control", false, r#""#),
    ("Irodori-TTS-v4.1-Small", "Irodori-TTS", Some("Aratako/Irodori-TTS-v4.1-Small"), Some("Aratako/Irodori-TTS-v4.1-Small"), "text2audio +voice_design +voice_cloning +emotion_control", false, r#""#),
    ("MegaTTS3", "MegaTTS", Some("ByteDance/MegaTTS3"), Some("ByteDance/MegaTTS3"), "text2audio +zero_shot", true, r#""#),
    ("MeloTTS-Chinese", "MeloTTS", Some("myshell-ai/MeloTTS-Chinese"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-English", "MeloTTS", Some("myshell-ai/MeloTTS-English"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-English-v2", "MeloTTS", Some("myshell-ai/MeloTTS-English-v2"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-English-v3", "MeloTTS", Some("myshell-ai/MeloTTS-English-v3"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-French", "MeloTTS", Some("myshell-ai/MeloTTS-French"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-Japanese", "MeloTTS", Some("myshell-ai/MeloTTS-Japanese"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-Korean", "MeloTTS", Some("myshell-ai/MeloTTS-Korean"), None, "text2audio +zero_shot", false, r#""#),
    ("MeloTTS-Spanish", "MeloTTS", Some("myshell-ai/MeloTTS-Spanish"), None, "text2audio +zero_shot", false, r#""#),
    ("Ming-3.0-tts-0.5B", "Ming-3.0-tts", Some("inclusionAI/Ming-3.0-tts-0.5B"), Some("inclusionAI/Ming-3.0-tts-0.5B"), "text2audio +zero_shot +voice_cloning +voice_design +emotion_control", true, r#""#),
    ("Ming-3.0-tts-tiny", "Ming-3.0-tts", Some("inclusionAI/Ming-3.0-tts-tiny"), Some("inclusionAI/Ming-3.0-tts-tiny"), "text2audio +zero_shot +voice_cloning +voice_design +emotion_control", true, r#""#),
    ("MiniMax-Music3", "minimax_music3", Some("MiniMaxAI/MiniMax-Music3"), Some("MiniMax/MiniMax-Music3"), "text2music", true, r#"{"torch_dtype":"bfloat16","cpu_offload":false,"group_offload":false}"#),
    ("Qwen3-ASR-0.6B", "qwen3_asr", Some("Qwen/Qwen3-ASR-0.6B"), Some("Qwen/Qwen3-ASR-0.6B"), "audio2text", true, r#"{"forced_aligner":"Qwen/Qwen3-ForcedAligner-0.6B"}"#),
    ("Qwen3-ASR-1.7B", "qwen3_asr", Some("Qwen/Qwen3-ASR-1.7B"), Some("Qwen/Qwen3-ASR-1.7B"), "audio2text", true, r#"{"forced_aligner":"Qwen/Qwen3-ForcedAligner-0.6B"}"#),
    ("Qwen3-TTS-12Hz-0.6B-Base", "qwen3_tts", Some("Qwen/Qwen3-TTS-12Hz-0.6B-Base"), Some("Qwen/Qwen3-TTS-12Hz-0.6B-Base"), "text2audio +voice_cloning", true, r#""#),
    ("Qwen3-TTS-12Hz-0.6B-CustomVoice", "qwen3_tts", Some("Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice"), Some("Qwen/Qwen3-TTS-12Hz-0.6B-CustomVoice"), "text2audio", true, r#""#),
    ("Qwen3-TTS-12Hz-1.7B-Base", "qwen3_tts", Some("Qwen/Qwen3-TTS-12Hz-1.7B-Base"), Some("Qwen/Qwen3-TTS-12Hz-1.7B-Base"), "text2audio +voice_cloning", true, r#""#),
    ("Qwen3-TTS-12Hz-1.7B-CustomVoice", "qwen3_tts", Some("Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"), Some("Qwen/Qwen3-TTS-12Hz-1.7B-CustomVoice"), "text2audio", true, r#""#),
    ("Qwen3-TTS-12Hz-1.7B-VoiceDesign", "qwen3_tts", Some("Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign"), Some("Qwen/Qwen3-TTS-12Hz-1.7B-VoiceDesign"), "text2audio +voice_design", true, r#""#),
    ("VoxCPM2", "VoxCPM", Some("openbmb/VoxCPM2"), Some("OpenBMB/VoxCPM2"), "text2audio +zero_shot +voice_cloning", true, r#""#),
    ("YuE2-3B", "yue2", Some("m-a-p/YuE2-3B"), Some("m-a-p/YuE2-3B"), "text2music", true, r#"{"backend":"torch","memory_budget_gib":24,"quantization":"none","offload_ar":false,"vae_core_frames":null,"verify_hashes":true}"#),
    ("speech_campplus_sv_zh-cn_16k-common", "campplus", None, Some("iic/speech_campplus_sv_zh-cn_16k-common"), "speaker_embedding", false, r#""#),
    ("speech_campplus_sv_zh_en_16k-common_advanced", "campplus", None, Some("iic/speech_campplus_sv_zh_en_16k-common_advanced"), "speaker_embedding", true, r#""#),
];

fn all_sources(catalogue: &Catalogue) -> Vec<(String, Source)> {
    let models =
        catalogue.models().flat_map(|entry| entry.sources.iter().map(|source| (entry.name.clone(), source.clone())));
    let assets =
        catalogue.assets().flat_map(|entry| entry.sources.iter().map(|source| (entry.name.clone(), source.clone())));
    let runtimes = catalogue.runtimes().flat_map(|entry| {
        let sources = entry.builds.iter().flat_map(|build| &build.sources);
        sources.map(|source| (entry.name.clone(), source.clone()))
    });
    models.chain(assets).chain(runtimes).collect()
}

#[test]
fn the_official_models_are_there_under_their_official_names() {
    let catalogue = Catalogue::builtin();
    let names: BTreeSet<&str> = catalogue.models().map(|model| model.name.as_str()).collect();
    let official = OFFICIAL.iter().map(|(name, ..)| *name).chain(LISTED.iter().map(|(name, ..)| *name));
    assert_eq!(names, official.collect());
    let json = |map: &Option<JsonMap>| map.clone().map_or(Value::Null, Value::Object);
    let parsed = |text: &str| if text.is_empty() { Value::Null } else { serde_json::from_str(text).unwrap() };
    for (name, family, huggingface, modelscope, abilities, multilingual, launch, transcription) in OFFICIAL {
        let model = catalogue.model(name).unwrap();
        assert_eq!(model.family, *family, "{name}");
        assert_eq!(model.huggingface.as_ref().map(|hub| hub.id.as_str()), Some(*huggingface), "{name}");
        assert_eq!(model.modelscope.as_ref().map(|hub| hub.id.as_str()), *modelscope, "{name}");
        assert_eq!(model.multilingual, *multilingual, "{name}");
        let wanted: Vec<String> = abilities.split(' ').map(|word| word.replace('+', "text2audio_")).collect();
        assert_eq!(model.abilities.iter().map(|ability| ability.as_str()).collect::<Vec<_>>(), wanted, "{name}");
        assert_eq!(json(&model.default_model_config), parsed(launch), "{name}");
        assert_eq!(json(&model.default_transcription_config), parsed(transcription), "{name}");
        assert!(model.builtin && !model.sources.is_empty() && !model.languages.is_empty(), "{name}");
    }
    for (name, family, huggingface, modelscope, abilities, multilingual, launch) in LISTED {
        let model = catalogue.model(name).unwrap();
        assert_eq!((model.family.as_str(), model.multilingual), (*family, *multilingual), "{name}");
        assert_eq!(model.huggingface.as_ref().map(|hub| hub.id.as_str()), *huggingface, "{name}");
        assert_eq!(model.modelscope.as_ref().map(|hub| hub.id.as_str()), *modelscope, "{name}");
        let wanted: Vec<String> = abilities.split(' ').map(|word| word.replace('+', "text2audio_")).collect();
        assert_eq!(model.abilities.iter().map(|ability| ability.as_str()).collect::<Vec<_>>(), wanted, "{name}");
        assert_eq!(json(&model.default_model_config), parsed(launch), "{name}");
        assert!(model.builtin && model.sources.is_empty(), "{name}");
    }
}

#[test]
fn retired_names_resolve() {
    let catalogue = Catalogue::builtin();
    for (retired, name) in [
        ("whisper-tiny-mlx", "whisper-tiny"),
        ("whisper-base.en-mlx", "whisper-base.en"),
        ("whisper-large-v3-mlx", "whisper-large-v3"),
        ("whisper-large-v3-turbo-mlx", "whisper-large-v3-turbo"),
        ("Kokoro-82M-MLX", "Kokoro-82M"),
        ("F5-TTS-MLX", "F5-TTS"),
    ] {
        assert_eq!(catalogue.model(retired).unwrap().name, name);
    }
}

#[test]
fn unknown_names_get_a_suggestion() {
    let error = Catalogue::builtin().model("wisper-large-v3-turb").unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no model `wisper-large-v3-turb` in the catalogue; did you mean `whisper-large-v3-turbo`?"
    );
    let error = Catalogue::builtin().model("gpt-4").unwrap_err();
    assert_eq!(error.to_string(), "there is no model `gpt-4` in the catalogue");
    assert!(Catalogue::builtin().runtime("onxruntime").unwrap_err().to_string().contains("`onnxruntime`"));
}

#[test]
fn small_packages_come_first_where_there_are_any() {
    let catalogue = Catalogue::builtin();
    for name in ["whisper-tiny.en", "whisper-base", "Kokoro-82M"] {
        assert_eq!(catalogue.model(name).unwrap().sources[0].id, "wheel", "{name}");
    }
    for name in ["whisper-tiny", "whisper-large-v3-turbo", "Belle-whisper-large-v3-zh"] {
        assert_eq!(catalogue.model(name).unwrap().sources[0].id, "hf", "{name}");
    }
}

#[test]
fn packages_and_their_large_files_are_pinned() {
    for (name, source) in all_sources(&Catalogue::builtin()) {
        for item in &source.items {
            let (Origin::Wheel(package) | Origin::Sdist(package) | Origin::Npm(package)) = &item.origin else {
                continue;
            };
            assert!(package.size.is_some(), "{name}: size of {}", package.name);
            for rule in &item.files {
                // Licences and the like are covered by the digest of the package alone.
                let small = ["LICENSE", "LICENSES_SOURCES", "config.cfg", "cfg", "patterns"];
                let is_small = small.contains(&rule.to.rsplit('/').next().unwrap());
                assert!(rule.sha256.is_some() || is_small, "{name}: digest of {}", rule.from);
            }
        }
    }
}

#[test]
fn fingerprints_differ_and_do_not_depend_on_the_name_of_the_source() {
    let mut seen = BTreeSet::new();
    for (name, source) in all_sources(&Catalogue::builtin()) {
        assert!(seen.insert(source.fingerprint()), "{name} {}", source.id);
        let renamed = Source { id: "other".to_owned(), ..source.clone() };
        assert_eq!(renamed.fingerprint(), source.fingerprint());
        let version = source.version(&name);
        assert_eq!(ModelVersion::parse(&version.to_string()), Some(version));
    }
    for bad in ["", "whisper-base", "--0123456789abcdef", "x--0123", "x--0123456789abcdeg", "x--0123456789ABCDEé"] {
        assert_eq!(ModelVersion::parse(bad), None, "{bad}");
    }
}

/// How a source of Kokoro brings the voices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Voices {
    /// So many files, each with its digest.
    Files(usize),
    /// Torch files by a pattern: the repository says which there are.
    TorchFiles,
    /// All in one archive of kokoro-onnx.
    Archive(&'static str),
}

#[rustfmt::skip]
const KOKORO_VOICES: &[(&str, &[(&str, Voices)])] = &[
    ("Kokoro-82M", &[
        ("wheel", Voices::Files(54)),
        ("hf", Voices::Files(54)),
        ("hf-fp16", Voices::Files(54)),
        ("hf-q8", Voices::Files(54)),
        ("hf-q8f16", Voices::Files(54)),
        ("hf-q4", Voices::Files(54)),
        ("hf-q4f16", Voices::Files(54)),
        ("hf-uint8", Voices::Files(54)),
        ("hf-uint8f16", Voices::Files(54)),
        ("hf-pytorch", Voices::TorchFiles),
        ("modelscope", Voices::TorchFiles),
        ("url", Voices::Archive("voices-v1.0.bin")),
        ("url-fp16", Voices::Archive("voices-v1.0.bin")),
        ("url-int8", Voices::Archive("voices-v1.0.bin")),
    ]),
    ("Kokoro-82M-v1.1-zh", &[
        ("url", Voices::Archive("voices-v1.1-zh.bin")),
        ("url-fp16", Voices::Archive("voices-v1.1-zh.bin")),
        ("url-int8", Voices::Archive("voices-v1.1-zh.bin")),
        ("hf", Voices::TorchFiles),
        ("modelscope", Voices::TorchFiles),
    ]),
];

fn voices_of(source: &Source) -> Vec<Voices> {
    let rules: Vec<_> = source.items.iter().flat_map(|item| &item.files).collect();
    let alone = rules.iter().filter(|rule| rule.to.starts_with("voices/") && !rule.is_pattern());
    assert!(alone.clone().all(|rule| rule.sha256.is_some()), "{}: a voice without a digest", source.id);
    let files = Some(alone.count()).filter(|count| *count > 0).map(Voices::Files);
    let pattern = rules.iter().any(|rule| rule.from == "voices/*.pt").then_some(Voices::TorchFiles);
    let archives = ["voices-v1.0.bin", "voices-v1.1-zh.bin"];
    let archive = archives.into_iter().find(|name| rules.iter().any(|rule| rule.to == *name)).map(Voices::Archive);
    files.into_iter().chain(pattern).chain(archive).collect()
}

#[test]
fn every_source_of_kokoro_brings_its_voices() {
    let catalogue = Catalogue::builtin();
    for (name, expected) in KOKORO_VOICES {
        let model = catalogue.model(name).unwrap();
        let ids: Vec<&str> = model.sources.iter().map(|source| source.id.as_str()).collect();
        assert_eq!(ids, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "{name}");
        for (source, (id, voices)) in model.sources.iter().zip(*expected) {
            assert_eq!(voices_of(source), [*voices], "{name} {id}");
        }
    }
}

#[test]
fn kokoro_has_its_models_and_shared_assets() {
    let catalogue = Catalogue::builtin();
    let kokoro = catalogue.model("Kokoro-82M").unwrap();
    for source in &kokoro.sources {
        assert!(!source.file_names().iter().any(|name| name.contains(".part")), "{}", source.id);
    }
    assert!(kokoro.sources[0].file_names().contains(&"kokoro-v1.0.int8.onnx".to_owned()));
    let assets: Vec<&str> = kokoro.assets.iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(assets, ["misaki", "spacy-en", "jieba", "pypinyin", "unidic-lite"]);
    assert_eq!(kokoro.runtimes, ["onnxruntime"]);
    assert_eq!(kokoro.quantizations()[..2], ["int8", "fp32"]);
    assert_eq!(catalogue.model("Kokoro-82M-v1.1-zh").unwrap().launch_options()["lang_code"], "z");
}

#[test]
fn whisper_knows_its_languages_and_formats() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.model("whisper-tiny").unwrap().languages.len(), 99);
    assert_eq!(catalogue.model("whisper-large-v3").unwrap().languages.len(), 100);
    assert_eq!(catalogue.model("whisper-small.en").unwrap().languages, ["en"]);
    let base = catalogue.model("whisper-base").unwrap();
    let formats: Vec<Option<Format>> = base.sources.iter().map(|source| source.format).collect();
    assert_eq!(formats, [Some(Format::CTranslate2), Some(Format::Safetensors)]);
    let belle = catalogue.model("Belle-whisper-large-v3-zh").unwrap();
    assert!(belle.sources[0].file_names().contains(&"pytorch_model.bin".to_owned()));
    assert!(belle.sources[0].revision().unwrap().starts_with("3bebc724"));
}

#[test]
fn onnx_runtime_has_a_build_for_the_usual_machines() {
    let runtime = Catalogue::builtin().runtime("onnxruntime").unwrap();
    let builds: Vec<(&str, &str)> =
        runtime.builds.iter().map(|build| (build.os.as_str(), build.arch.as_str())).collect();
    assert_eq!(builds, [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "aarch64"), ("windows", "x86_64")]);
    assert_eq!(runtime.env, ["SYRINX_ONNXRUNTIME", "ORT_DYLIB_PATH"]);
}

#[test]
fn libtorch_brings_all_its_libraries() {
    let catalogue = Catalogue::builtin();
    let runtime = catalogue.runtime("libtorch").unwrap();
    let builds: Vec<(&str, &str)> =
        runtime.builds.iter().map(|build| (build.os.as_str(), build.arch.as_str())).collect();
    assert_eq!(builds, [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "aarch64")]);
    for build in &runtime.builds {
        let names = build.sources[0].file_names();
        assert!(names.contains(&build.library) && names.iter().all(|name| name.starts_with("lib/")), "{names:?}");
    }
    assert_eq!(catalogue.model("ChatTTS").unwrap().runtimes, ["libtorch"]);
}

#[test]
fn companions_follow_the_launch_options() {
    let catalogue = Catalogue::builtin();
    let assets = |model: &str, changes: Value| -> Vec<String> {
        let entry = catalogue.model(model).expect("listed");
        let mut options = entry.launch_options();
        options.extend(changes.as_object().cloned().unwrap_or_default());
        let entry = catalogue.with_companions(&entry, &options);
        entry.assets.iter().map(|asset| asset.name.clone()).collect()
    };
    assert_eq!(assets("paraformer-zh-long", json!({})), ["fsmn-vad", "ct-punc"]);
    assert_eq!(assets("paraformer-zh-long", json!({"spk_model": "cam++"})), ["fsmn-vad", "ct-punc", "cam++"]);
    assert_eq!(assets("paraformer-zh-long", json!({"vad_model": "/models/vad", "punc_model": null})), [""; 0]);
    assert_eq!(
        assets("paraformer-zh-long", json!({"device": "fsmn-vad", "spk_model": "no asset"})),
        ["fsmn-vad", "ct-punc"]
    );
    // No launch option stands for these.
    assert_eq!(assets("whisper-base", json!({"vad_model": "/models/silero.onnx"})), ["silero-vad"]);
}
