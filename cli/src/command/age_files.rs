//! Files encrypted with age, as `age` and `rage` read them.

use std::io::{Read, Write};
use std::path::Path;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, IdentityFile, scrypt, x25519};
use zeroize::Zeroizing;

use super::codes::Code;
use super::console;
use super::context::Context;
use super::error::CommandError;
use super::io;

/// Shortest passphrase that is taken.
const SHORTEST: usize = 12;

/// Who will be able to open a file.
pub(crate) enum Lock {
    Recipients(Vec<x25519::Recipient>),
    Passphrase(SecretString),
}

impl Lock {
    /// For whoever has one of these keys.
    pub(crate) fn recipients(texts: &[String]) -> Result<Self, CommandError> {
        let read = |text: &String| {
            text.parse().map_err(|why: &str| {
                CommandError::new(format!("{text:?} is no age recipient: {why}"))
                    .help("a recipient begins with age1; make a pair with age-keygen, and keep its other half safe")
            })
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self::Recipients)
    }

    /// For whoever knows a passphrase, which is asked for twice.
    pub(crate) fn passphrase(context: &Context) -> Result<Self, CommandError> {
        if !context.can_ask() {
            return Err(CommandError::coded(Code::NeedsInput, "a passphrase is needed, and nobody can be asked")
                .help("encrypt to a key instead: --to age1…"));
        }
        let first = asked("passphrase for the backup: ")?;
        if first.len() < SHORTEST {
            return Err(CommandError::new(format!("the passphrase needs {SHORTEST} letters or more")));
        }
        if *first != *asked("the same again: ")? {
            return Err(CommandError::new("the two are not the same"));
        }
        Ok(Self::Passphrase(SecretString::from(first.as_str().to_owned())))
    }

    /// Encrypts.
    pub(crate) fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, CommandError> {
        let failed = |error: &dyn std::fmt::Display| CommandError::new(format!("cannot encrypt: {error}"));
        let encryptor = match self {
            Self::Passphrase(passphrase) => Encryptor::with_user_passphrase(passphrase.clone()),
            Self::Recipients(recipients) => {
                let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
                Encryptor::with_recipients(recipients).map_err(|error| failed(&error))?
            }
        };
        let mut encrypted = Vec::new();
        let mut writer = encryptor.wrap_output(&mut encrypted).map_err(|error| failed(&error))?;
        writer.write_all(plain).and_then(|()| writer.finish().map(drop)).map_err(|error| failed(&error))?;
        Ok(encrypted)
    }
}

/// Decrypts a file with an identity from a file, or with a passphrase that is asked for.
pub(crate) fn decrypt(
    context: &Context,
    file: &Path,
    identity: Option<&Path>,
) -> Result<Zeroizing<Vec<u8>>, CommandError> {
    let encrypted = io::read_bytes(file)?;
    let refused = |error: &DecryptError| {
        CommandError::coded(Code::CannotOpen, format!("{} cannot be decrypted: {error}", file.display()))
            .help("an age file opens with --identity FILE, or with its passphrase")
    };
    let decryptor = Decryptor::new(encrypted.as_slice()).map_err(|error| refused(&error))?;
    let mut plain = Zeroizing::new(Vec::new());
    let read = |mut reader: age::stream::StreamReader<&[u8]>, plain: &mut Vec<u8>| {
        reader
            .read_to_end(plain)
            .map(drop)
            .map_err(|_| CommandError::coded(Code::CannotOpen, format!("{} is damaged", file.display())))
    };
    if decryptor.is_scrypt() {
        if !context.can_ask() {
            return Err(CommandError::coded(Code::NeedsInput, "its passphrase is needed, and nobody can be asked"));
        }
        let passphrase = SecretString::from(asked(&format!("passphrase of {}: ", file.display()))?.as_str().to_owned());
        let identity = scrypt::Identity::new(passphrase);
        let reader =
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(|error| refused(&error))?;
        read(reader, &mut plain)?;
        return Ok(plain);
    }
    let Some(identity) = identity else {
        return Err(CommandError::coded(Code::NeedsInput, format!("{} is encrypted to a key", file.display()))
            .help("name the file with the identity: --identity FILE"));
    };
    let text = Zeroizing::new(io::read(Some(identity))?);
    let identities = IdentityFile::from_buffer(text.as_bytes())
        .ok()
        .and_then(|file| file.into_identities().ok())
        .ok_or_else(|| CommandError::coded(Code::NotAKey, format!("{} holds no age identity", identity.display())))?;
    let identities = identities.iter().map(|identity| identity.as_ref() as &dyn age::Identity);
    read(decryptor.decrypt(identities).map_err(|error| refused(&error))?, &mut plain)?;
    Ok(plain)
}

fn asked(question: &str) -> Result<Zeroizing<String>, CommandError> {
    let value = console::ask_hidden(question)?;
    String::from_utf8(value.expose().to_vec())
        .map(Zeroizing::new)
        .map_err(|_| CommandError::new("a passphrase is text"))
}
