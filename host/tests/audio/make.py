#!/usr/bin/env python3
"""Makes the files in this folder with encoders that Syrinx doesn't share any code with (FFmpeg, libsndfile).

    pip install av==18.1.0 soundfile numpy
    python3 make.py

Every file holds the same thing: a quarter of silence, a half of a 440 Hz tone, a quarter of silence.
Channel c (from 0) has the tone at amplitude 0.5 / (c + 1), so the mean of the channels is known.
Names: CODEC_RATE_CHANNELS.EXT, files of 0.5 s with a leading "h_", others of 1 s.
"""
import av
import numpy as np
import soundfile as sf


def signal(rate, channels, seconds):
    n = int(rate * seconds)
    t = np.arange(n) / rate
    tone = np.sin(2 * np.pi * 440 * t) * ((t >= seconds / 4) & (t < seconds * 3 / 4))
    return np.stack([tone * 0.5 / (c + 1) for c in range(channels)])  # [channels, n]


def lossless(name, subtype, rate, channels, fmt, seconds=0.5):
    sf.write(name, signal(rate, channels, seconds).T, rate, subtype=subtype, format=fmt)


def ffmpeg(name, codec, rate, channels, bit_rate=None, fmt=None, options=None, metadata=None, sample_fmt="fltp"):
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    with av.open(name, "w", format=fmt, options=options or {}) as box:
        for key, value in (metadata or {}).items():
            box.metadata[key] = value
        stream = box.add_stream(codec, rate=rate, layout=layout)
        if bit_rate:
            stream.bit_rate = bit_rate
        pcm = signal(rate, channels, 1.0).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm), format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format.name if stream.format else sample_fmt, layout=layout, rate=rate,
                                      frame_size=stream.codec_context.frame_size or 1024)
        for f in resampler.resample(frame) + resampler.resample(None):
            for packet in stream.encode(f):
                box.mux(packet)
        for packet in stream.encode(None):
            box.mux(packet)


def remux(source, name, fmt):
    with av.open(source) as old, av.open(name, "w", format=fmt) as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


lossless("h_u8_8000_1.wav", "PCM_U8", 8000, 1, "WAV")
lossless("h_s16_8000_1.wav", "PCM_16", 8000, 1, "WAV")
lossless("h_s24_8000_1.wav", "PCM_24", 8000, 1, "WAV")
lossless("h_s32_8000_1.wav", "PCM_32", 8000, 1, "WAV")
lossless("h_f32_8000_1.wav", "FLOAT", 8000, 1, "WAV")
lossless("h_f64_8000_1.wav", "DOUBLE", 8000, 1, "WAV")
lossless("h_alaw_8000_1.wav", "ALAW", 8000, 1, "WAV")
lossless("h_mulaw_8000_1.wav", "ULAW", 8000, 1, "WAV")
lossless("h_s16ext_8000_7.wav", "PCM_16", 8000, 7, "WAVEX")
lossless("h_s24ext_11025_2.wav", "PCM_24", 11025, 2, "WAVEX")
lossless("h_s16_8000_1.rf64", "PCM_16", 8000, 1, "RF64")
lossless("h_s16_8000_1.aiff", "PCM_16", 8000, 1, "AIFF")
lossless("h_s16_8000_1.caf", "PCM_16", 8000, 1, "CAF")
lossless("h_flac_44100_2.flac", "PCM_24", 44100, 2, "FLAC")
lossless("h_vorbis_44100_2.ogg", "VORBIS", 44100, 2, "OGG")

ffmpeg("mp3_44100_2.mp3", "libmp3lame", 44100, 2, 64000, metadata={"title": "Tone", "artist": "make.py"})
ffmpeg("mp3_8000_1.mp3", "libmp3lame", 8000, 1, 16000, options={"write_xing": "0"})
ffmpeg("aac_44100_2.m4a", "aac", 44100, 2, 64000, fmt="mp4")
ffmpeg("aac_fragmented_44100_1.mp4", "aac", 44100, 1, 48000, fmt="mp4", options={"movflags": "frag_keyframe+empty_moov"})
ffmpeg("aac_24000_1.aac", "aac", 24000, 1, 32000, fmt="adts")
ffmpeg("alac_22050_1.m4a", "alac", 22050, 1, fmt="mp4")
ffmpeg("opus_48000_1.ogg", "libopus", 48000, 1, 24000, fmt="ogg")
ffmpeg("opus_48000_6.ogg", "libopus", 48000, 6, 64000, fmt="ogg")
ffmpeg("opus_48000_2.webm", "libopus", 48000, 2, 24000, fmt="webm")
ffmpeg("opus_48000_1.mp4", "libopus", 48000, 1, 24000, fmt="mp4")
remux("h_vorbis_44100_2.ogg", "h_vorbis_44100_2.webm", "webm")
ffmpeg("aac_16000_1.mkv", "aac", 16000, 1, 24000, fmt="matroska")
