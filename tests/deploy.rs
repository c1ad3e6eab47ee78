//! The ways to install: what each of them allows, and what it does not.

use std::process::Output;

use bed::cluster::PATIENCE;
use bed::operator::Operator;
use bed::{Bed, Tenant};
use serde_json::{Value, json};

use crate::application::{application, automated, name_of, stands, synced_to};
use crate::support::{CANARY, certificate, seal, secret, value};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

#[tokio::test]
async fn one_team_installs_it_for_its_namespaces_without_cluster_wide_rights() {
    let tenant = Bed::attach().unwrap().tenant_from("namespaced", "overlays/namespaced").await.unwrap();
    let bindings = tenant.cluster.list("rbac.authorization.k8s.io/v1 ClusterRoleBinding", "").await.unwrap();
    let ours = |binding: &&Value| binding["subjects"][0]["namespace"] == tenant.keys.as_str();
    assert_eq!(bindings.iter().filter(ours).count(), 0, "nothing is bound in the whole cluster");
    let git = tenant.git().unwrap();
    let repository = git.create("infra").unwrap();
    tenant.connect_repository(&git, &repository).await.unwrap();
    let operator = tenant.operator(&[]).await.unwrap();
    let running = operator.start().unwrap();
    let certificate = certificate(&tenant, &operator.url).await;
    let sealed = seal(&tenant.bed.seal, &certificate, &secret(&tenant.work, "db", &json!({ "password": CANARY })), &[]);
    let commit = repository.commit("first", &[("app/a.yaml", MAP), ("app/db.json", &sealed.to_string())]).unwrap();
    tenant.cluster.apply_object(&application(&tenant, &repository, "app", &automated())).await.unwrap();
    stands(&tenant, &name_of(&tenant, "app"), "it is synced", synced_to(&commit)).await;
    let place = ("v1 Secret", tenant.work.as_str(), "db");
    let made = tenant.cluster.wait_for("the Secret is made", place, PATIENCE, |_| true).await.unwrap();
    assert_eq!(value(&made, "password"), CANARY);

    // Another namespace is none of its business: it is told, and nothing is tried.
    let mut elsewhere = application(&tenant, &repository, "app", &automated());
    elsewhere["metadata"]["name"] = json!("elsewhere");
    elsewhere["spec"]["destination"]["namespace"] = json!("default");
    tenant.cluster.apply_object(&elsewhere).await.unwrap();
    let told = |object: &Value| crate::application::says(object, "InvalidSpecError", "is not among --namespaces");
    stands(&tenant, "elsewhere", "it is refused", told).await;
    assert!(running.stop());
}

