//! What a store's settings refer to: of several ways to log in, the one that counts. Whoever resolves references sees
//! them only here, so a field that is missing here cannot be read from any namespace.

use std::borrow::Cow;

use crate::api::secret_store::{
    Aws, AwsJwtAuth, AwsSecretRef, AzureAuthType, AzureKv, CaProvider, GcpAuth, GcpSm, Kubernetes, Provider,
    SecretKeyRef, ServiceAccountRef, SessionTagsPolicy, Vault, VaultAuth, Webhook, WholeSecretRef,
};
use crate::plan::{Audience, Reference, Referent};

/// Secrets whose values a webhook may send somewhere bear this label, as upstream demands it.
const FOR_WEBHOOKS: (&str, &str) = ("external-secrets.io/type", "webhook");
/// For whom a token is that Azure trusts.
const AZURE: &str = "api://AzureADTokenExchange";

/// Everything that is to be resolved before the provider can be made.
pub fn references(provider: &Provider) -> Vec<Reference<'_>> {
    let mut found = References::default();
    if let Some(vault) = provider.vault.as_ref().or(provider.open_bao.as_ref()) {
        found.vault(vault);
    }
    if let Some(aws) = &provider.aws {
        found.aws(aws);
    }
    if let Some(azure) = &provider.azurekv {
        found.azure(azure);
    }
    if let Some(gcp) = &provider.gcpsm {
        found.gcp(gcp);
    }
    if let Some(kubernetes) = &provider.kubernetes {
        found.kubernetes(kubernetes);
    }
    if let Some(webhook) = &provider.webhook {
        found.webhook(webhook);
    }
    found.0
}

/// Whether the store is another one for each namespace that uses it: then nothing of it is shared between them.
pub fn depends_on_asker(provider: &Provider) -> bool {
    let tells_namespace = provider.aws.as_ref().is_some_and(|aws| aws.session_tags_policy != SessionTagsPolicy::None);
    let may_name_it = provider.webhook.is_some();
    let is_referent = references(provider).iter().any(|reference| reference.to.namespace().is_none());
    tells_namespace || may_name_it || is_referent
}

/// References, as they are collected.
#[derive(Debug, Default)]
pub(super) struct References<'a>(pub(super) Vec<Reference<'a>>);

impl<'a> References<'a> {
    /// A key of a Secret.
    pub(super) fn secret(&mut self, field: &'static str, reference: &'a SecretKeyRef) {
        self.0.push(Reference { field, to: Referent::Secret(reference, None) });
    }

    fn secrets(&mut self, all: &[(&'static str, &'a Option<SecretKeyRef>)]) {
        for (field, reference) in all {
            if let Some(reference) = reference {
                self.secret(field, reference);
            }
        }
    }

    fn account(&mut self, field: &'static str, reference: &'a ServiceAccountRef, audience: Audience<'a>) {
        self.0.push(Reference { field, to: Referent::Account(reference, audience) });
    }

    fn authority(&mut self, bundle: Option<&String>, provider: Option<&'a CaProvider>) {
        if let (None, Some(provider)) = (bundle, provider) {
            self.0.push(Reference { field: "caProvider", to: Referent::Authority(provider) });
        }
    }

    /// Those of a Vault.
    pub(super) fn vault(&mut self, vault: &'a Vault) {
        self.authority(vault.ca_bundle.as_ref(), vault.ca_provider.as_ref());
        if let Some(tls) = &vault.tls {
            self.secrets(&[("tls.certSecretRef", &tls.cert_secret_ref), ("tls.keySecretRef", &tls.key_secret_ref)]);
        }
        if let Some(auth) = &vault.auth {
            self.vault_auth(auth);
        }
    }

