"""Xinference's own Python clients against a server with Whisper base, Kokoro and the beeper (as `tone`, and as `echo`,
which clones).

usage: xinference_checks.py BASE_URL CLIP TRANSCRIPT DIRECTORY
"""

import inspect
import io
import json
import sys
import threading
import time
import wave
from dataclasses import dataclass
from pathlib import Path

from checks import check, plain, raises, run, times_in_order
from xinference_client import AsyncRESTfulClient, RESTfulClient
from xinference_client.client.restful.restful_client import RESTfulAudioModelHandle

STT, TTS, TONE, ECHO = "whisper-base", "Kokoro-82M", "tone", "echo"
SENTENCE = "Water boils at one hundred degrees."
SECONDS = 2.889  # of the clip


@dataclass
class Setting:
    url: str
    clip: Path
    said: str
    directory: Path

    @property
    def client(self) -> RESTfulClient:
        return RESTfulClient(self.url)

    @property
    def sound(self) -> bytes:
        return self.clip.read_bytes()

    def model(self, uid):
        return self.client.get_model(uid)


def seconds(wav: bytes) -> float:
    with wave.open(io.BytesIO(wav)) as sound:
        return sound.getnframes() / sound.getframerate()


# Models


@check
def constructor_with_and_without_a_key(s):
    assert not s.client._cluster_authed
    assert RESTfulClient(s.url, api_key="anything").list_models()


@check
def models_are_listed_and_described(s):
    models = s.client.list_models()
    assert {STT, TTS, TONE, ECHO} <= set(models), models
    for uid, model in models.items():
        one = s.client.describe_model(uid)
        assert one["model_type"] == model["model_type"] == "audio" and one["id"] == uid, one
        assert "n_worker" in one and isinstance(one["model_ability"], list) and one["replica"] >= 1, one
    assert "audio2text" in models[STT]["model_ability"] and "text2audio" in models[TTS]["model_ability"], models
    assert "text2audio_zero_shot" in models[TTS]["model_ability"], models
    for name in ("address", "accelerators", "model_name", "model_lang", "model_family", "model_revision", "model_engine", "quantization", "created", "owned_by"):
        assert name in models[STT], name
    raises(RuntimeError, lambda: s.client.get_model("nobody"), "nobody")
    raises(RuntimeError, lambda: s.client.describe_model("nobody"), "nobody")


@check
def launch_with_everything_and_terminate(s):
    client = s.client
    uid = client.launch_model(
        "tone",
        "audio",
        model_uid="brief",
        n_gpu=None,
        request_limits=3,
        trust_remote_code=True,
        envs={"A": "1"},
        virtual_env_packages=["numpy"],
        enable_virtual_env=False,
        compile=False,
        lang_code="z",
        vad_kwargs={"max_single_segment_time": 30000},
        concurrency=2,
    )
    assert uid == "brief" and "brief" in client.list_models()
    info = client.get_instance_info("tone", "brief")
    assert len(info) == 1 and info[0]["status"] == "READY" and info[0]["replica_statuses"][0]["replica_model_uid"] == "brief-rep0", info
    assert client.get_launch_model_progress("brief")["progress"] == 1.0
    error = raises(RuntimeError, lambda: client.launch_model("tone", "audio", model_uid="brief"), "brief")
    assert "detail:" in str(error), error
    assert client.terminate_model("brief") is None
    assert "brief" not in client.list_models()
    raises(RuntimeError, lambda: client.terminate_model("brief"), "brief")


@check
def uid_is_the_name_or_made_up(s):
    uid = s.client.launch_model("tone", "audio")  # `tone` runs already
    assert uid != "tone" and uid.startswith("tone-") and len(uid) == len("tone-") + 8, uid
    assert s.model(uid).speech("x", response_format="wav").startswith(b"RIFF")
    s.client.terminate_model(uid)


@check
def launches_that_cannot_be(s):
    launch = s.client.launch_model
    for parts, call in (
        (("nobody",), lambda: launch("nobody", "audio")),
        (("model_type",), lambda: launch("tone")),
        (("replica",), lambda: launch("tone", "audio", replica=0)),
        (("model_uid",), lambda: launch("tone", "audio", model_uid="a/b")),
        (("model_uid",), lambda: launch("tone", "audio", model_uid="x-rep0")),
        (("/nowhere/at/all",), lambda: launch("tone", "audio", model_uid="lost", model_path="/nowhere/at/all")),
        (("out of tune",), lambda: launch("tone", "audio", model_uid="broken", fail="error")),
    ):
        raises(RuntimeError, call, "Failed to launch model", *parts)
    assert not {"lost", "broken"} & set(s.client.list_models())


