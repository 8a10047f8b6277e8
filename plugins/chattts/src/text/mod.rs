//! From what the user wrote to token ids.
