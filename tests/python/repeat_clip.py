"""Decodes a recording to 16 kHz mono and writes it several times, each followed by silence, as one WAV file.

usage: repeat_clip.py CLIP WAV TIMES SILENCE_SECONDS
"""

import json
import sys
import wave

import av

RATE = 16_000  # Hz


def main() -> None:
    clip, target, times, silence = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    pcm = bytearray()
    with av.open(clip) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        frames = [*container.decode(audio=0), None]  # None flushes the resampler
        for frame in frames:
            for part in resampler.resample(frame):
                pcm += bytes(part.planes[0])[: part.samples * 2]
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((bytes(pcm) + bytes(2 * round(silence * RATE))) * times)
        frames_written = file.getnframes()
    print(json.dumps({"seconds": frames_written / RATE}))


if __name__ == "__main__":
    main()