@check
def launch_is_watched_and_cancelled(s):
    client = s.client
    assert client.launch_model("tone", "audio", model_uid="slow", wait_ready=False, load_ms=60_000) == "slow"
    deadline = time.monotonic() + 10
    while (progress := client.get_launch_model_progress("slow"))["progress"] == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert 0 < progress["progress"] < 1 and progress["stage"], progress
    assert client.get_instance_info("tone", "slow")[0]["status"] in ("CREATING", "LOADING"), client.get_instance_info("tone", "slow")
    raises(RuntimeError, lambda: s.model("slow").speech("x"))
    client.cancel_launch_model("slow")
    deadline = time.monotonic() + 10
    while client.get_instance_info("tone", "slow") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "slow" not in client.list_models()
    raises(RuntimeError, lambda: client.cancel_launch_model("slow"))
    assert client.get_launch_model_progress("never")["progress"] == 0


@check
def waiting_launch_is_told_of_a_cancel(s):
    outcome = []

    def launch():
        try:
            outcome.append(s.client.launch_model("tone", "audio", model_uid="waited", load_ms=60_000))
        except RuntimeError as error:
            outcome.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    deadline = time.monotonic() + 10
    while not s.client.get_instance_info("tone", "waited") and time.monotonic() < deadline:
        time.sleep(0.05)
    s.client.cancel_launch_model("waited")
    thread.join(15)
    assert len(outcome) == 1 and isinstance(outcome[0], RuntimeError) and "cancel" in str(outcome[0]).lower(), outcome


@check
def failed_launch_stays_visible_as_an_instance(s):
    client = s.client
    client.launch_model("tone", "audio", model_uid="ill", wait_ready=False, fail="error")
    deadline = time.monotonic() + 10
    while (info := client.get_instance_info("tone", "ill")) and info[0]["status"] != "ERROR" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert info[0]["status"] == "ERROR" and "out of tune" in info[0]["replica_statuses"][0]["error_message"], info
    assert "ill" not in client.list_models()
    assert client.launch_model("tone", "audio", model_uid="ill") == "ill"
    client.terminate_model("ill")


@check
def two_launches_of_one_uid(s):
    outcomes = []

    def launch():
        try:
            outcomes.append(s.client.launch_model("tone", "audio", model_uid="twin", load_ms=300))
        except RuntimeError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=launch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RuntimeError", "str"], outcomes
    s.client.terminate_model("twin")


# Transcripts