    /// The first method that is there, in upstream's order.
    fn vault_auth(&mut self, auth: &'a VaultAuth) {
        if let Some(cert) = &auth.cert {
            self.secrets(&[("auth.cert.clientCert", &cert.client_cert), ("auth.cert.secretRef", &cert.secret_ref)]);
        }
        if let Some(token) = &auth.token_secret_ref {
            self.secret("auth.tokenSecretRef", token);
        } else if let Some(role) = &auth.app_role {
            self.secrets(&[("auth.appRole.roleRef", &role.role_ref)]);
            self.secret("auth.appRole.secretRef", &role.secret_ref);
        } else if let Some(kubernetes) = &auth.kubernetes {
            match (&kubernetes.service_account_ref, &kubernetes.secret_ref) {
                (Some(account), _) => self.account("auth.kubernetes.serviceAccountRef", account, Audience::default()),
                (None, Some(secret)) => {
                    let to = Referent::Secret(secret, Some("token"));
                    self.0.push(Reference { field: "auth.kubernetes.secretRef", to });
                }
                (None, None) => {}
            }
        } else if let Some(ldap) = &auth.ldap {
            self.secrets(&[("auth.ldap.secretRef", &ldap.secret_ref)]);
        } else if let Some(user) = &auth.user_pass {
            self.secrets(&[("auth.userPass.secretRef", &user.secret_ref)]);
        } else if let Some(jwt) = &auth.jwt {
            match &jwt.kubernetes_service_account_token {
                Some(token) => {
                    let names = token.audiences.clone().unwrap_or_else(|| vec!["vault".to_owned()]);
                    let audience = Audience {
                        names: names.into_iter().map(Cow::Owned).collect(),
                        seconds: token.expiration_seconds,
                        ..Audience::default()
                    };
                    let field = "auth.jwt.kubernetesServiceAccountToken.serviceAccountRef";
                    self.account(field, &token.service_account_ref, audience);
                }
                None => self.secrets(&[("auth.jwt.secretRef", &jwt.secret_ref)]),
            }
        } else if let (Some(iam), None) = (&auth.iam, &auth.cert) {
            self.aws_identity(iam.secret_ref.as_ref(), iam.jwt.as_ref());
        } else if let (Some(gcp), None) = (&auth.gcp, &auth.cert) {
            let key = gcp.secret_ref.as_ref().and_then(|key| key.secret_access_key_secret_ref.as_ref());
            self.0.extend(key.map(|key| Reference {
                field: "auth.gcp.secretRef.secretAccessKeySecretRef",
                to: Referent::Secret(key, None),
            }));
        }
    }

    fn aws(&mut self, aws: &'a Aws) {
        if let Some(auth) = &aws.auth {
            self.aws_identity(auth.secret_ref.as_ref(), auth.jwt.as_ref());
        }
    }

    /// Keys of AWS, or an account that it trusts.
    pub(super) fn aws_identity(&mut self, keys: Option<&'a AwsSecretRef>, jwt: Option<&'a AwsJwtAuth>) {
        if let Some(keys) = keys {
            self.secrets(&[
                ("auth.secretRef.accessKeyIDSecretRef", &keys.access_key_id),
                ("auth.secretRef.secretAccessKeySecretRef", &keys.secret_access_key),
                ("auth.secretRef.sessionTokenSecretRef", &keys.session_token),
            ]);
        } else if let Some(account) = jwt.and_then(|jwt| jwt.service_account_ref.as_ref()) {
            let audience = Audience {
                names: vec![Cow::Borrowed("sts.amazonaws.com")],
                annotation: Some("eks.amazonaws.com/audience"),
                reads_annotations: true,
                seconds: None,
            };
            self.account("auth.jwt.serviceAccountRef", account, audience);
        }
    }

    pub(super) fn azure(&mut self, azure: &'a AzureKv) {
        if azure.auth_type == AzureAuthType::ManagedIdentity {
            return;
        }
        if let Some(auth) = &azure.auth_secret_ref {
            self.secrets(&[
                ("authSecretRef.clientId", &auth.client_id),
                ("authSecretRef.tenantId", &auth.tenant_id),
                ("authSecretRef.clientSecret", &auth.client_secret),
                ("authSecretRef.clientCertificate", &auth.client_certificate),
            ]);
        }
        if let (AzureAuthType::WorkloadIdentity, Some(account)) = (azure.auth_type, &azure.service_account_ref) {
            self.azure_account("serviceAccountRef", account);
        }
    }

    /// An account that Azure trusts.
    fn azure_account(&mut self, field: &'static str, account: &'a ServiceAccountRef) {
        let names = vec![Cow::Borrowed(AZURE)];
        self.account(field, account, Audience { names, reads_annotations: true, ..Audience::default() });
    }

    fn gcp(&mut self, gcp: &'a GcpSm) {
        if let Some(auth) = &gcp.auth {
            self.gcp_auth(auth, gcp.project_id.as_deref());
        }
    }

