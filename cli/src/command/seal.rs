//! Without a verb: Secrets in, SealedSecrets out.

use seal::api::SealedSecret;
use seal::manifest::{self, Secret};
use seal::{Scope, SealError, seal_secret};

use super::args::{Args, Format};
use super::error::CommandError;
use super::{certificate, cluster, io};

/// Seals every Secret of the input, in order.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let format = args.output_format()?;
    if !args.from_file.is_empty() {
        return Err(CommandError::new("--from-file requires --raw").help(
            "to seal a whole Secret: kubectl create secret generic NAME --from-file=… --dry-run=client -o yaml | seal",
        ));
    }
    let certificate = certificate::to_seal_with(args)?;
    let input = io::read(args.secret_file.as_deref())?;
    let secrets = manifest::read_secrets(&input).map_err(|error| {
        let place = args.secret_file.as_ref().map_or("standard input".to_owned(), |file| file.display().to_string());
        CommandError::new(format!("{place}: {error}"))
    })?;
    let mut product = String::new();
    for secret in secrets {
        let (secret, scope) = placed(args, secret)?;
        let sealed = seal_secret(&mut rand::rng(), &certificate, scope, &secret, args.allow_empty_data)
            .map_err(|error| refused(&secret, &error))?;
        product.push_str(&written(&sealed, format)?);
    }
    io::write(args.sealed_secret_file.as_deref(), product.as_bytes())
}

/// Gives a Secret the name, namespace and scope under which it is sealed.
fn placed(args: &Args, mut secret: Secret) -> Result<(Secret, Scope), CommandError> {
    // `strict` is the flag's default, so it cannot override what the input asks for.
    let scope = match args.scope {
        Scope::Strict => Scope::of(&secret.annotations),
        asked => asked,
    };
    if let Some(name) = &args.name {
        secret.name = Some(name.clone());
    }
    let given = secret.namespace.as_deref().filter(|namespace| !namespace.is_empty());
    match (given, args.namespace.as_deref()) {
        (Some(given), Some(flag)) if given != flag && scope != Scope::ClusterWide => {
            return Err(CommandError::new(format!(
                "the namespace from the provided object {given:?} does not match the namespace {flag:?} of the flag"
            ))
            .help("leave -n out, or change the input: the values are sealed to the namespace"));
        }
        (Some(_), _) => {}
        (None, Some(flag)) => secret.namespace = Some(flag.to_owned()),
        (None, None) => secret.namespace = cluster::context_namespace(args)?,
    }
    Ok((secret, scope))
}

fn refused(secret: &Secret, error: &SealError) -> CommandError {
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

/// One SealedSecret as kubeseal writes it.
fn written(sealed: &SealedSecret, format: Format) -> Result<String, CommandError> {
    let failed = || CommandError::new("the SealedSecret cannot be written");
    match format {
        Format::Json => Ok(serde_json::to_string_pretty(sealed).map_err(|_| failed())? + "\n"),
        Format::Yaml => Ok(format!("---\n{}", seal::yaml::write(sealed).map_err(|_| failed())?)),
    }
}
