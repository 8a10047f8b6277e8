//! Files that arrive as text: base64, bare or in a `data:` URL.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

/// The standard alphabet, with or without padding.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is no file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAFile {
    /// Bad alphabet, length or padding.
    #[error("it is neither base64 text nor a `data:…;base64,` URL ({0})")]
    Base64(String),
    /// A `data:` URL of another encoding.
    #[error("its `data:` URL is not base64 encoded; it must read `data:<type>;base64,<text>`")]
    DataUrl,
    /// An address.
    #[error("it is an address or a path, and this server opens neither; send the file itself, or its bytes as base64")]
    Address,
}

/// Decodes base64 (standard alphabet, white space ignored) or a `data:` URL that holds it.
///
/// # Errors
/// When the text is neither. It is never taken for a path or an address.
pub(crate) fn decode(text: &str) -> Result<Bytes, NotAFile> {
    let text = text.trim();
    let encoded = match text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        Some(_) => {
            let (kind, encoded) = text.split_once(',').ok_or(NotAFile::DataUrl)?;
            let is_base64 = kind.rsplit(';').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("base64"));
            if !is_base64 {
                return Err(NotAFile::DataUrl);
            }
            encoded
        }
        None if text.contains("://") => return Err(NotAFile::Address),
        None => text,
    };
    let decoded = if encoded.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let compact: Vec<u8> = encoded.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        ENGINE.decode(compact)
    } else {
        ENGINE.decode(encoded)
    };
    decoded.map(Bytes::from).map_err(|error| NotAFile::Base64(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_base64_and_data_urls() {
        assert_eq!(decode("UklGRg==").unwrap(), "RIFF");
        assert_eq!(decode("UklGRg").unwrap(), "RIFF");
        assert_eq!(decode(" Ukl\r\n GRg== \n").unwrap(), "RIFF");
        assert_eq!(decode("data:audio/wav;base64,UklGRg==").unwrap(), "RIFF");
        assert_eq!(decode("DATA:audio/wav;codecs=1;BASE64,UklGRg==").unwrap(), "RIFF");
        assert_eq!(decode("data:;base64,").unwrap(), "");
    }

    #[test]
    fn refuses_everything_else() {
        assert!(matches!(decode("<audio bytes>"), Err(NotAFile::Base64(_))));
        assert!(matches!(decode("UklGR"), Err(NotAFile::Base64(_))));
        assert!(matches!(decode("/etc/passwd!"), Err(NotAFile::Base64(_))));
        assert_eq!(decode("https://example.org/a.wav"), Err(NotAFile::Address));
        assert_eq!(decode("file:///etc/passwd"), Err(NotAFile::Address));
        assert_eq!(decode("data:audio/wav,RIFF"), Err(NotAFile::DataUrl));
        assert_eq!(decode("data:audio/wav;base64"), Err(NotAFile::DataUrl));
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data in prop::collection::vec(any::<u8>(), 0..300), break_at in 1usize..80) {
            let encoded = ENGINE.encode(&data);
            let broken: Vec<String> = encoded.as_bytes().chunks(break_at).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
            prop_assert_eq!(decode(&broken.join("\n")).unwrap(), data.clone());
            prop_assert_eq!(decode(&format!("data:audio/wav;base64,{encoded}")).unwrap(), data);
        }

        #[test]
        fn garbage_does_not_panic(text in any::<String>()) {
            let _ = decode(&text);
        }
    }
}
