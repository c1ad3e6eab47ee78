//! Without a flag that says otherwise: Secrets in, SealedSecrets out.

use seal::manifest::{self, ManifestError, Secret};
use seal::{Scope, SealError, seal_secret};

use super::args::Args;
use super::{unreadable, written};
use crate::command::error::CommandError;
use crate::command::io;

/// Seals every Secret of the input, in order.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let format = args.output_format()?;
    let certificate = args.certificate().to_seal_with()?;
    let mut product = String::new();
    for secret in input(args)? {
        let (secret, scope) = placed(args, secret)?;
        let sealed = seal_secret(&mut rand::rng(), &certificate, scope, &secret, args.allow_empty_data)
            .map_err(|error| refused(&secret, &error))?;
        product.push_str(&written(&sealed, format)?);
    }
    io::write(args.sealed_secret_file.as_deref(), product.as_bytes())
}

/// The Secrets to seal.
pub(super) fn input(args: &Args) -> Result<Vec<Secret>, CommandError> {
    let text = io::read(args.secret_file.as_deref())?;
    manifest::read_secrets(&text).map_err(|error| match &error {
        ManifestError::Yaml(_) | ManifestError::NotAnObject { .. } => {
            unreadable(args, &error).note("no secrets found in the input")
        }
        _ => unreadable(args, &error),
    })
}

/// Gives a Secret the name, namespace and scope under which it is sealed.
fn placed(args: &Args, mut secret: Secret) -> Result<(Secret, Scope), CommandError> {
    let scope = scope(args, &secret);
    if let Some(name) = &args.name {
        secret.name = Some(name.clone());
    }
    // Whatever the scope: a SealedSecret without a name cannot be applied.
    if secret.name.as_deref().is_none_or(str::is_empty) {
        return Err(refused(&secret, &SealError::NoName));
    }
    let given = secret.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    match (given, args.cluster.namespace.as_deref()) {
        (Some(given), Some(flag)) if given != flag && scope != Scope::ClusterWide => {
            return Err(CommandError::new(format!(
                "the namespace from the provided object {given:?} does not match the namespace {flag:?} of the flag"
            ))
            .help("leave -n out, or change the input: the values are sealed to the namespace"));
        }
        (Some(_), _) => {}
        (None, Some(flag)) => secret.namespace = Some(flag.to_owned()),
        (None, None) => secret.namespace = args.cluster.context_namespace()?,
    }
    Ok((secret, scope))
}

/// `strict` is the flag's default, so it cannot override what the input asks for.
pub(super) fn scope(args: &Args, secret: &Secret) -> Scope {
    match args.scope {
        Scope::Strict => Scope::of(&secret.annotations),
        asked => asked,
    }
}

/// Why a Secret is not sealed, with the way on.
pub(super) fn refused(secret: &Secret, error: &SealError) -> CommandError {
    let name = secret.name.as_deref().unwrap_or("the Secret");
    CommandError::new(format!("{name}: {error}")).help(match error {
        SealError::NoName => "give it a metadata.name, or --name NAME",
        SealError::NoNamespace(_) => "give it a metadata.namespace, or -n NAMESPACE",
        SealError::Empty => "put values under data or stringData",
        SealError::Key | SealError::TooLong => {
            "a Secret holds at most one mebibyte; use a 2048- to 8192-bit certificate"
        }
    })
}
