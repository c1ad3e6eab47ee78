//! What a store's settings refer to: of several ways to log in, the one that counts. Whoever resolves references sees
//! them only here, so a field that is missing here cannot be read from any namespace.

use crate::api::secret_store::{CaProvider, Provider, SecretKeyRef, ServiceAccountRef, Vault, VaultAuth};
use crate::plan::{Audience, Reference, Referent};

/// Everything that is to be resolved before the provider can be made.
pub fn references(provider: &Provider) -> Vec<Reference<'_>> {
    let mut found = Found::default();
    if let Some(vault) = provider.vault.as_ref().or(provider.open_bao.as_ref()) {
        found.vault(vault);
    }
    found.0
}

#[derive(Default)]
struct Found<'a>(Vec<Reference<'a>>);

impl<'a> Found<'a> {
    fn secret(&mut self, field: &'static str, reference: &'a SecretKeyRef) {
        self.0.push(Reference { field, to: Referent::Secret(reference, None) });
    }

    fn secret_or(&mut self, field: &'static str, reference: &'a SecretKeyRef, default_key: &'static str) {
        self.0.push(Reference { field, to: Referent::Secret(reference, Some(default_key)) });
    }

    fn account(&mut self, field: &'static str, reference: &'a ServiceAccountRef, audience: Audience<'a>) {
        self.0.push(Reference { field, to: Referent::Account(reference, audience) });
    }

    fn authority(&mut self, field: &'static str, provider: Option<&'a CaProvider>) {
        if let Some(provider) = provider {
            self.0.push(Reference { field, to: Referent::Authority(provider) });
        }
    }

    fn vault(&mut self, vault: &'a Vault) {
        if vault.ca_bundle.is_none() {
            self.authority("caProvider", vault.ca_provider.as_ref());
        }
        if let Some(auth) = &vault.auth {
            self.vault_auth(auth);
        }
    }

    /// The first method that is there, in upstream's order.
    fn vault_auth(&mut self, auth: &'a VaultAuth) {
        if let Some(token) = &auth.token_secret_ref {
            self.secret("auth.tokenSecretRef", token);
        } else if let Some(kubernetes) = &auth.kubernetes {
            match (&kubernetes.service_account_ref, &kubernetes.secret_ref) {
                (Some(account), _) => {
                    self.account("auth.kubernetes.serviceAccountRef", account, Audience::default());
                }
                (None, Some(secret)) => self.secret_or("auth.kubernetes.secretRef", secret, "token"),
                (None, None) => {}
            }
        }
    }
}
