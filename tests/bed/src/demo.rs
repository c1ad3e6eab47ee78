//! The demo: placeholder while the controllers are on their way.

use std::path::Path;

use anyhow::Result;

pub(crate) fn run(_folder: &Path, _record: Option<&Path>, _keep: bool) -> Result<()> {
    anyhow::bail!("the demo is not written yet")
}