    /// Who we are to Google.
    pub(super) fn gcp_auth(&mut self, auth: &'a GcpAuth, project: Option<&'a str>) {
        if let Some(key) = &auth.secret_ref {
            self.secrets(&[("auth.secretRef.secretAccessKeySecretRef", &key.secret_access_key_secret_ref)]);
        } else if let Some(identity) = &auth.workload_identity {
            let project = identity.cluster_project_id.as_deref().or(project).unwrap_or_default();
            let names = vec![Cow::Owned(format!("{project}.svc.id.goog"))];
            let audience = Audience { names, reads_annotations: true, ..Audience::default() };
            self.account("auth.workloadIdentity.serviceAccountRef", &identity.service_account_ref, audience);
        } else if let Some(federation) = &auth.workload_identity_federation {
            let field = "auth.workloadIdentityFederation.credConfig";
            let config = federation.cred_config.as_ref().map(Referent::ConfigMap);
            self.0.extend(config.map(|to| Reference { field, to }));
            if let Some(account) = &federation.service_account_ref {
                let names = federation.audience.as_deref().map(Cow::Borrowed).into_iter().collect();
                let audience = Audience { names, ..Audience::default() };
                self.account("auth.workloadIdentityFederation.serviceAccountRef", account, audience);
            }
            if let Some(aws) = &federation.aws_security_credentials {
                let to = Referent::WholeSecret(aws.aws_credentials_secret_ref.clone(), None);
                let field = "auth.workloadIdentityFederation.awsSecurityCredentials.awsCredentialsSecretRef";
                self.0.push(Reference { field, to });
            }
        }
    }

    fn kubernetes(&mut self, kubernetes: &'a Kubernetes) {
        if let Some(reference) = &kubernetes.auth_ref {
            return self.secret("authRef", reference);
        }
        if let Some(server) = &kubernetes.server {
            self.authority(server.ca_bundle.as_ref(), server.ca_provider.as_ref());
        }
        let Some(auth) = &kubernetes.auth else { return };
        if let Some(cert) = &auth.cert {
            self.secret("auth.cert.clientCert", &cert.client_cert);
            self.secret("auth.cert.clientKey", &cert.client_key);
        } else if let Some(token) = &auth.token {
            self.secret("auth.token.bearerToken", &token.bearer_token);
        } else if let Some(account) = &auth.service_account {
            self.account("auth.serviceAccount", account, Audience::default());
        }
    }

    /// Those of a webhook.
    pub(super) fn webhook(&mut self, webhook: &'a Webhook) {
        self.authority(webhook.ca_bundle.as_ref(), webhook.ca_provider.as_ref());
        for secret in &webhook.secrets {
            let SecretKeyRef { name, namespace, .. } = &secret.secret_ref;
            let whole = WholeSecretRef { name: name.clone().unwrap_or_default(), namespace: namespace.clone() };
            self.0
                .push(Reference { field: "secrets[].secretRef", to: Referent::WholeSecret(whole, Some(FOR_WEBHOOKS)) });
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::generate::SchemaSettings;
    use serde_json::{Value, json};

    use super::*;

    /// An object of this schema in which every reference is there, each with a namespace of its own.
    fn filled(schema: &Value, path: &str) -> Option<Value> {
        let fields = schema["properties"].as_object();
        let is_reference = fields.is_some_and(|fields| fields.contains_key("name") && fields.contains_key("namespace"));
        if is_reference {
            let mut reference = json!({ "name": "n", "namespace": path.to_ascii_lowercase().replace('.', "-") });
            for field in ["key", "type"] {
                if fields.is_some_and(|fields| fields.contains_key(field)) {
                    reference[field] = if field == "type" { "Secret".into() } else { "k".into() };
                }
            }
            return Some(reference);
        }
        if let Some(choice) = schema["anyOf"].as_array().and_then(|choices| choices.first()) {
            return filled(choice, path);
        }
        if schema["type"] == "array" {
            return filled(&schema["items"], path).map(|item| json!([item]));
        }
        let mut object = serde_json::Map::new();
        for (name, schema) in fields? {
            if let Some(value) = filled(schema, &format!("{path}.{name}")) {
                object.insert(name.clone(), value);
            }
        }
        (!object.is_empty()).then_some(Value::Object(object))
    }

    /// Every reference below `value` as the text of its namespace.
    fn namespaces(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) if fields.contains_key("name") && fields.contains_key("namespace") => {
                found.extend(fields["namespace"].as_str().map(ToOwned::to_owned));
            }
            Value::Object(fields) => fields.values().for_each(|value| namespaces(value, found)),
            Value::Array(items) => items.iter().for_each(|value| namespaces(value, found)),
            _ => {}
        }
    }