@check
def transcripts_in_every_format(s):
    model = s.model(STT)
    assert plain(model.transcriptions(s.sound)["text"]) == s.said
    verbose = model.transcriptions(s.sound, "en", "The fox.", "verbose_json", 0, ["word", "segment"])
    assert abs(verbose["duration"] - SECONDS) < 0.02 and len(verbose["words"]) == 9 and times_in_order(verbose["segments"]), verbose
    # This client reads every answer as JSON: texts come as JSON strings.
    text = model.transcriptions(s.sound, response_format="text")
    assert isinstance(text, str) and plain(text) == s.said, text
    srt = model.transcriptions(s.sound, response_format="srt")
    assert srt.startswith("1\n00:00:00,") and " --> " in srt, srt
    vtt = model.transcriptions(s.sound, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n"), vtt


@check
def transcripts_of_open_files_with_family_parameters(s):
    model = s.model(STT)
    with s.clip.open("rb") as file:  # as Dify does it
        answer = model.transcriptions(audio=file, response_format="verbose_json", temperature=0)
    assert plain(answer["text"]) == s.said, answer
    answer = model.transcriptions(s.sound, hotword="füchse", beam_size=1, condition_on_previous_text=False)
    assert plain(answer["text"]) == s.said, answer


@check
def translations(s):
    model = s.model(STT)
    assert plain(model.translations(s.sound)["text"]) == s.said
    verbose = model.translations(s.sound, "en", None, "verbose_json", 0, ["segment"])
    assert verbose["task"] == "translate" and verbose["language"] == "english" and verbose["segments"], verbose
    raises(RuntimeError, lambda: s.model(TONE).translations(s.sound), "translat")


# Speech


@check
def speech_in_every_format(s):
    model = s.model(TONE)
    for kind, start in {"mp3": b"", "wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS", "aac": b"\xff", "pcm": b""}.items():
        sound = model.speech("hello", response_format=kind)
        assert isinstance(sound, bytes) and len(sound) > 100 and sound.startswith(start), kind
    spoken = s.model(TTS).speech(SENTENCE, voice="af_heart", response_format="wav", speed=1.2)
    assert "water boils" in plain(s.model(STT).transcriptions(spoken)["text"])


@check
def speech_is_a_generator_when_streamed(s):
    model = s.model(TONE)
    started = time.monotonic()
    chunks = model.speech("x" * 30, response_format="pcm", stream=True, fail="slow", pause_ms=60)
    assert inspect.isgenerator(chunks)
    times = [(time.monotonic() - started, chunk) for chunk in chunks]
    assert times[0][0] < 0.5 * times[-1][0], (times[0][0], times[-1][0])
    assert sum(len(chunk) for _, chunk in times) == 30 * 2 * 24_000 // 20
    mp3 = b"".join(s.model(TTS).speech(SENTENCE, stream=True))
    assert len(mp3) > 1000


@check
def speech_in_the_voice_of_a_clip(s):
    model = s.model(ECHO)
    with s.clip.open("rb") as file:
        for clip in (s.sound, file):
            assert seconds(model.speech("hello", response_format="wav", prompt_speech=clip, prompt_text="The fox.", seed=3)) > 0.2
    streamed = b"".join(model.speech("hello", response_format="wav", stream=True, prompt_speech=s.sound))
    assert streamed.startswith(b"RIFF")
    raises(RuntimeError, lambda: model.speech("hello", prompt_speech=b"no sound"), "prompt_speech")


@check
def speech_errors_have_details(s):
    for parts, call in (
        (("nobody",), lambda: s.model(TTS).speech("hello", voice="nobody")),
        (("aiff",), lambda: s.model(TONE).speech("hello", response_format="aiff")),
        (("input",), lambda: s.model(TONE).speech("")),
        (("speed",), lambda: s.model(TONE).speech("hello", speed=7)),
        ((STT,), lambda: s.model(STT).speech("hello")),
        (("pause_ms",), lambda: s.model(TONE).speech("hello", pause_ms="soon")),
    ):
        error = raises(RuntimeError, call, "Failed to speech the text", *parts)
        assert "address=" not in str(error) and "Traceback" not in str(error), error
    raises(RuntimeError, lambda: s.model(TTS).transcriptions(s.sound), "Failed to transcribe", TTS)
    raises(RuntimeError, lambda: s.model(TONE).transcriptions(b"no sound"), "Failed to transcribe")
    raises(RuntimeError, lambda: s.model(TONE).transcriptions(s.sound, response_format="xml"), "xml")
    raises(RuntimeError, lambda: s.model(TONE).create_embedding(s.sound), "audio embedding")


@check
def the_calls_of_dify(s):
    # As its provider for Xinference makes them: the handles without a client, an open file, voices of its own.
    assert isinstance(s.client.get_model(STT), RESTfulAudioModelHandle)
    handle = RESTfulAudioModelHandle(STT, s.url, {})
    with s.clip.open("rb") as file:
        answer = handle.transcriptions(audio=file, language=None, prompt=None, response_format="verbose_json", temperature=0)
    assert plain(answer["text"]) == s.said, answer
    for voice in ("", "default"):
        sound = RESTfulAudioModelHandle(TTS, s.url, {}).speech(input="Hello Dify!", voice=voice, response_format="mp3", speed=1.0, stream=False)
        assert len(sound) > 1000


# Registrations


def custom(s, **different) -> str:
    return json.dumps({"version": 2, "model_name": "my-tone", "model_family": "beeper", "multilingual": True, "model_ability": ["text2audio"],
                       "model_uri": str(s.directory), **different})


@check
def registrations_are_listed_and_resolve(s):
    listed = s.client.list_model_registrations("audio")
    names = [one["model_name"] for one in listed]
    assert names == sorted(names, key=str.lower) and {STT, TTS, "IndexTTS2", "SenseVoiceSmall"} <= set(names), names
    for one in listed:
        assert set(one) >= {"model_name", "is_builtin"}
        whole = s.client.get_model_registration("audio", one["model_name"])
        assert whole["model_name"] == one["model_name"] and whole["model_family"] and whole["multilingual"] in (True, False), whole
    detailed = s.client.list_model_registrations("audio", detailed=True)
    assert len(detailed) == len(listed) and all("model_ability" in one for one in detailed)
    for other in ("LLM", "embedding", "rerank", "image", "video", "world", "flexible"):
        assert s.client.list_model_registrations(other) == []
    raises(RuntimeError, lambda: s.client.list_model_registrations("painting"))
    raises(RuntimeError, lambda: s.client.get_model_registration("audio", "nobody"), "nobody")


@check
def own_model_is_registered_launched_and_removed(s):
    client = s.client
    (s.directory / "fork.txt").write_text("440 Hz")
    assert client.register_model("audio", custom(s), persist=False) is None
    assert {"model_name": "my-tone", "is_builtin": False}.items() <= next(one for one in client.list_model_registrations("audio") if one["model_name"] == "my-tone").items()
    assert client.get_model_registration("audio", "my-tone")["model_family"] == "beeper"
    raises(RuntimeError, lambda: client.register_model("audio", custom(s), persist=False), "my-tone")
    uid = client.launch_model("my-tone", "audio")
    assert client.get_model(uid).speech("hi", response_format="wav").startswith(b"RIFF")
    client.terminate_model(uid)
    assert client.unregister_model("audio", "my-tone") is None
    assert client.unregister_model("audio", "my-tone") is None
    raises(RuntimeError, lambda: client.get_model_registration("audio", "my-tone"), "my-tone")


@check
def registrations_that_cannot_be(s):
    for parts, model in (
        ((STT,), custom(s, model_name=STT)),
        (("model_name",), custom(s, model_name="a/b")),
        (("model_family",), custom(s, model_family="nothing")),
        (("/nowhere/at/all",), custom(s, model_uri="/nowhere/at/all")),
        ((), "no JSON"),
    ):
        raises(RuntimeError, lambda: s.client.register_model("audio", model, persist=False), "Failed to register model", *parts)
    s.client.unregister_model("audio", STT)
    assert s.client.get_model_registration("audio", STT)["model_name"] == STT


# The rest


@check
def engines_and_caches(s):
    engines = s.client.query_engine_by_model_name(STT, "audio")
    assert engines is None or isinstance(engines, dict), engines
    cached = s.client.list_cached_models()
    assert any(one["model_name"] == STT for one in cached), cached
    one = next(one for one in s.client.list_cached_models(STT) if one["model_name"] == STT)
    for name in ("model_type", "model_version", "path", "quantization", "model_format", "actor_ip_address"):
        assert name in one, one
    files = s.client.list_deletable_models(one["model_version"])
    assert files["paths"], files
    assert s.client.confirm_and_remove_model("nothing-of-the-kind") is False


@check
def cluster(s):
    assert s.client._get_supervisor_internal_address().rsplit(":")[-1].isdigit()
    assert s.client.get_supervisor_info()["supervisor_ip"]
    workers = s.client.get_workers_info()
    assert workers and "work-ip" in workers[0], workers
    raises(RuntimeError, lambda: s.client.get_progress("unknown"), "progress")
    assert s.client.get_autostart_config() is not None


# The other client


@check
async def asynchronous_client(s):
    client = AsyncRESTfulClient(s.url)
    try:
        assert STT in await client.list_models()
        uid = await client.launch_model("tone", "audio", model_uid="brief-async", concurrency=1)
        tone = await client.get_model(uid)
        sound = await tone.speech("hello", response_format="wav")
        assert sound.startswith(b"RIFF"), sound[:20]
        chunks = [chunk async for chunk in await tone.speech("hello", response_format="pcm", stream=True)]
        assert sum(map(len, chunks)) == 5 * 2 * 24_000 // 20
        echo = await client.get_model(ECHO)
        # A clip makes this a form, with empty text for what is null.
        assert (await echo.speech("hello", voice=None, response_format="wav", prompt_speech=s.sound)).startswith(b"RIFF")
        stt = await client.get_model(STT)
        answer = await stt.transcriptions(s.sound, response_format="verbose_json", timestamp_granularities=["word", "segment"])
        assert plain(answer["text"]) == s.said and len(answer["words"]) == 9, answer
        assert " --> " in await stt.transcriptions(s.sound, response_format="srt")
        assert plain((await stt.translations(s.sound))["text"]) == s.said
        await client.terminate_model(uid)
        try:
            await client.get_model(uid)
            raise AssertionError("no RuntimeError")
        except RuntimeError as error:
            assert uid in str(error), error
        assert await client.list_model_registrations("audio")
        assert (await client.get_model_registration("audio", TTS))["model_family"] == "Kokoro"
        await client.list_cached_models()
    finally:
        await client.close()


if __name__ == "__main__":
    url, clip, said, directory = sys.argv[1:5]
    run(Setting(url, Path(clip), plain(said), Path(directory)))
