//! `--raw`: one value in, one sealed item out, without a newline.

use std::path::Path;

use seal::{Scope, SecretBytes, seal_item};

use super::args::Args;
use crate::command::error::CommandError;
use crate::command::io;

/// Seals one value.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let name = args.name.as_deref().unwrap_or_default();
    if args.scope == Scope::Strict && name.is_empty() {
        return Err(CommandError::new("must provide the --name flag with --raw and --scope strict")
            .help("the value is sealed to that name; or share it with --scope namespace-wide"));
    }
    let namespace = match (&args.cluster.namespace, args.scope) {
        (Some(namespace), _) => namespace.clone(),
        (None, Scope::ClusterWide) => String::new(),
        (None, scope) => args.cluster.context_namespace()?.ok_or_else(|| {
            CommandError::new(format!("must provide the --namespace flag with --raw and --scope {scope}"))
                .help("no kubeconfig is configured to take it from")
        })?,
    };
    let certificate = args.certificate().to_seal_with()?;
    let value = value(args)?;
    let item = seal_item(&mut rand::rng(), &certificate, &args.scope.label(&namespace, name), &value)
        .map_err(|error| CommandError::new(error.to_string()))?;
    io::write(args.sealed_secret_file.as_deref(), item.as_bytes())
}

fn value(args: &Args) -> Result<SecretBytes, CommandError> {
    match args.from_file.as_slice() {
        [] => Ok(io::read_stdin()?.into()),
        [file] => {
            let path = file.split_once('=').map_or(file.as_str(), |(_, path)| path);
            Ok(io::read_bytes(Path::new(path))?.into())
        }
        _ => Err(CommandError::new("must provide at most one --from-file flag with --raw")),
    }
}