/// Runs kubectl with a service account's token.
fn attempt(bed: &Bed, token: &str, arguments: &[&str], input: &Value) -> Output {
    use std::io::Write;
    let mut child = std::process::Command::new(&bed.kubectl)
        .args(["--server", &bed.url, "--token", token, "--insecure-skip-tls-verify", "--kubeconfig", "/dev/null"])
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The words of a refusal.
fn refused(bed: &Bed, token: &str, arguments: &[&str], input: &Value) -> String {
    let output = attempt(bed, token, arguments, input);
    assert!(!output.status.success(), "{arguments:?} is allowed: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_part_that_reads_git_cannot_reach_the_sealing_keys() {
    let bed = Bed::attach().unwrap();
    let cluster = bed.cluster().await.unwrap();
    let manifests = std::env::temp_dir().join("split.yaml");
    std::fs::write(&manifests, bed.kustomize("overlays/split").unwrap()).unwrap();
    bed.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &manifests.display().to_string()]).unwrap();
    let token = cluster.token("chancery-git", "chancery-git").await.unwrap();

    // It works: an Application in `argocd` is synced by the part alone, as its Deployment says.
    let tenant = bed.tenant("split").await.unwrap();
    let folder = tenant.folder.join("gitops");
    let deployment = cluster.get("apps/v1 Deployment", "chancery-git", "chancery-git").await.unwrap();
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    let arguments: Vec<&str> =
        arguments.iter().filter_map(Value::as_str).filter(|it| !it.contains("cache-dir")).collect();
    let arguments = [&arguments[..], &["--git-poll=2s"]].concat();
    let operator =
        Operator::new(&bed.operator, &folder, "chancery-git", (&bed.url, &bed.ca, &token), &arguments).unwrap();
    let _running = operator.start().unwrap();
    let git = tenant.git().unwrap();
    let repository = git.create("split").unwrap();
    let in_argocd = Tenant { apps: "argocd".to_owned(), ..tenant };
    in_argocd.connect_repository(&git, &repository).await.unwrap();
    let commit = repository.commit("first", &[("app/a.yaml", MAP)]).unwrap();
    in_argocd.cluster.apply_object(&application(&in_argocd, &repository, "app", &automated())).await.unwrap();
    stands(&in_argocd, &name_of(&in_argocd, "app"), "the part syncs", synced_to(&commit)).await;

    // It reaches no key: not by reading, not through a Pod, not by giving itself a right, not as somebody else.
    let none = Value::Null;
    let words = refused(&bed, &token, &["get", "secrets", "-n", "chancery-system"], &none);
    assert!(words.contains("cannot list resource \"secrets\""), "{words}");
    // As good a citizen as Pod Security asks for.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "thief", "namespace": "chancery-system" },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "a", "image": "b", "volumeMounts": [{ "name": "k", "mountPath": "/k" }],
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
            "volumes": [{ "name": "k", "secret": { "secretName": "sealed-secrets-key" } }],
        },
    });
    let started = std::time::Instant::now();
    loop {
        let output = attempt(&bed, &token, &["create", "-f", "-"], &pod);
        if String::from_utf8_lossy(&output.stderr).contains("changes nothing in the key namespace") {
            break;
        }
        // A policy takes a moment to be in force; what slipped in is taken away again.
        assert!(started.elapsed() < PATIENCE, "the admission policy is not in force: {output:?}");
        let _ = cluster.delete("v1 Pod", "chancery-system", "thief").await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "thief" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "kind": "ServiceAccount", "name": "chancery-git", "namespace": "chancery-git" }],
    });
    let words = refused(&bed, &token, &["create", "-f", "-"], &role);
    assert!(words.contains("attempting to grant RBAC permissions not currently held"), "{words}");
    let words = refused(&bed, &token, &["create", "token", "chancery", "-n", "chancery-system"], &none);
    assert!(words.contains("forbidden"), "{words}");
    let policy = ["delete", "validatingadmissionpolicy", "chancery-git-stays-out"];
    let words = refused(&bed, &token, &policy, &none);
    assert!(words.contains("forbidden"), "{words}");
}

#[tokio::test]
async fn the_pods_satisfy_the_restricted_standard() {
    let tenant = Bed::attach().unwrap().tenant("restricted").await.unwrap();
    let enforce = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
    tenant.cluster.patch("v1 Namespace", "", &tenant.work, &enforce).await.unwrap();
    let pod = |template: &Value| {
        let mut pod =
            json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "it", "namespace": tenant.work } });
        pod["spec"] = template["spec"].clone();
        // Its account lives in another namespace.
        pod["spec"]["serviceAccountName"] = Value::Null;
        let file = tenant.folder.join("pod.json");
        std::fs::create_dir_all(&tenant.folder).unwrap();
        std::fs::write(&file, pod.to_string()).unwrap();
        tenant.bed.kubectl(&["create", "--dry-run=server", "-f", &file.display().to_string()])
    };
    let mut seen = 0;
    for folder in ["base", "overlays/drop-in", "overlays/namespaced", "overlays/split"] {
        let manifests = tenant.bed.kustomize(folder).unwrap();
        for object in bed::cluster::documents(&manifests).unwrap() {
            if object["kind"] == "Deployment" {
                let mut template = object["spec"]["template"].clone();
                pod(&template).unwrap();
                template["spec"]["containers"][0]["securityContext"] = Value::Null;
                assert!(format!("{:#}", pod(&template).unwrap_err()).contains("violates PodSecurity"), "{folder}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 5, "Deployments in all");
}