    fn with_required(mut value: Value) -> Option<Provider> {
        for (at, fields) in [
            ("/vault", json!({ "server": "https://v" })),
            ("/openBao", json!({ "server": "https://v" })),
            ("/vault/auth/kubernetes", json!({ "role": "r" })),
            ("/vault/auth/ldap", json!({ "username": "u" })),
            ("/vault/auth/userPass", json!({ "username": "u" })),
            ("/vault/auth/iam", json!({ "vaultRole": "r" })),
            ("/vault/auth/gcp", json!({ "role": "r" })),
            ("/aws", json!({ "service": "SecretsManager", "region": "r" })),
            ("/azurekv", json!({ "vaultUrl": "https://a", "authType": "WorkloadIdentity" })),
            ("/gcpsm/auth/workloadIdentityFederation/awsSecurityCredentials", json!({ "region": "r" })),
            ("/webhook", json!({ "url": "https://w" })),
            ("/webhook/secrets/0", json!({ "name": "s" })),
        ] {
            if let Some(object) = value.pointer_mut(at).and_then(Value::as_object_mut) {
                object.extend(fields.as_object().unwrap().clone());
            }
        }
        serde_json::from_value(value).ok()
    }

    /// Keeps one of the ways to log in below `auth`, by its index.
    fn with_one_login(provider: &Value, index: usize) -> Option<Value> {
        let mut value = provider.clone();
        let auth = value.as_object_mut()?.values_mut().next()?.get_mut("auth")?.as_object_mut()?;
        let (name, kept) = auth.iter().nth(index).map(|(name, value)| (name.clone(), value.clone()))?;
        auth.clear();
        auth.insert(name, kept);
        Some(value)
    }

    #[test]
    fn every_reference_of_every_provider_is_resolved_by_the_rules() {
        let settings = SchemaSettings::openapi3().with(|settings| settings.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<Provider>().to_value();
        let mut cases = 0;
        for name in ["vault", "aws", "azurekv", "gcpsm", "kubernetes", "webhook"] {
            let whole = filled(&schema["properties"][name], name).unwrap();
            let whole = json!({ name: whole });
            let ways: Vec<_> = (0..).map_while(|index| with_one_login(&whole, index)).collect();
            for mut value in if ways.is_empty() { vec![whole] } else { ways } {
                // A kubeconfig takes the place of all else.
                if value["kubernetes"]["auth"].is_object() {
                    value["kubernetes"].as_object_mut().unwrap().remove("authRef");
                }
                // Of two sources of one token one is used.
                for (at, other) in [
                    ("/vault/auth/kubernetes", "secretRef"),
                    ("/vault/auth/jwt", "secretRef"),
                    ("/vault/auth/iam", "jwt"),
                ] {
                    if let Some(auth) = value.pointer_mut(at).and_then(Value::as_object_mut) {
                        auth.remove(other);
                    }
                }
                let provider = with_required(value.clone()).unwrap_or_else(|| panic!("{value}"));
                let mut expected = Vec::new();
                namespaces(&value, &mut expected);
                let mut found: Vec<_> = references(&provider)
                    .iter()
                    .map(|found| found.to.namespace().unwrap_or_default().to_owned())
                    .collect();
                expected.sort();
                found.sort();
                assert_eq!(found, expected, "{value}");
                cases += 1;
            }
        }
        assert!(cases >= 15, "{cases}");
    }

    #[test]
    fn a_store_that_names_its_namespaces_is_the_same_for_all() {
        let provider = |value| serde_json::from_value::<Provider>(value).unwrap();
        let vault =
            |reference: Value| provider(json!({ "vault": { "server": "s", "auth": { "tokenSecretRef": reference } } }));
        assert!(!depends_on_asker(&vault(json!({ "name": "t", "key": "k", "namespace": "n" }))));
        assert!(depends_on_asker(&vault(json!({ "name": "t", "key": "k" }))));
        let aws = |policy: &str| {
            provider(json!({ "aws": { "service": "SecretsManager", "region": "r", "sessionTagsPolicy": policy } }))
        };
        assert!(!depends_on_asker(&aws("None")));
        assert!(depends_on_asker(&aws("Simple")));
    }
}
