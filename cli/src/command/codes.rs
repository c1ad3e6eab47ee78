//! Every kind of trouble: its code, its exit code, its page.

/// Declares the codes; the pages are `docs/errors/<code>.md`.
macro_rules! codes {
    ($($name:ident = $id:literal, $exit:expr, $title:literal;)*) => {
        /// What went wrong, as `seal explain` knows it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $(#[doc = $title] $name,)* }

        impl Code {
            /// All of them, in the order of their numbers.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// `E0203`.
            pub(crate) fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// What the process ends with.
            pub(crate) fn exit(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }

            /// The headline.
            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The page for people.
            pub(crate) fn page(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("../../../docs/errors/", $id, ".md")),)* }
            }
        }
    };
}

/// A check failed, or there is a difference.
pub(crate) const FAILED: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// A file is not what it should be.
pub(crate) const BAD_INPUT: u8 = 3;
/// No certificate, or an unusable one.
pub(crate) const NO_CERTIFICATE: u8 = 4;
/// The cluster cannot be reached.
pub(crate) const NO_CLUSTER: u8 = 5;
/// The cluster forbids it.
pub(crate) const FORBIDDEN: u8 = 6;
/// Something does not decrypt.
pub(crate) const CANNOT_OPEN: u8 = 7;
/// The guard found plaintext.
pub(crate) const PLAINTEXT: u8 = 8;
/// Nothing was changed.
pub(crate) const NOTHING_CHANGED: u8 = 9;
/// Waiting took too long.
pub(crate) const TIMED_OUT: u8 = 10;
/// Ctrl-C, as shells count it.
pub(crate) const INTERRUPTED: u8 = 130;

codes! {
    NotReadable = "E0101", BAD_INPUT, "a file cannot be read or written";
    NotText = "E0102", BAD_INPUT, "a file is not text";
    NotYaml = "E0103", BAD_INPUT, "a manifest cannot be read";
    Twice = "E0104", BAD_INPUT, "a key stands twice";
    WrongObject = "E0105", BAD_INPUT, "there is no such object in the file";
    NoPlace = "E0106", BAD_INPUT, "name or namespace is missing";
    NoSuchKey = "E0107", BAD_INPUT, "there is no such key, or there is one already";
    Entangled = "E0108", BAD_INPUT, "the file cannot be changed in place";
    FileMoved = "E0109", BAD_INPUT, "the file was changed meanwhile";
    BadConfig = "E0110", BAD_INPUT, ".seal.toml cannot be used";
    Damaged = "E0201", FAILED, "a sealed value is damaged";
    OtherScope = "E0202", FAILED, "sealed with another scope";
    OtherPlace = "E0203", FAILED, "sealed for another place";
    UnknownKey = "E0204", FAILED, "sealed with a key that the cluster does not have";
    Unknown = "E0205", FAILED, "nothing is known about these items";
    Plaintext = "E0301", PLAINTEXT, "a Secret with readable values";
    OtherCertificate = "E0401", NO_CERTIFICATE, "the certificate is not the one that was pinned";
    Expired = "E0402", NO_CERTIFICATE, "the certificate has expired";
    NotACertificate = "E0403", NO_CERTIFICATE, "this is no certificate to seal with";
    NoCertificate = "E0404", NO_CERTIFICATE, "no certificate is known";
    NoCluster = "E0501", NO_CLUSTER, "no cluster is configured";
    NoService = "E0502", NO_CLUSTER, "no sealing service was found";
    Unreachable = "E0503", NO_CLUSTER, "the cluster cannot be reached";
    ControllerRefuses = "E0504", NO_CLUSTER, "the controller refuses";
    NotInCluster = "E0505", NO_CLUSTER, "the cluster does not have it";
    Forbidden = "E0601", FORBIDDEN, "the cluster forbids it";
    CannotOpen = "E0701", CANNOT_OPEN, "no key opens it";
    NotAKey = "E0702", BAD_INPUT, "this is no private key";
    NeedsInput = "E0801", USAGE, "a value is needed and nobody can be asked";
    NoEditor = "E0802", USAGE, "there is no editor, or it failed";
    NoPrivatePlace = "E0803", USAGE, "there is no memory-backed place for a private copy";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_says_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {}: {}\n", code.id(), code.title())), "{}", code.id());
            assert!(page.contains("\n## What to do\n"), "{}", code.id());
        }
        let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors")).unwrap().count();
        assert_eq!(pages, Code::ALL.len(), "a page without a code, or the other way round");
    }
}
