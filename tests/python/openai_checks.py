"""The official OpenAI client against a server with Whisper base, Kokoro and the beeper (as `tone`, and as `echo`, which clones).

usage: openai_checks.py BASE_URL CLIP TRANSCRIPT DIRECTORY
"""

import base64
import io
import json
import sys
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import openai
from checks import check, plain, raises, run

STT, TTS, TONE, ECHO = "whisper-base", "Kokoro-82M", "tone", "echo"
SENTENCE = "Water boils at one hundred degrees."
SECONDS = 2.889  # of the clip


@dataclass
class Setting:
    url: str
    clip: Path
    said: str
    directory: Path

    def options(self) -> dict:
        return {"base_url": f"{self.url}/v1", "api_key": "not empty", "max_retries": 0}

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(**self.options())

    @property
    def transcriptions(self):
        return self.client.audio.transcriptions

    @property
    def speech(self):
        return self.client.audio.speech


def seconds(wav: bytes) -> float:
    with wave.open(io.BytesIO(wav)) as sound:
        return sound.getnframes() / sound.getframerate()


def tone(pitch: int = 660, length: float = 1.0) -> bytes:
    """A square wave."""
    rate = 16_000
    samples = b"".join((8000 if (2 * pitch * n // rate) % 2 else -8000).to_bytes(2, "little", signed=True) for n in range(int(rate * length)))
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", ""))
        sound.writeframes(samples)
    return file.getvalue()


# Transcriptions


@check
def transcript_of_a_path_of_bytes_of_a_file_and_of_a_tuple(s):
    sound = s.clip.read_bytes()
    with s.clip.open("rb") as file:
        for what in (s.clip, sound, io.BytesIO(sound), file, ("x.wav", sound), ("x", sound, "application/octet-stream")):
            answer = s.transcriptions.create(model=TONE, file=what)
            assert "samples" in answer.text, answer
    answer = s.transcriptions.create(model=STT, file=s.clip)
    assert plain(answer.text) == s.said, answer.text
    assert answer.usage.type == "duration" and abs(answer.usage.seconds - SECONDS) < 0.5, answer.usage


@check
def transcript_as_text_srt_and_vtt(s):
    text = s.transcriptions.create(model=STT, file=s.clip, response_format="text", language="en")
    assert isinstance(text, str) and plain(text) == s.said, text
    srt = s.transcriptions.create(model=STT, file=s.clip, response_format="srt", language="en")
    assert srt.startswith("1\n00:00:00,") and " --> " in srt and s.said in plain(srt), srt
    vtt = s.transcriptions.create(model=STT, file=s.clip, response_format="vtt", language="en")
    assert vtt.startswith("WEBVTT\n\n00:00:00.") and s.said in plain(vtt), vtt


@check
def transcript_with_times(s):
    verbose = s.transcriptions.create(
        model=STT, file=s.clip, response_format="verbose_json", timestamp_granularities=["word", "segment"], temperature=0, prompt="The fox."
    )
    assert plain(verbose.text) == s.said and abs(float(verbose.duration) - SECONDS) < 0.02, verbose
    assert verbose.language in ("en", "english") and verbose.task == "transcribe", verbose
    assert len(verbose.words) == 9 and all(word.start <= word.end for word in verbose.words), verbose.words
    segment = verbose.segments[0]
    assert segment.id == 0 and segment.tokens and segment.avg_logprob < 0 and segment.compression_ratio > 0, segment
    only_words = s.transcriptions.create(model=STT, file=s.clip, response_format="verbose_json", timestamp_granularities=["word"])
    assert len(only_words.words) == 9, only_words
    plain_one = s.transcriptions.create(model=STT, file=s.clip, response_format="verbose_json")
    assert plain_one.words is None and plain_one.segments, plain_one


@check
def transcript_with_logprobs(s):
    answer = s.transcriptions.create(model=TONE, file=s.clip, include=["logprobs"])
    assert len(answer.logprobs) == 2 and all(one.logprob == -0.5 for one in answer.logprobs), answer
    assert "".join(one.token for one in answer.logprobs).strip() == answer.text.strip(), answer
    assert bytes(int(byte) for one in answer.logprobs for byte in one.bytes).decode().strip() == answer.text.strip(), answer


@check
def transcript_as_events(s):
    kinds, text = [], ""
    with s.transcriptions.create(model=STT, file=s.clip, stream=True, language="en") as events:
        for event in events:
            kinds.append(event.type)
            text += getattr(event, "delta", "")
    assert kinds[-1] == "transcript.text.done" and set(kinds[:-1]) == {"transcript.text.delta"}, kinds
    assert event.text == text and plain(text) == s.said, event
    assert event.usage.total_tokens == event.usage.input_tokens + event.usage.output_tokens, event


@check
def transcript_events_with_logprobs(s):
    events = list(s.transcriptions.create(model=TONE, file=s.clip, stream=True, include=["logprobs"]))
    deltas = [one for event in events if event.type == "transcript.text.delta" for one in event.logprobs or []]
    assert len(deltas) == 2 and len(events[-1].logprobs) == 2, events


@check
def everything_that_the_client_can_send(s):
    answer = s.transcriptions.create(
        model=STT,
        file=s.clip,
        chunking_strategy={"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200},
        keywords=["fox", "dog"],
        languages=["en", "de"],
        temperature=0.0,
        extra_body={"hotword": "fox", "beam_size": 1},
    )
    assert plain(answer.text) == s.said, answer
    auto = s.transcriptions.create(model=STT, file=s.clip, chunking_strategy="auto")
    assert plain(auto.text) == s.said, auto


@check
def translation(s):
    answer = s.client.audio.translations.create(model=STT, file=s.clip)
    assert plain(answer.text) == s.said, answer
    verbose = s.client.audio.translations.create(model=STT, file=s.clip, response_format="verbose_json", prompt="Hello.", temperature=0)
    assert verbose.language == "english" and verbose.segments and abs(float(verbose.duration) - SECONDS) < 0.02, verbose
    srt = s.client.audio.translations.create(model=STT, file=s.clip, response_format="srt")
    assert isinstance(srt, str) and " --> " in srt, srt


# Speech


@check
def speech_in_every_format(s):
    starts = {"mp3": (b"ID3", b"\xff"), "opus": (b"OggS",), "aac": (b"\xff",), "flac": (b"fLaC",), "wav": (b"RIFF",), "pcm": (b"",)}
    for kind, start in starts.items():
        answer = s.speech.create(model=TONE, voice="alloy", input="hello", response_format=kind)
        assert answer.content.startswith(start) and len(answer.content) > 100, kind
        assert answer.response.headers["x-sample-rate"] in ("24000", "48000"), answer.response.headers
    assert s.speech.create(model=TONE, voice="alloy", input="hello").response.headers["content-type"] == "audio/mpeg"


@check
def speech_of_a_real_model_is_understood(s):
    file = s.directory / "openai.wav"
    s.speech.create(model=TTS, voice="alloy", input=SENTENCE, response_format="wav", instructions="calmly").write_to_file(file)
    heard = s.transcriptions.create(model=STT, file=file, language="en").text
    assert "water boils" in plain(heard), heard


@check
def speech_with_a_voice_object_and_speed(s):
    normal = seconds(s.speech.create(model=TONE, voice={"id": "high"}, input="hello there", response_format="wav").content)
    fast = seconds(s.speech.create(model=TONE, voice={"id": "high"}, input="hello there", response_format="wav", speed=2).content)
    assert 0.4 < fast / normal < 0.6, (fast, normal)


@check
def speech_is_streamed(s):
    file = s.directory / "streamed.mp3"
    slow = {"fail": "slow", "pause_ms": 60}
    started = time.monotonic()
    with s.speech.with_streaming_response.create(model=TONE, voice="alloy", input="x" * 30, response_format="pcm", extra_body={"stream": True, **slow}) as answer:
        assert answer.headers["content-type"].startswith("audio/pcm") and "content-length" not in answer.headers, answer.headers
        chunks = [(time.monotonic() - started, chunk) for chunk in answer.iter_bytes(1024)]
    assert chunks[0][0] < 0.5 * chunks[-1][0], (chunks[0][0], chunks[-1][0])
    with s.speech.with_streaming_response.create(model=TTS, voice="nova", input=SENTENCE, extra_body={"stream": True}) as answer:
        answer.stream_to_file(file)
    assert file.stat().st_size > 1000


@check
def speech_as_events(s):
    with s.speech.with_streaming_response.create(model=TONE, voice="alloy", input="hello", response_format="pcm", stream_format="sse") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
        data = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ") and line != "data: [DONE]"]
    assert {event["type"] for event in data[:-1]} == {"speech.audio.delta"}, data
    sound = b"".join(base64.b64decode(event["audio"]) for event in data[:-1])
    assert len(sound) == 5 * 2 * 24_000 // 20, len(sound)  # five beeps of 50 ms
    done = data[-1]
    assert done["type"] == "speech.audio.done" and done["usage"]["total_tokens"] == done["usage"]["input_tokens"] + done["usage"]["output_tokens"], done


@check
def speech_with_parameters_of_the_family(s):
    answer = s.speech.create(model=TONE, voice="low", input="hello", response_format="pcm", extra_body={"pushes": 2, "chunk": 100})
    assert len(answer.content) == 2 * 100 * 2, len(answer.content)
    answer = s.speech.create(model=TONE, voice="low", input="hello", response_format="pcm", extra_body={"kwargs": '{"pushes": 3, "chunk": 100}'})
    assert len(answer.content) == 3 * 100 * 2, len(answer.content)
    answer = s.speech.create(model=TONE, voice="low", input="hello", response_format="wav", extra_body={"sample_rate": 8000})
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert sound.getframerate() == 8000 and answer.response.headers["x-sample-rate"] == "8000"


@check
def speech_in_the_voice_of_a_clip(s):
    clip = base64.b64encode(tone()).decode()
    for text in (clip, f"data:audio/wav;base64,{clip}"):
        answer = s.speech.create(model=ECHO, voice="", input="hello", response_format="wav", extra_body={"prompt_speech": text, "prompt_text": "Ah."})
        assert seconds(answer.content) > 0.2


# Voices


@check
def voices_are_kept(s):
    voices = s.client.audio.voices
    voice = voices.create(name="Ada", audio_sample=("ada.wav", tone()), consent="I agree that my voice is used.")
    assert voice.id and voice.name == "Ada" and voice.object == "audio.voice" and voice.created_at > 0, voice
    own = seconds(s.speech.create(model=ECHO, voice={"id": voice.id}, input="hello", response_format="wav").content)
    assert own > 0.2, own
    listed = s.client.get("/audio/voices", cast_to=object)
    assert voice.id in listed["voices"], listed
    gone = voices.delete(voice.id)
    assert gone.deleted and gone.id == voice.id, gone
    raises(openai.NotFoundError, lambda: voices.delete(voice.id))
    raises(openai.BadRequestError, lambda: s.speech.create(model=ECHO, voice=voice.id, input="hello"))


# Models


@check
def models_are_listed_retrieved_and_deleted(s):
    names = [model.id for model in s.client.models.list()]
    assert {STT, TTS, TONE, ECHO} <= set(names), names
    model = s.client.models.retrieve(STT)
    assert (model.id, model.object) == (STT, "model") and model.created > 0 and model.owned_by, model
    started = s.client.post("/models", body={"model_name": "tone", "model_type": "audio", "model_uid": "brief"}, cast_to=object)
    assert started["model_uid"] == "brief", started
    gone = s.client.models.delete("brief")
    assert gone.deleted and gone.id == "brief", gone
    raises(openai.NotFoundError, lambda: s.client.models.retrieve("brief"), "brief")
    raises(openai.NotFoundError, lambda: s.client.models.delete("brief"), "brief")


# Errors


@check
def errors_have_their_classes(s):
    speech, transcriptions = s.speech.create, s.transcriptions.create
    for kind, param, call, part in (
        (openai.NotFoundError, "model", lambda: speech(model="nobody", voice="alloy", input="x"), "nobody"),
        (openai.BadRequestError, "voice", lambda: speech(model=TTS, voice="nobody", input="x"), "af_heart"),
        (openai.BadRequestError, "input", lambda: speech(model=TONE, voice="low", input=" "), "input"),
        (openai.BadRequestError, "speed", lambda: speech(model=TONE, voice="low", input="x", speed=9), "0.25"),
        (openai.BadRequestError, "response_format", lambda: speech(model=TONE, voice="low", input="x", response_format="aiff"), "mp3"),
        (openai.BadRequestError, "model", lambda: speech(model=STT, voice="low", input="x"), STT),
        (openai.NotFoundError, "model", lambda: transcriptions(model="nobody", file=s.clip), "nobody"),
        (openai.BadRequestError, "model", lambda: transcriptions(model=TTS, file=s.clip), TTS),
        (openai.BadRequestError, "file", lambda: transcriptions(model=TONE, file=b"no sound at all"), ""),
        (openai.BadRequestError, "file", lambda: transcriptions(model=TONE, file=("x.wav", b"")), ""),
        (openai.BadRequestError, "language", lambda: transcriptions(model=STT, file=s.clip, language="xx"), "xx"),
        (openai.BadRequestError, "temperature", lambda: transcriptions(model=STT, file=s.clip, temperature=3), ""),
        (openai.BadRequestError, "include", lambda: transcriptions(model=TONE, file=s.clip, include=["feelings"]), "logprobs"),
        (openai.BadRequestError, "response_format", lambda: transcriptions(model=TONE, file=s.clip, response_format="diarized_json"), ""),
        (openai.BadRequestError, "stream", lambda: transcriptions(model=STT, file=s.clip, response_format="srt", stream=True), ""),
    ):
        error = raises(kind, call, part)
        message = error.body["message"]
        assert message in str(error) and error.type == "invalid_request_error", error.body
        # Which of the two fields is at fault is a matter of taste here.
        allowed = ("stream", "response_format") if param == "stream" else (param, f"{param}[]")
        assert error.param in allowed, (param, error.body)
        assert error.request_id, "every answer has an id"
    assert raises(openai.NotFoundError, lambda: speech(model="nobody", voice="x", input="x")).code == "model_not_found"


@check
def full_queue_is_a_rate_limit(s):
    s.client.post("/models", body={"model_name": "tone", "model_type": "audio", "model_uid": "narrow", "request_limits": 1}, cast_to=object)
    slow = {"stream": True, "fail": "slow", "pause_ms": 50}
    with s.speech.with_streaming_response.create(model="narrow", voice="low", input="x" * 40, response_format="pcm", extra_body=slow):
        error = raises(openai.RateLimitError, lambda: s.speech.create(model="narrow", voice="low", input="x"))
    assert error.type == "rate_limit_error" and int(error.response.headers["retry-after"]) >= 0, error.body
    s.client.models.delete("narrow")


@check
def error_within_a_stream_is_raised(s):
    def broken():
        with s.speech.with_streaming_response.create(model=TONE, voice="low", input="hello", response_format="pcm", extra_body={"stream": True, "fail": "error_late"}) as answer:
            return answer.read()

    raises(Exception, broken)
    raises(openai.APIError, lambda: list(s.transcriptions.create(model=TONE, file=s.clip, stream=True, extra_body={"fail": "error_late"})))
    assert s.transcriptions.create(model=TONE, file=s.clip).text


# The other client


@check
async def asynchronous_client(s):
    async with openai.AsyncOpenAI(**s.options()) as client:
        answer = await client.audio.transcriptions.create(model=STT, file=s.clip, language="en")
        assert plain(answer.text) == s.said, answer
        events = [event async for event in await client.audio.transcriptions.create(model=TONE, file=s.clip, stream=True)]
        assert events[-1].type == "transcript.text.done", events
        async with client.audio.speech.with_streaming_response.create(model=TONE, voice="echo", input="hello", response_format="wav", extra_body={"stream": True}) as response:
            sound = b"".join([chunk async for chunk in response.iter_bytes()])
        assert sound.startswith(b"RIFF"), sound[:20]
        assert STT in [model.id async for model in client.models.list()]
        try:
            await client.models.retrieve("nobody")
            raise AssertionError("no NotFoundError")
        except openai.NotFoundError:
            pass


@check
def raw_response_has_the_headers(s):
    answer = s.transcriptions.with_raw_response.create(model=TONE, file=s.clip, extra_headers={"x-request-id": "mine-1"})
    assert answer.request_id == "mine-1" and answer.parse().text, answer.headers


if __name__ == "__main__":
    url, clip, said, directory = sys.argv[1:5]
    run(Setting(url, Path(clip), plain(said), Path(directory)))
