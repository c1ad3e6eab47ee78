//! Keyed digests: they tell whether something changed, and nothing else, to anyone without the install key (D11).

use aws_lc_rs::hmac;
use seal::SecretBytes;

/// Makes digests under the install key.
#[derive(Clone)]
pub struct Digester(hmac::Key);

/// Bytes of a digest that are shown: enough that no two differ by chance, short in a status.
const SHOWN: usize = 16;

impl Digester {
    /// A digester under this key.
    pub fn new(install_key: &SecretBytes) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, install_key.expose()))
    }

    /// The digest of a sequence of parts, as 32 hexadecimal digits.
    ///
    /// `purpose` keeps digests of different things apart. Each part is preceded by its length, so that two sequences
    /// never run together into the same text.
    pub fn digest<P: AsRef<[u8]>>(&self, purpose: &str, parts: impl IntoIterator<Item = P>) -> String {
        self.seed(purpose, parts)[..SHOWN].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// All bytes of the digest: what chance is drawn from where the same must come out again. They never leave the process.
    pub fn seed<P: AsRef<[u8]>>(&self, purpose: &str, parts: impl IntoIterator<Item = P>) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        let mut add = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        add(purpose.as_bytes());
        for part in parts {
            add(part.as_ref());
        }
        let mut all = [0; 32];
        all.copy_from_slice(context.sign().as_ref());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_key_purpose_and_where_parts_end() {
        let digester = Digester::new(&vec![1; 32].into());
        let known = digester.digest("p", ["ab", "c"]);
        assert_eq!(known.len(), 32);
        assert_eq!(known, digester.digest("p", ["ab", "c"]));
        assert_ne!(known, digester.digest("p", ["a", "bc"]));
        assert_ne!(known, digester.digest("q", ["ab", "c"]));
        assert_ne!(known, Digester::new(&vec![2; 32].into()).digest("p", ["ab", "c"]));
    }
}
