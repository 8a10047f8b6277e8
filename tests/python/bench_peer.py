"""The other side of the benchmark: faster-whisper, kokoro-onnx or funasr-onnx in a process of its own.

Reads a job (JSON) from standard input and prints a report (JSON) of the same members as `syrinx-bench-runner`.
"""

import asyncio
import json
import resource
import sys
import tempfile
import time
import types
import wave
from pathlib import Path


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Whisper:
    """faster-whisper on a CTranslate2 directory."""

    def __init__(self, job: dict) -> None:
        from faster_whisper import WhisperModel

        self.job = job
        self.text = ""
        self.model = WhisperModel(
            job["model_dir"], device="cpu", compute_type=job["compute_type"], cpu_threads=job["threads"], num_workers=1
        )

    def prepare(self):
        import numpy as np

        with wave.open(self.job["wav"]) as file:
            pcm = file.readframes(file.getnframes())
        return np.frombuffer(pcm, np.int16).astype(np.float32) / 32768.0

    def run(self, samples) -> dict:
        segments, _ = self.model.transcribe(
            samples, language="en", beam_size=self.job["beam_size"], temperature=0
        )
        self.text = "".join(segment.text for segment in segments)
        return {"first_audio_s": None, "audio_s": len(samples) / 16_000}


class Kokoro:
    """kokoro-onnx on the same graph and voices."""

    def __init__(self, job: dict) -> None:
        import numpy as np
        import onnxruntime
        from kokoro_onnx import Kokoro as Model

        self.job = job
        self.text = ""
        directory = Path(job["model_dir"])
        # Its voices come as one archive; ours are single files with the same bytes. Not part of the load time.
        self.voices = tempfile.NamedTemporaryFile(suffix=".npz")
        voice = np.fromfile(directory / "voices" / f"{job['voice']}.bin", np.float32).reshape(510, 1, 256)
        np.savez(self.voices, **{job["voice"]: voice})
        self.voices.flush()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job["threads"]
        options.inter_op_num_threads = 1
        graph = str(directory / "kokoro-v1.0.int8.onnx")
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.model = Model.from_session(session, self.voices.name)

    def prepare(self):
        return None

    def run(self, _) -> dict:
        return asyncio.run(self.stream())

    async def stream(self) -> dict:
        started, first, samples = time.perf_counter(), None, 0
        stream = self.model.create_stream(self.job["text"], voice=self.job["voice"], lang="en-us")
        async for audio, _rate in stream:
            first = first or time.perf_counter() - started
            samples += len(audio)
        return {"first_audio_s": first, "audio_s": samples / 24_000}


class FunAsr:
    """funasr-onnx as its users put it together: stretches of speech, one recognised after the other, then punctuation."""

    def __init__(self, job: dict) -> None:
        # A word list that only punctuation models with a dictionary of their own use; it has no wheel.
        sys.modules.setdefault("jieba", types.ModuleType("jieba"))
        import funasr_onnx

        self.job = job
        self.text = ""
        options = {"quantize": job["quantize"], "intra_op_num_threads": job["threads"]}
        recognizer = {"paraformer": funasr_onnx.Paraformer, "sensevoice": funasr_onnx.SenseVoiceSmall}[job["kind"]]
        self.recognizer = recognizer(job["model_dir"], **options)
        self.vad_dir = job["vad_dir"]
        self.vad = funasr_onnx.Fsmn_vad(self.vad_dir, intra_op_num_threads=job["threads"])
        self.punctuator = None
        if job.get("punc_dir"):
            self.punctuator = funasr_onnx.CT_Transformer(job["punc_dir"], **options)

    prepare = Whisper.prepare

    def run(self, samples) -> dict:
        # Its cache of the recording before would be taken for this one's.
        [stretches] = self.vad(samples, param_dict={"in_cache": []})
        texts = []
        for start, end in stretches:
            [result] = self.recognizer(samples[start * 16 : end * 16])
            texts.append(result["preds"][0] if isinstance(result, dict) else result)
        self.text = "".join(texts)
        if self.punctuator is not None and self.text:
            self.text, _ = self.punctuator(self.text)
        return {"first_audio_s": None, "audio_s": len(samples) / 16_000}


def main() -> None:
    job = json.load(sys.stdin)
    # What Python itself takes to import numpy is no part of a load.
    import numpy  # noqa: F401

    started = time.perf_counter()
    engine = {"whisper": Whisper, "kokoro": Kokoro, "funasr": FunAsr}[job["family"]](job)
    report = {"load_s": time.perf_counter() - started, "runs": []}
    for _ in range(job["repeats"]):
        prepared = engine.prepare()
        started, cpu = time.perf_counter(), cpu_seconds()
        # Requests that come at once are served one after the other.
        runs = [engine.run(prepared) for _ in range(job["at_once"])]
        run = {"audio_s": sum(run["audio_s"] for run in runs)}
        if len(runs) == 1:
            run["first_audio_s"] = runs[0]["first_audio_s"]
        run |= {"wall_s": time.perf_counter() - started, "cpu_s": cpu_seconds() - cpu}
        report.setdefault("cold_start_s", time.time() - job["started_at"])
        report["runs"].append(run)
    report["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report["text"] = engine.text
    print(json.dumps(report))


if __name__ == "__main__":
    main()
