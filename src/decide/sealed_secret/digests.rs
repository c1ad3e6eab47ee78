//! Keyed digests of what a Secret is made from and of what was made (D11): equal digests mean nothing to do.

use std::collections::BTreeMap;

use kube::ResourceExt;
use seal::{Scope, SecretBytes};

use super::owner;
use super::slim::slim_spec;
use crate::api::SealedSecret;
use crate::decide::digest::Digester;
use crate::plan::{SecretManifest, SecretValues};

/// A keyed digest of everything that the Secret is made from; the same whether the object is slim or whole.
pub fn inputs(object: &SealedSecret, digester: &Digester) -> String {
    let mut spec = object.spec.clone();
    slim_spec(&mut spec);
    let spec = serde_json::to_vec(&spec).unwrap_or_default();
    let scope = Scope::of(object.annotations()).to_string();
    let (namespace, name, uid) =
        (object.namespace().unwrap_or_default(), object.name_any(), object.uid().unwrap_or_default());
    // Our own orders change what is made, too.
    let orders: Vec<u8> = object
        .annotations()
        .iter()
        .filter(|(name, _)| name.starts_with("chancery.dev/"))
        .flat_map(|(name, value)| [name.as_bytes(), &[0], value.as_bytes(), &[0]].concat())
        .collect();
    digester.digest(
        "sealed-secret-inputs",
        [namespace.as_bytes(), name.as_bytes(), uid.as_bytes(), scope.as_bytes(), &spec, &orders],
    )
}

/// The Secret without its values: which keys, labels and annotations are ours, its type, and who owns it.
pub fn shape(object: &SealedSecret) -> SecretManifest {
    let template = object.spec.template.clone().unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    let templates = template.data.unwrap_or_default();
    let items = object.spec.encrypted_data.keys().filter(|name| templates.get(*name) != Some(&None));
    let rendered = templates.iter().filter(|(_, text)| text.is_some()).map(|(name, _)| name);
    SecretManifest {
        labels: metadata.labels,
        annotations: metadata.annotations,
        type_: template.type_.unwrap_or_default(),
        owner: owner(object),
        data: items.chain(rendered).map(|name| (name.clone(), SecretBytes::default())).collect(),
        ..SecretManifest::default()
    }
}

/// A keyed digest of the Secret as it should be.
pub fn outputs(secret: &SecretManifest, digester: &Digester) -> String {
    let owner = secret.owner.as_ref().and_then(|owner| owner["uid"].as_str()).unwrap_or_default();
    digest_of(&secret.type_, &secret.data, &secret.labels, &secret.annotations, owner, digester)
}

/// The same digest of the Secret as it stands, over the labels and annotations that we set: other people's do not count.
pub fn outputs_of_live(live: &SecretValues, wanted: &SecretManifest, digester: &Digester) -> String {
    let ours = |all: Option<&BTreeMap<String, String>>, wanted: &BTreeMap<String, String>| {
        picked(all.into_iter().flatten(), wanted)
    };
    let owner = live.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let owner = owner.filter(|_| wanted.owner.is_some()).map(|owner| owner.uid.as_str()).unwrap_or_default();
    // An empty type means what the API server made of it.
    let type_ = if wanted.type_.is_empty() { "" } else { &live.type_ };
    digest_of(
        type_,
        &live.data,
        &ours(live.metadata.labels.as_ref(), &wanted.labels),
        &ours(live.metadata.annotations.as_ref(), &wanted.annotations),
        owner,
        digester,
    )
}

/// The same of a Secret that belongs to somebody else and holds our values among others: only ours count.
pub fn outputs_of_merged(live: &SecretValues, wanted: &SecretManifest, digester: &Digester) -> String {
    let live = SecretValues { data: picked(&live.data, &wanted.data), ..live.clone() };
    outputs_of_live(&live, wanted, digester)
}

/// The entries of `all` whose names are in `names`.
fn picked<'a, V: Clone + 'a, W>(
    all: impl IntoIterator<Item = (&'a String, &'a V)>,
    names: &BTreeMap<String, W>,
) -> BTreeMap<String, V> {
    let known = all.into_iter().filter(|(name, _)| names.contains_key(*name));
    known.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn digest_of(
    type_: &str,
    data: &BTreeMap<String, SecretBytes>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    owner: &str,
    digester: &Digester,
) -> String {
    let mut parts: Vec<&[u8]> = vec![type_.as_bytes(), owner.as_bytes()];
    for (key, value) in data {
        parts.extend([b"data", key.as_bytes(), value.expose()]);
    }
    for (key, value) in labels {
        parts.extend([b"label", key.as_bytes(), value.as_bytes()]);
    }
    for (key, value) in annotations {
        parts.extend([&b"annotation"[..], key.as_bytes(), value.as_bytes()]);
    }
    digester.digest("secret-outputs", parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::sealed_secret::owner_reference;
    use crate::decide::sealed_secret::tests::{sealed, unseal};

    #[test]
    fn digests_follow_what_counts_and_nothing_else() {
        let digester = Digester::new(&vec![7; 32].into());
        let object = sealed(|_| {});
        let known = inputs(&object, &digester);
        let mut touched = object.clone();
        touched.metadata.labels = Some([("x".to_owned(), "y".to_owned())].into());
        assert_eq!(inputs(&touched, &digester), known, "labels of the object itself do not count");
        for (name, value, why) in
            [(seal::NAMESPACE_WIDE, "true", "the scope counts"), ("chancery.dev/partial", "true", "an order counts")]
        {
            touched.metadata.annotations = Some([(name.to_owned(), value.to_owned())].into());
            assert_ne!(inputs(&touched, &digester), known, "{why}");
        }

        let wanted = unseal(&object).unwrap().secret;
        let mut live: SecretValues = SecretValues {
            metadata: serde_json::from_value(json!({
                "labels": { "app": "shop", "theirs": "1" },
                "ownerReferences": [owner_reference(&object)],
            }))
            .unwrap(),
            type_: "Opaque".to_owned(),
            immutable: false,
            data: wanted.data.clone(),
        };
        let intact = outputs(&wanted, &digester);
        assert_eq!(outputs_of_live(&live, &wanted, &digester), intact, "other people's labels do not count");
        live.data.insert("extra".to_owned(), b"x".to_vec().into());
        assert_ne!(outputs_of_live(&live, &wanted, &digester), intact, "a key that somebody added counts");
        assert_eq!(outputs_of_merged(&live, &wanted, &digester), intact, "but not where we are guests");
    }

    #[test]
    fn the_shape_knows_which_keys_there_will_be() {
        let object = sealed(|o| o["spec"]["template"]["data"] = json!({ "c": "{{ .a }}", "b": null }));
        assert_eq!(shape(&object).data.keys().collect::<Vec<_>>(), ["a", "c"]);
    }
}
