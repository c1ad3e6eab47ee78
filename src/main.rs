//! The operator's program: parse arguments, do a verb, or start telemetry and run.

use std::process::ExitCode;

use chancery::args::Settings;
use chancery::command::Program;
use chancery::telemetry;
use clap::Parser;

fn main() -> ExitCode {
    let program = Program::parse();
    if let Some(verb) = program.verb {
        return verb.run();
    }
    match start(program.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may not have started: this one goes to stderr either way.
            tracing::error!(error = format!("{error:#}"), "ends");
            ExitCode::FAILURE
        }
    }
}

fn start(settings: Settings) -> anyhow::Result<()> {
    telemetry::start_logging(settings.log_format, &settings.log)?;
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(chancery::run(settings))
}
