//! DER: just enough to write keys and certificates, and to read PKCS#12.

use super::super::error::Fault;

/// Tags.
pub(super) mod tag {
    pub(in crate::template) const INTEGER: u8 = 0x02;
    pub(in crate::template) const BIT_STRING: u8 = 0x03;
    pub(in crate::template) const OCTET_STRING: u8 = 0x04;
    pub(in crate::template) const OBJECT: u8 = 0x06;
    pub(in crate::template) const SEQUENCE: u8 = 0x30;
    pub(in crate::template) const SET: u8 = 0x31;
    pub(in crate::template) const UTF8: u8 = 0x0C;
    pub(in crate::template) const PRINTABLE: u8 = 0x13;
    pub(in crate::template) const UTC_TIME: u8 = 0x17;
    pub(in crate::template) const GENERALIZED_TIME: u8 = 0x18;
    /// `[0]` around values, and around bytes.
    pub(in crate::template) const CONTEXT: u8 = 0xA0;
    pub(in crate::template) const CONTEXT_BYTES: u8 = 0x80;
    pub(in crate::template) const BMP: u8 = 0x1E;
}

/// One value with its tag and length.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len();
    if let Ok(short @ 0..=127) = u8::try_from(length) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
        out.extend_from_slice(bytes);
    }
    out.extend_from_slice(content);
    out
}

/// Values one after the other.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(tag::SEQUENCE, &parts.concat())
}

/// A number without sign, from its big-endian bytes.
pub(super) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let mut content = magnitude[zeros..].to_vec();
    if content.first().is_none_or(|first| *first >= 0x80) {
        content.insert(0, 0);
    }
    tagged(tag::INTEGER, &content)
}

/// Bytes as bits.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    tagged(tag::BIT_STRING, &[&[0], bytes].concat())
}

pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    tagged(tag::OCTET_STRING, bytes)
}

/// An object identifier from its numbers.
pub(super) fn object(numbers: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    if let [first, second, rest @ ..] = numbers {
        for number in std::iter::once(first * 40 + second).chain(rest.iter().copied()) {
            let groups: Vec<u8> =
                (0..10).map(|group| u8::try_from(number >> (7 * group) & 0x7F).unwrap_or(0)).collect();
            let count = groups.iter().rposition(|group| *group != 0).map_or(1, |last| last + 1);
            content.extend((0..count).rev().map(|group| groups[group] | if group > 0 { 0x80 } else { 0 }));
        }
    }
    tagged(tag::OBJECT, &content)
}

/// `[number]` around values.
pub(super) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0xA0 | number, content)
}

/// Reads values one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
}

/// Not the form that was expected.
#[derive(Debug)]
pub(super) struct Malformed;

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::from("the data are malformed")
    }
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Of bytes that hold one value and nothing behind it.
    pub(super) fn whole(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut reader = Self::new(bytes);
        reader.any()?;
        if reader.is_empty() { Ok(Self::new(bytes)) } else { Err(Malformed) }
    }

    /// The numbers of an object identifier.
    pub(super) fn object(&mut self) -> Result<Vec<u64>, Malformed> {
        let mut numbers = Vec::new();
        let mut number: u64 = 0;
        for byte in self.expect(tag::OBJECT)? {
            number = number.checked_mul(128).ok_or(Malformed)? | u64::from(byte & 0x7F);
            if byte & 0x80 == 0 {
                if numbers.is_empty() {
                    let first = (number / 40).min(2);
                    numbers.push(first);
                    number -= 40 * first;
                }
                numbers.push(std::mem::take(&mut number));
            }
        }
        Ok(numbers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag that comes next.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value: its tag and content. Lengths that are left open, as BER has them, are taken as well.
    pub(super) fn any(&mut self) -> Result<(u8, &'b [u8]), Malformed> {
        let (tag, rest) = self.rest.split_first().ok_or(Malformed)?;
        let (first, rest) = rest.split_first().ok_or(Malformed)?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(*first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F)).ok_or(Malformed)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return Err(Malformed),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok((*tag, content))
    }

    /// The content of the next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'b [u8], Malformed> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// The values within the next sequence.
    pub(super) fn sequence(&mut self) -> Result<Self, Malformed> {
        self.expect(tag::SEQUENCE).map(Self::new)
    }

    /// A number of at most 32 bits.
    pub(super) fn small(&mut self) -> Result<u32, Malformed> {
        let bytes = self.expect(tag::INTEGER)?;
        if bytes.len() > 5 || bytes.first().is_none_or(|first| *first >= 0x80) {
            return Err(Malformed);
        }
        let value = bytes.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        u32::try_from(value).map_err(|_| Malformed)
    }
}
