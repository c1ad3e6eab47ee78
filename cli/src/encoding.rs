//! Bytes of a file as text and back, so that an edited file stays what it was.

/// How a file's text is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a mark.
    #[default]
    Utf8,
    /// UTF-8 behind a byte order mark.
    Utf8Mark,
    /// UTF-16, low byte first, behind its mark: old PowerShell writes it.
    Utf16Low,
    /// UTF-16, high byte first, behind its mark.
    Utf16High,
}

/// The bytes are neither UTF-8 nor UTF-16 behind its mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither UTF-8 nor UTF-16 text")]
pub struct NotText;

impl Encoding {
    /// Reads bytes as text; the mark is not part of it.
    ///
    /// # Errors
    ///
    /// [`NotText`].
    pub fn decode(bytes: &[u8]) -> Result<(String, Self), NotText> {
        let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).map(ToOwned::to_owned).map_err(|_| NotText);
        match bytes {
            [0xff, 0xfe, rest @ ..] => Ok((utf16(rest, u16::from_le_bytes)?, Self::Utf16Low)),
            [0xfe, 0xff, rest @ ..] => Ok((utf16(rest, u16::from_be_bytes)?, Self::Utf16High)),
            [0xef, 0xbb, 0xbf, rest @ ..] => Ok((utf8(rest)?, Self::Utf8Mark)),
            _ => Ok((utf8(bytes)?, Self::Utf8)),
        }
    }

    /// Writes text as it was read.
    pub fn encode(self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() + 3);
        match self {
            Self::Utf8 => bytes.extend_from_slice(text.as_bytes()),
            Self::Utf8Mark => {
                bytes.extend_from_slice(&[0xef, 0xbb, 0xbf]);
                bytes.extend_from_slice(text.as_bytes());
            }
            Self::Utf16Low => {
                bytes.extend_from_slice(&[0xff, 0xfe]);
                bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            }
            Self::Utf16High => {
                bytes.extend_from_slice(&[0xfe, 0xff]);
                bytes.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            }
        }
        bytes
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, NotText> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(NotText);
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<_, _>>().map_err(|_| NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_written_as_it_was() {
        for encoding in [Encoding::Utf8, Encoding::Utf8Mark, Encoding::Utf16Low, Encoding::Utf16High] {
            let bytes = encoding.encode("a: ü€𝄞\r\n");
            assert_eq!(Encoding::decode(&bytes), Ok(("a: ü€𝄞\r\n".to_owned(), encoding)));
        }
        assert_eq!(Encoding::decode(&[0xff, 0xfe, 0]), Err(NotText));
        assert_eq!(Encoding::decode(&[0xff, 0xff]), Err(NotText));
    }
}
