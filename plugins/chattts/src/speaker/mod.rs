//! Speakers: vectors, strings, seeds, audio prompts.
