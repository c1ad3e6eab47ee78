//! Orders that people write on the KeyReport as annotations: each is carried out once, though the watch lags behind our own
//! writes and taking one off may fail.

use std::collections::HashMap;

use kube::ResourceExt;

use crate::api::KeyReport;
use crate::cluster::{Cluster, Keys, Watched};
use crate::plan::ObjectKey;

/// The orders, as far as they are known.
pub(super) struct Orders {
    reports: Watched<KeyReport>,
    report: ObjectKey,
    carried_out: HashMap<&'static str, CarriedOut>,
}

/// What became of an order that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CarriedOut {
    /// It could not be taken off and still stands there.
    Standing,
    /// It is off since this version of the report: an earlier one that shows it is the past.
    OffSince(u64),
}

impl Orders {
    pub(super) fn new(reports: Watched<KeyReport>, report: ObjectKey) -> Self {
        Self { reports, report, carried_out: HashMap::new() }
    }

    /// Whether this is ordered, and not yet carried out.
    pub(super) fn has(&mut self, annotation: &'static str) -> bool {
        let report = self.reports.find(&self.report);
        let seen = report.filter(|report| report.annotations().get(annotation).is_some_and(|value| value == "true"));
        let version = seen.map(|report| number(&report.resource_version().unwrap_or_default()));
        let ordered = is_new(self.carried_out.get(annotation).copied(), version);
        if version.is_none() && self.carried_out.get(annotation) == Some(&CarriedOut::Standing) {
            // Somebody else took it off.
            self.carried_out.remove(annotation);
        }
        ordered
    }

    /// Takes an order that has been carried out off the report; when that fails, the next call of [`Orders::tidy`] does.
    pub(super) async fn tick_off(&mut self, keys: &Keys, cluster: &Cluster, annotation: &'static str) {
        let state = match keys.tick_off(cluster, annotation).await {
            Ok(version) => CarriedOut::OffSince(number(&version)),
            Err(error) => {
                tracing::warn!(%error, annotation, "an order that was carried out could not be taken off the KeyReport and will be");
                CarriedOut::Standing
            }
        };
        self.carried_out.insert(annotation, state);
    }

    /// Takes off what could not be taken off before.
    pub(super) async fn tidy(&mut self, keys: &Keys, cluster: &Cluster) {
        let standing: Vec<_> = self
            .carried_out
            .iter()
            .filter(|(_, state)| **state == CarriedOut::Standing)
            .map(|(name, _)| *name)
            .collect();
        for annotation in standing {
            self.tick_off(keys, cluster, annotation).await;
        }
    }
}

/// Versions are numbers that grow.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or_default()
}

/// Whether an order that is seen on a version of the report is another than the one that was carried out.
fn is_new(carried_out: Option<CarriedOut>, seen: Option<u64>) -> bool {
    match (seen, carried_out) {
        (None, _) | (Some(_), Some(CarriedOut::Standing)) => false,
        (Some(_), None) => true,
        (Some(version), Some(CarriedOut::OffSince(off))) => version > off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_carried_out_once() {
        let off = Some(CarriedOut::OffSince(7));
        let cases = [
            ("none", None, None, false),
            ("a first one", None, Some(5), true),
            ("the watch still shows it", off, Some(6), false),
            ("our own write shows it off", off, None, false),
            ("another one", off, Some(8), true),
            ("it could not be taken off", Some(CarriedOut::Standing), Some(9), false),
        ];
        for (name, carried_out, seen, expected) in cases {
            assert_eq!(is_new(carried_out, seen), expected, "{name}");
        }
    }
}
