"""Decodes an audio file with FFmpeg's libraries and prints what it holds as JSON. Fails where any packet is broken."""

import json
import sys

import av

AMPLITUDE = 32768.0  # of 16-bit samples


def main() -> None:
    total, squares = 0, 0.0
    with av.open(sys.argv[1]) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="s16", layout="mono", rate=stream.rate)
        for frame in container.decode(stream):
            for part in resampler.resample(frame):
                samples = memoryview(bytes(part.planes[0])[: part.samples * 2]).cast("h")
                total += len(samples)
                squares += sum(sample * sample for sample in samples)
        report = {
            "format": container.format.name,
            "codec": stream.codec_context.name,
            "sample_rate": stream.rate,
            "channels": stream.codec_context.channels,
            "seconds": total / stream.rate,
            "loudness": (squares / max(total, 1)) ** 0.5 / AMPLITUDE,
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
