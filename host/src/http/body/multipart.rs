//! `multipart/form-data`: parts in any order, names that repeat, `name[]` and `name[member]`.

use super::fields::{Fields, Item, Upload};
use crate::http::error::{ApiError, clip};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use multer::{Field, Multipart};
use std::sync::{Arc, Mutex, PoisonError};

/// Most parts of a form. The largest real ones have a dozen.
const MOST_PARTS: usize = 1024;

/// Reads a form.
///
/// # Errors
/// 400 when it isn't one, and what `body` fails with (size, silence).
pub(crate) async fn read(
    content_type: &str,
    body: impl Stream<Item = Result<Bytes, ApiError>> + Send,
) -> Result<Fields, ApiError> {
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| ApiError::bad_request("the multipart content type names no boundary"))?;
    // The parser wraps an error of the stream in one of its own; the first one is remembered beside it.
    let failure: Arc<Mutex<Option<ApiError>>> = Arc::default();
    let remembered = Arc::clone(&failure);
    let body = futures_util::StreamExt::map(body, move |piece| {
        piece.map_err(|error| {
            *remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            std::io::Error::other("the body failed")
        })
    });
    let outcome = read_parts(Multipart::new(body, boundary)).await;
    match failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => outcome,
    }
}

/// Collects the parts.
async fn read_parts(mut form: Multipart<'_>) -> Result<Fields, ApiError> {
    let mut fields = Fields::default();
    let mut parts = 0;
    while let Some(mut part) = form.next_field().await.map_err(malformed)? {
        parts += 1;
        if parts > MOST_PARTS {
            return Err(ApiError::bad_request(format!("the form has more than {MOST_PARTS} parts")));
        }
        let Some(name) = part.name().map(str::to_owned) else {
            return Err(ApiError::bad_request("a part of the form has no name"));
        };
        let is_file = part.file_name().is_some();
        let data = collect(&mut part).await?;
        let item = if is_file {
            Item::File(Upload::new(data))
        } else {
            match String::from_utf8(data.into()) {
                Ok(text) => Item::Text(text),
                // Some clients send files without a file name; as text it would be unusable anyway.
                Err(error) => Item::File(Upload::new(error.into_bytes().into())),
            }
        };
        fields.add(&name, item)?;
    }
    Ok(fields)
}

/// All bytes of a part.
async fn collect(part: &mut Field<'_>) -> Result<Bytes, ApiError> {
    let Some(first) = part.chunk().await.map_err(malformed)? else { return Ok(Bytes::new()) };
    let mut all = BytesMut::from(first);
    while let Some(piece) = part.chunk().await.map_err(malformed)? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// What is wrong with a form.
fn malformed(error: multer::Error) -> ApiError {
    ApiError::bad_request(match error {
        multer::Error::IncompleteFieldData { field_name: Some(name) } => {
            format!("the form ends in the middle of `{}`", clip(&name))
        }
        multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders => "the form is cut short: its closing boundary is missing".to_owned(),
        multer::Error::ReadHeaderFailed(_)
        | multer::Error::DecodeHeaderName { .. }
        | multer::Error::DecodeHeaderValue { .. } => "a part of the form has broken headers".to_owned(),
        _ => "the body is not a well-formed multipart form".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use proptest::prelude::*;

    fn form(parts: &[(&str, Option<&str>, &str)]) -> String {
        let mut body = String::new();
        for (name, file_name, data) in parts {
            let file = file_name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
            body.push_str(&format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{data}\r\n"));
        }
        body + "--x--\r\n"
    }

    fn parse(body: &[u8], piece: usize) -> Result<Fields, ApiError> {
        let pieces: Vec<_> = body.chunks(piece.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(read("multipart/form-data; boundary=x", stream::iter(pieces)))
    }

    #[test]
    fn order_and_spelling_do_not_matter() {
        let fields = parse(
            form(&[
                ("file", Some("file"), "RIFF"),
                ("timestamp_granularities[]", None, "word"),
                ("timestamp_granularities[]", None, "segment"),
                ("chunking_strategy[type]", None, "server_vad"),
                ("model", None, "whisper"),
                ("stream", None, "True"),
            ])
            .as_bytes(),
            7,
        )
        .unwrap();
        assert_eq!(fields.file("file").unwrap().unwrap().data, "RIFF");
        assert_eq!(fields.list("timestamp_granularities").unwrap(), ["word", "segment"]);
        assert_eq!(fields.object("chunking_strategy").unwrap().unwrap()["type"], "server_vad");
        assert_eq!(fields.text("model").unwrap().unwrap(), "whisper");
        assert!(fields.boolean("stream").unwrap().unwrap());
    }

    #[test]
    fn broken_forms_say_so() {
        let whole = form(&[("model", None, "whisper"), ("file", Some("f"), "RIFF")]);
        assert!(parse(whole.as_bytes(), 1000).is_ok());
        for cut in [10, 60, whole.len() - 12] {
            assert!(parse(&whole.as_bytes()[..cut], 1000).is_err(), "{cut}");
        }
        assert!(parse(b"{\"model\": 1}", 1000).is_err());
    }

    proptest! {
        #[test]
        fn any_cut_into_pieces_reads_the_same(data in "[a-z\r\n-]{1,200}", piece in 1usize..50) {
            let body = form(&[("a", None, &data), ("b", Some("f"), &data)]);
            prop_assume!(!data.contains("\r\n--x"));
            let fields = parse(body.as_bytes(), piece).unwrap();
            prop_assert_eq!(fields.file("b").unwrap().unwrap().data, data.as_bytes().to_vec());
        }

        #[test]
        fn garbage_does_not_panic(body in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..50) {
            let mut framed = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n".to_vec();
            framed.extend_from_slice(&body);
            let _ = parse(&framed, piece);
        }
    }
}
