//! Git → Application → objects, from a real Git server to the real API server.

use bed::cluster::PATIENCE;
use bed::git::{GitServer, Repository};
use bed::{Bed, Tenant};
use serde_json::{Value, json};

pub(crate) const APPLICATION: &str = "argoproj.io/v1alpha1 Application";
const MAP: &str = "v1 ConfigMap";
const IN_CLUSTER: &str = "https://kubernetes.default.svc";

/// A tenant with a Git server, one repository, and its credentials in place.
pub(crate) async fn tenant_with_repository(name: &str) -> (Tenant, GitServer, Repository) {
    let tenant = Bed::attach().unwrap().tenant(name).await.unwrap();
    let git = tenant.git().unwrap();
    let repository = git.create("infra").unwrap();
    tenant.connect_repository(&git, &repository).await.unwrap();
    (tenant, git, repository)
}

/// An Application of folder `path` with this sync policy. Tests share one cluster: its name is the tenant's own.
pub(crate) fn application(tenant: &Tenant, repository: &Repository, path: &str, policy: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": name_of(tenant, path), "namespace": tenant.apps },
        "spec": {
            "source": { "repoURL": repository.url, "targetRevision": "main", "path": path },
            "destination": { "server": IN_CLUSTER, "namespace": tenant.work },
            "syncPolicy": policy,
        },
    })
}

pub(crate) fn name_of(tenant: &Tenant, path: &str) -> String {
    format!("{}-{}", tenant.work, path.replace('/', "-"))
}

pub(crate) fn automated() -> Value {
    json!({ "automated": { "prune": true, "selfHeal": true } })
}

fn map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  k: {value:?}\n")
}

/// Waits until an Application stands like this.
pub(crate) async fn stands(tenant: &Tenant, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let place = (APPLICATION, tenant.apps.as_str(), name);
    tenant.cluster.wait_for(what, place, PATIENCE, is_so).await.unwrap()
}

pub(crate) fn synced_to(revision: &str) -> impl Fn(&Value) -> bool {
    move |object| {
        let status = &object["status"];
        status["sync"]["status"] == "Synced" && status["sync"]["revision"] == revision
    }
}

/// Whether a condition of this type is there and says this.
pub(crate) fn says(object: &Value, kind: &str, words: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| {
        condition["type"] == kind && condition["message"].as_str().is_some_and(|message| message.contains(words))
    })
}

async fn value_of(tenant: &Tenant, name: &str) -> Option<String> {
    let object = tenant.cluster.find(MAP, &tenant.work, name).await.unwrap()?;
    Some(object["data"]["k"].as_str().unwrap_or_default().to_owned())
}

async fn becomes(tenant: &Tenant, name: &str, value: &str) {
    let place = (MAP, tenant.work.as_str(), name);
    let what = format!("{name} becomes {value}");
    tenant.cluster.wait_for(&what, place, PATIENCE, |object| object["data"]["k"] == value).await.unwrap();
}

