//! `--raw`: one value in, one sealed item out, without a newline.

use std::io::Read;
use std::path::Path;

use seal::{Scope, SecretBytes, seal_item};

use super::args::Args;
use super::error::CommandError;
use super::{certificate, cluster, io};

/// Seals one value.
pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let name = args.name.as_deref().unwrap_or_default();
    if args.scope == Scope::Strict && name.is_empty() {
        return Err(CommandError::new("must provide the --name flag with --raw and --scope strict")
            .help("the value is sealed to that name; or share it with --scope namespace-wide"));
    }
    let namespace = match (&args.namespace, args.scope) {
        (Some(namespace), _) => namespace.clone(),
        (None, Scope::ClusterWide) => String::new(),
        (None, scope) => cluster::context_namespace(args)?.ok_or_else(|| {
            CommandError::new(format!("must provide the --namespace flag with --raw and --scope {scope}"))
                .help("no kubeconfig is configured to take it from")
        })?,
    };
    let certificate = certificate::to_seal_with(args)?;
    let value = value(args)?;
    let item = seal_item(&mut rand::rng(), &certificate, &args.scope.label(&namespace, name), &value)
        .map_err(|error| CommandError::new(error.to_string()))?;
    io::write(args.sealed_secret_file.as_deref(), item.as_bytes())
}

fn value(args: &Args) -> Result<SecretBytes, CommandError> {
    match args.from_file.as_slice() {
        [] => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|error| CommandError::new(format!("cannot read standard input: {error}")))?;
            Ok(bytes.into())
        }
        [file] => {
            let path = file.split_once('=').map_or(file.as_str(), |(_, path)| path);
            Ok(io::read_bytes(Path::new(path))?.into())
        }
        _ => Err(CommandError::new("must provide at most one --from-file flag with --raw")),
    }
}
