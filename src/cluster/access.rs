//! Who calls us, and whether they may: the API server knows.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, Error};
use crate::plan::{ObjectKey, ObjectRef};

/// Somebody whom the API server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub name: String,
    groups: Vec<String>,
}

impl Cluster {
    /// Who holds this token; nobody when the API server does not know it.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, Error> {
        let review = TokenReview {
            spec: TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = self.within(&named("TokenReview"), api.create(&PostParams::default(), &review)).await?;
        let status = answer.status.filter(|status| status.authenticated == Some(true));
        let user = status.and_then(|status| status.user);
        Ok(user.map(|user| Caller { name: user.username.unwrap_or_default(), groups: user.groups.unwrap_or_default() }))
    }

    /// Whether a caller may do this to a path that is no object's.
    ///
    /// # Errors
    ///
    /// Trouble with the API server.
    pub async fn permits(&self, caller: &Caller, verb: &str, path: &str) -> Result<bool, Error> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(caller.name.clone()),
                groups: Some(caller.groups.clone()),
                non_resource_attributes: Some(NonResourceAttributes {
                    path: Some(path.to_owned()),
                    verb: Some(verb.to_owned()),
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = self.within(&named("SubjectAccessReview"), api.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

fn named(kind: &str) -> ObjectRef {
    let api_version = if kind == "TokenReview" { "authentication.k8s.io/v1" } else { "authorization.k8s.io/v1" };
    ObjectRef { api_version: api_version.to_owned(), kind: kind.to_owned(), key: ObjectKey::default() }
}