#[tokio::test]
async fn commits_reach_the_cluster_and_what_hands_do_does_not_last() {
    let (tenant, _git, repository) = tenant_with_repository("sync").await;
    let first = repository.commit("first", &[("app/a.yaml", &map("a", "1")), ("app/b.yaml", &map("b", "1"))]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let running = operator.start().unwrap();
    let app = application(&tenant, &repository, "app", &automated());
    let name = name_of(&tenant, "app");
    tenant.cluster.apply_object(&app).await.unwrap();

    let object = stands(&tenant, &name, "the first commit is synced", synced_to(&first)).await;
    let status = &object["status"];
    assert_eq!(status["health"]["status"], "Healthy");
    assert_eq!(status["operationState"]["phase"], "Succeeded");
    assert_eq!(status["history"][0]["revision"], first);
    assert_eq!(status["history"][0]["initiatedBy"]["automated"], true);
    assert_eq!(status["resources"].as_array().unwrap().len(), 2);
    assert_eq!(status["sourceType"], "Directory");
    let a = tenant.cluster.get(MAP, &tenant.work, "a").await.unwrap();
    let tracking = format!("{name}:/ConfigMap:{}/a", tenant.work);
    assert_eq!(a["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"], tracking);
    assert_eq!(a["metadata"]["managedFields"][0]["manager"], "argocd-controller");

    let second = repository.commit("second", &[("app/a.yaml", &map("a", "2")), ("app/b.yaml", "")]).unwrap();
    stands(&tenant, &name, "the second commit is synced", synced_to(&second)).await;
    assert_eq!(value_of(&tenant, "a").await.as_deref(), Some("2"));
    tenant.cluster.wait_gone(MAP, &tenant.work, "b", PATIENCE).await.unwrap();

    // An edited field, an added one, and a deleted object.
    let edit = json!({ "data": { "k": "by hand" } });
    tenant.cluster.patch(MAP, &tenant.work, "a", &edit).await.unwrap();
    becomes(&tenant, "a", "2").await;
    kubectl(&tenant, &["label", "configmap", "a", "by=hand", "-n", &tenant.work]);
    let place = (MAP, tenant.work.as_str(), "a");
    let without = |object: &Value| object["metadata"]["labels"]["by"].is_null();
    tenant.cluster.wait_for("the label is gone", place, PATIENCE, without).await.unwrap();
    tenant.cluster.delete(MAP, &tenant.work, "a").await.unwrap();
    becomes(&tenant, "a", "2").await;
    let object = stands(&tenant, &name, "it is in sync again", synced_to(&second)).await;
    assert_eq!(object["status"]["history"].as_array().unwrap().len(), 2, "healing is no deployment");

    // Nothing to do: no writes, neither now nor after a restart.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mark = tenant.bed.mark().unwrap();
    assert!(running.stop());
    let _running = operator.start().unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let mut writes = mark.writes(&operator.user).unwrap();
    writes.retain(|call, _| !call.contains("lease") && !call.contains("event"));
    assert!(writes.is_empty(), "{writes:?}");
}

fn kubectl(tenant: &Tenant, arguments: &[&str]) {
    let output = std::process::Command::new(&tenant.bed.kubectl)
        .arg("--kubeconfig")
        .arg(&tenant.bed.kubeconfig)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_missions_objects_work_as_they_stand() {
    let tenant = Bed::attach().unwrap().tenant("mission").await.unwrap();
    let git = tenant.git().unwrap();
    let (infra, root) = (git.create("infra-gitops").unwrap(), git.create("root-gitops").unwrap());
    for repository in [&infra, &root] {
        tenant.connect_repository(&git, repository).await.unwrap();
    }
    let deployment = |image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: api\nspec:\n  replicas: 1\n  selector:\n    \
             matchLabels: {{ app: api }}\n  template:\n    metadata:\n      labels: {{ app: api }}\n    spec:\n      \
             containers:\n        - name: api\n          image: company/api:{image}\n"
        )
    };
    infra.commit("first", &[("apps/api/production/deployment.yaml", &deployment("v1"))]).unwrap();
    // Object 2 deploys Applications that teams add: this one is object 1's little sister.
    let child = application(&tenant, &infra, "team", &automated());
    infra.commit("a team", &[("team/map.yaml", &map("team", "1"))]).unwrap();
    let child = child.to_string();
    root.commit(
        "the team's Application",
        &[("apps/teams/deep/child.yaml", &child), ("apps/README.md", "Ask by pull request.\n")],
    )
    .unwrap();

    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    let text = include_str!("golden/mission.yaml")
        .replace("namespace: argocd", &format!("namespace: {}", tenant.apps))
        .replace("namespace: production", &format!("namespace: {}-production", tenant.work));
    for (number, text) in text.split("\n---\n").enumerate() {
        let repository = if number == 0 { &infra } else { &root };
        let text = text.replace("https://github.com/company/infra-gitops.git", &repository.url);
        tenant.cluster.apply(&text).await.unwrap();
    }
    let healthy = |object: &Value| {
        object["status"]["sync"]["status"] == "Synced" && object["status"]["health"]["status"] == "Healthy"
    };
    stands(&tenant, "api-production", "object 1 is synced and healthy", healthy).await;
    stands(&tenant, "root-apps", "object 2 is synced and healthy", healthy).await;
    stands(&tenant, &name_of(&tenant, "team"), "the team's Application is synced", healthy).await;
    becomes(&tenant, "team", "1").await;
    let production = format!("{}-production", tenant.work);
    let place = ("apps/v1 Deployment", production.as_str(), "api");
    let api = tenant.cluster.get(place.0, place.1, place.2).await.unwrap();
    assert_eq!(api["spec"]["template"]["spec"]["containers"][0]["image"], "company/api:v1");

    // The CI job of the mission: clone, sed, commit, push.
    let url = infra.url.replace("https://", &format!("https://{}:{}@", bed::git::USER, bed::git::PASSWORD));
    let certificate = tenant.folder.join("git.crt");
    std::fs::write(&certificate, &git.ca).unwrap();
    let job = "set -eu; git clone --quiet \"$URL\" ci; cd ci; \
        sed -i \"s|image: company/api:.*|image: company/api:${CI_COMMIT_SHORT_SHA}|g\" apps/api/production/deployment.yaml; \
        git -c user.name=ci -c user.email=ci@example.com commit --quiet -am \"ci: update api to ${CI_COMMIT_SHORT_SHA}\"; \
        git push --quiet origin main";
    let output = std::process::Command::new("bash")
        .args(["-c", job])
        .current_dir(&tenant.folder)
        .env("URL", url)
        .env("CI_COMMIT_SHORT_SHA", "e5f6a7b8")
        .env("GIT_SSL_CAINFO", &certificate)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let newer = |object: &Value| object["spec"]["template"]["spec"]["containers"][0]["image"] == "company/api:e5f6a7b8";
    tenant.cluster.wait_for("CI's image runs", place, PATIENCE, newer).await.unwrap();
    stands(&tenant, "api-production", "it is healthy again", healthy).await;

    // Taking a team's file away takes its Application away.
    root.commit("the team leaves", &[("apps/teams/deep/child.yaml", "")]).unwrap();
    let finding = |object: &Value| says(object, "SyncError", "wipe out all resources");
    stands(&tenant, "root-apps", "an empty folder wipes nothing", finding).await;
    root.commit(
        "another team",
        &[("apps/other.yaml", &application(&tenant, &infra, "apps/api/production", &json!({})).to_string())],
    )
    .unwrap();
    tenant.cluster.wait_gone(APPLICATION, &tenant.apps, &name_of(&tenant, "team"), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn two_applications_do_not_fight_over_one_object() {
    let (tenant, _git, repository) = tenant_with_repository("shared").await;
    let commit = repository.commit("first", &[("all/one/a.yaml", &map("a", "1"))]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    tenant.cluster.apply_object(&application(&tenant, &repository, "all/one", &automated())).await.unwrap();
    let one = name_of(&tenant, "all/one");
    stands(&tenant, &one, "the first is synced", synced_to(&commit)).await;
    let mut whole = application(&tenant, &repository, "all", &automated());
    whole["spec"]["source"]["directory"] = json!({ "recurse": true });
    tenant.cluster.apply_object(&whole).await.unwrap();
    let words = format!("ConfigMap/a is part of applications {} and {one}", name_of(&tenant, "all"));
    let warned = |object: &Value| says(object, "SharedResourceWarning", &words);
    stands(&tenant, &name_of(&tenant, "all"), "the second is warned", warned).await;

    let before = tenant.cluster.get(MAP, &tenant.work, "a").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let after = tenant.cluster.get(MAP, &tenant.work, "a").await.unwrap();
    assert_eq!(before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"], "nobody fights");
    // When the first goes and leaves it behind, the second takes it over.
    tenant.cluster.delete(APPLICATION, &tenant.apps, &one).await.unwrap();
    stands(&tenant, &name_of(&tenant, "all"), "the second has it", synced_to(&commit)).await;
}

#[tokio::test]
async fn trouble_with_git_is_told_and_deletes_nothing() {
    let (tenant, git, repository) = tenant_with_repository("trouble").await;
    let files = [("app/a.yaml", map("a", "1")), ("app/b.yaml", map("b", "1")), ("good/c.yaml", map("c", "1"))];
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let first = repository.commit("first", &files).unwrap();
    let other = git.create("other").unwrap();
    tenant.connect_repository(&git, &other).await.unwrap();
    let neighbour = other.commit("first", &[("app/n.yaml", &map("beside", "1"))]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    tenant.cluster.apply_object(&application(&tenant, &repository, "app", &automated())).await.unwrap();
    tenant.cluster.apply_object(&application(&tenant, &repository, "good", &automated())).await.unwrap();
    let mut beside = application(&tenant, &other, "app", &automated());
    beside["metadata"]["name"] = json!("beside");
    tenant.cluster.apply_object(&beside).await.unwrap();
    stands(&tenant, &name, "the first commit is synced", synced_to(&first)).await;
    stands(&tenant, "beside", "the neighbour is synced", synced_to(&neighbour)).await;
    let all_stand = async |what: &str| {
        for name in ["a", "b"] {
            assert_eq!(value_of(&tenant, name).await.as_deref(), Some("1"), "{what}: {name}");
        }
    };

    // A broken file: named with its line, without its text; the healthy folder of the same commit goes on.
    let broken = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  k: \"hunter2-trouble\n";
    let second = repository
        .commit("broken", &[("app/b.yaml", ""), ("app/x.yaml", broken), ("good/c.yaml", &map("c", "2"))])
        .unwrap();
    let told = |object: &Value| says(object, "ComparisonError", "x.yaml:");
    let object = stands(&tenant, &name, "the broken file is named", told).await;
    assert_eq!(object["status"]["sync"]["status"], "Unknown");
    assert_eq!(object["status"]["health"]["status"], "Healthy");
    stands(&tenant, &name_of(&tenant, "good"), "the other folder goes on", synced_to(&second)).await;
    all_stand("broken YAML").await;

    // Emptied: the branch is force-pushed to a commit without any file.
    let tree = repository.git(&["commit-tree", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-m", "empty"]).unwrap();
    repository.git(&["hash-object", "-t", "tree", "-w", "/dev/null"]).unwrap();
    repository.git(&["reset", "--quiet", "--hard", tree.trim()]).unwrap();
    repository.push(&["--force"]).unwrap();
    let told = |object: &Value| says(object, "ComparisonError", "app path does not exist");
    stands(&tenant, &name, "the missing folder is told", told).await;
    all_stand("emptied").await;

    // The branch is gone, then the repository, then the password is wrong, then the server is down.
    bed::git::git(&repository.bare, &["update-ref", "-d", "refs/heads/main"]).unwrap();
    let told = |object: &Value| says(object, "ComparisonError", "the repository is empty");
    stands(&tenant, &name, "the empty repository is told", told).await;
    let aside = repository.bare.with_extension("aside");
    std::fs::rename(&repository.bare, &aside).unwrap();
    let told = |object: &Value| says(object, "ComparisonError", "there is no repository at");
    stands(&tenant, &name, "the missing repository is told", told).await;
    std::fs::rename(&aside, &repository.bare).unwrap();
    let secret = |password: &str| json!({ "stringData": { "password": password } });
    tenant.cluster.patch("v1 Secret", &tenant.apps, "repo-infra", &secret("wrong-hunter2")).await.unwrap();
    refresh(&tenant, &name).await;
    let told = |object: &Value| says(object, "ComparisonError", "refuses our credentials");
    stands(&tenant, &name, "the wrong password is told", told).await;
    tenant.cluster.patch("v1 Secret", &tenant.apps, "repo-infra", &secret(bed::git::PASSWORD)).await.unwrap();
    git.set_down(true);
    let told = |object: &Value| says(object, "ComparisonError", "cannot be reached");
    stands(&tenant, "beside", "the dead server is told", told).await;
    all_stand("down").await;
    assert_eq!(value_of(&tenant, "beside").await.as_deref(), Some("1"));
    git.set_down(false);

    // All is well again, at a new commit of another history.
    let last = repository.commit("anew", &files).unwrap();
    stands(&tenant, &name, "the new history is synced", synced_to(&last)).await;
    stands(&tenant, "beside", "the neighbour is well", synced_to(&neighbour)).await;
    assert!(!running.log().contains("hunter2"), "a value is in the log");
}

#[tokio::test]
async fn an_operator_that_is_killed_in_the_middle_of_a_sync_goes_on_where_it_was() {
    const MAPS: usize = 300;
    let (tenant, _git, repository) = tenant_with_repository("killed").await;
    let files: Vec<_> =
        (0..MAPS).map(|number| (format!("app/{number}.yaml"), map(&format!("m{number}"), "1"))).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let first = repository.commit("first", &files).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let running = operator.start().unwrap();
    tenant.cluster.apply_object(&application(&tenant, &repository, "app", &automated())).await.unwrap();
    let made = async || tenant.cluster.list(MAP, &tenant.work).await.unwrap().len();
    let started = std::time::Instant::now();
    while made().await < MAPS / 10 {
        assert!(started.elapsed() < PATIENCE, "the sync does not begin");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    running.kill();
    let stood = made().await;
    let _running = operator.start().unwrap();
    let object = stands(&tenant, &name_of(&tenant, "app"), "the rest is synced", synced_to(&first)).await;
    assert!(stood < MAPS, "it was killed too late to show anything");
    // The namespace has one of its own: the API server's certificate authority.
    assert_eq!(made().await, MAPS + 1);
    assert_eq!(object["status"]["history"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_hint_at_the_doorbell_is_heard_at_once() {
    let (tenant, _git, repository) = tenant_with_repository("bell").await;
    let first = repository.commit("first", &[("app/a.yaml", &map("a", "1"))]).unwrap();
    let operator = tenant.deployer(&["--git-poll=10m"]).await.unwrap();
    let _running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    tenant.cluster.apply_object(&application(&tenant, &repository, "app", &automated())).await.unwrap();
    stands(&tenant, &name, "the first commit is synced", synced_to(&first)).await;
    let second = repository.commit("second", &[("app/a.yaml", &map("a", "2"))]).unwrap();
    ring(&tenant, &json!({ "at": "2026-01-01T00:00:00Z", "repository": repository.url })).await;
    stands(&tenant, &name, "the second commit is synced", synced_to(&second)).await;
}

/// Writes a hint, as a webhook receiver of any replica does.
pub(crate) async fn ring(tenant: &Tenant, hint: &Value) {
    let kind = "chancery.dev/v1alpha1 Doorbell";
    let place = (kind, tenant.keys.as_str(), "doorbell");
    tenant.cluster.wait_for("the doorbell is made", place, PATIENCE, |_| true).await.unwrap();
    tenant.cluster.patch(kind, &tenant.keys, "doorbell", &json!({ "spec": { "hints": [hint] } })).await.unwrap();
}

async fn refresh(tenant: &Tenant, name: &str) {
    let patch = json!({ "metadata": { "annotations": { "argocd.argoproj.io/refresh": "normal" } } });
    tenant.cluster.patch(APPLICATION, &tenant.apps, name, &patch).await.unwrap();
}

#[tokio::test]
async fn a_sync_by_hand_runs_once_and_for_the_revision_that_was_asked_for() {
    let (tenant, _git, repository) = tenant_with_repository("manual").await;
    let first = repository.commit("first", &[("app/a.yaml", &map("a", "1"))]).unwrap();
    let operator = tenant.deployer(&["--git-poll=10m"]).await.unwrap();
    let _running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    tenant.cluster.apply_object(&application(&tenant, &repository, "app", &json!({}))).await.unwrap();
    let out = |object: &Value| object["status"]["sync"]["status"] == "OutOfSync";
    let object = stands(&tenant, &name, "it waits for a person", out).await;
    assert_eq!(object["status"]["health"]["status"], "Missing");
    assert_eq!(value_of(&tenant, "a").await, None);

    let ask = |sync: Value| json!({ "operation": { "initiatedBy": { "username": "dana" }, "sync": sync } });
    let done = |phase: &'static str| {
        move |object: &Value| object["operation"].is_null() && object["status"]["operationState"]["phase"] == phase
    };
    tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &ask(json!({ "dryRun": true }))).await.unwrap();
    let object = stands(&tenant, &name, "the trial succeeds", done("Succeeded")).await;
    assert!(object["status"]["history"].is_null());
    assert_eq!(value_of(&tenant, "a").await, None);
    tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &ask(json!({}))).await.unwrap();
    let object = stands(&tenant, &name, "the sync succeeds", synced_to(&first)).await;
    assert_eq!(object["status"]["history"][0]["initiatedBy"]["username"], "dana");
    assert_eq!(value_of(&tenant, "a").await.as_deref(), Some("1"));

    // The refresh annotation asks the server at once, long before the next poll, and is taken away.
    let second = repository.commit("second", &[("app/a.yaml", &map("a", "2"))]).unwrap();
    refresh(&tenant, &name).await;
    let seen = |object: &Value| {
        object["status"]["sync"]["revision"] == second.as_str()
            && object["metadata"]["annotations"]["argocd.argoproj.io/refresh"].is_null()
    };
    stands(&tenant, &name, "the refresh is done", seen).await;
    assert_eq!(value_of(&tenant, "a").await.as_deref(), Some("1"), "nobody asked for a sync");
    tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &ask(json!({ "revision": second }))).await.unwrap();
    stands(&tenant, &name, "the second commit is synced", synced_to(&second)).await;
    // Back to the first, by its id.
    tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &ask(json!({ "revision": first }))).await.unwrap();
    becomes(&tenant, "a", "1").await;
    // What is not honoured is refused, not half done.
    let selective = json!({ "resources": [{ "kind": "ConfigMap", "name": "a" }] });
    tenant.cluster.patch(APPLICATION, &tenant.apps, &name, &ask(selective)).await.unwrap();
    let object = stands(&tenant, &name, "the selective sync is refused", done("Error")).await;
    assert!(object["status"]["operationState"]["message"].as_str().unwrap().contains("operation.sync.resources"));
}

#[tokio::test]
async fn a_namespace_is_made_and_a_deletion_cascades() {
    let (tenant, _git, repository) = tenant_with_repository("cascade").await;
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: kept\n  annotations:\n    \
                argocd.argoproj.io/sync-options: Delete=false\n";
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {}\nrules: []\n",
        tenant.work
    );
    let commit = repository
        .commit("first", &[("app/a.yaml", &map("a", "1")), ("app/kept.yaml", kept), ("app/role.yaml", &role)])
        .unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    let namespace = format!("{}-made", tenant.work);
    let mut app = application(&tenant, &repository, "app", &automated());
    app["metadata"]["finalizers"] = json!(["resources-finalizer.argocd.argoproj.io"]);
    app["spec"]["destination"]["namespace"] = json!(namespace);
    app["spec"]["syncPolicy"]["syncOptions"] = json!(["CreateNamespace=true"]);
    tenant.cluster.apply_object(&app).await.unwrap();
    let object = stands(&tenant, &name, "it is synced", synced_to(&commit)).await;
    let results = object["status"]["operationState"]["syncResult"]["resources"].as_array().unwrap();
    assert!(results.iter().any(|result| result["kind"] == "Namespace" && result["status"] == "Synced"), "{results:?}");
    let role = tenant.cluster.get("rbac.authorization.k8s.io/v1 ClusterRole", "", &tenant.work).await.unwrap();
    let tracking = format!("{name}:rbac.authorization.k8s.io/ClusterRole:{namespace}/{}", tenant.work);
    assert_eq!(role["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"], tracking);

    tenant.cluster.delete(APPLICATION, &tenant.apps, &name).await.unwrap();
    tenant.cluster.wait_gone(APPLICATION, &tenant.apps, &name, PATIENCE).await.unwrap();
    assert!(tenant.cluster.find(MAP, &namespace, "a").await.unwrap().is_none());
    assert!(tenant.cluster.find("rbac.authorization.k8s.io/v1 ClusterRole", "", &tenant.work).await.unwrap().is_none());
    assert!(tenant.cluster.find(MAP, &namespace, "kept").await.unwrap().is_some());
    assert!(tenant.cluster.find("v1 Namespace", "", &namespace).await.unwrap().is_some(), "the namespace stays");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_and_a_revert_heals() {
    let (tenant, _git, repository) = tenant_with_repository("refused").await;
    let first = repository.commit("first", &[("app/a.yaml", &map("a", "1"))]).unwrap();
    let operator = tenant.deployer(&[]).await.unwrap();
    let _running = operator.start().unwrap();
    let name = name_of(&tenant, "app");
    let mut app = application(&tenant, &repository, "app", &automated());
    app["spec"]["syncPolicy"]["retry"] = json!({ "limit": 1, "backoff": { "duration": "1s" } });
    tenant.cluster.apply_object(&app).await.unwrap();
    stands(&tenant, &name, "the first commit is synced", synced_to(&first)).await;
    let refused = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  ports:\n    - port: 99999\n";
    repository.commit("second", &[("app/a.yaml", &map("a", "2")), ("app/s.yaml", refused)]).unwrap();
    let failed = |object: &Value| {
        object["status"]["operationState"]["phase"] == "Failed" && says(object, "SyncError", "Failed last sync attempt")
    };
    let object = stands(&tenant, &name, "the refusal is told", failed).await;
    assert_eq!(object["status"]["operationState"]["retryCount"], 1);
    let message = object["status"]["operationState"]["message"].as_str().unwrap();
    assert!(message.contains("99999") || message.contains("port"), "{message}");
    assert_eq!(value_of(&tenant, "a").await.as_deref(), Some("2"), "the others of its wave are applied");
    assert_eq!(object["status"]["history"].as_array().unwrap().len(), 1, "a sync that failed is no deployment");
    let third = repository.revert().unwrap();
    stands(&tenant, &name, "the revert is synced", synced_to(&third)).await;
}
