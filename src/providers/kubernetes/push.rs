//! Writing Secrets of another namespace or cluster. There is no mark of who made one: values are put in beside others.

use std::collections::BTreeMap;

use async_trait::async_trait;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::KubernetesProvider;
use crate::providers::{Error, PushRef, PushValue, Writer};

/// kubectl's copy of the whole object, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `metadata.spec` of a pushed entry.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct PushSettings {
    source_merge_policy: MergePolicy,
    target_merge_policy: MergePolicy,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    remote_namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum MergePolicy {
    #[default]
    Merge,
    Replace,
    Ignore,
}

impl PushSettings {
    /// Labels or annotations as they are to be: the source's and the settings', with what stands there.
    fn texts(
        &self,
        source: &BTreeMap<String, String>,
        own: &BTreeMap<String, String>,
        standing: Option<&BTreeMap<String, String>>,
    ) -> BTreeMap<String, String> {
        if let (Some(standing), MergePolicy::Ignore) = (standing, self.target_merge_policy) {
            return standing.clone();
        }
        let mut wanted = match self.source_merge_policy {
            MergePolicy::Replace => BTreeMap::new(),
            MergePolicy::Merge | MergePolicy::Ignore => source.clone(),
        };
        wanted.extend(own.clone());
        wanted.remove(LAST_APPLIED);
        match (self.target_merge_policy, standing) {
            (MergePolicy::Merge, Some(standing)) => standing.clone().into_iter().chain(wanted).collect(),
            _ => wanted,
        }
    }
}

impl KubernetesProvider {
    fn remote_namespace<'a>(&'a self, settings: &'a PushSettings) -> Result<&'a str, Error> {
        match settings.remote_namespace.as_deref() {
            None => Ok(&self.namespace),
            Some(named) if self.is_cluster_store => Ok(named),
            Some(_) => Err(Error::Configuration(
                "remoteNamespace override is only supported with ClusterSecretStore".to_owned(),
            )),
        }
    }

    async fn delete_whole(&self, namespace: &str, name: &str, standing: &Secret) -> Result<(), Error> {
        let guard = json!({ "preconditions": { "uid": standing.metadata.uid } });
        match self.call::<Value>(Method::DELETE, &Self::path(namespace, Some(name))?, &[], Some(guard)).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Writer for KubernetesProvider {
    async fn exists(&self, reference: &PushRef) -> Result<bool, Error> {
        let settings: PushSettings = reference.settings()?;
        let standing = self.standing(self.remote_namespace(&settings)?, &reference.remote_key).await?;
        let data = standing.map(|secret| secret.data.unwrap_or_default());
        Ok(data.is_some_and(|data| reference.property().is_none_or(|property| data.contains_key(property))))
    }

    async fn push(&self, reference: &PushRef, value: PushValue<'_>) -> Result<(), Error> {
        let settings: PushSettings = reference.settings()?;
        let (namespace, name) = (self.remote_namespace(&settings)?, &reference.remote_key);
        let source = value.source;
        let pushed: BTreeMap<String, ByteString> = match (value.key, reference.property()) {
            (None, None) => {
                source.data.iter().map(|(key, value)| (key.clone(), ByteString(value.expose().to_vec()))).collect()
            }
            (_, Some(property)) => [(property.to_owned(), ByteString(value.bytes()?.expose().to_vec()))].into(),
            (Some(_), None) => {
                return Err(Error::Configuration(
                    "requires property in RemoteRef to push secret value if secret key is defined".to_owned(),
                ));
            }
        };
        let standing = self.standing(namespace, name).await?;
        let before = standing.clone().unwrap_or_default();
        let known = standing.as_ref().map(|secret| &secret.metadata);
        let empty = BTreeMap::new();
        let labels = known.map(|metadata| metadata.labels.as_ref().unwrap_or(&empty));
        let annotations = known.map(|metadata| metadata.annotations.as_ref().unwrap_or(&empty));
        let mut data = before.data.clone().unwrap_or_default();
        data.extend(pushed);
        let wanted = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                labels: Some(settings.texts(&source.labels, &settings.labels, labels)),
                annotations: Some(settings.texts(&source.annotations, &settings.annotations, annotations)),
                ..before.metadata.clone()
            },
            data: Some(data),
            type_: standing.as_ref().map_or_else(
                || Some(source.type_.clone()).filter(|kind| !kind.is_empty()),
                |secret| secret.type_.clone(),
            ),
            ..before.clone()
        };
        let same = |a: &Option<BTreeMap<String, String>>, b: &Option<BTreeMap<String, String>>| {
            a.clone().unwrap_or_default() == b.clone().unwrap_or_default()
        };
        let is_same = wanted.data == before.data
            && same(&wanted.metadata.labels, &before.metadata.labels)
            && same(&wanted.metadata.annotations, &before.metadata.annotations);
        if standing.is_some() && is_same {
            return Ok(());
        }
        let body = serde_json::to_value(&wanted).ok();
        let sent = match standing {
            None => self.call::<Value>(Method::POST, &Self::path(namespace, None)?, &[], body).await,
            // With the version that was read: nobody's newer write is lost.
            Some(_) => self.call::<Value>(Method::PUT, &Self::path(namespace, Some(name))?, &[], body).await,
        };
        sent.map(drop)
    }

    async fn delete(&self, reference: &PushRef) -> Result<(), Error> {
        let settings: PushSettings = reference.settings()?;
        let (namespace, name) = (self.remote_namespace(&settings)?, &reference.remote_key);
        let Some(standing) = self.standing(namespace, name).await? else { return Ok(()) };
        if let Some(property) = reference.property() {
            let mut rest = standing.clone();
            let data = rest.data.get_or_insert_default();
            if data.remove(property).is_none() {
                return Ok(());
            }
            if !data.is_empty() {
                let body = serde_json::to_value(&rest).ok();
                return self.call::<Value>(Method::PUT, &Self::path(namespace, Some(name))?, &[], body).await.map(drop);
            }
        }
        self.delete_whole(namespace, name, &standing).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_merged_as_the_settings_say() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let settings = |fields: Value| -> PushSettings { serde_json::from_value(fields).unwrap() };
        let (source, standing) = (map(&[("sl", "1"), (LAST_APPLIED, "{}")]), map(&[("theirs", "1")]));
        let own = map(&[("l", "v")]);
        let cases = [
            (json!({}), map(&[("l", "v"), ("sl", "1"), ("theirs", "1")])),
            (json!({ "sourceMergePolicy": "Replace" }), map(&[("l", "v"), ("theirs", "1")])),
            (json!({ "targetMergePolicy": "Replace" }), map(&[("l", "v"), ("sl", "1")])),
            (json!({ "targetMergePolicy": "Ignore" }), map(&[("theirs", "1")])),
        ];
        for (fields, expected) in cases {
            assert_eq!(settings(fields.clone()).texts(&source, &own, Some(&standing)), expected, "{fields}");
        }
    }
}
