"""Drives a server with the official OpenAI client and prints what came back as JSON.

usage: openai_client.py BASE_URL CLIP DIRECTORY
"""

import json
import sys
import time
from pathlib import Path

import openai

STT, TTS = "whisper-base", "Kokoro-82M"
SENTENCE = "Please turn left at the next traffic light. Then go straight on until you see the old library."


def main() -> None:
    base_url, clip, directory = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="not empty", max_retries=0)
    report = {"models": sorted(model.id for model in client.models.list())}
    report["model"] = client.models.retrieve(STT).id

    report["text"] = client.audio.transcriptions.create(model=STT, file=clip, language="en").text
    verbose = client.audio.transcriptions.create(
        model=STT, file=clip, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    report["verbose"] = {
        "text": verbose.text,
        "language": verbose.language,
        "duration": float(verbose.duration),
        "segments": [[segment.start, segment.end, segment.text] for segment in verbose.segments],
        "words": [[word.start, word.end, word.word] for word in verbose.words],
    }
    report["srt"] = client.audio.transcriptions.create(model=STT, file=clip, response_format="srt")
    with clip.open("rb") as file:
        events = client.audio.transcriptions.create(model=STT, file=file, language="en", stream=True)
        deltas = [(event.type, getattr(event, "delta", None) or getattr(event, "text", None)) for event in events]
    report["events"] = deltas
    report["translation"] = client.audio.translations.create(model=STT, file=clip).text

    whole = directory / "openai_whole.wav"
    client.audio.speech.create(model=TTS, voice="alloy", input=SENTENCE, response_format="wav").write_to_file(whole)
    report["whole"] = str(whole)

    streamed = directory / "openai_streamed.mp3"
    started = time.monotonic()
    first = None
    with client.audio.speech.with_streaming_response.create(
        model=TTS, voice="nova", input=SENTENCE, response_format="mp3", extra_body={"stream": True}
    ) as response, streamed.open("wb") as file:
        for chunk in response.iter_bytes(1024):
            first = first or time.monotonic() - started
            file.write(chunk)
    report["streamed"] = {"file": str(streamed), "first": first, "total": time.monotonic() - started}

    report["errors"] = {}
    for name, call in {
        "unknown model": lambda: client.audio.speech.create(model="no-such-model", voice="alloy", input="hello"),
        "unknown voice": lambda: client.audio.speech.create(model=TTS, voice="nobody", input="hello"),
    }.items():
        try:
            call()
            report["errors"][name] = None
        except openai.APIStatusError as error:
            report["errors"][name] = {"status": error.status_code, "message": str(error), "kind": type(error).__name__}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
