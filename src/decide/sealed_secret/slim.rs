//! What is kept in memory of a SealedSecret whose Secret stands: all but the sealed values, which are most of it. A digest
//! of each says whether it is still the same; who must open it again reads it again.

use aws_lc_rs::digest::{SHA256, digest};

use super::{is_handled, record};
use crate::api::SealedSecret;
use crate::api::sealed_secret::SealedSecretSpec;

/// Begins what stands in the place of a sealed value. No sealed value begins so: it is not base64.
const MARK: &str = "sha256:";
/// Bytes of a digest that are kept.
const KEPT: usize = 16;

/// Makes an object slim whose present content has been handled by us.
pub fn slim(object: &mut SealedSecret) {
    let ours = record(object).is_some_and(|record| !record.outputs.is_empty());
    if ours && is_handled(object) {
        slim_spec(&mut object.spec);
    }
}

/// Whether sealed values were left out. Somebody may have written such a text: then it is read once more, to no harm.
pub fn is_slim(object: &SealedSecret) -> bool {
    let spec = &object.spec;
    spec.data.iter().chain(spec.encrypted_data.values()).any(|value| value.starts_with(MARK))
}

/// Puts digests in the place of the values; what is slim stays as it is.
pub(super) fn slim_spec(spec: &mut SealedSecretSpec) {
    for value in spec.data.iter_mut().chain(spec.encrypted_data.values_mut()).filter(|value| !value.starts_with(MARK)) {
        let whole = digest(&SHA256, value.as_bytes());
        let hex = whole.as_ref()[..KEPT].iter().map(|byte| format!("{byte:02x}"));
        *value = [MARK.to_owned()].into_iter().chain(hex).collect();
        value.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decide::digest::Digester;
    use crate::decide::sealed_secret::tests::sealed;
    use crate::decide::sealed_secret::{inputs, shape};

    fn handled(generation: i64) -> SealedSecret {
        sealed(|object| {
            object["metadata"]["generation"] = 2.into();
            object["status"] = json!({
                "observedGeneration": generation,
                "conditions": [{ "type": "Synced", "status": "True" }],
                "chancery": { "outputs": "o" },
            });
        })
    }

    #[test]
    fn only_what_we_have_handled_becomes_slim() {
        let mut theirs = handled(2);
        theirs.status.as_mut().unwrap().chancery = None;
        let mut failed = handled(2);
        failed.status.as_mut().unwrap().conditions[0].status = "False".to_owned();
        for (name, mut object, expected) in [
            ("handled", handled(2), true),
            ("changed since", handled(1), false),
            ("handled by another controller", theirs, false),
            ("failed", failed, false),
            ("new", sealed(|_| {}), false),
        ] {
            let before = object.clone();
            slim(&mut object);
            assert_eq!((is_slim(&object), object == before), (expected, !expected), "{name}");
        }
    }

    #[test]
    fn what_is_slim_has_the_same_digest_and_shape() {
        let digester = Digester::new(&vec![7; 32].into());
        let whole = handled(2);
        let mut object = whole.clone();
        slim(&mut object);
        assert!(object.spec.encrypted_data.values().all(|value| value.len() == MARK.len() + 2 * KEPT));
        assert_eq!(inputs(&object, &digester), inputs(&whole, &digester));
        assert_eq!(shape(&object), shape(&whole));
        let once = object.clone();
        slim(&mut object);
        assert_eq!(object, once, "what is slim stays as it is");
        let mut other = whole.clone();
        other.spec.encrypted_data.values_mut().for_each(|value| value.push('A'));
        assert_ne!(inputs(&other, &digester), inputs(&whole, &digester));
    }
}
